# pyright: basic
"""The frame pool: all guest memory, in frames of 4 KiB, handed out in contiguous runs.

One reservation is made up front; a frame costs the host nothing until someone writes to it. Free runs wait in lists by
length; runs are merged and split only when no list has what is asked for.

Laws, asserted by `Frames.check`:
    every frame has exactly one holder: a guest, one free run, or the part of the pool that was never used;
    every free frame reads as zeros, so that no guest sees what another left.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from .compiled import entry
from .native import External, carray, native, numbers_at, pointer_to

FRAME = 4096
LENGTHS = 1024  # runs this long or longer share one list
_DROP = 4  # MADV_DONTNEED: the host takes the frame back, the next reader finds zeros
_NO_RESERVE = 0x4000  # MAP_NORESERVE: address space now, memory on use
_NO_HUGE_PAGES = 15  # MADV_NOHUGEPAGE: a guest touches few of its frames, and pays for those only

POOL = np.dtype(
    [
        ("base", "<i8"),  # host address of frame 0
        ("count", "<i8"),
        ("fresh", "<i8"),  # frames from here on were never handed out
        ("free", "<i8"),  # frames nobody holds, fresh ones included
        ("holder", "<i8"),  # host address: for each frame who holds it, plus one; 0: nobody
        ("length", "<i8"),  # host address: for the first frame of a free run its length
        ("next", "<i8"),  # host address: for the first frame of a free run the next run of that list, -1: none
        ("lists", "<i8"),  # host address: for each length the first free run, -1: none
    ]
)

_madvise = External("madvise", "int32", "int64", "int64", "int32")
_pool = pointer_to(POOL)


class Overdrawn(Exception):
    """More was asked for than is there; the message has the numbers."""


@native
def pool_at(address: int) -> Any:
    """The pool whose record is at a host address."""
    return carray(_pool(address), (1,))[0]


@native
def _push(pool: Any, first: int, length: int) -> None:
    """Put a free run on the list of its length."""
    lists = numbers_at(pool.lists, LENGTHS + 1)
    numbers_at(pool.length, pool.count)[first] = length
    numbers_at(pool.next, pool.count)[first] = lists[min(length, LENGTHS)]
    lists[min(length, LENGTHS)] = first


@native
def _pop(pool: Any, index: int, least: int) -> int:
    """Take the first run of at least `least` frames off a list; -1 when there is none."""
    lists, following = numbers_at(pool.lists, LENGTHS + 1), numbers_at(pool.next, pool.count)
    lengths = numbers_at(pool.length, pool.count)
    before, run = -1, lists[index]
    while run >= 0 and lengths[run] < least:
        before, run = run, following[run]
    if run >= 0 and before < 0:
        lists[index] = following[run]
    elif run >= 0:
        following[before] = following[run]
    return run


@native
def _split(pool: Any, length: int) -> int:
    """Take `length` frames from a longer free run; -1 when there is none."""
    for index in range(min(length, LENGTHS), LENGTHS + 1):
        run = _pop(pool, index, length)
        if run >= 0:
            rest = numbers_at(pool.length, pool.count)[run] - length
            if rest:
                _push(pool, run + length, rest)
            return run
    return -1


@native
def _merge(pool: Any) -> None:
    """Make the free runs as long as they can be."""
    holder = numbers_at(pool.holder, pool.count)
    numbers_at(pool.lists, LENGTHS + 1)[:] = -1
    start = 0
    for frame in range(pool.fresh + 1):
        if frame == pool.fresh or holder[frame]:
            if frame > start:
                _push(pool, start, frame - start)
            start = frame + 1


@native
def _find(pool: Any, length: int) -> int:
    """A free run of exactly `length` frames, off its list; -1 when there is none."""
    run = _pop(pool, length, length) if length < LENGTHS else -1
    if run < 0 and pool.fresh + length <= pool.count:
        run = pool.fresh
        pool.fresh += length
    if run < 0 and pool.free >= length:
        run = _split(pool, length)
        if run < 0:
            _merge(pool)
            run = _split(pool, length)
    return run


@native
def take(pool: Any, length: int, holder: int) -> int:
    """Give `holder` a run of `length` zeroed frames; its first frame, or -1 when no run is that long."""
    run = _find(pool, length)
    if run >= 0:
        numbers_at(pool.holder, pool.count)[run : run + length] = holder + 1
        pool.free -= length
    return run


@native
def release(pool: Any, first: int, length: int) -> None:
    """Take a run back from its holder, emptied."""
    _madvise(pool.base + first * FRAME, length * FRAME, _DROP)
    numbers_at(pool.holder, pool.count)[first : first + length] = 0
    pool.free += length
    _push(pool, first, length)


@entry
def take_run(pool: int, length: int, holder: int) -> int:
    """`take` for Python."""
    return take(pool_at(pool), length, holder)


@entry
def release_run(pool: int, first: int, length: int) -> None:
    """`release` for Python."""
    release(pool_at(pool), first, length)


class Frames:
    """The pool's owner in Python: reserves it, keeps its record alive, says who holds what."""

    def __init__(self, count: int) -> None:
        self._map = mmap.mmap(-1, count * FRAME, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
        self._map.madvise(_NO_HUGE_PAGES)
        self.memory = np.frombuffer(self._map, np.uint8)
        self.holder, self._length, self._next = (np.zeros(count, np.int64) for _ in range(3))
        self._lists = np.full(LENGTHS + 1, -1, np.int64)
        self.record = np.zeros(1, POOL)
        tables = [t.ctypes.data for t in (self.holder, self._length, self._next, self._lists)]
        self.record[0] = (self.memory.ctypes.data, count, 0, count, *tables)
        self.address: int = self.record.ctypes.data

    @property
    def count(self) -> int:
        """Frames in the pool."""
        return int(self.record["count"][0])

    @property
    def free(self) -> int:
        """Frames nobody holds."""
        return int(self.record["free"][0])

    def take(self, length: int, holder: int) -> int:
        """Give `holder` a run of `length` zeroed frames; the number of its first frame.

        Raises:
            Overdrawn: no free run is that long.
        """
        if length < 1:
            raise ValueError(f"a run has at least one frame, not {length}")
        first = take_run(self.address, length, holder)
        if first < 0:
            raise Overdrawn(f"guest {holder} asked for {length} frames; {self.free} of {self.count} are free")
        return first

    def release(self, first: int, length: int) -> None:
        """Take a run back; all of it must be with one holder."""
        holders = set(self.holder[first : first + length].tolist())
        if length < 1 or len(holders) != 1 or 0 in holders:
            raise ValueError(f"frames {first}..{first + length - 1} are not one holder's")
        release_run(self.address, first, length)

    def runs(self) -> list[tuple[int, int]]:
        """The free runs on the lists, as (first frame, length)."""
        found: list[tuple[int, int]] = []
        for head in self._lists.tolist():
            while head >= 0:
                found.append((head, int(self._length[head])))
                head = int(self._next[head])
        return sorted(found)

    def check(self) -> None:
        """Assert the laws of this file."""
        fresh = int(self.record["fresh"][0])
        listed = np.zeros(self.count, np.int64)
        for first, length in self.runs():
            listed[first : first + length] += 1
        listed[fresh:] += 1
        unheld = self.holder == 0
        assert (listed == unheld).all(), f"{int((listed != unheld).sum())} frames have no holder, or several"
        assert self.free == int(unheld.sum()), f"{self.free} frames are counted free, {int(unheld.sum())} are"
        for first, length in self.runs():
            run = self.memory[first * FRAME : (first + length) * FRAME]
            assert not run.any(), f"free frames {first}..{first + length - 1} are not zero"
