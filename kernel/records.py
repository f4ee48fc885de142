# pyright: basic
"""What the native kernel keeps: one record for itself, one for each guest, and pools of packets, text and streams.

Records hold host addresses of one another, never Python objects. A guest's record is what the kernel knows of it beside
its context: enough to switch to it without touching another table.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from denali.tlb.native import carray, native, pointer_to

NOBODY = -1


class State(enum.IntEnum):
    """Where a guest is in its life."""

    ABSENT = 0  # no guest has had this number yet
    HELD = 1  # made, and not started
    READY = 2  # waits for its turn
    RUNNING = 3
    IDLE = 4  # waits for an event or for a time
    STOPPED = 5  # over; its memory is still there to be looked at
    GONE = 6  # over, its frames are back in the pool


class End(enum.IntEnum):
    """Why a guest's life is over."""

    NONE = 0
    EXITED = 1  # it said so
    TRAPPED = 2
    EXHAUSTED = 3  # its fuel for life is used up
    KILLED = 4
    CLOSED = 5  # the kernel was closed
    HUNG = 6  # its watchdog: it computed too long without asking the machine for anything
    MARKED = 7  # it was warmed up, and came to its mark
    LOST = 8  # it was parked, and its memory cannot be read back


class Wish(enum.IntEnum):
    """What a guest asked for when a service ended its turn."""

    NONE = 0
    IDLE = 1
    YIELD = 2
    EXIT = 3
    RETURN = 4
    MARK = 5


GUEST = np.dtype(
    [
        ("context", "<i8"),  # host address of its run; 0: its memory is not there
        ("registers", "<i8"),  # host address of its registers page; 0: it has had no turn, and no memory yet
        ("next", "<i4"),  # in the queue of those ready
        ("state", "u1"),
        ("end", "u1"),
        ("wish", "u1"),
        ("handling", "u1"),  # it is inside its event handler
        ("next_stopped", "<i4"),  # or, once it is buried, the next in the line of those whose numbers come free
        ("name", "<u4"),  # its number as others know it: its row in the tables, and how often that was used above it
        ("wake", "<i8"),  # idle until then
        ("timer_next", "<i4"),
        ("timer_previous", "<i4"),
        ("timer_slot", "<i4"),  # its slot in the timer wheel, or NOBODY
        ("queue_head", "<i4"),  # frames that wait for it
        ("queue_tail", "<i4"),
        ("queue_length", "<i4"),
        ("outstanding", "<i4"),  # frames it sent that still wait somewhere
        ("gateway", "u1"),
        ("piped", "u1"),  # somebody reads its console: keep everything
        ("idled", "u1"),  # it gave up its last turn: it goes first
        ("paging", "u1"),  # it has or had frames of its own choice, or a TLB
        ("warming", "u1"),  # it ends at its mark, to be the image of others
        ("visited", "u1"),  # it had a turn since the hand that looks for idle guests came by
        ("queued", "u1"),  # it is in one of the queues of those ready or wanted, dead or alive
        ("plain", "u1"),  # it is over, and left no more to be told than this record
        ("kept", "<u4"),  # handles that Python has of it, by the spawn
        ("birth", "<i8"),  # host address of the `BIRTH` it came from
        ("fuel", "<i8"),  # instructions left in its life
        ("silent", "<i8"),  # instructions since it last asked for something; below zero: it did in this turn
        ("watchdog", "<i8"),  # how many of those end its life
        ("turn", "<i8"),  # instructions in a turn
        ("first_frame", "<i8"),  # of its run; NOBODY: it is parked, and has none
        ("frames", "<i8"),
        ("exit_status", "<i8"),  # or, of a failed guest, the length of its message
        ("console_head", "<i4"),
        ("console_tail", "<i4"),
        ("console_chunks", "<i4"),
        ("console_room", "<i4"),  # bytes it may still write in this turn
        ("streams", "<i8"),  # host streams that lead to it
        ("turns", "<i8"),
        ("frames_sent", "<i8"),
        ("frames_received", "<i8"),
        ("bytes_sent", "<i8"),
        ("bytes_received", "<i8"),
        ("sent_to_nobody", "<i8"),
        ("sent_to_full", "<i8"),
        ("missed", "<i8"),  # frames for it that found its queue full
        ("events", "<i8"),  # deliveries to its handler, traps included
        ("console_bytes", "<i8"),
        ("console_lost", "<i8"),
    ],
    align=True,
)

POOL = np.dtype(
    [("items", "<i8"), ("size", "<i8"), ("capacity", "<i8"), ("fresh", "<i8"), ("head", "<i8"), ("free", "<i8")]
)
PACKET = np.dtype([("next", "<i8"), ("length", "<i4"), ("sender", "<i4"), ("data", "u1", 1520)])
CHUNK = np.dtype([("next", "<i8"), ("start", "<i4"), ("end", "<i4"), ("data", "u1", 240)])

STREAM = np.dtype(
    [
        ("next", "<i8"),
        ("descriptor", "<i4"),
        ("guest", "<i4"),  # whom it leads to
        ("generation", "<i4"),
        ("state", "u1"),
        ("readable", "u1"),  # as far as is known; a call that would block clears it
        ("writable", "u1"),
        ("reserved", "u1"),
    ]
)
DOOR = np.dtype([("descriptor", "<i4"), ("port", "<i4"), ("waiting", "<i8")])  # a listening socket
ARRIVAL = np.dtype([("descriptor", "<i4"), ("guest", "<i4"), ("port", "<i8")])  # a stream that Python hands in

