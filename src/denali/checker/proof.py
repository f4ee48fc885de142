"""Proofs about values at a point of a function: from what dominates it, else from each way that leads there.

A fact learned on a way into a block holds in all that the block dominates, as a term always is the latest of its kind
there. What dominating facts do not show is shown on every way into the nearest merge before the point, with the phis
of that merge replaced by what the way brings; in a loop by induction over its rounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from denali.checker.facts import Below, Fact, Until, Within, choices, learn, parts
from denali.checker.flow import Flow
from denali.checker.rounds import Rounds
from denali.checker.scope import Scope, every, same
from denali.checker.state import State
from denali.checker.sums import BASES, Sum, Term, merges, multiply, number, rebuilt, term

STEPS = 3000  # of one proof
FEW = 120  # of one that asks what several facts say together
MERGES = 80  # on one way back
VISITS = 4  # of one merge, with values that are said to be the same

Test = Callable[[Sum, "Scope"], bool]
Claim = tuple[int, Sum, frozenset[Fact]]  # at a merge, of a value, if these facts hold


class Proof:
    """What is known in one function whose values have been followed."""

    def __init__(self, flow: Flow, *, branches: bool = True) -> None:
        """`branches`: comparisons that were branched on count; without, only what the values themselves say."""
        self.flow, self.branches = flow, branches
        self.places = sorted(flow.after)
        self.above = _dominators(flow)
        self.depth: dict[int, int] = {}
        for start, above in self.above.items():
            self.depth[start] = self.depth[above] + 1 if above != start else 0
        self.block_of = {i.address: block.start for block in flow.blocks.values() for i in block.code}
        self.steps = 0
        self.claims: set[Claim] = set()  # of the proof that is tried; each that is made is shown
        self.patient = False  # what several facts say together is asked, and what a loop's rounds say
        self.alike = False  # values that are always as far from another are looked for
        self.rounds = Rounds(self)
        self._existing: dict[tuple[Term, int], bool] = {}
        self.own = {start: self._learned(start) for start in self.places}

    def at(self, block: int) -> Scope:
        """What is known in a block."""
        return Scope(self, block, ())

    def arriving(self, source: int, merge: int) -> Scope:
        """What is known on the way from one block to another."""
        return Scope(self, source, tuple(self.on_way(source, merge)))

    def as_of(self, source: int, merge: int) -> Substitution:
        """Values at a merge as they come from one of its sources."""
        return Substitution(merge, self.flow.after[source])

    def between(self, merge: int, back: int) -> Iterator[Fact]:
        """What is learned in each round of a loop, from its head to a way back to it."""
        yield from self.on_way(back, merge)
        for start in self.chain(back):
            if start == merge:
                return
            yield from self.own[start]

    def _learned(self, start: int) -> list[Fact]:
        """What the only way into a block says, or all ways do."""
        first, *others = [self.on_way(source, start) for source in self.flow.blocks[start].sources] or [[]]
        common = [fact for fact in first if all(fact in other for other in others)]
        return [fact for fact in common if not others or all(self._before(part, start) for part in parts(fact))]

    def _before(self, value: Sum, merge: int) -> bool:
        """Whether a value is what it was before a merge was entered."""
        return merge not in merges(value) and self.known(value, merge)

    def on_way(self, source: int, target: int) -> list[Fact]:
        """What going from one block to another says."""
        conditions = [c for t, c in self.flow.blocks[source].targets if t == target]
        if not self.branches or len(conditions) != 1:
            return []
        return learn(self.flow.after[source].flags, conditions[0])

    def dominates(self, a: int, b: int) -> bool:
        """Whether every way to block b goes through block a."""
        while self.depth[b] > self.depth[a]:
            b = self.above[b]
        return a == b

    def chain(self, start: int) -> Iterator[int]:
        """A block and those that dominate it, the nearest first."""
        while True:
            yield start
            if start == self.above[start]:
                return
            start = self.above[start]

    def prove(self, value: Sum, test: Test, block: int) -> bool:
        """Whether a value at a place in a block passes a test, whatever way led there."""
        for self.patient, self.alike in ((False, False), (True, False), (False, True)):
            self.steps, self.claims = FEW if self.patient else STEPS, set()
            if self._prove(value, test, self.at(block), 0):
                return True
        return False

    def _prove(self, value: Sum, test: Test, scope: Scope, depth: int) -> bool:
        self.steps -= 1
        if self.steps < 0:
            return False
        if scope.never() or test(value, scope):
            return True
        if self.alike and any(test(other, scope) for other in scope.alike(value)):
            return True
        for one, count in value.terms:
            if one.kind == "select":
                rest = value.minus(Sum(((one, count),), 0))
                ways = enumerate(choices(one))
                known = [
                    (choice, scope.knowing((*learned, *self._gone(one, n, scope)))) for n, (choice, learned) in ways
                ]
                return all(self._prove(rest + choice.times(count), test, there, depth) for choice, there in known)
        merge = self._merge_above(scope.block)
        if merge is None or depth == MERGES or not self.known(value, merge):
            return False
        if self.patient:
            before = set(self.claims)
            if self._by_rounds(value, test, scope, merge, depth):
                return True
            self.claims = before
        carried = [fact for fact in scope.below(merge, value) if all(self.known(part, merge) for part in parts(fact))]
        claim = (merge, value, frozenset(carried))
        if any(one[0] == merge and one[1] == value and one[2] <= claim[2] for one in self.claims):
            return True  # shown elsewhere, or by induction: what it rests on was so earlier, and all of it is shown
        self.claims.add(claim)
        return all(
            self._prove(
                self.as_of(source, merge).of_sum(value),
                test,
                self._arriving(source, merge, carried),
                depth + 1,
            )
            for source in self.flow.blocks[merge].sources
        )

    def _gone(self, one: Term, way: int, scope: Scope) -> list[Fact]:
        """That a select has gone one way, and with it all that hang on the same comparison, if that is known."""
        alike = {one}
        if self.patient and one.identity[0] is not None:
            beside = every(*(part for fact in scope.facts() for part in parts(fact)))
            alike |= {other for other in beside if other.kind == "select" and other.identity[:2] == one.identity[:2]}
        return [same(other, other.identity[2 + way]) for other in sorted(alike, key=lambda other: other.serial)]

    def _by_rounds(self, value: Sum, test: Test, scope: Scope, merge: int, depth: int) -> bool:
        """Whether it passes in every round of a loop: what moves has moved by its step in each round that was gone."""
        if not self.rounds.backs(merge):
            return False
        carried = [fact for fact in scope.below(merge, value) if all(self.known(part, merge) for part in parts(fact))]
        taken = every(value, *(part for fact in carried for part in parts(fact)))
        turn = next(one for n in range(len(taken) + 1) if (one := term("round", merge, n)) not in taken)
        for source in self.flow.blocks[merge].sources:
            if self.dominates(merge, source):
                continue
            replaced = Turning(merge, self.flow.after[source], self.rounds, Sum(((turn, 1),), 0))
            moved = replaced.of_sum(value)
            if merge in merges(moved):
                return False
            facts = [
                fact for fact in map(replaced.of_fact, carried) if not any(merge in merges(p) for p in parts(fact))
            ]
            facts += [*self.on_way(source, merge), *self.rounds.turns(merge, source, replaced.turn)]
            if not self._prove(moved, test, Scope(self, source, tuple(facts)), depth + 1):
                return False
        return True

    def _arriving(self, source: int, merge: int, carried: list[Fact]) -> Scope:
        replaced = self.as_of(source, merge)
        facts = [replaced.of_fact(fact) for fact in carried]
        return Scope(self, source, (*facts, *self.on_way(source, merge)))

    def constant(self, value: Sum, block: int) -> Sum | None:
        """The number, or base and number, that a value always is, if it is one: what it is on one way, then on all."""
        found: set[Sum] = set()
        seen: set[tuple[int, Sum]] = set()
        visits = Counter[int]()
        pending = [(value, block)]
        while pending:
            one, place = pending.pop()
            merge = self._merge_above(place)
            if all(term.kind in BASES for term, _ in one.terms):
                found.add(one)
            elif merge is None or visits[merge] > VISITS or not self.known(one, merge):
                return None
            elif (merge, one) not in seen:  # what has been seen holds by induction over the rounds of a loop
                seen.add((merge, one))
                visits[merge] += 1
                pending += [
                    (self.as_of(source, merge).of_sum(one), source) for source in self.flow.blocks[merge].sources
                ]
            if len(found) > 1:
                return None
        return found.pop() if found else None

    def _merge_above(self, block: int) -> int | None:
        """The nearest merge on every way to a block."""
        return next((start for start in self.chain(block) if len(self.flow.blocks[start].sources) > 1), None)

    def known(self, value: Sum, merge: int) -> bool:
        """Whether a value's terms exist when a merge is entered."""
        return all(self._exists(term, merge) for term, _ in value.terms)

    def _exists(self, one: Term, merge: int) -> bool:
        found = self._existing.get((one, merge))
        if found is None:
            found = self._existing[one, merge] = self._looked_up(one, merge)
        return found

    def _looked_up(self, one: Term, merge: int) -> bool:
        if one.kind in BASES or one.kind in ("in", "round"):
            return True
        if one.kind == "phi":
            start: int = one.identity[0]
            return self.dominates(start, merge)
        if one.kind in ("at", "unit", "jump"):
            start = self.block_of[one.identity[0]]
            return start != merge and self.dominates(start, merge)
        return all(self.known(inner, merge) for inner in one.inside)


