"""The machine as a service sees it: one function for each virtual instruction and for each register worth reading.

Compiled for a guest, each call becomes one virtual instruction, or one load from the registers page. Under CPython it
goes to the machine given to `use`, so that a service can be tested as the ordinary Python module that it is:

    from denali.libos import fake, machine

    with machine.use(fake.Machine()) as host:
        service.main()
    assert host.text == b"hello\\n"

A buffer is a contiguous numpy array of any type, or bytes where the machine only reads. Every count is in bytes.
"""

# ruff: noqa: D102  what the methods of `Machine` mean is said by the functions of the same names
from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol, TypeVar

import numpy as np

from denali.isa.virtual import STREAM_OPEN, Closing, Event, Right, Sent, Shared

__all__ = [
    "EVENTS",
    "FOREVER",
    "PAGE",
    "STREAM_OPEN",
    "Closing",
    "Event",
    "Machine",
    "Right",
    "Sent",
    "Shared",
    "use",
]

FOREVER = (1 << 63) - 1  # an `idle` that only an event ends
PAGE = 4096
EVENTS = 64  # a handler's cause from here on: the rest are bits of `Event`; below, a `Cause`

Handler = Callable[[int, int], None]  # of a cause and its value
Words = np.ndarray[Any, np.dtype[np.int64]]
Buffer = Any  # a contiguous numpy array of any shape and type, or bytes where it is only read


class Machine(Protocol):
    """What a stand-in for the machine must offer; the functions of this module say what each method means."""

    def exit(self, status: int) -> NoReturn: ...
    def fail(self, text: bytes) -> NoReturn: ...
    def idle(self, until: int) -> None: ...
    def yield_(self) -> None: ...
    def mark(self) -> int: ...
    def send(self, frame: memoryview) -> int: ...
    def gather(self, head: memoryview, rest: memoryview) -> int: ...
    def receive(self, buffer: memoryview) -> int: ...
    def peek(self, buffer: memoryview, start: int) -> int: ...
    def console(self, data: memoryview) -> int: ...
    def clock(self) -> int: ...
    def number(self) -> int: ...
    def address(self) -> int: ...
    def memory(self) -> int: ...
    def random(self) -> int: ...
    def pending(self) -> int: ...
    def clear(self, bits: int) -> None: ...
    def set_mask(self, bits: int) -> None: ...
    def accept(self, record: memoryview) -> int: ...
    def stream_read(self, handle: int, buffer: memoryview) -> int: ...
    def stream_write(self, handle: int, data: memoryview) -> int: ...
    def stream_close(self, handle: int, how: int) -> None: ...
    def handle(self, function: Handler) -> None: ...
    def mmu(self, entries: int) -> int: ...
    def bind(self, page: int, rights: int, physical: int) -> None: ...
    def probe(self, address: int) -> int: ...
    def drop(self, page: int, count: int) -> None: ...
    def drop_all(self) -> None: ...
    def allocate(self, frames: Words) -> int: ...
    def release(self, frames: Words) -> int: ...
    def share(self, physical: int, rights: int, guest: int) -> int: ...
    def attach(self, physical: int) -> int: ...
    def words(self, address: int, count: int) -> Any: ...
    def revoked(self) -> int: ...
    def revoke_by(self) -> int: ...
    def repossession(self, vector: Words) -> None: ...


M = TypeVar("M", bound=Machine)
_used: list[Machine] = []


@contextmanager
def use(machine: M) -> Generator[M, None, None]:
    """Let `machine` answer for this module's functions inside the `with` block, under CPython."""
    _used.append(machine)
    try:
        yield machine
    finally:
        _used.remove(machine)


def current() -> Machine:
    """The machine in use (CPython only).

    Raises:
        RuntimeError: there is none.
    """
    if not _used:
        raise RuntimeError("no machine: under CPython a service runs inside `with machine.use(fake.Machine()):`")
    return _used[-1]


def _bytes_of(buffer: Buffer) -> memoryview:
    """The buffer as a row of bytes, shared with it."""
    if isinstance(buffer, np.ndarray) and not buffer.flags.c_contiguous:
        raise ValueError("a buffer must be contiguous")
    return memoryview(buffer).cast("B") if isinstance(buffer, bytes) else buffer.reshape(-1).view(np.uint8).data


def _first(buffer: Buffer, length: int) -> memoryview:
    """The first `length` bytes of the buffer; more than it has is an error, as it is in a guest."""
    data = _bytes_of(buffer)
    if not 0 <= length <= len(data):
        raise IndexError("length outside the buffer")
    return data[:length]


def exit(status: int) -> NoReturn:
    """End this guest with an exit status."""
    current().exit(status)


def fail(text: bytes) -> NoReturn:
    """Stop this guest with a message; `raise`, `assert` and a bad index end here too."""
    current().fail(text)


def idle(until: int) -> None:
    """Sleep until the clock reaches `until` (ns; `FOREVER`: no limit) or an event of the mask is pending."""
    current().idle(until)


def yield_() -> None:
    """End this turn; the guest stays ready."""
    current().yield_()


def mark() -> int:
    """Say that this guest is set up; 1 in a guest that starts here from a warmed image, else 0.

    Guests of a warmed image share everything that came before: read the clock, the guest's number, its address and
    random numbers after the mark. A guest may have neither sent nor received frames before it. `http.serve` and the
    loop of `tcp` mark by themselves.
    """
    return current().mark()


