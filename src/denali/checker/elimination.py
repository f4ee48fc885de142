"""Arcs of sums by several facts together: terms are eliminated one after the other, the newest first.

That a value a is at most b, unsigned, and b at most B says two things of sums: a is in [0, B], and so is b - a. With
such rows an access in a loop, at a + c*k when the loop has been gone round k times, is shown to be in [0, S): from a in
[0, S) follows that it is not below, from S - c*(n-1) - a and n-1-k, both not below zero, that it is not above. What
holds by different rows is met. A row times a factor whose arc is known is another row, of products.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from denali.checker.facts import Below, Fact, Terms, Until, Within, either, not_zero, zero
from denali.checker.sums import ALL, MASK, WORD, Arc, Sum, Term, low, multiply, number, run_of, signed, trailing, united

if TYPE_CHECKING:
    from denali.checker.scope import Scope

SUMS = 1500  # looked at for one scope
LIMITS = frozenset({"home_room", "window_size"})  # nobody knows their number
Age = tuple[tuple[bool, int], tuple[bool, int]]


class Elimination:
    """What the facts of a scope say together."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.rows: dict[Term, dict[Terms, Arc]] = {}  # by their newest term: sums without a constant, and their arcs
        self.never = False  # whether two facts exclude each other
        self.left = SUMS
        self._found: dict[Sum, Arc] = {}
        self._plain: dict[Term, Sum] = {}
        self._gather()

    def bound(self, value: Sum) -> Arc:
        """An arc in which a value lies."""
        return self._bound(self._expanded(value))

    def decided(self) -> list[Fact]:
        """What follows where one of two things holds: all that the other says if one does not, else what both say."""
        found: list[Fact] = []
        for one in [
            one for one, rows in self.rows.items() if one.kind in ("either", "both") and self._one_of(one, rows)
        ]:
            learned = not_zero if one.kind == "either" else zero
            first, second = (learned(part) for part in one.identity)
            if self._impossible(first):
                found += second
            elif self._impossible(second):
                found += first
            else:
                found += either(first, second)
        known = set(self.scope.facts())
        return [fact for fact in found if fact not in known]

    def _one_of(self, one: Term, rows: dict[Terms, Arc]) -> bool:
        """Whether one of two parts is not zero, as both together are not, or is zero, as they have no bit in common."""
        arc = rows.get(Sum(((one, 1),), 0).terms, ALL)
        if one.kind == "either":
            return arc.within(1, WORD - 1)
        return arc == Arc(0, 1) and all(self.scope.bound(part, 1).within(0, 2) for part in one.identity)

    def _impossible(self, facts: list[Fact]) -> bool:
        """Whether facts are not so, as some of them contradict what is known."""
        return any(self._contradicts(fact) for fact in facts)

    def _contradicts(self, fact: Fact) -> bool:
        if isinstance(fact, Below):
            return Below(fact.b, fact.a, not fact.even) in self.scope.facts()
        return isinstance(fact, Within) and not self.bound(Sum(fact.terms, 0)).meet(fact.arc).length

    def _gather(self) -> None:
        """What is the same first, for the rest to be said in older terms; last a loop's rounds: others bound them."""
        facts = sorted(self.scope.facts(), key=lambda fact: not (isinstance(fact, Within) and fact.arc.length == 1))
        for fact in facts:
            if isinstance(fact, Within):
                self._add(Sum(fact.terms, 0), fact.arc)
        for fact in reversed(facts):  # what was learned first, as a limit, before what is compared with it
            if isinstance(fact, Below):
                self._order(fact)
        for fact in facts:
            if isinstance(fact, Until) and (met := fact if fact.surely else self._met(fact)):
                self._order(Below(met.turn.times(met.step), met.distance, True))
                far = self._plainly(met.distance)
                if far is not None:  # as so many steps do not overflow
                    self._add(met.turn, Arc(0, (far.first + far.length - 1) // met.step + 1))

    def _met(self, fact: Until) -> Until | None:
        """A distance that is so many steps is met at its end."""
        turn, step, distance = fact.turn, fact.step, self._reduced(self._expanded(fact.distance))
        counts = [signed(count) for _, count in distance.terms]
        constant = signed(distance.constant)
        if all(count % step == 0 for count in (*counts, constant)):
            terms = tuple((one, count // step & MASK) for (one, _), count in zip(distance.terms, counts, strict=True))
            return Until(turn, 1, Sum(terms, constant // step & MASK), True)
        even = step & step - 1 == 0
        if not (even or self._exact(distance)) or not self._divides(step, distance):
            return None
        arc = self._bound(distance)
        if arc.within(1 - step & MASK, WORD // 2):  # what is more than minus one step is then not below zero
            self._add(distance, Arc(0, max(signed(arc.first) + arc.length, 0)))
        elif not even:
            return None
        return Until(turn, step, distance, True)

    def _divides(self, step: int, value: Sum) -> bool:
        """Whether a value is a multiple of a step: of its terms only the lowest bits count."""
        if step & step - 1 == 0:  # modulo which low bits are as good as all
            value = sum((_whole_of(one, trailing(step)).times(n) for one, n in value.terms), number(value.constant))
        rest = number(value.constant)
        for one, count in value.terms:
            alone, times = Sum(((one, 1),), 0), signed(count)
            if (times << self.scope.zeros(alone)) % step:
                bits = max(trailing(step) - trailing(count), 0)
                if (times << bits) % step:
                    return False
                rest += low(alone, bits).times(count)
        rest = self._reduced(rest)
        return rest.number is not None and signed(rest.number) % step == 0

    def _exact(self, value: Sum) -> bool:
        """Whether the sum of its terms, as they are, is from -2**63 to 2**63 - 1: then the same as modulo 2**64."""
        most = abs(signed(value.constant))
        for one, count in value.terms:
            arc = self.scope.bound(Sum(((one, 1),), 0), 2)
            if not arc.length or arc.first + arc.length > WORD:
                return False
            most += abs(signed(count)) * (arc.first + arc.length)
        return most < WORD // 2

    def _reduced(self, value: Sum) -> Sum:
        """The same in older terms, as far as some are known to be the same as a sum of older ones."""
        done = number(0)
        while value.terms:
            newest, count = max(value.terms, key=lambda pair: _age(pair[0]))
            same = Sum(((newest, 1),), 0)
            for terms, arc in self.rows.get(newest, {}).items():
                if arc.length == 1 and dict(terms)[newest] == 1:
                    same = same.minus(Sum(terms, -arc.first & MASK))
                    break
            else:
                done += same.times(count)
                same = number(0)
            value = value.minus(Sum(((newest, count),), 0)) + same.times(count)
        return done + value

    def _order(self, fact: Below) -> None:
        """What an order says of both values and of their difference."""
        strict = not fact.even
        above, below = (self._plainly(value) for value in (fact.b, fact.a))
        if above is not None:
            last = above.first + above.length - 1
            self._add(fact.a, Arc(0, max(last + 1 - strict, 0)))
            self._add(fact.b.minus(fact.a), Arc(strict, max(last + 1 - strict, 0)))
        if below is not None and below.first + strict < WORD:
            self._add(fact.b, Arc(below.first + strict, WORD - below.first - strict))

    def _plainly(self, value: Sum) -> Arc | None:
        """The arc of a value, unless it goes round."""
        arc = self.scope.bound(value, 2).meet(self.bound(value))
        return arc if arc.length and arc.first + arc.length <= WORD else None

    def _add(self, value: Sum, arc: Arc) -> None:
        value = self._reduced(self._expanded(value))
        arc = arc.shifted(-value.constant)
        if not value.terms:
            self.never |= not Arc(0, 1).within(*arc)
            return
        newest, count = max(value.terms, key=lambda pair: _age(pair[0]))
        terms = value.terms
        if count >> 63:
            terms, arc = value.times(-1).terms, arc.scaled(-1)
        if arc != ALL:
            rows = self.rows.setdefault(newest, {})
            rows[terms] = arc = rows.get(terms, ALL).meet(arc)
            alone = self.scope.bound(Sum(((newest, 1),), 0), 1).meet(rows.get(((newest, 1),), ALL))
            self.never |= not (arc if len(terms) > 1 else arc.meet(alone)).length
            self._found.clear()
            limits = any(one.kind in LIMITS for one, _ in terms)  # which no number bounds, as `Scope.bound` asks for
            if limits and len(terms) > 1 and newest.kind not in ("round", "product"):
                times = signed(dict(terms)[newest])
                self._add(Sum(terms, 0).minus(Sum(((newest, times & MASK),), 0)), arc.plus(alone.scaled(-times)))

    def _expanded(self, value: Sum) -> Sum:
        """Bits in the middle as a difference of two values' low bits; low bits that are all there are, as the whole."""
        total = number(value.constant)
        for one, count in value.terms:
            if one.kind == "shr" and trailing(count) >= one.identity[1]:  # shifted back: all but the low bits
                inner, bits = one.identity
                total += self._expanded(inner.minus(low(inner, bits))).times(signed(count) >> bits)
            else:
                total += self._whole(one).times(count)
        return total

    def _whole(self, one: Term) -> Sum:
        if one not in self._plain:
            self._plain[one] = itself = Sum(((one, 1),), 0)
            if one.kind == "low" and self.scope.bound(one.identity[0], 1).within(0, 1 << one.identity[1]):
                self._plain[one] = self._expanded(one.identity[0])
            elif one.kind == "low":
                self._nest(one)
            elif one.kind == "and" and (run := run_of(one.identity[1])):
                first, end = (low(one.identity[0], bits) if bits < 64 else one.identity[0] for bits in run)
                self._plain[one] = self._expanded(end.minus(first))
                arc = self.scope.bound(itself, 1)
                self._add(itself, arc)
                if arc.first + arc.length <= WORD:  # some of the bits are no more than all up to there
                    self._add(end, Arc(arc.first, WORD - arc.first))
            elif one.kind == "either" and one.identity[1].number is not None:
                self._plain[one] = self._expanded(united(one.identity[0], one.identity[1].number))
                self._add(itself, self.scope.bound(itself, 1))
        return self._plain[one]

    def _nest(self, one: Term) -> None:
        """More of the lowest bits of a value are not less."""
        value, bits = one.identity
        for other in list(self._plain):
            if other.kind == "low" and other.identity[0] == value and other != one:
                few, many = sorted((bits, other.identity[1]))
                self._add(low(value, many).minus(low(value, few)), Arc(0, (1 << many) - (1 << few) + 1))

    def _bound(self, value: Sum) -> Arc:
        if not value.terms:
            return Arc(value.constant, 1)
        if value not in self._found:
            self.left -= 1
            self._found[value] = ALL
            if self.left >= 0:
                self._found[value] = self._eliminated(value)
        return self._found[value]

    def _eliminated(self, value: Sum) -> Arc:
        """By what is known of the newest term alone, and by each row that it is the newest of."""
        newest, count = max(value.terms, key=lambda pair: _age(pair[0]))
        alone, count = Sum(((newest, 1),), 0), signed(count)
        rows, found = self.rows.get(newest, {}), ALL
        own = self.scope.bound(alone, 1).meet(rows.get(alone.terms, ALL))
        if own != ALL:
            found = own.scaled(count).plus(self._bound(value.minus(alone.times(count))))
        for terms, arc in (*rows.items(), *self._products(newest)):
            times = signed(dict(terms)[newest])
            if count % times == 0:
                rest = value.minus(Sum(terms, 0).times(count // times))
                found = found.meet(arc.scaled(count // times).plus(self._bound(rest)))
        return found

    def _products(self, newest: Term) -> Iterator[tuple[Terms, Arc]]:
        """Rows times a factor that is no more than some number, where this term is their newest product."""
        if newest.kind != "product":
            return
        one, other = newest.identity
        for row, factor in ((one, other), (other, one)):
            most = self._plainly(factor)
            if most is None:
                continue
            more = factor.plus(-most.first)  # not below zero, as is what a row leaves to either of its ends
            for terms, arc in list(self.rows.get(row.terms[0][0], {}).items()):
                for end in (arc.first, arc.first + arc.length - 1):
                    value = multiply(Sum(terms, -end & MASK), more)
                    if value is not None and dict(value.terms).get(newest):
                        whole = arc.shifted(-end).times(most.shifted(-most.first))
                        yield value.terms, whole.shifted(-value.constant)


def _whole_of(one: Term, bits: int) -> Sum:
    """What a term has the lowest bits of, if so many at least."""
    enough = one.kind == "low" and one.identity[1] >= bits
    return one.identity[0] if enough else Sum(((one, 1),), 0)


def _age(one: Term) -> Age:
    """The order in which terms are eliminated, the greatest first: rounds, then what was made last."""
    if one.kind == "product":
        first, second = sorted(_age(part.terms[0][0])[0] for part in one.identity)
        return second, first
    return (one.kind == "round", one.serial), (False, -1)
