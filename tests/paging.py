"""A guest's private memory behind a TLB, for tests of engines: bound from the start, or bound miss by miss.

    MEMORIES["mapped"]   every page has its entry from the start: half of them moved, within the window, the others
                         at their own places, within home
    MEMORIES["tiny"]     pages lie elsewhere in another order, and only a few have entries at any time

Either way a program sees what it would see with the virtual MMU off. What is left of a page at the top of private
memory cannot be bound and is wired.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from denali.isa.context import CONTEXT, ENTRY, HOME_SLACK, TLB
from denali.isa.definitions.record import ALL_ONES, Cause
from denali.isa.image import PAGE, Image
from denali.isa.tools.memory import ALL_RIGHTS, Binding, Memory, Paged

MISSES = {Cause.MISS_READ: Cause.LOAD, Cause.MISS_WRITE: Cause.STORE, Cause.MISS_EXECUTE: Cause.FETCH}


@dataclass(slots=True)
class Plan:
    """Which page is where: page n of private memory is page order[n] of the frames, or at its own place."""

    start: int
    size: int
    entries: int
    order: list[int]  # of the first pages, the others are at their own place
    early: bool  # whether pages are bound before they are missed
    wired_start: int = field(init=False)

    def __post_init__(self) -> None:
        self.wired_start = (self.start + self.size - 1) & -PAGE

    @property
    def wired_size(self) -> int:
        """Bytes of the last page."""
        return self.start + self.size - self.wired_start

    @property
    def pages(self) -> range:
        """The guest addresses of pages that need an entry."""
        return range(self.start, self.wired_start, PAGE)

    @property
    def moved(self) -> range:
        """Those of them that are in the frames."""
        return self.pages[: len(self.order)]

    def place(self, page: int, memory: Any, frames: Any) -> tuple[Any, int]:
        """Where a page is: in which of the two, and at which offset."""
        if page in self.moved:
            return frames, PAGE * self.order[(page - self.start) // PAGE]
        return memory, page - self.start


def mapped(image: Image, size: int) -> Plan:
    """Entries enough for all pages, half of them moved as they are."""
    return Plan(image.private_start, size, max(2, 1 << (size // PAGE).bit_length()), [*range(size // PAGE // 2)], True)


def tiny(image: Image, size: int) -> Plan:
    """Four entries, pages in an order that only their number decides."""
    plan = Plan(image.private_start, size, 4, [], False)
    plan.order = random.Random(len(plan.pages)).sample(range(len(plan.pages)), len(plan.pages))
    return plan


MEMORIES: dict[str, Callable[[Image, int], Plan]] = {"mapped": mapped, "tiny": tiny}


class Handler:
    """What a guest's own miss handler would do, outside of it: bind the page that was missed, go on."""

    def __init__(self, plan: Plan, bind: Callable[[int], None], grow: Callable[[int], None]) -> None:
        """`bind(page)` writes an entry; `grow(entries)` begins with an empty TLB of that many."""
        self.plan, self.bind, self.grow = plan, bind, grow
        self.bound: set[int] = set()
        self.last: list[tuple[int, int]] = []
        for page in plan.pages if plan.early else ():
            bind(page)

    def handles(self, cause: Cause, value: int, retired: int) -> bool:
        """Whether a miss was one that a binding cures. Two pages that want one entry for one instruction need more."""
        page = value & -PAGE
        if cause not in MISSES or page not in self.plan.pages or self.plan.early:
            return False
        if (retired, page) in self.last:
            self.plan.entries *= 2
            self.grow(self.plan.entries)
            self.last.clear()
        self.last = [one for one in self.last if one[0] == retired] + [(retired, page)]
        self.bind(page)
        return True


