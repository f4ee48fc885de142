# pyright: basic
"""The frame pool: all guest memory, in frames of 4 KiB, handed out in contiguous runs.

One reservation is made up front; a frame costs the host nothing until someone writes to it. Free runs wait in lists by
length; runs are merged and split only when no list has what is asked for.

A guest's flat memory is a run. Single frames that guests ask for themselves have records of who holds them (`holds`),
and may be shared; the others of a guest cannot be named by anyone.

Laws, asserted by `Frames.check`:
    every frame has exactly one holder (a guest, one free run, or the part of the pool that was never used) or a
    counted share, whose count is the number of its holds;
    every free frame reads as zeros, so that no guest sees what another left;
    no TLB entry leads to a frame that its guest does not hold, and each frame knows how many lead to it.
"""

from __future__ import annotations

import mmap
import resource
from typing import Any

import numpy as np

from .compiled import entry
from .native import External, carray, native, numbers_at, pointer_to, zero

FRAME = 4096
LENGTHS = 1024  # runs this long or longer share one list
_DROP = 4  # MADV_DONTNEED: the host takes the frame back, the next reader finds zeros
NO_RESERVE = 0x4000  # MAP_NORESERVE: address space now, memory on use
_HUGE_PAGES = 14
NO_HUGE_PAGES = 15  # MADV_NOHUGEPAGE: a guest touches few of its frames, and pays for those only
_POPULATE = 23  # MADV_POPULATE_WRITE: back it with memory now, many frames in one call
_PROCESS_MADVISE, _SELF = 440, -10000  # the system call, PIDFD_SELF
_BLOCK = 512  # frames of a huge page of 2 MiB

POOL = np.dtype(
    [
        ("base", "<i8"),  # host address of frame 0
        ("count", "<i8"),
        ("fresh", "<i8"),  # frames from here on were never handed out
        ("backed", "<i8"),  # frames below that are fresh have memory already, from the last `populate` on
        ("free", "<i8"),  # frames nobody holds, fresh ones included
        ("holder", "<i8"),  # host address: for each frame who holds it, plus one; 0: nobody; -n: a share of n guests
        ("length", "<i8"),  # host address: for the first frame of a free run its length
        ("next", "<i8"),  # host address: for the first frame of a free run the next run of that list, -1: none
        ("lists", "<i8"),  # host address: for each length the first free run, -1: none
        ("holds", "<i8"),  # host address: for each frame its first `HOLD`, plus one; 0: it is free or part of a run
        ("bound", "<i8"),  # host address: for each frame the number of TLB entries that lead to it
        ("hold_items", "<i8"),  # host address of the `HOLD` records
        ("hold_room", "<i8"),
        ("hold_fresh", "<i8"),  # records from here on were never used
        ("hold_free", "<i8"),  # the first record that was given back, plus one
        ("hold_used", "<i8"),
        ("accounts", "<i8"),  # host address: for each guest its `ACCOUNT`
        ("guests", "<i8"),
        ("mapped", "<i8"),  # host address: for the first frame of a run a byte: `stretches` has mapped some of it
        ("mapped_count", "<i8"),
        ("reserve", "<i8"),  # frames in a row that stay free for the kernel when guests ask for some
    ]
)

# One guest's hold of one frame that has a name; or an offer of one, which is not in the guest's list.
HOLD = np.dtype(
    [
        ("next", "<i8"),  # the frame's next record, plus one; of a free record: the next free one
        ("frame", "<i8"),
        ("guest", "<i4"),  # of an offer: the name of whoever may accept it
        ("by", "<i4"),  # of an offer: the guest that made it, plus one; 0: not an offer
        ("rights", "<i8"),  # bits of `Right` that bindings may have
        ("older", "<i8"),  # the guest's records before and after this one in time, plus one
        ("newer", "<i8"),
    ]
)
# What a guest has besides its flat memory. Zeros for the many that have nothing.
ACCOUNT = np.dtype(
    [
        ("newest", "<i8"),  # its latest `HOLD`, plus one
        ("held", "<i8"),  # frames it holds, shared ones included
        ("offers", "<i8"),  # that it made and nobody has attached
        ("bonus", "<i8"),  # frames it may hold beyond `holds.ALLOWANCE`; may be negative
        ("tlb", "<i8"),  # host address of its `TLB`; 0: its virtual MMU is off
        ("tlb_frames", "<i8"),  # the run that the TLB lies in; counts against the allowance
        ("flat", "<i8"),  # host address - guest address of its private memory
        ("asked", "<i8"),  # frames that the kernel wants back
        ("deadline", "<i8"),  # by then
        ("next_asked", "<i8"),  # the next guest that is asked for frames, plus one
        ("repossessed", "<i8"),  # frames that were taken by force, ever
    ]
)

