"""What a comparison says about values: arcs in which sums lie, and which of two sums is less."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from denali.checker.state import INVERSE, Flags
from denali.checker.sums import WORD, Arc, Sum, Term, intrinsic, low, number, signed, trailing

Terms = tuple[tuple[Term, int], ...]


class Within(NamedTuple):
    """A sum of these terms, without a constant, lies in an arc."""

    terms: Terms
    arc: Arc


class Below(NamedTuple):
    """`a` is less than `b`, unsigned; or equal, if `even`."""

    a: Sum
    b: Sum
    even: bool


class Until(NamedTuple):
    """A loop has been gone round `turn` times, and before each the steps gone until then were not a distance.

    If `surely`, so many steps are no more than the distance, and do not overflow, whether they meet it or not.
    """

    turn: Sum
    step: int
    distance: Sum
    surely: bool


Fact = Within | Below | Until


def parts(fact: Fact) -> tuple[Sum, ...]:
    """The sums that a fact speaks of."""
    match fact:
        case Within(terms, _):
            return (Sum(terms, 0),)
        case Below(a, b, _):
            return (a, b)
        case Until(turn, _, distance, _):
            return (turn, distance)


MIRRORED = {
    "b": "a",
    "a": "b",
    "be": "ae",
    "ae": "be",
    "e": "e",
    "ne": "ne",
    "l": "g",
    "g": "l",
    "le": "ge",
    "ge": "le",
}
EQUALITY = {"e", "ne", "s", "ns"}


def inverse(condition: str) -> str:
    """The opposite condition of flags."""
    return INVERSE[condition]


def learn(flags: Flags | None, condition: str | None) -> list[Fact]:
    """What holds when flags fulfil a condition."""
    if flags is None or condition is None or (flags.partly and condition not in EQUALITY):
        return []
    a, b, bits = flags.a, flags.b, 8 * flags.size
    if condition in ("s", "ns"):
        if b.number != 0:
            return []
        condition = "l" if condition == "s" else "ge"
    if a.number is not None:
        if condition not in MIRRORED:
            return []
        a, b, condition = b, a, MIRRORED[condition]
    if b.number == 1 and condition in ("e", "ne") and a.single is not None and intrinsic(a.single).within(0, 2):
        b, condition = number(0), inverse(condition)
    if b.number is None:
        return _related(a, b, condition, bits)
    arc = _arc(condition, b.number, bits)
    return [] if arc is None else list(_consequences(a, arc))


def _related(a: Sum, b: Sum, condition: str, bits: int) -> list[Fact]:
    match condition:
        case "b" | "be":
            return [Below(a, b, condition == "be")]
        case "a" | "ae":
            return [Below(b, a, condition == "ae")]
        case "e":
            return list(_consequences(a.minus(b), Arc(0, 1)))
        case "ne":
            return list(_consequences(a.minus(b), Arc(1, WORD - 1)))
        case _:
            return []


def _arc(condition: str, bound: int, bits: int) -> Arc | None:
    """The numbers below 2**bits that compare so with `bound`; None where they are no arc, or all."""
    whole, half = 1 << bits, 1 << (bits - 1)
    match condition:
        case "e":
            return Arc(bound, 1)
        case "ne" if bound == 0:
            return Arc(1, whole - 1)
        case "ne":
            return Arc((bound + 1) % WORD, WORD - 1)
        case "b":
            return Arc(0, bound)
        case "be":
            return Arc(0, bound + 1)
        case "ae":
            return Arc(bound, whole - bound)
        case "a":
            return Arc(bound + 1, whole - bound - 1)
        case "l" | "le" | "ge" | "g":
            return _signed_arc(condition, bound, bits, half)
        case _:
            return None


def _signed_arc(condition: str, bound: int, bits: int, half: int) -> Arc | None:
    edge = bound + (condition in ("le", "g"))  # the first that is not less, or the first that is
    if bits == 64:
        if condition in ("l", "le"):
            return Arc(half, (edge - half) % WORD)
        return Arc(edge % WORD, (half - edge) % WORD)
    if condition in ("ge", "g") and edge <= half:
        return Arc(edge, half - edge)
    return None


def _consequences(a: Sum, arc: Arc) -> Iterator[Fact]:
    """That a sum lies in an arc, and what follows for what its only term was made of."""
    yield from _of_multiple(a, arc)
    terms, arc = a.terms, arc.shifted(-a.constant)
    if len(terms) == 1 and terms[0][1] == WORD - 1:
        terms, arc = a.times(-1).terms, arc.scaled(-1)
    if len(terms) == 1:
        own = intrinsic(terms[0][0]).scaled(signed(terms[0][1]))
        arc = met if (met := arc.meet(own)) != own else arc  # which may leave out something in the middle
    yield Within(terms, arc)
    if len(terms) == 1 and terms[0][1] == 1 and terms[0][0].kind == "select":
        yield from _of_choice(terms[0][0], arc)
    if len(terms) != 1 or terms[0][1] != 1 or arc.first + arc.length > WORD:
        return
    term, last = terms[0][0], arc.first + arc.length - 1
    if term.kind in ("shr", "high"):
        inner, (times, count) = term.identity[0], term.identity[1:] if term.kind == "high" else (1, term.identity[1])
        first, end = (-(-(bound << count) // times) for bound in (arc.first, last + 1))
        end = min(end, WORD)
        if first < WORD:
            yield from _consequences(inner, Arc(first, end - first))
    elif term.kind == "and" and last == 0:
        inner, mask = term.identity
        lowest = mask & -mask
        if mask + lowest == WORD:  # all bits from one on are zero
            yield from _consequences(inner, Arc(0, lowest))
    elif term.kind in ("set", "both", "either"):
        yield from _of_bits(term, arc.first > 0, last == 0)


def _of_choice(term: Term, arc: Arc) -> Iterator[Fact]:
    """What follows when one of two choices cannot be, as it is a number outside an arc."""
    ways = [way for way in choices(term) if way[0].number is None or Arc(way[0].constant, 1).within(*arc)]
    if len(ways) == 1:
        yield from ways[0][1]
        yield from _consequences(ways[0][0], arc)


def _of_multiple(a: Sum, arc: Arc) -> Iterator[Fact]:
    """That a multiple of a power of two is less than something says so of the bits above."""
    shift = min([trailing(a.constant), *(trailing(count) for _, count in a.terms)])
    if 0 < shift < 64 and arc.first == 0:
        above = low(Sum(tuple((term, count >> shift) for term, count in a.terms), a.constant >> shift), 64 - shift)
        yield Within(above.terms, Arc(0, -(-arc.length >> shift)).shifted(-above.constant))


def _of_bits(term: Term, some: bool, none: bool) -> Iterator[Fact]:
    """What follows when a term has `some` bits, or `none`."""
    if term.kind == "set" and (some or none):
        a, b, size, partly, condition = term.identity
        yield from learn(Flags(a, b, size, partly), condition if some else inverse(condition))
    elif (term.kind == "both" and some) or (term.kind == "either" and none):
        for part in term.identity:
            yield from _consequences(part, Arc(1, WORD - 1) if some else Arc(0, 1))


def choices(one: Term) -> Iterator[tuple[Sum, list[Fact]]]:
    """The two values of a select, each with what is known when it is chosen."""
    flags, condition, yes, no = one.identity
    if flags is None:
        condition = None
    yield yes, learn(flags, condition)
    yield no, learn(flags, inverse(condition) if condition else None)


def not_zero(value: Sum) -> list[Fact]:
    """What holds when a value is not zero."""
    return list(_consequences(value, Arc(1, WORD - 1)))


def zero(value: Sum) -> list[Fact]:
    """What holds when a value is zero."""
    return list(_consequences(value, Arc(0, 1)))


def either(facts: list[Fact], others: list[Fact]) -> list[Fact]:
    """What holds when these facts do, or others."""
    arcs = {fact.terms: fact.arc for fact in others if isinstance(fact, Within)}
    within = (fact for fact in facts if isinstance(fact, Within) and fact.terms in arcs)
    return [Within(fact.terms, fact.arc.join(arcs[fact.terms])) for fact in within]