class ReferencePages:
    """The plan, carried out for the reference interpreter."""

    def __init__(self, memory: Memory, plan: Plan) -> None:
        """Private memory's content moves to the frames."""
        self.memory, self.plan = memory, plan
        self.frames = bytearray(len(plan.moved) * PAGE)
        for page in plan.moved:
            at, (_, to) = page - plan.start, self._place(page)
            self.frames[to : to + PAGE] = memory.private[at : at + PAGE]
            memory.private[at : at + PAGE] = b"\xdb" * PAGE
        self.grow(plan.entries)
        self.handler = Handler(plan, self.bind, self.grow)

    def _place(self, page: int) -> tuple[Any, int]:
        return self.plan.place(page, self.memory.private, self.frames)

    def grow(self, entries: int) -> None:
        """Begin with an empty TLB."""
        self.access = Paged(
            self.memory, entries, self.plan.wired_start, self.plan.start + self.plan.size - self.plan.wired_start
        )

    def bind(self, page: int) -> None:
        """Write an entry."""
        self.access.bind(Binding(page, *self._place(page), ALL_RIGHTS))

    def content(self) -> bytes:
        """Private memory as the guest sees it."""
        pages = [bytes(buffer[at:][:PAGE]) for buffer, at in map(self._place, self.plan.pages)]
        return b"".join(pages) + bytes(self.memory.private[self.plan.wired_start - self.plan.start :])


class NativePages:
    """The plan, carried out for native code: a TLB in host memory, its address in the context."""

    def __init__(self, context: Any, memory: np.ndarray[Any, Any], plan: Plan) -> None:
        """Private memory's content moves to the frames."""
        self.context, self.memory, self.plan = context, memory, plan
        self.frames = np.zeros(len(plan.moved) * PAGE, np.uint8)
        for page in plan.moved:
            at, (_, to) = page - plan.start, self._place(page)
            self.frames[to : to + PAGE] = memory[at : at + PAGE]
            memory[at : at + PAGE] = 0xDB
        self.grow(plan.entries)
        self.handler = Handler(plan, self.bind, self.grow)

    def _place(self, page: int) -> tuple[Any, int]:
        return self.plan.place(page, self.memory, self.frames)

    def grow(self, entries: int) -> None:
        """Begin with an empty TLB; its home is what is wired."""
        self.room = np.zeros(TLB.itemsize + entries * ENTRY.itemsize + 64, np.uint8)
        first = -self.room.ctypes.data % 64
        self.header = self.room[first : first + TLB.itemsize].view(TLB)[0]
        self.entries = self.room[first + TLB.itemsize :][: entries * ENTRY.itemsize].view(ENTRY)
        for tag in ("read", "write", "execute"):
            self.entries[tag] = ALL_ONES
        plan, header = self.plan, self.header
        header["mask"] = entries - 1
        header["wired_start"], header["wired_size"] = plan.wired_start, plan.wired_size
        home = plan.start + len(plan.moved) * PAGE if plan.early else plan.wired_start
        room = plan.start + plan.size - home - HOME_SLACK
        self.context["home_start"], self.context["home_room"] = home, max(room, 0)
        if plan.early:
            header["window_start"], header["window_size"] = plan.start, len(plan.moved) * PAGE
            header["window_addend"] = (self.frames.ctypes.data - plan.start) & ALL_ONES
        self.context["tlb"] = self.room.ctypes.data + first

    def bind(self, page: int) -> None:
        """Write an entry."""
        entry = self.entries[(page // PAGE) % len(self.entries)]
        entry["read"] = entry["write"] = entry["execute"] = page
        buffer, at = self._place(page)
        entry["addend"] = (buffer.ctypes.data + at - page) & ALL_ONES

    def content(self) -> bytes:
        """Private memory as the guest sees it."""
        pages = [buffer[at:][:PAGE].tobytes() for buffer, at in map(self._place, self.plan.pages)]
        return b"".join(pages) + self.memory[self.plan.wired_start - self.plan.start :].tobytes()


__all__ = ["CONTEXT", "MEMORIES", "MISSES", "NativePages", "ReferencePages"]
