"""Counted loops: how often one can go round, and so what the values that move with it can be.

LLVM removes a check whose outcome follows from a loop's bounds, and a translator may test bounds once before a loop.
A loop is counted when something that moves by the same step in every round has to be in an arc (or beside certain
values) for another round to begin: it would have to jump over the gap.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from denali.checker.facts import Below, Fact, Within
from denali.checker.sums import ALL, WORD, Arc, Sum, Term, number

if TYPE_CHECKING:
    from denali.checker.proof import Proof, Scope


class Rounds:
    """The loops of one function; a loop is named by the merge at its head."""

    def __init__(self, proof: Proof) -> None:
        self.proof = proof
        self.limits: dict[int, int | None] = {}

    def arc(self, phi: Term) -> Arc:
        """Where a phi lies, if it moves by steps in a counted loop."""
        merge, place = phi.identity
        step, most = self.step(phi), self.limit(merge)
        if step is None or most is None:
            return ALL
        first = Arc(0, 0)
        for scope, values in self._entries(merge):
            first = first.join(scope.bound(values[place], 2))
        return first.plus(Arc(0, most + 1).scaled(step))

    def _entries(self, merge: int) -> Iterator[tuple[Scope, dict[str | int, Sum]]]:
        """What is known, and what places hold, on each way into a loop from outside."""
        for source in self.proof.flow.blocks[merge].sources:
            if not self.proof.dominates(merge, source):
                yield self.proof.arriving(source, merge), self.proof.flow.after[source].values

    def _backs(self, merge: int) -> list[int]:
        return [s for s in self.proof.flow.blocks[merge].sources if self.proof.dominates(merge, s)]

    def step(self, phi: Term) -> int | None:
        """By how much a phi moves in a round, signed; None when that differs."""
        merge, place = phi.identity
        after = self.proof.flow.after
        moves = {after[back].values[place].minus(Sum(((phi, 1),), 0)) for back in self._backs(merge)}
        if len(moves) != 1:
            return None
        return _signed_number(moves.pop())

    def limit(self, merge: int) -> int | None:
        """How often a loop is gone round at most, from when it is entered until it is left; None: not known."""
        if merge not in self.limits:
            self.limits[merge] = None  # while this is found out
            found = [most for most in self._limits(merge) if most is not None]
            self.limits[merge] = min(found, default=None)
        return self.limits[merge]

    def _limits(self, merge: int) -> Iterator[int | None]:
        """What each condition for another round says of their number."""
        gaps: dict[Sum, list[int]] = {}
        for value, arc in self._conditions(merge):
            step = self._moves(value, merge)
            if not step:
                continue
            if step < 0:
                value, arc, step = value.times(-1 & WORD - 1), arc.scaled(-1), -step
            if arc.length + step <= WORD:
                yield self._before(merge, value, arc, step)
            elif arc.length == WORD - 1:
                gaps.setdefault(value, []).append((arc.first - 1) % WORD)
        for value, missed in gaps.items():
            step = self._moves(value, merge) or 0
            yield from (self._until(merge, value, one, step, step) for one in missed)
            series = sorted(set(missed), key=lambda one: (one - missed[0] + (1 << 63)) % WORD)
            gap = step // len(series)
            if gap * len(series) == step and all((b - a) % WORD == gap for a, b in itertools.pairwise(series)):
                yield self._until(merge, value, series[-1], gap, step)

    def _conditions(self, merge: int) -> Iterator[tuple[Sum, Arc]]:
        """What holds on every way back to the loop's head: sums without a constant, and arcs."""
        backs = self._backs(merge)
        common: set[Fact] | None = None
        for back in backs:
            facts = set(self.proof.between(merge, back))
            common = facts if common is None else common & facts
        for fact in common or ():
            if isinstance(fact, Within):
                yield Sum(fact.terms, 0), fact.arc
            else:
                yield from self._ordered(fact, merge)

    def _ordered(self, fact: Below, merge: int) -> Iterator[tuple[Sum, Arc]]:
        """An order of two values, one of which stays the same."""
        scope = self.proof.at(merge)
        a, b = fact.a, fact.b
        if self._moves(b, merge) == 0:
            limit = scope.bound(b, 2)
            if limit.length and limit.first + limit.length <= WORD:
                arc = Arc(0, limit.first + limit.length - 1 + fact.even)
                yield Sum(a.terms, 0), arc.shifted(-a.constant)
        if self._moves(a, merge) == 0:
            limit = scope.bound(a, 2)
            first = limit.first + (not fact.even)
            if limit.length and limit.first + limit.length <= WORD and first < WORD:
                yield Sum(b.terms, 0), Arc(first, WORD - first).shifted(-b.constant)

    def _moves(self, value: Sum, merge: int) -> int | None:
        """By how much a value moves in a round: None where it is not known or not always the same."""
        total = 0
        for term, count in value.terms:
            if term.kind == "phi" and term.identity[0] == merge:
                step = self.step(term)
                if step is None:
                    return None
                total += step * _signed(count)
            elif not self.proof.known(Sum(((term, 1),), 0), merge) or merge in set(_merges(term)):
                return None
        return total if abs(total) < 1 << 62 else None

    def _before(self, merge: int, value: Sum, arc: Arc, step: int) -> int | None:
        """Rounds while a value is in an arc whose gap it cannot jump over."""
        if not arc.length:
            return 0
        most = 0
        for scope, start in self._starts(merge, value):
            room = scope.bound(number(arc.first + arc.length - 1).minus(start), 2)
            last = room.first + room.length - 1 if room.first + room.length <= WORD else WORD
            most = max(most, min(last, arc.length - 1) // step + 1)
        return most

    def _until(self, merge: int, value: Sum, end: int, gap: int, step: int) -> int | None:
        """Rounds until a value meets its end, which it cannot miss: a multiple of the gap is between them."""
        most = 0
        for scope, start in self._starts(merge, value):
            distance = number(end).minus(start)
            far = scope.bound(distance, 2)
            whole = distance.constant % gap == 0 if not distance.terms else _divides(gap, scope.zeros(distance))
            if not whole or far.first + far.length > WORD:
                return None
            most = max(most, (far.first + far.length - 1) // step)
        return most

    def _starts(self, merge: int, value: Sum) -> Iterator[tuple[Scope, Sum]]:
        """A value as it is on each way into the loop."""
        for source in self.proof.flow.blocks[merge].sources:
            if not self.proof.dominates(merge, source):
                scope = self.proof.arriving(source, merge)
                yield scope, self.proof.as_of(source, merge).of_sum(value)


def _divides(gap: int, zeros: int) -> bool:
    return gap & (gap - 1) == 0 and gap <= 1 << zeros


def _merges(one: Term) -> Iterator[int]:
    """The merges whose phis a term is made of, itself aside."""
    for part in one.identity:
        if isinstance(part, Sum):
            for term, _ in part.terms:
                if term.kind == "phi":
                    yield term.identity[0]
                yield from _merges(term)


def _signed(value: int) -> int:
    return value - WORD if value >> 63 else value


def _signed_number(value: Sum) -> int | None:
    return None if value.number is None else _signed(value.number)