KERNEL = np.dtype(
    [
        ("attention", "<i8"),  # set by any thread: leave the loop and look at what Python has to do
        ("enter", "<i8"),  # host address of the engine's entry
        ("guests", "<i8"),  # host addresses of the tables
        ("capacity", "<i8"),
        ("count", "<i8"),  # rows in use, or used before
        ("mask", "<i8"),  # the bits of a name that are the row
        ("over_head", "<i8"),  # rows of guests that are over, for those to come
        ("over_tail", "<i8"),
        ("over_count", "<i8"),
        ("alive", "<i8"),
        ("frames", "<i8"),
        ("owed", "<i8"),  # pages that guests without memory will have written to when they have begun
        ("parked", "<i8"),  # host address of the `PARKED` records
        ("crumbs", "<i8"),
        ("pagemap", "<i8"),  # descriptor of the host's account of this process's pages; -1: it gives none
        ("scans", "<i8"),  # it can be asked for stretches of them, as far as is known
        ("parked_count", "<i8"),
        ("wanted_head", "<i8"),  # parked guests that are to have a turn
        ("wanted_tail", "<i8"),
        ("waiting", "<i8"),  # Python has looked at those wanted and can do nothing for now
        ("hand", "<i8"),  # the guest that the hand looks at next
        ("wheel", "<i8"),
        ("packets", "<i8"),
        ("chunks", "<i8"),
        ("streams", "<i8"),
        ("doors", "<i8"),
        ("door_count", "<i8"),
        ("arrivals", "<i8"),
        ("arrival_head", "<i8"),
        ("arrival_tail", "<i8"),
        ("ready_head", "<i8"),
        ("ready_tail", "<i8"),
        ("urgent_head", "<i8"),
        ("urgent_tail", "<i8"),
        ("urgent_spent", "<i8"),  # instructions used by guests that went first, since the last that did not
        ("stopped_head", "<i8"),
        ("virtual", "<i8"),  # the clock counts instructions
        ("epoch", "<i8"),  # the host's clock when this kernel began
        ("clock", "<i8"),  # ns since then, as of the last look
        ("turn_fuel", "<i8"),  # what the running guest was given
        ("effort", "<i8"),  # what its requests about memory have cost the kernel in this turn, some ns
        ("polled", "<i8"),  # when the host was last asked, ns or turns
        ("returned", "<i8"),  # when Python last had a look
        ("patience", "<i8"),  # ns after which Python wants a look at running guests; 0: never
        ("poller", "<i8"),  # descriptor of the epoll set
        ("alarm", "<i8"),  # descriptor of the eventfd that other threads write to
        ("spare", "<i8"),  # descriptor that is given up for a moment when no other is left, or NOBODY
        ("scratch", "<i8"),  # host address of `SCRATCH` bytes for arguments of system calls
        ("gateway", "<i8"),  # number of the guest that owns the host streams, or NOBODY
        ("asked_head", "<i8"),  # the first guest that was asked for frames, plus one
        ("asked_by", "<i8"),  # the earliest deadline of these
        ("turns", "<i8"),
        ("retired", "<i8"),
        ("frames_switched", "<i8"),
        ("bytes_switched", "<i8"),
        ("traps", "<i8"),
        ("sleeps", "<i8"),
        ("streams_opened", "<i8"),
        ("streams_refused", "<i8"),
        ("streams_reset", "<i8"),
    ]
)

_kernel, _guest, _pool, _packet, _chunk, _stream, _door, _arrival = (
    pointer_to(kind) for kind in (KERNEL, GUEST, POOL, PACKET, CHUNK, STREAM, DOOR, ARRIVAL)
)
ARRIVALS, SCRATCH = 256, 8192


@native
def kernel_at(address: int) -> Any:
    """The kernel's record."""
    return carray(_kernel(address), (1,))[0]


@native
def guest_at(kernel: Any, number: int) -> Any:
    """The record of a guest."""
    return carray(_guest(kernel.guests), (kernel.capacity,))[number]


@native
def named(kernel: Any, name: int) -> int:
    """The row of the living guest of a name, or NOBODY; any number is a fair argument."""
    number = name & kernel.mask
    if number >= kernel.count or guest_at(kernel, number).name != name:
        return NOBODY
    return number if State.HELD <= guest_at(kernel, number).state <= State.IDLE else NOBODY


@native
def pool_at(address: int) -> Any:
    """The record of a pool."""
    return carray(_pool(address), (1,))[0]


@native
def packet_at(kernel: Any, index: int) -> Any:
    """A packet buffer."""
    pool = pool_at(kernel.packets)
    return carray(_packet(pool.items), (pool.capacity,))[index]


@native
def chunk_at(kernel: Any, index: int) -> Any:
    """A piece of console text."""
    pool = pool_at(kernel.chunks)
    return carray(_chunk(pool.items), (pool.capacity,))[index]


@native
def stream_at(kernel: Any, index: int) -> Any:
    """A host stream."""
    pool = pool_at(kernel.streams)
    return carray(_stream(pool.items), (pool.capacity,))[index]


@native
def door_at(kernel: Any, index: int) -> Any:
    """A listening socket."""
    return carray(_door(kernel.doors), (kernel.door_count,))[index]


@native
def arrival_at(kernel: Any, index: int) -> Any:
    """A place in the ring of streams that Python hands in."""
    return carray(_arrival(kernel.arrivals), (ARRIVALS,))[index % ARRIVALS]
