"""Accesses under a virtual MMU: the three ways in which translated code may know where a guest address lies.

- at home: `address - home_start < home_room` for an address, which holds for 127 bytes behind it as well;
- by an entry of the TLB: the page of the last byte is the tag that stands in the entry of the first one's page, in the
  place for this right; then the entry's addend leads there. A group that crossed a page would find another entry's
  tag, as there are two entries at least and each has only tags of pages that it is for;
- by what `denali_find` gave for so many bytes and this right, if that was not `NOWHERE`;
- in the window, or at home, by what several comparisons say together, as copies of loops are checked ahead.

What is read of the bindings is a function of the bindings as they were: of `now`, which every call changes but that of
`denali_find`. A proof about an access carries the `now` of the access with it, so what was read before a call, in
whatever round of a loop, is no longer of use behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from denali.checker.facts import Below, Fact, Within, choices, parts
from denali.checker.state import BINDINGS, State
from denali.checker.sums import BOUND, MASK, WINDOW, WORD, Arc, Sum, Term, low, number, of, trailing
from denali.isa.context import CONTEXT, ENTRY, HOME_SLACK, TLB

if TYPE_CHECKING:
    from denali.checker.scope import Scope

NOWHERE = 1
PAGE_BITS = 12
PAGE = 1 << PAGE_BITS
ENTRY_BITS = ENTRY.itemsize.bit_length() - 1
HOME: dict[int, str] = {CONTEXT.fields[name][1]: name for name in ("home_start", "home_room")}  # type: ignore[index]
HEADER: dict[int, str] = {TLB.fields[name][1]: name for name in ("mask", *WINDOW)}  # type: ignore[index]
PARTS: dict[int, str] = {ENTRY.fields[name][1]: name for name in ("read", "write", "addend")}  # type: ignore[index]
SPAN = 1 << 16  # the longest that is looked up at once
FOUND = ("addend", "found")
GIVES = {False: ("read", "write"), True: ("write",)}  # tags that allow an access, by whether it writes


def entries() -> Sum:
    """One less than the entries of the TLB, which does not change."""
    return of("in", "mask of the TLB")


def read(address: Sum, state: State, size: int) -> Sum | None:
    """What the bytes at a place of the guest's bindings are; None for what is none of them."""
    now, header = state.values[BINDINGS], address.minus(of("tlb")).number
    if header is not None and HEADER.get(header) == "mask":
        return entries()
    if size < 8:
        return None
    if header is not None and header in HEADER:
        return of(HEADER[header], now)
    field = address.minus(of("context")).number
    if field == CONTEXT.fields["tlb"][1]:  # type: ignore[index]
        return of("tlb")
    if field in HOME:
        return of(HOME[field], now)
    place = entry(address.minus(of("tlb")))
    return None if place is None else of(place[1], place[0], now)


def entry(offset: Sum) -> tuple[Sum, str] | None:
    """Of an offset in the TLB: the guest address whose entry it is in, and the name of the entry's field."""
    part = PARTS.get(offset.constant - TLB.itemsize)
    if part is None or len(offset.terms) > 1:
        return None
    address = number(0) if not offset.terms else _looked_up(*offset.terms[0])
    return None if address is None else (address, part)


def _looked_up(index: Term, times: int) -> Sum | None:
    """The address whose page's number, as far as the TLB's mask goes, is an index, in units of entries."""
    if index.kind == "and" and _is_mask(index.identity[0], times):
        return number(index.identity[1] * times >> ENTRY_BITS << PAGE_BITS)
    for page, mask in (index.identity, index.identity[::-1]) if index.kind == "both" else ():
        one, shift = page.single, PAGE_BITS - ENTRY_BITS + times.bit_length() - 1
        if one is not None and one.kind == "low" and one.identity[1] == 32:
            one = one.identity[0].single
        if one is not None and one.kind == "shr" and one.identity[1] == shift and _is_mask(mask, times):
            return one.identity[0]
    return None


def _is_mask(value: Sum, times: int) -> bool:
    """Whether so many times a value is the TLB's mask in units of entries; that has less than 32 bits."""
    mask, unit = entries().times(1 << ENTRY_BITS), 1 << ENTRY_BITS
    return value.times(times) in (mask, low(mask, 32), low(entries(), 32).times(unit))


def at(address: Sum, state: State, start: int) -> Sum:
    """An address with what the bindings are there and then, for proofs; `start` is where private memory begins."""
    return address + of("now", state.values[BINDINGS], start)


def taken(place: Sum) -> tuple[Sum, Sum, int]:
    """An address, what the bindings are, and where private memory begins, of what `at` put together."""
    now = next(one for one, _ in place.terms if one.kind == "now")
    return place.minus(Sum(((now, 1),), 0)), *now.identity


def confined(place: Sum, scope: Scope, size: int, writes: bool) -> bool:
    """Whether an access is to memory that is bound, or at home."""
    address, now, start = taken(place)
    for one, count in address.terms:
        if count == 1 and one.kind in FOUND and one.identity[-1] == now:
            address = address.minus(Sum(((one, 1),), 0))
            known = _by_entry if one.kind == "addend" else _by_call
            return any(_inside(address, first, span, size, scope) for first, span in known(one, scope, writes))
    if address.count("context"):
        offset = address.minus(of("context")).plus(start - CONTEXT.itemsize).minus(of("home_start", now))
        room = of("home_room", now)
        near = any(_inside(offset, first, span, size, scope) for first, span in _at_home(room, scope))
        return near or _together(offset, room.plus(HOME_SLACK), size, scope)
    offset = address.minus(of("window_addend", now)).minus(of("window_start", now))
    return bool(address.count("window_addend")) and _together(offset, of("window_size", now), size, scope)


