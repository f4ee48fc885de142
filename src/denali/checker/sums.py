"""Values as the checker knows them: sums of unknown terms with coefficients, and arcs, the ranges of 64-bit numbers.

All arithmetic is modulo 2**64, as the processor's. A term is a value that is not taken apart: the context's address,
what an instruction left in a register, the merge of several ways. The same term is the same number wherever both are
known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

WORD = 1 << 64
MASK = WORD - 1


@dataclass(frozen=True, eq=False, slots=True)
class Term:
    """An unknown; there is one object for each, made by `term`. `kind` and `identity` say which.

    Kinds: the named bases (`BASES`), `in` (a register at entry), `at` (left by the instruction at an address in a
    place), `phi` (a place where ways merge), `unit` (read from the entry table), `jump` (read from a jump table),
    `round` (how often a loop has been gone round), and functions of sums: `low` bits, `and` a mask, `shr`, `sar`,
    `sext`, `high` (the upper half of a product with a number), `select`, `product`, `both` and `either` (bit by bit),
    `set` (one where a comparison says so, else zero), and what is known of bindings (`paging`).
    """

    kind: str
    identity: tuple[Any, ...]
    serial: int
    depth: int  # of functions of functions of …
    inside: tuple[Sum, ...]  # the sums that it is a function of
    merges: frozenset[int]  # whose phis it is made of, itself one of them or not


WINDOW = frozenset({"window_start", "window_size", "window_addend"})
BOUND = WINDOW | {"home_start", "home_room", "read", "write", "addend", "found", "now"}
FUNCTIONS = BOUND | {"high", "low", "and", "shr", "sar", "sext", "select", "product", "both", "either", "set"}
BASES = frozenset({"context", "space", "read_only", "table", "stack", "section", "tlb"})
_terms: dict[tuple[str, tuple[Any, ...]], Term] = {}


def term(kind: str, *identity: Any) -> Term:
    """The term of this kind and identity."""
    found = _terms.get((kind, identity))
    if found is None:
        inside = tuple(_sums(identity)) if kind in FUNCTIONS else ()
        inner = [t.depth for part in identity if isinstance(part, Sum) for t, _ in part.terms]
        own: frozenset[int] = frozenset(identity[:1]) if kind == "phi" else frozenset()
        merged = own.union(*(t.merges for part in inside for t, _ in part.terms))
        found = _terms[kind, identity] = Term(kind, identity, len(_terms), 1 + max(inner, default=0), inside, merged)
    return found


def forget() -> None:
    """Forget all terms, before another function is looked at."""
    _terms.clear()


class Sum(NamedTuple):
    """`constant` plus each term times its coefficient, modulo 2**64; terms are sorted, no coefficient is zero."""

    terms: tuple[tuple[Term, int], ...]
    constant: int

    def __add__(self, other: object) -> Sum:  # type: ignore[override]
        assert isinstance(other, Sum)
        return combine(self, other, 1)

    def minus(self, other: Sum) -> Sum:
        """The difference."""
        return combine(self, other, -1)

    def plus(self, number: int) -> Sum:
        """With a constant added."""
        return Sum(self.terms, (self.constant + number) & MASK) if number else self

    def times(self, factor: int) -> Sum:
        """The multiple."""
        if factor == 1:
            return self
        scaled = ((term, count * factor & MASK) for term, count in self.terms)
        return Sum(tuple(pair for pair in scaled if pair[1]), self.constant * factor & MASK)

    @property
    def number(self) -> int | None:
        """The value, when it has no terms."""
        return None if self.terms else self.constant

    @property
    def single(self) -> Term | None:
        """The term, when the value is just that."""
        return self.terms[0][0] if len(self.terms) == 1 and self.terms[0][1] == 1 and not self.constant else None

    def count(self, kind: str) -> int:
        """The coefficient of the base of this kind."""
        return next((count for term, count in self.terms if term.kind == kind), 0)


def combine(a: Sum, b: Sum, sign: int) -> Sum:
    """a + sign * b."""
    constant = (a.constant + sign * b.constant) & MASK
    if not b.terms:
        return Sum(a.terms, constant)
    if not a.terms and sign == 1:
        return Sum(b.terms, constant)
    counts = dict(a.terms)
    for term, count in b.terms:
        counts[term] = (counts.get(term, 0) + sign * count) & MASK
    return Sum(_sorted((term, count) for term, count in counts.items() if count), constant)


def _sorted(pairs: Iterable[tuple[Term, int]]) -> tuple[tuple[Term, int], ...]:
    return tuple(sorted(pairs, key=lambda pair: pair[0].serial))


def signed(value: int) -> int:
    """A number below 2**64 as a signed one."""
    return value - WORD if value >> 63 else value


def number(value: int) -> Sum:
    """A constant."""
    return Sum((), value & MASK)


def of(kind: str, *identity: Any) -> Sum:
    """A term as a sum."""
    return Sum(((term(kind, *identity), 1),), 0)


def _sums(parts: Iterable[Any]) -> Iterator[Sum]:
    for part in parts:
        if isinstance(part, Sum):
            yield part
        elif isinstance(part, tuple):
            yield from _sums(cast("tuple[Any, ...]", part))


def merges(value: Sum) -> set[int]:
    """The merges whose phis a value is made of."""
    return {merge for one, _ in value.terms for merge in one.merges}


def rebuilt(one: Term, replaced: list[Sum]) -> Sum:
    """The same function of other sums, which are given in the order of `inside`."""
    following = iter(replaced)
    identity = _with(one.identity, following)
    match one.kind:
        case "low":
            return low(*identity)
        case "and":
            return masked(*identity)
        case "product":
            return multiply(*identity) or of("product", *identity)
        case "shr" if identity[0].number is not None:
            return number(identity[0].number >> identity[1])
        case "high" if identity[0].number is not None:
            return number(identity[0].number * identity[1] >> identity[2])
        case _:
            return of(one.kind, *identity)


def _with(parts: Any, following: Iterator[Sum]) -> Any:
    found = [
        next(following) if isinstance(p, Sum) else _with(p, following) if isinstance(p, tuple) else p for p in parts
    ]
    return type(parts)(*found) if hasattr(parts, "_fields") else tuple(found)


class Arc(NamedTuple):
    """The numbers first, first + 1, … of which there are `length`, going round from 2**64 - 1 to 0."""

    first: int
    length: int

    def shifted(self, distance: int) -> Arc:
        """Each number plus a distance."""
        return Arc((self.first + distance) & MASK, self.length)

    def scaled(self, factor: int) -> Arc:
        """An arc that holds each number times a factor, which may be negative."""
        if factor == 1 or not self.length:
            return self
        length = min((self.length - 1) * abs(factor) + 1, WORD)
        start = self.first if factor > 0 else self.first + self.length - 1
        return Arc(start * factor & MASK, length)

    def within(self, first: int, length: int) -> bool:
        """Whether all its numbers are among the `length` numbers from `first` on."""
        return not self.length or (self.first - first & MASK) + self.length <= length

    def plus(self, other: Arc) -> Arc:
        """An arc that holds each sum of two members."""
        if not self.length or not other.length:
            return Arc(0, 0)
        return Arc(self.first + other.first & MASK, min(self.length + other.length - 1, WORD))

    def times(self, other: Arc) -> Arc:
        """An arc that holds each product of two members."""
        ends = [(signed(arc.first), signed(arc.first) + arc.length - 1) for arc in (self, other)]
        products = [a * b for a in ends[0] for b in ends[1]]
        length = max(products) - min(products) + 1
        return Arc(min(products) & MASK, length) if self.length and other.length and length < WORD else ALL

    def meet(self, other: Arc) -> Arc:
        """An arc that holds what is in both: exact where that is one arc, else the shorter of the two."""
        a, b = (self, other) if self.length <= other.length else (other, self)
        distance = a.first - b.first & MASK
        if distance < b.length:  # a begins inside b
            if distance + a.length <= WORD:
                return Arc(a.first, min(a.length, b.length - distance))
            return a
        distance = b.first - a.first & MASK
        if distance < a.length:  # b begins inside a, a begins outside b: b's part in a
            return Arc(b.first, min(a.length - distance, b.length))
        return Arc(a.first, 0)  # nothing is in both: the point is never reached

    def from_multiple(self, step: int) -> Arc:
        """Without what comes before the first multiple of a power of two."""
        skipped = min(-self.first % step, self.length)
        return Arc(self.first + skipped & MASK, self.length - skipped)

    def join(self, other: Arc) -> Arc:
        """An arc that holds what is in either."""
        if not self.length or not other.length:
            return other if not self.length else self
        ways = [_span(self, other), _span(other, self)]
        return min(ways, key=lambda arc: arc.length)


def _span(a: Arc, b: Arc) -> Arc:
    """From the beginning of a to the end of both."""
    return Arc(a.first, min(max(a.length, (b.first - a.first & MASK) + b.length), WORD))


ALL = Arc(0, WORD)


def intrinsic(one: Term) -> Arc:
    """The numbers that a term can be whatever happened before: what its kind alone says."""
    match one.kind:
        case "low":
            return Arc(0, 1 << one.identity[1])
        case "and":
            return Arc(0, one.identity[1] + 1)
        case "shr":
            return Arc(0, 1 << (64 - one.identity[1]))
        case "high":
            return Arc(0, (MASK * one.identity[1] >> one.identity[2]) + 1)
        case "sar":
            return Arc(-(1 << (63 - one.identity[1])) & MASK, 1 << (64 - one.identity[1]))
        case "sext":
            return Arc(-(1 << (one.identity[1] - 1)) & MASK, 1 << one.identity[1])
        case "set":
            return Arc(0, 2)
        case "home_room" | "window_size":
            return Arc(0, 1 << 32)  # as guests have less memory than that
        case "both":
            return min(map(_own_arc, one.identity), key=lambda arc: arc.length)
        case "either":
            least = max(part.number or 0 for part in one.identity)
            end = 1 << max((_own_arc(part).length - 1).bit_length() for part in one.identity)
            return Arc(least, end - least)
        case _:
            return ALL


def _own_arc(value: Sum) -> Arc:
    if value.number is not None:
        return Arc(0, value.number + 1)
    arc = intrinsic(value.single) if value.single is not None else ALL
    return arc if arc.first == 0 else ALL


def zeros(value: Sum) -> int:
    """How many of its lowest bits are zero for certain."""
    found = [trailing(value.constant)] + [trailing(count) + _zeros_of(one) for one, count in value.terms]
    return min(found)


def possible(value: Sum) -> int:
    """The bits that a value may have, as far as the kind of its only term says."""
    bits = 64
    if len(value.terms) == 1 and not value.constant:
        one, count = value.terms[0]
        arc = intrinsic(one).scaled(signed(count))
        bits = (arc.length - 1).bit_length() if arc.first == 0 else bits
    return (1 << bits) - (1 << min(zeros(value), bits))


def trailing(value: int) -> int:
    """How many of a number's lowest bits are zero."""
    return (value & -value).bit_length() - 1 if value else 64