class Substitution:
    """Values as they were when a merge was entered from one block."""

    def __init__(self, merge: int, state: State) -> None:
        self.merge, self.state = merge, state
        self.done: dict[Term, Sum] = {}

    def of_sum(self, value: Sum) -> Sum:
        """A value with this merge's phis replaced."""
        total = number(value.constant)
        for one, count in value.terms:
            total += self._of_term(one).times(count)
        return total

    def _of_term(self, one: Term) -> Sum:
        if one not in self.done:
            self.done[one] = self._replaced(one)
        return self.done[one]

    def _replaced(self, one: Term) -> Sum:
        if one.kind == "phi" and one.identity[0] == self.merge:
            return self.state.values[one.identity[1]]
        if self.merge not in one.merges:
            return Sum(((one, 1),), 0)
        inner = list(one.inside)
        replaced = [self.of_sum(value) for value in inner]
        if inner == replaced:
            return Sum(((one, 1),), 0)
        return rebuilt(one, replaced)

    def of_fact(self, fact: Fact) -> Fact:
        """A fact about such values."""
        if isinstance(fact, Below):
            return Below(self.of_sum(fact.a), self.of_sum(fact.b), fact.even)
        if isinstance(fact, Until):
            return fact._replace(distance=self.of_sum(fact.distance))
        value = self.of_sum(Sum(fact.terms, 0))
        return Within(value.terms, fact.arc.shifted(-value.constant))