def send(frame: Buffer, length: int) -> int:
    """Send the first `length` bytes (14 to 1514) as an Ethernet frame; a number of `Sent` says what became of it."""
    return current().send(_first(frame, length))


def gather(head: Buffer, length: int, rest: Buffer) -> int:
    """Send a frame whose first `length` bytes, 34 at least, are in `head` and whose others are `rest`; see `send`."""
    return current().gather(_first(head, length), _bytes_of(rest))


def receive(buffer: Buffer) -> int:
    """Copy the next frame that waits into the buffer and return its length; 0 when none waits."""
    return current().receive(_bytes_of(buffer))


def peek(buffer: Buffer, start: int) -> int:
    """Copy what fits of the frame that `receive` would take, from byte `start` on; its length from there, 0: none."""
    return current().peek(_bytes_of(buffer), start)


def console(data: Buffer) -> int:
    """Write bytes to the console and return how many it took; it takes a bounded number a turn."""
    return current().console(_bytes_of(data))


def clock() -> int:
    """The machine's clock, ns."""
    return current().clock()


def number() -> int:
    """Which guest this is."""
    return current().number()


def address() -> int:
    """This guest's IPv4 address, in host order."""
    return current().address()


def memory() -> int:
    """Bytes of private memory that this guest has."""
    return current().memory()


def random() -> int:
    """A number from 0 to 2**63 - 1 that differs from guest to guest and from call to call. Not for keys."""
    return current().random()


def pending() -> int:
    """The events (bits of `Event`) raised since they were last cleared."""
    return current().pending()


def clear(bits: int) -> None:
    """Clear these bits of the pending events."""
    current().clear(bits)


def set_mask(bits: int) -> None:
    """Choose which events (bits of `Event`) end an `idle`; all of them do when the guest starts."""
    current().set_mask(bits)


def buffer(size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A zeroed buffer of a constant number of bytes on the stack; it lives until the function that made it returns."""
    return np.zeros(size, np.uint8)


def accept(record: Buffer) -> int:
    """Gateway only: the handle of a host stream that arrived, its `STREAM_OPEN` record filled in; -1 when none."""
    return current().accept(_bytes_of(record))


def stream_read(handle: int, buffer: Buffer) -> int:
    """Gateway only: read from a host stream: bytes read, 0 at its end, -1 when nothing is there yet, -2 reset."""
    return current().stream_read(handle, _bytes_of(buffer))


def stream_write(handle: int, buffer: Buffer, length: int) -> int:
    """Gateway only: write the first `length` bytes to a host stream: bytes taken, -1 would block, -2 reset."""
    return current().stream_write(handle, _first(buffer, length))


def stream_close(handle: int, how: int) -> None:
    """Gateway only: close a host stream; `how` is a number of `Closing`."""
    current().stream_close(handle, how)


def handle(function: Handler) -> None:
    """Have `function(cause, value)` called on events and traps: TLB misses, events that are not masked, faults.

    The cause is a `Cause` and the value the address, or the cause is `EVENTS` + bits of `Event`. When the function
    returns, the interrupted code goes on where it was: what trapped is tried again. Inside it, nothing else is
    delivered, and a trap stops the guest. It runs on the stack of the interrupted code, whose registers are kept.
    """
    current().handle(function)


def mmu(entries: int) -> int:
    """Turn the virtual MMU on with a TLB of so many entries (a power of two, 16 to 4096), or off (0).

    The guest's own memory stays where it is and needs no entries; every other page that it touches must be bound.
    -1: there are no frames for the TLB.
    """
    return current().mmu(entries)


def bind(page: int, rights: int, physical: int) -> None:
    """Let a page lead to a frame that this guest holds, with bits of `Right`; in place of the entry in its slot."""
    current().bind(page, rights, physical)


def probe(address: int) -> int:
    """The physical address and rights of the TLB's entry for an address; 0 when it has none."""
    return current().probe(address)


def drop(page: int, count: int) -> None:
    """Drop the TLB's entries for `count` pages from one on."""
    if count > 0:
        current().drop(page, count)


def drop_all() -> None:
    """Drop all entries of the TLB."""
    current().drop_all()


def allocate(frames: Words) -> int:
    """Ask for zeroed frames, as many as the array has words (1 to 64), for their physical addresses; how many came."""
    return current().allocate(frames)


def release(frames: Words) -> int:
    """Give back the frames whose physical addresses are in the array (1 to 64); how many there were."""
    return current().release(frames)


def share(physical: int, rights: int, guest: int) -> int:
    """Offer a frame of this guest's to another, with bits of `Right`; a number of `Shared`."""
    return current().share(physical, rights, guest)


def attach(physical: int) -> int:
    """Hold a frame that was offered to this guest; its rights, 0 when it was not offered, -1 when there is no room."""
    return current().attach(physical)


def words(address: int, count: int) -> Any:
    """The `count` 64-bit words at an address, as an array; touching them is what may miss."""
    return current().words(address, count)


def revoked() -> int:
    """How many frames the kernel wants back from this guest and has not got."""
    return current().revoked()


def revoke_by() -> int:
    """The clock at which it will take them by force."""
    return current().revoke_by()


def repossession(vector: Words) -> None:
    """Have frames that are taken by force listed: word 0 counts them, and from word 2 on are their addresses."""
    current().repossession(vector)
