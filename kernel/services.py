# pyright: basic
"""What happens on a virtual instruction: the native function that translated code calls.

Arguments are any 64 bits. What does not fit is refused with a trap before anything has happened; what fits is done and
answered. Services that end the turn leave a wish in the guest's record for the loop.
"""

from __future__ import annotations

from typing import Any

from denali.isa.context import Status
from denali.isa.definitions.record import Cause
from denali.isa.virtual import STREAM_OPEN, Closing, Service
from denali.tlb import flat
from denali.tlb.access import readable, writable
from denali.tlb.compiled import entry
from denali.tlb.flat import context_at, space_at
from denali.tlb.native import native

from . import console, memory, nic, streams
from .clock import within_turn
from .events import enabled
from .records import NOBODY, Wish, guest_at, kernel_at
from .refusals import refuse, unreadable, unwritable

LONGEST_MESSAGE = 1024
_HALF = 0xFFFFFFFF
_LAST_SHARED = int(Service.RETURN)
_OPEN_SIZE = STREAM_OPEN.itemsize


@native
def _leave(kernel: Any, context: Any, wish: int) -> int:
    """End the turn with a wish."""
    context.status = Status.LEFT
    guest_at(kernel, context.guest).wish = wish
    return 0


@native
def _idle(kernel: Any, context: Any, until: int) -> int:
    """Go on at once when an enabled event is pending, else end the turn."""
    if enabled(kernel, context.guest):
        return 0
    guest_at(kernel, context.guest).wake = until
    return _leave(kernel, context, Wish.IDLE)


@native
def _pass_on(kernel: Any, context: Any, a: int, source: int, length: int, rest: int, more: int) -> int:
    """Give the switch a frame; one that lies is refused."""
    answer = nic.send(kernel, context.guest, source, length, rest, more)
    return refuse(context, a) if answer == nic.LIES else answer


@native
def _send(kernel: Any, address: int, context: Any, space: Any, a: int, b: int) -> int:
    if not nic.SHORTEST <= b <= nic.LONGEST:
        return refuse(context, b)
    source = readable(address, space, a, b)
    return _pass_on(kernel, context, a, source, b, source, 0) if source else unreadable(address, context, space, a, b)


@native
def _gather(kernel: Any, address: int, context: Any, space: Any, a: int, b: int) -> int:
    length, more = (a >> 32) & _HALF, (b >> 32) & _HALF
    if length < nic.HEADERS or length + more > nic.LONGEST:
        return refuse(context, a)
    source, rest = readable(address, space, a & _HALF, length), readable(address, space, b & _HALF, more)
    if not source:
        return unreadable(address, context, space, a & _HALF, length)
    if not rest:
        return unreadable(address, context, space, b & _HALF, more)
    return _pass_on(kernel, context, a, source, length, rest, more)


@native
def _peek(kernel: Any, address: int, context: Any, space: Any, a: int, b: int) -> int:
    target = writable(address, space, a, b & _HALF)
    if not target:
        return unwritable(address, context, space, a, b & _HALF)
    return nic.peek(kernel, context.guest, target, (b >> 32) & _HALF, b & _HALF)


@native
def _receive(kernel: Any, address: int, context: Any, space: Any, a: int, b: int) -> int:
    target = writable(address, space, a, b)
    return nic.receive(kernel, context.guest, target, b) if target else unwritable(address, context, space, a, b)


@native
def _console(kernel: Any, address: int, context: Any, space: Any, a: int, b: int) -> int:
    source = readable(address, space, a, b)
    return console.write(kernel, context.guest, source, b) if source else unreadable(address, context, space, a, b)


@native
def _fail(kernel: Any, address: int, context: Any, space: Any, a: int, b: int) -> int:
    if not flat.readable(address, space, a, b):
        return refuse(context, a)
    guest_at(kernel, context.guest).exit_status = min(b, LONGEST_MESSAGE)
    context.status, context.cause, context.value = Status.TRAP, Cause.FAILED, a
    return 0


