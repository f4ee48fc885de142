"""What a comparison says about values: arcs in which sums lie, and which of two sums is less."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from denali.checker.state import Flags
from denali.checker.sums import WORD, Arc, Sum, Term

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


Fact = Within | Below
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
        case "ne" if bits == 64:
            return Arc((bound + 1) % WORD, WORD - 1)
        case "ne" if bound == 0:
            return Arc(1, whole - 1)
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
    terms, arc = a.terms, arc.shifted(-a.constant)
    yield Within(terms, arc)
    if len(terms) != 1 or terms[0][1] != 1 or arc.first + arc.length > WORD:
        return
    term, last = terms[0][0], arc.first + arc.length - 1
    if term.kind == "shr":
        inner, count = term.identity
        first, end = arc.first << count, min(last + 1 << count, WORD)
        if first < WORD:
            yield from _consequences(inner, Arc(first, end - first))
    elif term.kind == "and" and last == 0:
        inner, mask = term.identity
        lowest = mask & -mask
        if mask + lowest == WORD:  # all bits from one on are zero
            yield from _consequences(inner, Arc(0, lowest))
