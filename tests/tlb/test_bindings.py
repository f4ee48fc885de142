"""Frames, shares and bindings against a small model, step by step; the laws are asserted after every step."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from denali.isa.context import CONTEXT, SPACE
from denali.tlb import bindings, entries, holds
from denali.tlb.compiled import entry
from denali.tlb.flat import space_at
from denali.tlb.frames import FRAME, Frames, pool_at

GUESTS, RUN, POOL, LIMIT, PRIVATE = 3, 3, 48, 8, 0x20000
AT = 0x4000_0000


@entry
def allocate(pool: int, guest: int) -> int:
    return holds.allocate(pool_at(pool), guest)


@entry
def give_up(pool: int, guest: int, frame: int) -> bool:
    index = holds.find(pool_at(pool), frame, guest, False)
    if index < 0:
        return False
    holds.give_up(pool_at(pool), index)
    return True


@entry
def offer(pool: int, guest: int, frame: int, to: int, rights: int) -> bool:
    index = holds.find(pool_at(pool), frame, guest, False)
    return index >= 0 and holds.offer(pool_at(pool), index, to, rights)


@entry
def attach(pool: int, guest: int, frame: int) -> int:
    index = holds.find(pool_at(pool), frame, guest, True)
    return holds.attach(pool_at(pool), index, guest) if index >= 0 else 0


@entry
def turn_on(pool: int, context: int, space: int, guest: int, count: int) -> bool:
    return bindings.turn_on(pool_at(pool), context, space_at(space), guest, count, PRIVATE, FRAME)


@entry
def turn_off(pool: int, guest: int) -> None:
    bindings.turn_off(pool_at(pool), guest)


@entry
def bind(pool: int, context: int, space: int, guest: int, page: int, physical: int) -> bool:
    account = holds.account_at(pool_at(pool), guest)
    if not bindings.well_formed(account, context, space_at(space), page):
        return False
    host = bindings.host_of(pool_at(pool), context, space_at(space), guest, page, physical)
    if host:
        bindings.bind(pool_at(pool), account, page, host)
    return host != 0


@entry
def probe(pool: int, context: int, space: int, guest: int, address: int) -> int:
    account = holds.account_at(pool_at(pool), guest)
    return bindings.probe(pool_at(pool), account, context, space_at(space), address)


@entry
def drop(pool: int, guest: int, page: int, count: int) -> None:
    entries.drop(pool_at(pool), holds.account_at(pool_at(pool), guest), page, count)


@entry
def end(pool: int, guest: int) -> None:
    bindings.give_up_everything(pool_at(pool), guest)


guests = st.integers(0, GUESTS - 1)
pages = st.integers(0, 20).map(lambda n: AT + n * FRAME)
picks = st.integers(0, 40)  # of a frame: most of them one that somebody holds
rights = st.one_of(st.sampled_from([1, 3, 7]), st.integers(0, 9))
sound = st.sampled_from([1, 3, 4, 5, 7])


class Memory(RuleBasedStateMachine):
    """The model: who holds a frame with which rights, what was offered, and what each TLB must say."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = Frames(POOL, GUESTS)
        self.pool = self.frames.address
        self.space: Any = np.zeros(1, SPACE)
        self.space["private_start"], self.space["private_size"] = PRIVATE, RUN * FRAME - CONTEXT.itemsize
        self.space["registers"] = PRIVATE + RUN * FRAME - CONTEXT.itemsize - 128
        self.runs = [self.frames.take(RUN, guest) for guest in range(GUESTS)]
        self.contexts = [self.frames.memory.ctypes.data + run * FRAME for run in self.runs]
        self.frames.accounts["bonus"] = LIMIT - holds.ALLOWANCE
        self.held: dict[int, dict[int, int]] = {}  # frame: guest: rights
        self.offers: dict[tuple[int, int], tuple[int, int]] = {}  # frame, to: by, rights
        self.tlbs: dict[int, dict[int, tuple[int, int, int]]] = {}  # guest: slot: page, rights, physical
        self.sizes: dict[int, int] = {}
        for context in self.contexts:
            start = context - self.frames.memory.ctypes.data
            self.frames.memory[start : start + CONTEXT.itemsize].view(CONTEXT)[0]["space"] = self.space.ctypes.data

    def count(self, guest: int) -> int:
        return sum(guest in holders for holders in self.held.values())

    def room(self, guest: int) -> int:
        return LIMIT - self.count(guest) - int(self.frames.accounts["tlb_frames"][guest])

    def pair(self, guest: int, pick: int, known: list[tuple[int, int]]) -> tuple[int, int]:
        """A guest and a frame: most of the time of those that belong together."""
        if pick < 6 or not known:
            return guest, ([-1, 0, POOL, POOL - 1] + [frame for _, frame in known] + [0, 0])[min(pick, 5)]
        return known[pick % len(known)]

    def holders(self) -> list[tuple[int, int]]:
        return sorted((guest, frame) for frame, holders in self.held.items() for guest in holders)

    @rule(guest=guests)
    def allocate(self, guest: int) -> None:
        room, free = self.room(guest), self.frames.free
        frame = allocate(self.pool, guest)
        assert (frame >= 0) == (room > 0 and free > 0)
        if frame >= 0:
            assert frame not in self.held
            assert not self.frames.memory[frame * FRAME :][:FRAME].any()
            self.held[frame] = {guest: 7}
            self.frames.memory[frame * FRAME] = 0xAA

    @rule(guest=guests, pick=picks)
    def give_up(self, guest: int, pick: int) -> None:
        guest, frame = self.pair(guest, pick, self.holders())
        assert give_up(self.pool, guest, frame) == (guest in self.held.get(frame, {}))
        self._lose(guest, frame)

    def _lose(self, guest: int, frame: int) -> None:
        if guest not in self.held.get(frame, {}):
            return
        del self.held[frame][guest]
        self.offers = {k: v for k, v in self.offers.items() if not (k[0] == frame and v[0] == guest)}
        if not self.held[frame]:
            del self.held[frame]
        physical = (1 << 40) + frame * FRAME
        table = self.tlbs.get(guest, {})
        self.tlbs[guest] = {slot: one for slot, one in table.items() if one[2] != physical}

    @rule(guest=guests, pick=picks, to=guests, right=sound)
    def offer(self, guest: int, pick: int, to: int, right: int) -> None:
        guest, frame = self.pair(guest, pick, self.holders())
        if guest == to:
            return
        earlier = self.offers.get((frame, to))
        fits = guest in self.held.get(frame, {}) and (earlier is None or earlier[0] == guest)
        assert offer(self.pool, guest, frame, to, right) == fits
        if fits:
            self.offers[frame, to] = (guest, right)

    @rule(guest=guests, pick=picks)
    def attach(self, guest: int, pick: int) -> None:
        guest, frame = self.pair(guest, pick, sorted((to, frame) for frame, to in self.offers))
        made, had = self.offers.get((frame, guest)), self.held.get(frame, {}).get(guest, 0)
        got = attach(self.pool, guest, frame)
        if made is None:
            assert got == 0
        elif not had and self.room(guest) <= 0:
            assert got == -1
        else:
            del self.offers[frame, guest]
            self.held[frame][guest] = had | made[1]
            assert got == had | made[1]

    @rule(guest=guests, count=st.sampled_from([16, 32, 256]))
    def turn_on(self, guest: int, count: int) -> None:
        if guest in self.sizes:
            return
        needed = -(-(64 + 32 * count) // FRAME)
        expected = needed <= self.room(guest)
        done = turn_on(self.pool, self.contexts[guest], self.space.ctypes.data, guest, count)
        assert not done or expected
        if done:
            self.sizes[guest], self.tlbs[guest] = count, {}

    @precondition(lambda self: self.sizes)
    @rule(guest=guests)
    def turn_off(self, guest: int) -> None:
        turn_off(self.pool, guest)
        self.sizes.pop(guest, None)
        self.tlbs.pop(guest, None)

    def _bind(self, guest: int, page: int, right: int, physical: int, allowed: int) -> None:
        fits = guest in self.sizes and 0 < right < 8 and right & 3 != 2 and not right & ~allowed
        space = self.space.ctypes.data
        assert bind(self.pool, self.contexts[guest], space, guest, page | right, physical) == fits
        if fits:
            self.tlbs[guest][(page >> 12) % self.sizes[guest]] = (page, right, physical)

    @rule(guest=guests, page=pages, right=rights, pick=picks)
    def bind(self, guest: int, page: int, right: int, pick: int) -> None:
        guest, frame = self.pair(guest, pick, self.holders())
        allowed = self.held.get(frame, {}).get(guest, 0)
        self._bind(guest, page, right, (1 << 40) + frame * FRAME, allowed)

    @rule(guest=guests, page=pages, right=rights, own=st.integers(-1, RUN))
    def bind_own(self, guest: int, page: int, right: int, own: int) -> None:
        inside = own >= 0 and (own + 1) * FRAME <= RUN * FRAME - CONTEXT.itemsize
        self._bind(guest, page, right, PRIVATE + own * FRAME, 7 if inside else 0)

    @rule(guest=guests, frame=st.sampled_from(range(POOL)), off=st.integers(1, 4095))
    def bind_askew(self, guest: int, frame: int, off: int) -> None:
        space = self.space.ctypes.data
        assert not bind(self.pool, self.contexts[guest], space, guest, AT | 1, (1 << 40) + frame * FRAME + off)

    @precondition(lambda self: self.sizes)
    @rule(guest=guests, page=pages, count=st.integers(1, 300))
    def drop(self, guest: int, page: int, count: int) -> None:
        if guest in self.sizes:
            drop(self.pool, guest, page, count)
            gone = range(page, page + count * FRAME)
            self.tlbs[guest] = {slot: one for slot, one in self.tlbs[guest].items() if one[0] not in gone}

    @rule(guest=guests)
    def end(self, guest: int) -> None:
        end(self.pool, guest)
        self.frames.accounts["bonus"][guest] = LIMIT - holds.ALLOWANCE
        self.sizes.pop(guest, None)
        self.tlbs.pop(guest, None)
        for frame in list(self.held):
            self._lose(guest, frame)
        self.tlbs.pop(guest, None)
        self.offers = {k: v for k, v in self.offers.items() if k[0] in self.held}

    @invariant()
    def the_laws_hold(self) -> None:
        self.offers = {k: v for k, v in self.offers.items() if k[0] in self.held}
        self.frames.check()

    @invariant()
    def every_tlb_says_what_the_model_says(self) -> None:
        for guest in self.sizes:
            known = {one[0]: one[2] | one[1] for one in self.tlbs[guest].values()}
            for number in range(41):
                page = AT + number * FRAME
                found = probe(self.pool, self.contexts[guest], self.space.ctypes.data, guest, page + 8)
                assert found == known.get(page, 0)


Memory.TestCase.settings = settings(
    max_examples=100, stateful_step_count=80, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestMemory = Memory.TestCase