@native
def _return(kernel: Any, context: Any) -> int:
    if not guest_at(kernel, context.guest).handling:
        return refuse(context, 0)
    return _leave(kernel, context, Wish.RETURN)


@native
def _network(kernel: Any, address: int, context: Any, space: Any, number: int, a: int, b: int) -> int:
    """The services of the network card."""
    if number == Service.PEEK:
        return _peek(kernel, address, context, space, a, b)
    if number == Service.GATHER:
        return _gather(kernel, address, context, space, a, b)
    if number == Service.SEND:
        return _send(kernel, address, context, space, a, b)
    return _receive(kernel, address, context, space, a, b)


@native
def _shared(kernel: Any, address: int, context: Any, space: Any, number: int, a: int, b: int) -> int:
    """The other services that every guest has."""
    if number == Service.CLOCK:
        return within_turn(kernel, context)
    if number == Service.IDLE:
        return _idle(kernel, context, a)
    if number == Service.CONSOLE:
        return _console(kernel, address, context, space, a, b)
    if number == Service.YIELD:
        return _leave(kernel, context, Wish.YIELD)
    if number == Service.EXIT:
        guest_at(kernel, context.guest).exit_status = a
        return _leave(kernel, context, Wish.EXIT)
    if number == Service.FAIL:
        return _fail(kernel, address, context, space, a, b)
    return _return(kernel, context)


@native
def _outside(kernel: Any, address: int, context: Any, space: Any, number: int, a: int, b: int) -> int:
    """The services that only the gateway has."""
    if number == Service.ACCEPT:
        target = writable(address, space, a, _OPEN_SIZE)
        return streams.accept(kernel, target) if target else refuse(context, a)
    handle, size = (a, 0) if number == Service.CLOSE else (b >> 32, b & 0xFFFFFFFF)
    index = streams.find(kernel, handle)
    if index == NOBODY:
        return refuse(context, handle)
    if number == Service.CLOSE:
        if not 0 <= b <= Closing.HALF:
            return refuse(context, b)
        streams.close(kernel, index, b)
        return 0
    if number == Service.READ:
        target = writable(address, space, a, size)
        return streams.read(kernel, index, target, size) if target else refuse(context, a)
    source = readable(address, space, a, size)
    return streams.write(kernel, index, source, size) if source else refuse(context, a)


@native
def _mark(kernel: Any, context: Any) -> int:
    """A guest that is booted to be frozen ends here; one with frames or a TLB cannot be: they are its own."""
    guest = guest_at(kernel, context.guest)
    if not guest.warming:
        return 0
    return refuse(context, Service.MARK) if guest.paging else _leave(kernel, context, Wish.MARK)


@entry
def service(address: int, number: int, a: int, b: int) -> int:
    """Serve one virtual instruction of the guest whose context is at a host address; the result for rd."""
    context = context_at(address)
    space = space_at(context.space)
    kernel = kernel_at(space.kernel)
    if number != Service.CLOCK:
        guest_at(kernel, context.guest).silent = NOBODY
    if number == Service.SEND or number == Service.RECEIVE or number == Service.PEEK or number == Service.GATHER:
        return _network(kernel, address, context, space, number, a, b)
    if 0 <= number <= _LAST_SHARED:
        return _shared(kernel, address, context, space, number, a, b)
    if Service.MMU <= number <= Service.ATTACH:
        return memory.serve(kernel, address, context, space, number, a, b)
    if number == Service.MARK:
        return _mark(kernel, context)
    if number <= Service.CLOSE and number > 0 and guest_at(kernel, context.guest).gateway:
        return _outside(kernel, address, context, space, number, a, b)
    return refuse(context, number)


def service_address() -> int:
    """Host address of `i64 service(CONTEXT*, i64 number, i64 a, i64 b)`."""
    return service.address
