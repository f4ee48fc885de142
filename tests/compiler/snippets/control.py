"""Loops, calls, recursion, closures, generators, tuples."""
# pyright: basic

import enum
from collections import namedtuple
from typing import NamedTuple


class Colour(enum.IntEnum):
    RED = 1
    GREEN = 2


class Flag(enum.IntFlag):
    READ = 1
    WRITE = 2


Point = namedtuple("Point", "x y")


class Pair(NamedTuple):
    first: int
    second: int


LIMIT = 12
PRIMES = (2, 3, 5, 7, 11)


def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def is_even(n: int) -> bool:
    if n == 0:
        return True
    return is_odd(n - 1)


def is_odd(n: int) -> bool:
    if n == 0:
        return False
    return is_even(n - 1)


def recursion() -> None:
    print(fibonacci(15))


def loops() -> None:
    total = 0
    for i in range(LIMIT):
        if i % 3 == 0:
            continue
        if i > 9:
            break
        total += i
    else:
        total = -1
    while True:
        total -= 5
        if total < 0:
            break
    for i in range(10, 0, -3):
        print(i, end="\n") if False else print(i)
    for i, p in enumerate(PRIMES):
        print(i, p)
    for a, b in zip(PRIMES, (1, 2, 3)):  # noqa: B905
        print(a * b)
    print(total)


def defaults(a: int, b: int = 5, *rest: int) -> int:
    return a * 100 + b * 10 + len(rest)


def calls() -> None:
    print(defaults(1), defaults(1, 2), defaults(1, b=3), defaults(1, 2, 3, 4))


def closures() -> None:
    scale = 7

    def scaled(n: int) -> int:
        return n * scale

    print(scaled(6), (lambda n: n + scale)(1))


def apply(function, n: int) -> int:  # type: ignore[no-untyped-def]
    return function(n) + function(n + 1)


def double(n: int) -> int:
    return 2 * n


def square(n: int) -> int:
    return n * n


def functions() -> None:
    print(apply(double, 5), apply(square, 5))


def count(limit: int):  # type: ignore[no-untyped-def]
    n = 0
    while n < limit:
        yield n
        n += 2


def squares(limit: int):  # type: ignore[no-untyped-def]
    for n in count(limit):
        yield n * n


def generators() -> None:
    for n in squares(9):
        print(n)
    walker = count(10)
    print(next(walker), next(walker), sum_of(walker))


def sum_of(walker) -> int:  # type: ignore[no-untyped-def]
    total = 0
    for n in walker:
        total += n
    return total


def swap(p):  # type: ignore[no-untyped-def]
    return Point(p.y, p.x)


def tuples() -> None:
    a, b = 1, 2
    a, b = b, a
    p = swap(Point(3, 4))
    q = Pair(5, 6)
    print(a, b, p.x, p.y, q.first, q[1], len(p), PRIMES[2], PRIMES[-1])
    for i in range(len(PRIMES)):
        print(PRIMES[i])
    print(3 in PRIMES, 4 in PRIMES, (1, 2) == (1, 2), swap(Point(1, 2)) > (2, 0))


def maybe(n: int):  # type: ignore[no-untyped-def]
    if n > 3:
        return n
    return None


def optionals() -> None:
    for n in (2, 5):
        found = maybe(n)
        if found is not None:
            print(found)
        else:
            print("none")


def enums() -> None:
    print(Colour.RED, Colour.GREEN + 1, Colour.RED == 1, int(Colour.GREEN)) if False else print(int(Colour.GREEN))
    state = int(Colour.RED)
    print(state == Colour.RED, state == Colour.GREEN, Colour.GREEN > Colour.RED, Flag.READ | 4, int(Flag.WRITE) & 2)


def matching(n: int) -> int:
    match n:
        case 1:
            return 10
        case 2 | 3:
            return 20
        case _:
            return 30


def matches() -> None:
    print(matching(1), matching(3), matching(9))


CASES = (recursion, loops, calls, closures, functions, generators, tuples, optionals, enums, matches)
