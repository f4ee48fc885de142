"""Proofs about values at a point of a function: from what dominates it, else from each way that leads there.

A fact learned on a way into a block holds in all that the block dominates, as a term always is the latest of its kind
there. What dominating facts do not show is shown on every way into the nearest merge before the point, with the phis
of that merge replaced by what the way brings; in a loop by induction over its rounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from denali.checker.elimination import Elimination
from denali.checker.facts import Below, Fact, Terms, Until, Within, inverse, learn, parts
from denali.checker.flow import Flow
from denali.checker.rounds import Rounds
from denali.checker.state import Flags, State
from denali.checker.sums import (
    ALL,
    BASES,
    MASK,
    WORD,
    Arc,
    Sum,
    Term,
    intrinsic,
    merges,
    multiply,
    number,
    rebuilt,
    run_of,
    signed,
    term,
    zeros,
)

FACTORS = (1, 2, 4, 8, 16, 32, 64)
STEPS = 600  # of one proof
FEW = 120  # of one that asks what several facts say together
MERGES = 24  # on one way back
VISITS = 4  # of one merge, with values that are said to be the same
LINKS = 4  # of "less than a value that is less than …"

Test = Callable[[Sum, "Scope"], bool]
Assumed = frozenset[tuple[int, Sum, frozenset[Fact]]]  # by induction: at a merge, of a value, if these facts hold


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
        self.own = {start: self._learned(start) for start in self.places}
        self.steps = 0
        self.patient = False  # what several facts say together is asked, and what a loop's rounds say
        self.alike = False  # values that are always as far from another are looked for
        self.rounds = Rounds(self)
        self._existing: dict[tuple[Term, int], bool] = {}

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
        """What the only way into a block says."""
        sources = self.flow.blocks[start].sources
        return self.on_way(sources[0], start) if len(sources) == 1 else []

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
            self.steps = FEW if self.patient else STEPS
            if self._prove(value, test, self.at(block), frozenset()):
                return True
        return False

    def _prove(self, value: Sum, test: Test, scope: Scope, assumed: Assumed) -> bool:
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
                return all(
                    self._prove(rest + choice.times(count), test, scope.knowing((*learned, same(one, choice))), assumed)
                    for choice, learned in choices(one)
                )
        merge = self._merge_above(scope.block)
        if merge is None or len(assumed) == MERGES or not self.known(value, merge):
            return False
        if self.patient and self._by_rounds(value, test, scope, merge, assumed):
            return True
        carried = [fact for fact in scope.below(merge, value) if all(self.known(part, merge) for part in parts(fact))]
        here = (merge, value, frozenset(carried))
        if any(a[0] == merge and a[1] == value and a[2] <= here[2] for a in assumed):
            return True
        return all(
            self._prove(
                self.as_of(source, merge).of_sum(value),
                test,
                self._arriving(source, merge, carried),
                assumed | {here},
            )
            for source in self.flow.blocks[merge].sources
        )

    def _by_rounds(self, value: Sum, test: Test, scope: Scope, merge: int, assumed: Assumed) -> bool:
        """Whether it passes in every round of a loop: what moves has moved by its step in each round that was gone."""
        if not self.rounds.backs(merge):
            return False
        carried = [fact for fact in scope.below(merge, value) if all(self.known(part, merge) for part in parts(fact))]
        taken = {one for fact in carried for part in parts(fact) for one in every(part)} | set(every(value))
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
            if not self._prove(moved, test, Scope(self, source, tuple(facts)), assumed):
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


class Scope:
    """What is known at the end of a block on one way: what its dominators say, and `extra` facts of the way."""

    def __init__(self, proof: Proof, block: int, extra: tuple[Fact, ...]) -> None:
        self.proof, self.block, self.extra = proof, block, extra
        self._together: Elimination | None = None

    def knowing(self, facts: Iterable[Fact]) -> Scope:
        """With more facts."""
        return Scope(self.proof, self.block, (*self.extra, *facts))

    def facts(self) -> Iterator[Fact]:
        """All that is known."""
        yield from self.extra
        for start in self.proof.chain(self.block):
            yield from self.proof.own[start]

    def never(self) -> bool:
        """Whether this way is never taken, as a comparison on it says of constants, or of what cannot be so."""
        within = (fact for fact in self.facts() if isinstance(fact, Within))
        plainly = (not f.arc.length or (not f.terms and not Arc(0, 1).within(*f.arc)) for f in within)
        return any(plainly) or (self.proof.patient and self.together.never)

    @property
    def together(self) -> Elimination:
        """What several facts say together."""
        if self._together is None:
            self._together = Elimination(self)
            if more := self._together.decided():
                self.extra += tuple(more)
                self._together = Elimination(self)
        return self._together

    def below(self, merge: int, value: Sum) -> Iterator[Fact]:
        """What was learned behind a merge, of facts that have a term in common with a value or with a loop's rounds."""
        wanted = set(every(value))
        if self.proof.patient:
            wanted |= {one for fact in self.extra if _of_rounds(fact) for part in parts(fact) for one in every(part)}
        found = list(self.extra)
        for start in self.proof.chain(self.block):
            if start == merge:
                break
            found += self.proof.own[start]
        for fact in found:
            terms = {one for part in parts(fact) for one in every(part)}
            if not wanted.isdisjoint(terms) or (self.proof.patient and _of_merge(terms, merge)):
                yield fact

    def bound(self, value: Sum, links: int = LINKS) -> Arc:
        """An arc in which a value lies."""
        if not value.terms:
            return Arc(value.constant, 1)
        arc = self._stated(value.terms, links)
        if len(value.terms) == 1:
            one, count = value.terms[0]
            arc = arc.meet(self._of_term(one, links).scaled(signed(count)))
            if one.kind == "and":
                arc = arc.from_multiple(count * one.identity[1] & -count * one.identity[1])
        elif arc == ALL:
            arc = self._apart(value, links)
        return arc.shifted(value.constant)

    def zeros(self, value: Sum) -> int:
        """How many of its lowest bits are zero, seen through merges: those of all that goes into them."""
        return self._zeros(value, set())

    def _zeros(self, value: Sum, seen: set[Term]) -> int:
        found = [zeros(number(value.constant))]
        for one, count in value.terms:
            if one.kind != "phi":
                found.append(zeros(Sum(((one, count),), 0)))
            elif one not in seen:
                seen.add(one)
                start, place = one.identity
                values = [self.proof.flow.after[s].values[place] for s in self.proof.flow.blocks[start].sources]
                found.append(zeros(number(count)) + min(self._zeros(inner, seen) for inner in values))
        return min(found)

    def lies(self, value: Sum, first: int, length: int) -> bool:
        """Whether a value is among the `length` numbers from `first` on."""
        if self.bound(value).within(first, length):
            return True
        return self.proof.patient and self.together.bound(value).within(first, length)

    def alike(self, value: Sum) -> Iterator[Sum]:
        """The same value, in terms of others that something is known of, if it is always as far from them."""
        within = (fact for fact in self.facts() if isinstance(fact, Within) and fact.arc.length < WORD // 2)
        for terms in dict.fromkeys(fact.terms for fact in within):
            distance = self.proof.constant(value.minus(Sum(terms, 0)), self.block)
            if distance is not None:
                yield distance + Sum(terms, 0)

    def _apart(self, value: Sum, links: int) -> Arc:
        """Term by term."""
        total = Arc(0, 1)
        for pair in value.terms:
            total = total.plus(self.bound(Sum((pair,), 0), links))
            if total.length == WORD:
                break
        return total

    def _stated(self, terms: Terms, links: int) -> Arc:
        """What facts say of these terms, or of what they are a multiple of."""
        wanted: dict[Terms, int] = {}
        for factor in FACTORS:
            for sign in (factor, -factor):
                if all(signed(count) % factor == 0 for _, count in terms):
                    wanted[tuple((one, signed(count) // sign & MASK) for one, count in terms)] = sign
        arc = ALL
        for fact in self.facts():
            if isinstance(fact, Within):
                if fact.terms in wanted:
                    arc = arc.meet(fact.arc.scaled(wanted[fact.terms]))
            elif isinstance(fact, Below) and links:
                for mine, limit in self._limits(fact, wanted, links - 1):
                    arc = arc.meet(limit.scaled(wanted[mine]))
        return arc

    def _limits(self, fact: Below, wanted: dict[Terms, int], links: int) -> Iterator[tuple[Terms, Arc]]:
        """What an order of two values says of one of them, as the other's arc is known."""
        if fact.a.terms in wanted:
            other = self.bound(fact.b, links)
            if other.first + other.length <= WORD:
                last = other.first + other.length - 1
                yield fact.a.terms, Arc(0, max(last + fact.even, 0)).shifted(-fact.a.constant)
        if fact.b.terms in wanted:
            other = self.bound(fact.a, links)
            if other.first + other.length <= WORD:
                first = other.first + (not fact.even)
                yield fact.b.terms, Arc(first % WORD, WORD - first).shifted(-fact.b.constant)

    def _excludes(self, facts: Iterable[Fact], links: int) -> bool:
        """Whether one of some facts about sums cannot be so."""
        within = (fact for fact in facts if isinstance(fact, Within))
        return any(not self.bound(Sum(fact.terms, 0), links).meet(fact.arc).length for fact in within)

    def _of_term(self, one: Term, links: int) -> Arc:
        """What follows from how a term was made."""
        arc = intrinsic(one)
        if one.kind == "phi" and links:
            return self.proof.rounds.arc(one)
        if one.kind == "select":
            found = [self.knowing(learned).bound(choice, links) for choice, learned in choices(one)]
            return found[0].join(found[1])
        if one.kind == "set":
            flags, condition = Flags(*one.identity[:4]), one.identity[4]
            never, always = (self._excludes(learn(flags, said), links) for said in (condition, inverse(condition)))
            return Arc(always, max(2 - never - always, 0))
        if one.kind in ("low", "shr", "and", "high"):
            inner = self.bound(one.identity[0], links)
            plain = inner.first + inner.length <= WORD
            if one.kind == "low" and inner.within(0, 1 << one.identity[1]):
                return inner.meet(arc)
            if one.kind in ("shr", "high") and plain and inner.length:
                ends = inner.first, inner.first + inner.length - 1
                first, last = (e >> one.identity[1] if one.kind == "shr" else e * one.identity[1] >> 64 for e in ends)
                return Arc(first, last - first + 1)
            lowest = one.identity[1] & -one.identity[1] if one.kind == "and" else 0
            if lowest and one.identity[1] + lowest == WORD:
                return arc.meet(inner.plus(Arc(1 - lowest & MASK, lowest)))
            if lowest and plain and run_of(one.identity[1]) and inner.within(0, 1 << one.identity[1].bit_length()):
                first, last = (end & one.identity[1] for end in (inner.first, inner.first + inner.length - 1))
                return Arc(first, last - first + 1)
        if one.kind == "product":
            return self.bound(one.identity[0], links).times(self.bound(one.identity[1], links))
        return arc


def _of_rounds(fact: Fact) -> bool:
    return any(one.kind == "round" for part in parts(fact) for one, _ in part.terms)


def _of_merge(terms: Iterable[Term], merge: int) -> bool:
    return any(one.kind == "phi" and one.identity[0] == merge for one in terms)


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


def same(one: Term, other: Sum) -> Fact:
    """That a term is some value."""
    difference = Sum(((one, 1),), 0).minus(other)
    return Within(difference.terms, Arc(-difference.constant & MASK, 1))


def choices(one: Term) -> Iterator[tuple[Sum, list[Fact]]]:
    """The two values of a select, each with what is known when it is chosen."""
    flags, condition, yes, no = one.identity
    if flags is None:
        condition = None
    yield yes, learn(flags, condition)
    yield no, learn(flags, inverse(condition) if condition else None)


def every(value: Sum) -> Iterator[Term]:
    """All terms of a sum, and those they are made of."""
    for one, _ in value.terms:
        yield one
        for inner in one.inside:
            yield from every(inner)


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