class Turning(Substitution):
    """Values in a round of a loop that was entered from one block, when `turn` rounds have been gone."""

    def __init__(self, merge: int, state: State, rounds: Rounds, turn: Sum) -> None:
        super().__init__(merge, state)
        self.rounds, self.turn = rounds, turn
        self.before = Substitution(merge, state)

    def _replaced(self, one: Term) -> Sum:
        start = super()._replaced(one)
        if one.kind != "phi" or one.identity[0] != self.merge:
            return start
        motion = self.rounds.motion(one)
        moved = None if motion is None else multiply(self.before.of_sum(motion), self.turn)
        return Sum(((one, 1),), 0) if moved is None else start + moved


def _dominators(flow: Flow) -> dict[int, int]:
    """The nearest dominator of each block that can be reached; the entry is its own (Cooper, Harvey and Kennedy)."""
    order = _postorder(flow)
    rank = {start: place for place, start in enumerate(order)}
    entry = flow.function.start
    above = {entry: entry}
    changed = True
    while changed:
        changed = False
        for start in reversed(order):
            if start == entry:
                continue
            new: int | None = None
            for source in flow.blocks[start].sources:
                if source in above:
                    new = source if new is None else _common(source, new, above, rank)
            if new is not None and above.get(start) != new:
                above[start] = new
                changed = True
    return {start: above[start] for start in reversed(order)}


def _common(a: int, b: int, above: dict[int, int], rank: dict[int, int]) -> int:
    while a != b:
        while rank[a] < rank[b]:
            a = above[a]
        while rank[b] < rank[a]:
            b = above[b]
    return a


def _postorder(flow: Flow) -> list[int]:
    done: list[int] = []
    entry = flow.function.start
    seen = {entry}
    stack = [(entry, iter(flow.blocks[entry].targets))]
    while stack:
        for target, _ in stack[-1][1]:
            if target not in seen:
                seen.add(target)
                stack.append((target, iter(flow.blocks[target].targets)))
                break
        else:
            done.append(stack.pop()[0])
    return done
