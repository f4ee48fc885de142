"""Home and window grow with what is bound, whichever way, and lose no more than what goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from denali.isa.context import CONTEXT, HOME_SLACK, SPACE, TLB
from denali.tlb import bindings, entries, holds
from denali.tlb.compiled import entry
from denali.tlb.flat import space_at
from denali.tlb.frames import FRAME, Frames, pool_at

RUN, PRIVATE, FAR = 12, 0x20000, 0x4000_0000
WIRED = PRIVATE + 5 * FRAME


@entry
def turn_on(pool: int, context: int, space: int) -> bool:
    return bindings.turn_on(pool_at(pool), context, space_at(space), 0, 64, WIRED, FRAME)


@entry
def write(pool: int, page: int, rights: int, host: int) -> None:
    entries.write(pool_at(pool), holds.account_at(pool_at(pool), 0), page, rights, host)


@entry
def drop(pool: int, page: int) -> None:
    entries.drop(pool_at(pool), holds.account_at(pool_at(pool), 0), page, 1)


class Guest:
    """Its private memory has twelve pages, of which the sixth is wired."""

    def __init__(self) -> None:
        self.frames = Frames(64, 1)
        run = self.frames.take(RUN, 0)
        self.space: Any = np.zeros(1, SPACE)
        self.space["private_start"], self.space["private_size"] = PRIVATE, RUN * FRAME - CONTEXT.itemsize
        self.space["registers"] = PRIVATE + RUN * FRAME - CONTEXT.itemsize - 128
        start = run * FRAME
        self.context: Any = self.frames.memory[start : start + CONTEXT.itemsize].view(CONTEXT)[0]
        self.context["space"] = self.space.ctypes.data
        self.at = self.frames.memory.ctypes.data + start
        assert turn_on(self.frames.address, self.at, self.space.ctypes.data)
        place = int(self.frames.accounts["tlb"][0]) - self.frames.memory.ctypes.data
        self.header: Any = self.frames.memory[place : place + TLB.itemsize].view(TLB)[0]

    def bind(self, page: int, own: int, rights: int = 3) -> None:
        """Bind a page to page `own` of private memory."""
        write(self.frames.address, page, rights, self.at + CONTEXT.itemsize + own * FRAME)
        self.frames.check()

    def drop(self, page: int) -> None:
        drop(self.frames.address, page)
        self.frames.check()

    @property
    def home(self) -> tuple[int, int]:
        """First page and number of pages."""
        size = int(self.context["home_room"]) + HOME_SLACK
        return (int(self.context["home_start"]) - PRIVATE) // FRAME, size // FRAME

    @property
    def window(self) -> tuple[int, int]:
        """First page, counted from `FAR`, and number of pages."""
        return (int(self.header["window_start"]) - FAR) // FRAME, int(self.header["window_size"]) // FRAME


@pytest.fixture
def guest() -> Iterator[Guest]:
    one = Guest()
    yield one
    one.frames.check()


@pytest.mark.parametrize("order", [[4, 3, 2], [2, 3, 4], [6, 7, 8], [8, 7, 6], [3, 4, 2, 6]])
def test_home_has_what_is_bound_at_its_own_place_next_to_wired_memory(guest: Guest, order: list[int]) -> None:
    assert guest.home == (5, 1)
    for own in order:
        guest.bind(PRIVATE + own * FRAME, own)
    assert guest.home == (min([5, *order]), len(order) + 1)


def test_home_is_cut_where_a_page_goes(guest: Guest) -> None:
    for own in (4, 3, 2, 6, 7, 8):
        guest.bind(PRIVATE + own * FRAME, own)
    guest.drop(PRIVATE + 3 * FRAME)
    assert guest.home == (4, 5)
    guest.bind(PRIVATE + 7 * FRAME, 7, rights=1)
    assert guest.home == (4, 3)


@pytest.mark.parametrize("order", [range(8), range(7, -1, -1)])
def test_the_window_has_a_run_of_other_pages(guest: Guest, order: range) -> None:
    for number in order:
        guest.bind(FAR + number * FRAME, number)
    assert guest.window == (0, 8)
    assert guest.home == (5, 1)
    guest.drop(FAR + 2 * FRAME)
    assert guest.window == (3, 5)


def test_a_long_run_takes_the_place_of_a_short_one(guest: Guest) -> None:
    for number in range(2):
        guest.bind(FAR + number * FRAME, number)
    for number in range(8):
        guest.bind(FAR + (20 + number) * FRAME, number)
    assert guest.window == (22, 6)


def test_pages_that_may_only_be_read_are_in_neither(guest: Guest) -> None:
    guest.bind(PRIVATE + 4 * FRAME, 4, rights=1)
    guest.bind(FAR, 0, rights=5)
    assert guest.home == (5, 1)
    assert guest.window[1] == 0