def _zeros_of(one: Term) -> int:
    match one.kind:
        case "low":
            return zeros(one.identity[0])
        case "and":
            return max(zeros(one.identity[0]), trailing(one.identity[1]))
        case "product":
            return sum(map(zeros, one.identity))
        case _:
            return 0


def low(value: Sum, bits: int) -> Sum:
    """The lowest bits of a value, zeros above."""
    if not value.terms:
        return number(value.constant & ((1 << bits) - 1))
    if len(value.terms) == 1:
        arc = intrinsic(value.terms[0][0]).scaled(signed(value.terms[0][1]))
        if arc.shifted(value.constant).within(0, 1 << bits):
            return value
    stripped = number(value.constant)
    for one, count in value.terms:
        if trailing(count) + _zeros_of(one) >= bits:
            continue
        stripped += _as_low(one, bits).times(count)
    return low(stripped, bits) if stripped != value else of("low", value, bits)


def united(value: Sum, bits: int) -> Sum:
    """A value with some bits set, as a sum in which those that it has already count once."""
    return value.plus(bits).minus(masked(value, bits))


def _as_low(one: Term, bits: int) -> Sum:
    """What has the same lowest bits as a term, made of fewer."""
    if one.kind == "low" and one.identity[1] >= bits:
        return one.identity[0]
    if one.kind == "either" and one.identity[1].number is not None:
        return united(one.identity[0], one.identity[1].number)
    run = run_of(one.identity[1]) if one.kind == "and" else None
    if run and run[1] >= bits:  # all but the lowest
        return one.identity[0].minus(low(one.identity[0], run[0]))
    return Sum(((one, 1),), 0)


