"""Counted loops: how often one can go round, and so what the values that move with it can be.

LLVM removes a check whose outcome follows from a loop's bounds, and a translator may test bounds once before a loop.
A loop is counted when something that moves by the same step in every round has to be in an arc (or beside certain
values) for another round to begin: it would have to jump over the gap.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from denali.checker.facts import Below, Fact, Until, Within
from denali.checker.sums import ALL, WORD, Arc, Sum, Term, number, signed

if TYPE_CHECKING:
    from denali.checker.proof import Proof
    from denali.checker.scope import Scope


class Rounds:
    """The loops of one function; a loop is named by the merge at its head."""

    def __init__(self, proof: Proof) -> None:
        self.proof = proof
        self.limits: dict[int, int | None] = {}
        self._backs: dict[int, list[int]] = {}

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
            if source not in self.backs(merge):
                yield self.proof.arriving(source, merge), self.proof.flow.after[source].values

    def backs(self, merge: int) -> list[int]:
        """The blocks from which another round begins; none where ways only merge, or one may come back by others in."""
        if merge not in self._backs:
            sources, inside = self.proof.flow.blocks[merge].sources, self._ahead(merge)
            back = [source for source in sources if self.proof.dominates(merge, source)]
            self._backs[merge] = back if inside.isdisjoint(set(sources) - set(back)) else []
        return self._backs[merge]

    def _ahead(self, merge: int) -> set[int]:
        """The blocks that can be reached from one without going through what dominates it."""
        above, seen, pending = set(self.proof.chain(merge)), set[int](), [merge]
        while pending:
            for target, _ in self.proof.flow.blocks[pending.pop()].targets:
                if target not in seen and target not in above:
                    seen.add(target)
                    pending.append(target)
        return seen

    def step(self, phi: Term) -> int | None:
        """By how much a phi moves in a round, signed; None when that differs."""
        motion = self.motion(phi)
        return None if motion is None or motion.number is None else signed(motion.number)

    def motion(self, phi: Term) -> Sum | None:
        """By how much a phi moves in a round; None when that differs."""
        merge, place = phi.identity
        after = self.proof.flow.after
        moves = {after[back].values[place].minus(Sum(((phi, 1),), 0)) for back in self.backs(merge)}
        motion = moves.pop() if len(moves) == 1 else None
        return motion if motion is not None and self._stays(motion, merge) else None

    def _stays(self, value: Sum, merge: int) -> bool:
        """Whether a value was there before a loop began, and so is the same in all rounds."""
        moving = (one for one, _ in value.terms if merge in one.merges)
        return self.proof.known(value, merge) and all(self._lasts(one, merge) for one in moving)

    def _lasts(self, one: Term, merge: int) -> bool:
        """Whether a phi of the loop is handed on as it is."""
        if one.kind != "phi" or one.identity[0] != merge:
            return False
        after = self.proof.flow.after
        return all(after[back].values[one.identity[1]] == Sum(((one, 1),), 0) for back in self.backs(merge))

    def turns(self, merge: int, source: int, turn: Sum) -> Iterator[Fact]:
        """What is known of `turn`, the rounds that have been gone in a loop that was entered from a source.

        Each of them began because of the conditions for another round. What they say is that a multiple of `turn`, as
        a number that does not overflow, is at most something that was known when the loop was entered.
        """
        as_of = self.proof.as_of(source, merge)
        for fact in self._common(merge):
            if isinstance(fact, Below):
                yield from self._ordered_turns(fact, merge, turn, source)
                continue
            step = self._moves(Sum(fact.terms, 0), merge) or 0
            value, arc = Sum(fact.terms, 0), fact.arc
            if step < 0:
                value, arc, step = value.times(-1), arc.scaled(-1), -step
            room = number(arc.first + arc.length - 1).minus(as_of.of_sum(value))
            if step and arc.length == WORD - 1:
                yield Until(turn, step, room.plus(1), False)
            elif step and arc.length + step <= WORD:
                yield Until(turn, step, room.plus(step), True)

    def _ordered_turns(self, fact: Below, merge: int, turn: Sum, source: int) -> Iterator[Fact]:
        """For an order of two values, of which one stays and the other moves towards it, but cannot go round."""
        scope, as_of = self.proof.arriving(source, merge), self.proof.as_of(source, merge)
        rises, falls = self._moves(fact.a, merge), self._moves(fact.b, merge)
        a, b, strict = as_of.of_sum(fact.a), as_of.of_sum(fact.b), not fact.even
        if rises is None or falls is None or (rises > 0) == (falls < 0):
            return
        step, limit = (rises, scope.bound(b, 2)) if rises > 0 else (-falls, scope.bound(a, 2))
        plain = limit.length and limit.first + limit.length <= WORD
        if not plain or (falls if rises > 0 else rises):
            return
        if limit.first + limit.length - 1 + step < WORD if rises > 0 else limit.first + strict >= step:
            yield Until(turn, step, b.minus(a).plus(step - strict), True)

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
        for fact in self._common(merge):
            if isinstance(fact, Within):
                yield Sum(fact.terms, 0), fact.arc
            else:
                yield from self._ordered(fact, merge)

    def _common(self, merge: int) -> set[Within | Below]:
        """What is learned on every way back to a loop's head."""
        common: set[Within | Below] | None = None
        for back in self.backs(merge):
            facts = {fact for fact in self.proof.between(merge, back) if not isinstance(fact, Until)}
            common = facts if common is None else common & facts
        return common or set()

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
                total += step * signed(count)
            elif not self._stays(Sum(((term, 1),), 0), merge):
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
