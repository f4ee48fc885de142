"""Values as the checker knows them: sums of unknown terms with coefficients, and arcs, the ranges of 64-bit numbers.

All arithmetic is modulo 2**64, as the processor's. A term is a value that is not taken apart: the context's address,
what an instruction left in a register, the merge of several ways. The same term is the same number wherever both are
known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

WORD = 1 << 64
MASK = WORD - 1


@dataclass(frozen=True, eq=False, slots=True)
class Term:
    """An unknown; there is one object for each, made by `term`. `kind` and `identity` say which.

    Kinds: the named bases (`BASES`), `in` (a register at entry), `at` (left by the instruction at an address in a
    place), `phi` (a place where ways merge), `unit` (read from the entry table), `jump` (read from a jump table), and
    functions of sums: `low` bits, `and` a mask, `shr`, `sar`, `sext`, `select`.
    """

    kind: str
    identity: tuple[Any, ...]
    serial: int
    depth: int  # of functions of functions of …


BASES = frozenset({"context", "space", "read_only", "table", "stack", "section", "tlb"})
_terms: dict[tuple[str, tuple[Any, ...]], Term] = {}


def term(kind: str, *identity: Any) -> Term:
    """The term of this kind and identity."""
    found = _terms.get((kind, identity))
    if found is None:
        inner = [t.depth for part in identity if isinstance(part, Sum) for t, _ in part.terms]
        found = _terms[kind, identity] = Term(kind, identity, len(_terms), 1 + max(inner, default=0))
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


def number(value: int) -> Sum:
    """A constant."""
    return Sum((), value & MASK)


def of(kind: str, *identity: Any) -> Sum:
    """A term as a sum."""
    return Sum(((term(kind, *identity), 1),), 0)


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
        case "sar":
            return Arc(-(1 << (63 - one.identity[1])) & MASK, 1 << (64 - one.identity[1]))
        case "sext":
            return Arc(-(1 << (one.identity[1] - 1)) & MASK, 1 << one.identity[1])
        case _:
            return ALL


def zeros(value: Sum) -> int:
    """How many of its lowest bits are zero for certain."""
    found = [_trailing(value.constant)] + [_trailing(count) + _zeros_of(one) for one, count in value.terms]
    return min(found)


def _trailing(value: int) -> int:
    return (value & -value).bit_length() - 1 if value else 64


def _zeros_of(one: Term) -> int:
    match one.kind:
        case "low":
            return zeros(one.identity[0])
        case "and":
            return max(zeros(one.identity[0]), _trailing(one.identity[1]))
        case _:
            return 0


def low(value: Sum, bits: int) -> Sum:
    """The lowest bits of a value, zeros above."""
    if not value.terms:
        return number(value.constant & ((1 << bits) - 1))
    if len(value.terms) == 1 and value.terms[0][1] >> 63 == 0:
        arc = intrinsic(value.terms[0][0]).scaled(value.terms[0][1])
        if arc.shifted(value.constant).within(0, 1 << bits):
            return value
    stripped = number(value.constant)
    for one, count in value.terms:
        inner = one.identity[0] if one.kind == "low" and one.identity[1] >= bits else Sum(((one, 1),), 0)
        stripped += inner.times(count)
    return of("low", stripped, bits)
