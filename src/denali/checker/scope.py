"""What is known at a point of a function: facts of all blocks that dominate it, and what they say of values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from denali.checker import paging
from denali.checker.elimination import Elimination
from denali.checker.facts import Below, Fact, Terms, Within, choices, inverse, learn, parts
from denali.checker.state import Flags
from denali.checker.sums import ALL, MASK, WORD, Arc, Sum, Term, intrinsic, merges, number, run_of, signed, zeros

if TYPE_CHECKING:
    from denali.checker.proof import Proof

FACTORS = (1, 2, 4, 8, 16, 32, 64)
LINKS = 4  # of "less than a value that is less than …"


class Scope:
    """What is known at the end of a block on one way: what its dominators say, and `extra` facts of the way."""

    def __init__(self, proof: Proof, block: int, extra: tuple[Fact, ...]) -> None:
        self.proof, self.block, self.extra = proof, block, extra
        self._together: Elimination | None = None
        self._facts: list[Fact] | None = None
        self._bounds: dict[tuple[Sum, int], Arc] = {}

    def knowing(self, facts: Iterable[Fact]) -> Scope:
        """With more facts."""
        return Scope(self.proof, self.block, (*self.extra, *facts))

    def facts(self) -> list[Fact]:
        """All that is known."""
        if self._facts is None:
            above = (fact for start in self.proof.chain(self.block) for fact in self.proof.own[start])
            self._facts = [*self.extra, *above]
        return self._facts

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
                self.extra, self._facts, self._bounds = (*self.extra, *more), None, {}
                self._together = Elimination(self)
        return self._together

    def below(self, merge: int, value: Sum) -> Iterator[Fact]:
        """What was learned behind a merge, of facts that have a term in common with a value or with a loop's rounds."""
        wanted = every(value)
        if self.proof.patient:
            wanted |= every(*(part for fact in self.extra if _of_rounds(fact) for part in parts(fact)))
        bindings = value.count("now") != 0  # such as a room, or a flag, that merges where the address does
        beside = {merge, *(merges(value) if bindings else ())}
        found = list(self.extra)
        for start in self.proof.chain(self.block):
            if start == merge:
                break
            found += self.proof.own[start]
        for fact in found:
            terms = every(*parts(fact))
            if bindings and not self.proof.patient and not paging.matters(fact, value):
                continue
            exact = isinstance(fact, Below) or (isinstance(fact, Within) and fact.arc.length == 1)
            more = self.proof.patient or (bindings and exact)
            if not wanted.isdisjoint(terms) or (more and any(_of_merge(terms, one) for one in beside)):
                yield fact

    def bound(self, value: Sum, links: int = LINKS) -> Arc:
        """An arc in which a value lies."""
        if (value, links) not in self._bounds:
            self._bounds[value, links] = self._bound(value, links)
        return self._bounds[value, links]

    def _bound(self, value: Sum, links: int) -> Arc:
        if not value.terms:
            return Arc(value.constant, 1)
        arc = self._stated(value.terms, links)
        if len(value.terms) == 1:
            one, count = value.terms[0]
            alone = self._of_term(one, links)
            if abs(signed(count)) not in FACTORS:
                alone = alone.meet(self._stated(((one, 1),), links))
            arc = arc.meet(alone.scaled(signed(count)))
            if one.kind == "and":
                arc = self._from_multiple(arc, value.terms, count * one.identity[1] & -count * one.identity[1])
        elif arc == ALL:
            arc = self._apart(value, links)
        return arc.shifted(value.constant)

    def _from_multiple(self, arc: Arc, terms: Terms, step: int) -> Arc:
        """Without what comes before the first multiple of a power of two that is not known to be missed."""
        single = (fact.arc for fact in self.facts() if isinstance(fact, Within) and fact.terms == terms)
        missed = {missing.first - 1 & MASK for missing in single if missing.length == WORD - 1}
        arc = arc.from_multiple(step)
        while arc.length and arc.first in missed:
            arc = Arc(arc.first + 1 & MASK, arc.length - 1).from_multiple(step)
        return arc

    def zeros(self, value: Sum) -> int:
        """How many of its lowest bits are zero: as was asked, or seen through merges, those of all that goes in."""
        return max([self._zeros(value, set()), *(self._asked(fact, value) for fact in self.facts())])

    def _asked(self, fact: Fact, value: Sum) -> int:
        """How many of the lowest bits of a value are zero by a fact that says so of these bits."""
        if not isinstance(fact, Within) or fact.arc != Arc(0, 1) or len(fact.terms) != 1:
            return 0
        one = fact.terms[0][0]
        distance = one.identity[0].minus(value).number if one.kind == "low" else None
        return 0 if distance is None else min(one.identity[1], zeros(number(distance)))

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

    def stated(self, value: Sum) -> Arc:
        """An arc in which facts about a value itself say that it lies."""
        return self._stated(value.terms, 0).shifted(value.constant) if value.terms else Arc(value.constant, 1)

    def alike(self, value: Sum) -> Iterator[Sum]:
        """The same value, in terms of others that something is known of, if it is always as far from them."""
        within = (fact for fact in self.facts() if isinstance(fact, Within) and fact.arc.length < WORD // 2)
        now = Sum(tuple(pair for pair in value.terms if pair[0].kind == "now"), 0)
        for terms in dict.fromkeys(fact.terms for fact in within):
            distance = self.proof.constant(value.minus(now).minus(Sum(terms, 0)), self.block)
            if distance is not None:
                yield distance + Sum(terms, 0) + now

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
            ways = [self.knowing(learned).bound(choice, links) for choice, learned in choices(one)]
            never = [self._excludes(learned, links) for _, learned in choices(one)]
            return ways[never[0]] if never[0] != never[1] else ways[0].join(ways[1])
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
                times, bits = one.identity[1:] if one.kind == "high" else (1, one.identity[1])
                first, last = (end * times >> bits for end in ends)
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


def same(one: Term, other: Sum) -> Fact:
    """That a term is some value."""
    difference = Sum(((one, 1),), 0).minus(other)
    return Within(difference.terms, Arc(-difference.constant & MASK, 1))


def every(*values: Sum) -> set[Term]:
    """All terms of sums, and those they are made of."""
    found, pending = set[Term](), list(values)
    while pending:
        new = {one for one, _ in pending.pop().terms} - found
        found |= new
        pending += (inner for one in new for inner in one.inside)
    return found