def masked(value: Sum, mask: int) -> Sum:
    """Some bits of a value, in the same form however they were asked for."""
    one, lowest = value.single, mask & -mask
    if value.number is not None or mask == 0:
        return number(value.constant & mask)
    if one is not None and one.kind == "shr":  # the topmost bits of a shifted value are another shift of it
        inner, count = one.identity
        place = lowest.bit_length() - 1
        if mask + lowest == 1 << (64 - count) and count + place < 64:
            return of("shr", inner, count + place).times(lowest)
    if one is not None and one.kind == "low" and mask >> one.identity[1] == 0:
        return masked(one.identity[0], mask)
    if mask & mask + 1 == 0:
        return low(value, mask.bit_length())
    shift = min(trailing(count) for _, count in value.terms)
    if shift and value.constant == 0 and mask >> shift:
        return masked(Sum(tuple((t, count >> shift) for t, count in value.terms), 0), mask >> shift).times(1 << shift)
    return of("and", value, mask)


def run_of(mask: int) -> tuple[int, int] | None:
    """The first bit of a mask whose bits are neighbours, and the bit behind them."""
    lowest = mask & -mask
    return (lowest.bit_length() - 1, mask.bit_length()) if (mask + lowest) & mask == 0 else None


def multiply(a: Sum, b: Sum) -> Sum | None:
    """The product, as a sum of products of two terms; None where there are products of more."""
    if a.number is not None or b.number is not None:
        return a.times(b.number) if b.number is not None else b.times(a.constant)
    if any(one.kind == "product" for one, _ in (*a.terms, *b.terms)):
        return None
    total = number(a.constant * b.constant) + Sum(a.terms, 0).times(b.constant) + Sum(b.terms, 0).times(a.constant)
    for one, count in a.terms:
        for other, times in b.terms:
            first, second = sorted((one, other), key=lambda each: each.serial)
            total += of("product", Sum(((first, 1),), 0), Sum(((second, 1),), 0)).times(count * times & MASK)
    return total
