"""The virtual MMU of the fake machine: a TLB, frames, and words that miss when they are touched.

What a guest's loads and stores do, `Words` does under CPython: it looks into the TLB, calls the handler on a miss, and
tries again. Only memory seen through `machine.words` is virtual here; ordinary arrays are simply there, as wired memory
is in a guest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from denali.isa.definitions.record import Cause
from denali.isa.virtual import FRAMES_AT, Right, Shared

PAGE, TRIES = 4096, 8
_RIGHTS = int(Right.READ | Right.WRITE | Right.EXECUTE)


class Missed(BaseException):
    """Nobody bound the page that was touched; `args` are the cause and the address."""


class Denied(BaseException):
    """A service refused its argument, as a guest would have been stopped for."""


@dataclass(slots=True)
class Memory:
    """What a guest has beyond its own memory: `limit` frames at most, the first of them numbered 1."""

    limit: int = 256
    entries: int = 0  # of the TLB; 0: the MMU is off
    handler: Callable[[int, int], None] | None = None
    frames: dict[int, np.ndarray] = field(default_factory=dict[int, np.ndarray])
    bound: dict[int, tuple[int, int, int]] = field(default_factory=dict[int, tuple[int, int, int]])
    handling: bool = False
    misses: int = 0
    _next: int = 1

    def mmu(self, entries: int) -> int:
        """Turn it on or off, with an empty TLB."""
        if entries and not (16 <= entries <= 4096 and entries & (entries - 1) == 0):
            raise Denied(f"a TLB of {entries} entries")
        self.entries, self.bound = entries, {}
        return 0

    def bind(self, page: int, rights: int, physical: int) -> None:
        """Write the entry in the page's slot."""
        fits = page > 0 and page % PAGE == 0 and 0 < rights <= _RIGHTS
        if not self.entries or not fits or rights & Right.WRITE > (rights & Right.READ) << 1:
            raise Denied(f"binding page {page:#x} with rights {rights}")
        if physical not in self.frames:
            raise Denied(f"binding {physical:#x}, which this guest does not hold")
        self.bound[(page >> 12) % self.entries] = (page, rights, physical)

    def probe(self, address: int) -> int:
        """What the TLB has for an address."""
        page, rights, physical = self.bound.get((address >> 12) % max(self.entries, 1), (-1, 0, 0))
        return physical | rights if page == address & -PAGE else 0

    def drop(self, page: int, count: int) -> None:
        """Drop the entries of some pages."""
        gone = range(page, page + count * PAGE)
        self.bound = {slot: entry for slot, entry in self.bound.items() if entry[0] not in gone}

    def allocate(self, frames: np.ndarray) -> int:
        """Hand out zeroed frames, as many as there are."""
        count = min(len(frames), max(self.limit - len(self.frames), 0))
        for index in range(count):
            physical = FRAMES_AT + PAGE * self._next
            self._next += 1
            self.frames[physical] = np.zeros(PAGE // 8, np.int64)
            frames[index] = physical
        return count

    def release(self, frames: np.ndarray) -> int:
        """Take frames back, and the entries that lead to them."""
        named = {int(physical) for physical in frames}
        for physical in named:
            if self.frames.pop(physical, None) is None:
                raise Denied(f"releasing {physical:#x}, which this guest does not hold")
        self.bound = {slot: entry for slot, entry in self.bound.items() if entry[2] not in named}
        return len(named)

    def share(self, physical: int) -> int:
        """There is no other guest here."""
        if physical not in self.frames:
            raise Denied(f"sharing {physical:#x}, which this guest does not hold")
        return Shared.NOBODY

    def frame(self, address: int, right: Right) -> np.ndarray:
        """The frame that an address leads to with a right; the handler is called until it does."""
        cause = Cause.MISS_WRITE if right is Right.WRITE else Cause.MISS_READ
        for _ in range(TRIES):
            found = self.probe(address)
            if found & right:
                return self.frames[found & -PAGE]
            self._miss(cause, address)
        raise Missed(cause, address)

    def _miss(self, cause: Cause, address: int) -> None:
        if self.handler is None or self.handling or not self.entries:
            raise Missed(cause, address)
        self.misses += 1
        self.handling = True
        try:
            self.handler(int(cause), address)
        finally:
            self.handling = False


@dataclass(slots=True)
class Words:
    """Virtual memory as an array of 64-bit words: indices, slices, iteration."""

    memory: Memory
    address: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return (self[index] for index in range(self.count))

    def _place(self, index: int) -> int:
        index = index + self.count if index < 0 else index
        if not 0 <= index < self.count:
            raise IndexError(f"word {index} of {self.count}")
        return self.address + 8 * index

    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [int(self[each]) for each in range(*index.indices(self.count))]  # type: ignore[call-overload]
        place = self._place(index)
        return int(self.memory.frame(place, Right.READ)[place % PAGE // 8])

    def __setitem__(self, index: int | slice, value: object) -> None:
        if isinstance(index, slice):
            places = range(*index.indices(self.count))
            values = np.broadcast_to(np.asarray(list(value) if isinstance(value, Words) else value), len(places))
            for each, one in zip(places, values.tolist(), strict=True):
                self[each] = one
            return
        place = self._place(index)
        self.memory.frame(place, Right.WRITE)[place % PAGE // 8] = value