_madvise = External("madvise", "int32", "int64", "int64", "int32")
_syscall = External("syscall", "int64", "int64", "int64", "int64", "int64", "int64", "int64")
_pool = pointer_to(POOL)


class Overdrawn(Exception):
    """More was asked for than is there; the message has the numbers."""


def refused_space(what: str, size: int) -> str:
    """The message that the host gives no address space for something; with the user's limit, if there is one."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    words = "" if limit == resource.RLIM_INFINITY else f"; ulimit -v allows this process {limit / 2**30:.1f} GiB in all"
    return f"the host refuses {size / 2**30:,.1f} GiB of address space for {what}{words}"


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
def _listed(pool: Any, length: int) -> int:
    """A free run of exactly `length` frames, off its list, as the lists are; -1 when there is none."""
    run = _pop(pool, length, length) if length < LENGTHS else -1
    if run < 0 and pool.fresh + length <= pool.count:
        run = pool.fresh
        pool.fresh += length
    return run if run >= 0 else _split(pool, length)


@native
def _find(pool: Any, length: int) -> int:
    """The same, after free runs have been merged, if need be."""
    run = _listed(pool, length)
    if run < 0 and pool.free >= length:
        _merge(pool)
        run = _split(pool, length)
    return run


@native
def _hold(pool: Any, run: int, length: int, holder: int) -> int:
    """Write down who holds a run that is on no list, if there is one; the run."""
    if run >= 0:
        numbers_at(pool.holder, pool.count)[run : run + length] = holder + 1
        pool.free -= length
    return run


@native
def take(pool: Any, length: int, holder: int) -> int:
    """Give `holder` a run of `length` zeroed frames; its first frame, or -1 when no run is that long."""
    return _hold(pool, _find(pool, length), length, holder)


@native
def take_spare(pool: Any, length: int, holder: int) -> int:
    """`take` for what a guest asks for itself: `reserve` frames in a row stay free, or it gets none."""
    if pool.reserve == 0 or pool.count - pool.fresh >= pool.reserve + length:
        return take(pool, length, holder)
    kept = -1
    for index in range(min(pool.reserve, LENGTHS), LENGTHS + 1):
        kept = _pop(pool, index, pool.reserve)
        if kept >= 0:
            break
    if kept < 0:
        return -1
    size = numbers_at(pool.length, pool.count)[kept]
    run = _listed(pool, length)
    if run < 0 and size >= pool.reserve + length:
        size -= length
        run = kept + size
    _push(pool, kept, size)
    return _hold(pool, run, length, holder)


@native
def drop(pool: Any, first: int, length: int) -> bool:
    """Have pages read as they were mapped, as zeros or from a file, and cost nothing; False where they are locked."""
    return _madvise(pool.base + first * FRAME, length * FRAME, _DROP) == 0


@native
def empty(pool: Any, first: int, length: int) -> None:
    """Have a run read as zeros, and cost the host nothing; zeros are written where it is locked."""
    if not drop(pool, first, length):
        zero(pool.base + first * FRAME, length * FRAME)


@native
def populate(pool: Any, length: int) -> None:
    """Back the next `length` fresh frames with memory, by whole huge pages: a third of the price of single faults.

    For guests that touch nearly all of their frames. A host without huge pages gives single ones; one that has no
    memory refuses, and what follows is the same as without this.
    """
    wanted = min(pool.fresh + length, pool.count)
    while pool.backed < wanted:
        here = max(pool.base + pool.backed * FRAME, pool.base + pool.fresh * FRAME)
        end = min((here // (_BLOCK * FRAME) + 1) * _BLOCK * FRAME, pool.base + pool.count * FRAME)
        _madvise(here, end - here, _HUGE_PAGES)
        _madvise(here, end - here, _POPULATE)
        _madvise(here, end - here, NO_HUGE_PAGES)  # frames given back are not to grow into huge ones
        pool.backed = (end - pool.base) // FRAME


@native
def back(stretches: int, count: int) -> None:
    """Back stretches of the pool with memory, an address and a size each, in one call: cheaper than as many faults.

    A host that cannot (Linux before 6.14), or has no memory, leaves it to the faults.
    """
    _syscall(_PROCESS_MADVISE, _SELF, stretches, count, _POPULATE, 0)


@native
def release(pool: Any, first: int, length: int) -> None:
    """Take a run back from its holder, emptied."""
    empty(pool, first, length)
    give_back(pool, first, length)


@native
def give_back(pool: Any, first: int, length: int) -> None:
    """Take a run back that is emptied before anybody takes it."""
    numbers_at(pool.holder, pool.count)[first : first + length] = 0
    pool.free += length
    _push(pool, first, length)


@entry
def take_run(pool: int, length: int, holder: int, spare: bool) -> int:
    """`take` or `take_spare` for Python."""
    return take_spare(pool_at(pool), length, holder) if spare else take(pool_at(pool), length, holder)


@entry
def release_run(pool: int, first: int, length: int) -> None:
    """`release` for Python."""
    release(pool_at(pool), first, length)


class Frames:
    """The pool's owner in Python: reserves it, keeps its record alive, says who holds what."""

    def __init__(self, count: int, guests: int = 256) -> None:
        """Reserve `count` frames, for guests with numbers below `guests`.

        Raises:
            Overdrawn: the host does not give so much address space.
        """
        try:
            self._reserve(count, guests)
        except (OSError, OverflowError, MemoryError):
            size = count * (FRAME + 41 + 2 * HOLD.itemsize) + guests * ACCOUNT.itemsize
            what = f"{count:,} frames of memory for {guests:,} guests"
            raise Overdrawn(refused_space(what, size)) from None
        self._map.madvise(NO_HUGE_PAGES)
        tables = (self.holder, self._length, self._next, self._lists, self.holds, self.bound)
        addresses = [table.ctypes.data for table in tables]
        holds = (self.hold_items.ctypes.data, 2 * count, 0, 0, 0)
        rest = (self.accounts.ctypes.data, guests, self.mapped.ctypes.data, 0, 0)
        self.record = np.zeros(1, POOL)
        self.record[0] = (self.memory.ctypes.data, count, 0, 0, count, *addresses, *holds, *rest)
        self.address: int = self.record.ctypes.data

    def _reserve(self, count: int, guests: int) -> None:
        """Address space for the frames, and for what is known of each frame and guest."""
        self._map = mmap.mmap(-1, count * FRAME, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE)
        self.memory = np.frombuffer(self._map, np.uint8)
        self.holder, self._length, self._next, self.holds, self.bound = (np.zeros(count, np.int64) for _ in range(5))
        self._lists = np.full(LENGTHS + 1, -1, np.int64)
        self.hold_items, self.accounts = np.zeros(2 * count, HOLD), np.zeros(guests, ACCOUNT)
        self.mapped = np.zeros(count, np.uint8)

    @property
    def count(self) -> int:
        """Frames in the pool."""
        return int(self.record["count"][0])

    @property
    def free(self) -> int:
        """Frames nobody holds."""
        return int(self.record["free"][0])

    def take(self, length: int, holder: int, *, spare: bool = False) -> int:
        """Give `holder` a run of `length` zeroed frames, `spare`: that is not reserved; the number of its first frame.

        Raises:
            Overdrawn: no free run is that long.
        """
        if length < 1:
            raise ValueError(f"a run has at least one frame, not {length}")
        first = take_run(self.address, length, holder, spare)
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
        from . import laws

        fresh = int(self.record["fresh"][0])
        listed = np.zeros(self.count, np.int64)
        for first, length in self.runs():
            listed[first : first + length] += 1
        listed[fresh:] += 1
        unheld = self.holder == 0
        assert (listed == unheld).all(), f"{int((listed != unheld).sum())} frames have no holder, or several"
        assert self.free == int(unheld.sum()), f"{self.free} frames are counted free, {int(unheld.sum())} are"
        laws.check_stretches(self)
        laws.check_holds(self)
        laws.check_bindings(self)
        for first, length in self.runs():
            run = self.memory[first * FRAME : (first + length) * FRAME]
            assert not run.any(), f"free frames {first}..{first + length - 1} are not zero"
