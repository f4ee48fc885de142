"""A machine in ordinary Python, for the tests that a service's author writes.

Its clock is virtual: it stands still while the service runs and jumps when the service idles, so no test sleeps.
Frames are handed over by `deliver`; what the service sent is in `sent`, what it wrote is in `text`.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from denali.isa.virtual import STREAM_OPEN, Closing, Event, Sent, address_of
from denali.libos.fake_memory import Memory, Words

FRAME_SIZES = range(14, 1515)


class Exited(BaseException):
    """The service ended itself; `args[0]` is its exit status. Not an `Exception`: no handler should catch it."""


class Failed(BaseException):
    """The service called `fail`; `args[0]` is its message."""


class Stalled(BaseException):
    """The service idles without a time limit and nothing that is scheduled will ever wake it."""


@dataclass(slots=True)
class Stream:
    """A host stream as the gateway sees it: what its client sent, and what was written to it."""

    address: int
    port: int
    arriving: bytearray = field(default_factory=bytearray)
    written: bytearray = field(default_factory=bytearray)
    ended: bool = False  # the client will send no more
    reset: bool = False
    closed: Closing | None = None
    room: int = 1 << 62  # bytes it takes before it would block


def nobody(frame: bytes) -> int:
    """Take every frame: the default answer of the network."""
    return Sent.QUEUED


@dataclass(slots=True)
class Machine:
    """One guest's machine. `network` is called with each frame sent and says what became of it (`Sent`)."""

    guest: int = 2
    now: int = 0
    size: int = 32768
    seed: int = 1
    network: Callable[[bytes], int] = nobody
    text: bytearray = field(default_factory=bytearray)
    sent: list[bytes] = field(default_factory=list[bytes])
    waiting: deque[bytes] = field(default_factory=deque[bytes])
    streams: dict[int, Stream] = field(default_factory=dict[int, Stream])
    raised: int = 0
    mask: int = (1 << 32) - 1
    paging: Memory = field(default_factory=Memory)
    wanted: int = 0  # frames that the kernel wants back; see `revoke`
    taken: np.ndarray | None = None  # where frames taken by force are listed
    _arriving: deque[int] = field(default_factory=deque[int])
    _scheduled: list[tuple[int, int, Callable[[], None]]] = field(
        default_factory=list[tuple[int, int, Callable[[], None]]]
    )
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def deliver(self, frame: bytes, at: int | None = None) -> None:
        """Let a frame arrive, now or when the clock reaches `at`."""
        if at is not None and at > self.now:
            return self.at(at, lambda: self.deliver(frame))
        self.waiting.append(frame)
        self.raised |= Event.FRAME
        return None

    def at(self, when: int, action: Callable[[], None]) -> None:
        """Have something happen when the clock reaches `when`; it happens while the service idles."""
        heapq.heappush(self._scheduled, (when, len(self._scheduled), action))

    def connect(self, address: int, port: int) -> Stream:
        """Let a host stream arrive at the gateway (its client dialled this address and port)."""
        handle = len(self.streams) + 1
        self.streams[handle] = stream = Stream(address, port)
        self._arriving.append(handle)
        self.raised |= Event.STREAM
        return stream

    def exit(self, status: int) -> NoReturn:
        """End the service by an exception that the test catches."""
        raise Exited(status)

    def fail(self, text: bytes) -> NoReturn:
        """Stop the service by an exception that the test catches."""
        raise Failed(bytes(text).decode())

    def idle(self, until: int) -> None:
        """Jump to the next scheduled moment, or to `until`, until an event of the mask is pending."""
        limit = until & ((1 << 64) - 1)  # all ones: no limit, also when it is written as -1
        while not self.raised & self.mask and self.now < limit:
            if self._scheduled and self._scheduled[0][0] <= limit:
                when, _, action = heapq.heappop(self._scheduled)
                self.now = max(self.now, when)
                action()
            elif limit >= (1 << 63) - 1:
                raise Stalled("idle without a limit, and nothing is scheduled")
            else:
                self.now = limit
                self.raised |= Event.TIMER

    def yield_(self) -> None:
        """Run what is due; the clock stands still."""
        while self._scheduled and self._scheduled[0][0] <= self.now:
            heapq.heappop(self._scheduled)[2]()

    def mark(self) -> int:
        """Nothing is warmed here: the guest goes on."""
        return 0

    def send(self, frame: memoryview) -> int:
        """Hand the frame to the network."""
        if len(frame) not in FRAME_SIZES:
            raise Failed(f"a frame of {len(frame)} bytes: 14 to 1514 can be sent")
        self.sent.append(bytes(frame))
        return int(self.network(bytes(frame)))

    def gather(self, head: memoryview, rest: memoryview) -> int:
        """Hand the frame to the network."""
        if len(head) < 34:
            raise Failed(f"a first part of {len(head)} bytes: the headers, 34, must be in it")
        return self.send(memoryview(bytes(head) + bytes(rest)))

    def peek(self, buffer: memoryview, start: int) -> int:
        """Copy of the first waiting frame, from `start` on, what fits."""
        there = self.waiting[0][start:] if self.waiting else b""
        part = there[: len(buffer)]
        buffer[: len(part)] = part
        return len(there)

    def receive(self, buffer: memoryview) -> int:
        """Copy the next waiting frame, cut to the buffer's size."""
        if not self.waiting:
            return 0
        frame = self.waiting.popleft()[: len(buffer)]
        buffer[: len(frame)] = frame
        return len(frame)

    def console(self, data: memoryview) -> int:
        """Take everything."""
        self.text += data
        return len(data)

    def clock(self) -> int:
        """The virtual clock, ns."""
        return self.now

    def number(self) -> int:
        """The guest's number."""
        return self.guest

    def address(self) -> int:
        """The guest's address, derived from its number."""
        return address_of(self.guest)

    def memory(self) -> int:
        """The guest's memory, bytes."""
        return self.size

    def random(self) -> int:
        """The next of a sequence that `seed` determines."""
        return self._dice.getrandbits(63)

    def pending(self) -> int:
        """The events raised and not cleared."""
        return int(self.raised)

    def clear(self, bits: int) -> None:
        """Forget these events."""
        self.raised &= ~bits

    def set_mask(self, bits: int) -> None:
        """Choose the events that end an idle."""
        self.mask = bits

    def accept(self, record: memoryview) -> int:
        """The next stream of `connect`."""
        if not self._arriving:
            return -1
        handle = self._arriving.popleft()
        stream = self.streams[handle]
        opened = np.zeros(1, STREAM_OPEN)
        opened["address"], opened["port"] = stream.address, stream.port
        record[: STREAM_OPEN.itemsize] = opened.tobytes()
        return handle

    def stream_read(self, handle: int, buffer: memoryview) -> int:
        """Take bytes that the client sent."""
        stream = self.streams[handle]
        if stream.reset:
            return -2
        data = bytes(stream.arriving[: len(buffer)])
        if not data:
            return 0 if stream.ended else -1
        buffer[: len(data)] = data
        del stream.arriving[: len(data)]
        return len(data)

    def stream_write(self, handle: int, data: memoryview) -> int:
        """Keep bytes for the client, as far as there is room."""
        stream = self.streams[handle]
        if stream.reset:
            return -2
        room = stream.room - len(stream.written)
        if data and room <= 0:
            return -1
        stream.written += data[:room]
        return min(len(data), room)

    def stream_close(self, handle: int, how: int) -> None:
        """Note how it was closed."""
        self.streams[handle].closed = Closing(how)

    def handle(self, function: Callable[[int, int], None]) -> None:
        """Call this on misses, and on what `revoke` asks."""
        self.paging.handler = function

    def mmu(self, entries: int) -> int:
        """Turn the virtual MMU on or off."""
        return self.paging.mmu(entries)

    def bind(self, page: int, rights: int, physical: int) -> None:
        """Write a TLB entry."""
        self.paging.bind(page, rights, physical)

    def probe(self, address: int) -> int:
        """Look into the TLB."""
        return self.paging.probe(address)

    def drop(self, page: int, count: int) -> None:
        """Drop TLB entries."""
        self.paging.drop(page, count)

    def drop_all(self) -> None:
        """Drop all TLB entries."""
        self.paging.bound = {}

    def allocate(self, frames: np.ndarray) -> int:
        """Hand out frames; none while some are wanted back."""
        return 0 if self.wanted else self.paging.allocate(frames)

    def release(self, frames: np.ndarray) -> int:
        """Take frames back."""
        count = self.paging.release(frames)
        self.wanted = max(self.wanted - count, 0)
        return count

    def share(self, physical: int, rights: int, guest: int) -> int:
        """Offer a frame to nobody: there is no other guest."""
        return self.paging.share(physical)

    def attach(self, physical: int) -> int:
        """Nothing has been offered."""
        return 0

    def words(self, address: int, count: int) -> Words:
        """Virtual memory that misses as a guest's does."""
        return Words(self.paging, address, count)

    def revoked(self) -> int:
        """How many frames are wanted back."""
        return self.wanted

    def revoke_by(self) -> int:
        """By now: `revoke` takes them as soon as the handler has returned."""
        return self.now

    def repossession(self, vector: np.ndarray) -> None:
        """List frames that are taken by force there."""
        self.taken = vector
        vector[0], vector[1] = 0, len(vector) - 2

    def revoke(self, count: int) -> None:
        """Have the handler give back `count` frames; what it does not give is taken, the latest first."""
        self.wanted = count
        if self.paging.handler is not None:
            self.paging.handler(64 + Event.REVOKE, 0)
        lost = list(self.paging.frames)[::-1][: self.wanted]
        self.paging.release(np.array(lost, np.int64))
        self.wanted = 0
        for physical in lost if self.taken is not None else ():
            if self.taken[0] < self.taken[1]:
                self.taken[2 + self.taken[0]] = physical
            self.taken[0] += 1
        if lost:
            self.raised |= Event.REPOSSESSED