def matters(fact: Fact, place: Sum) -> bool:
    """Whether a fact that is true where ways merge may be what says that a place is bound; others are not kept."""
    address, _, start = taken(place)
    found = {one.identity[0] for one, _ in address.terms if one.kind in FOUND}
    if isinstance(fact, Below):
        ahead = address.constant + start - CONTEXT.itemsize - fact.a.constant & MASK
        near = ahead <= (HOME_SLACK if fact.b.single else SPAN) or set(address.terms).isdisjoint(fact.a.terms)
        return not fact.even and not found and near
    about = [one for part in parts(fact) for one, _ in part.terms if one.kind in BOUND]
    return not about or any(one.identity[0] in found for one in about)


def _inside(address: Sum, first: Sum, span: int, size: int, scope: Scope) -> bool:
    """Whether `size` bytes are among the `span` from `first` on."""
    distance = _added(address.minus(first), scope)
    if distance.terms and scope.proof.alike:
        distance = scope.proof.constant(distance, scope.block) or distance
    if not distance.terms:
        return distance.constant + size <= span
    arc = scope.stated(distance) if first.terms else scope.bound(distance)
    return arc.within(0, max(span - size + 1, 0))


def _together(offset: Sum, limit: Sum, size: int, scope: Scope) -> bool:
    """Whether `size` bytes at an offset end before a limit, by all that is known: neither difference is negative."""
    if not scope.proof.patient:
        return False
    rest = limit.minus(offset).plus(-size)
    return all(scope.together.bound(value).within(0, WORD // 4) for value in (offset, rest))


def _by_entry(addend: Term, scope: Scope, writes: bool) -> Iterator[tuple[Sum, int]]:
    """The address that an entry was looked up for, and how many bytes from there on are known to be in its page."""
    address, now = addend.identity
    for tag in (of(name, address, now) for name in GIVES[writes]):
        for fact in scope.facts():
            if isinstance(fact, Within) and fact.arc.length == 1:
                difference = Sum(fact.terms, -fact.arc.first & MASK)  # is zero
                for page in (difference + tag, tag.minus(difference)):
                    last = page if page.number is not None else _rounded(page, scope)
                    if last is None:
                        continue
                    span = scope.stated(last.minus(address).plus(1))
                    if address.number is not None and scope.lies(last, address.number, PAGE):
                        yield address, PAGE  # of an address whose page is known
                    elif span.length == 1 and 0 < span.first <= PAGE:
                        yield address, span.first


def _rounded(page: Sum, scope: Scope) -> Sum | None:
    """What a value is the beginning of the page of, if it is that of something; LLVM may know it to have few bits."""
    if len(page.terms) != 1 or page.constant or page.terms[0][0].kind != "and":
        return None
    one, times = page.terms[0]
    last, end = one.identity[0].times(times), one.identity[1] * times + PAGE
    known = end == WORD or (end & end - 1 == 0 and scope.bound(last).within(0, end))
    return _added(last, scope) if known else None


def _added(value: Sum, scope: Scope) -> Sum:
    """With sums for what LLVM made an "or", as there are no bits in common."""
    for one, count in value.terms:
        if one.kind == "either" and one.identity[1].number is not None:
            first, more = one.identity
            bits, below = more.constant.bit_length(), 1 << trailing(more.constant)
            free = scope.zeros(first) >= bits or scope.stated(low(first, bits)).within(0, 1)
            if free or scope.bound(first).within(0, below):
                value += (first + more).minus(Sum(((one, 1),), 0)).times(count)
    return value


def _by_call(found: Term, scope: Scope, writes: bool) -> Iterator[tuple[Sum, int]]:
    """The address that `denali_find` was asked for, and how many bytes, if it was for this right and successful."""
    address, span, right, _ = found.identity
    asked = right.number in [place for place, name in PARTS.items() if name in GIVES[writes]]
    other = Arc(NOWHERE + 1, WORD - 1)
    if asked and span.number is not None and _says(scope.facts(), Sum(((found, 1),), 0), other):
        yield address, span.number


def _at_home(room: Sum, scope: Scope) -> Iterator[tuple[Sum, int]]:
    """Offsets that are known to be less than the room, each with how many bytes from there on are at home."""
    for fact in scope.facts():
        if isinstance(fact, Below) and not fact.even:
            one = fact.b.single
            ways = choices(one) if one is not None and one.kind == "select" else iter([(fact.b, list[Fact]())])
            for limit, learned in [way for way in ways if way[0].number != 0][:1]:  # nothing is below zero
                less = room.minus(limit).number
                if less == 0 or (less is not None and _says(learned, room, Arc(less, WORD - less))):
                    yield fact.a, less + HOME_SLACK + 1


def _says(facts: Iterable[Fact], value: Sum, arc: Arc) -> bool:
    """Whether one of some facts says that a value lies in an arc."""
    if value.number is not None:
        return Arc(value.constant, 1).within(*arc)
    within = (fact for fact in facts if isinstance(fact, Within) and fact.terms == value.terms)
    return any(fact.arc.shifted(value.constant).within(*arc) for fact in within)
