# pyright: basic
"""Host streams: the gateway guest's way to the sockets of the host.

    accept  the next stream that arrived: handle, and the address and port the client dialled; -1 when none waits
    read    bytes that the client sent: how many, 0 at the end, -1 nothing yet, -2 reset
    write   bytes for the client: how many were taken, -1 when it would block, -2 reset
    close   orderly, reset or half (`Closing`)

A handle is generation << 16 | index into a bounded table. When the table is full nothing is accepted, and clients wait
in the host's backlog. The address a client dialled spells the guest it means; a stream to no living guest is reset, at
once and also later, when the guest stops. After an orderly close the kernel throws away what the client still sends
until the client is done too: closing with unread bytes would reset the connection and lose the answer.

    law: a stream's descriptor is open exactly while its state is OPEN or LINGERING, and a guest's `streams` counts the
    OPEN ones that lead to it
"""

from __future__ import annotations

import enum
from typing import Any

from denali.isa.virtual import STREAM_OPEN, Closing, address_of, loopback_of
from denali.tlb.native import copy, native, numbers_at

from . import host
from .events import STREAM as STREAM_EVENT
from .events import raise_event
from .nic import alive
from .pool import give, take
from .records import NOBODY, SCRATCH, arrival_at, door_at, guest_at, named, pool_at, stream_at

HANDLE_BITS = 16
GENERATIONS = 0x7FFF
REFUSED = -2  # instead of a descriptor
REFUSALS = 64  # streams refused in one accept before the gateway gets to do something else
ALARM, DOOR, STREAM = 1 << 32, 2 << 32, 3 << 32  # what an epoll event is of
_LOOPBACK, _NETWORK = loopback_of(0), address_of(0)
_OPEN_SIZE = STREAM_OPEN.itemsize
_DRAINS = 16


class Phase(enum.IntEnum):
    """The life of a stream."""

    FREE = 0
    OPEN = 1
    BROKEN = 2  # reset by either side; the gateway still holds the handle
    LINGERING = 3  # the gateway is done with it, the client is not


@native
def reset_stream(kernel: Any, index: int, phase: int) -> None:
    """Reset a stream's connection; it is in `phase` then."""
    stream = stream_at(kernel, index)
    host.reset_descriptor(stream.descriptor, kernel.scratch)
    if stream.state == Phase.OPEN:
        guest_at(kernel, stream.guest).streams -= 1
    stream.state = phase
    kernel.streams_reset += 1


@native
def _free(kernel: Any, index: int) -> None:
    """Give a handle back; whoever waits to be accepted may come in."""
    stream_at(kernel, index).state = Phase.FREE
    give(kernel.streams, index)
    _call_in(kernel)


@native
def _release(kernel: Any, index: int) -> None:
    """Close a lingering stream; the host still delivers what was written."""
    host.close(stream_at(kernel, index).descriptor)
    stream_at(kernel, index).state = Phase.FREE
    give(kernel.streams, index)


@native
def _call_in(kernel: Any) -> None:
    """There is room: have the gateway accept whoever waits."""
    waiting = kernel.arrival_head != kernel.arrival_tail
    for door in range(kernel.door_count):
        waiting |= door_at(kernel, door).waiting != 0
    if waiting:
        raise_stream_event(kernel)


@native
def raise_stream_event(kernel: Any) -> None:
    """Tell the gateway that a stream has something."""
    if kernel.gateway != NOBODY and alive(kernel, kernel.gateway):
        raise_event(kernel, kernel.gateway, STREAM_EVENT)


@native
def _make_room(kernel: Any) -> bool:
    """Whether the table takes one more; a lingering stream gives way."""
    pool = pool_at(kernel.streams)
    if pool.free:
        return True
    for index in range(pool.fresh):
        if stream_at(kernel, index).state == Phase.LINGERING:
            _release(kernel, index)
            return True
    return False


@native
def _open(kernel: Any, descriptor: int, number: int) -> int:
    """Enter a connection into the table; its handle."""
    index = take(kernel.streams)
    stream, guest = stream_at(kernel, index), guest_at(kernel, number)
    stream.generation = (stream.generation + 1) & GENERATIONS
    stream.descriptor, stream.guest, stream.state = descriptor, number, Phase.OPEN
    stream.readable, stream.writable = 1, 1
    guest.streams += 1
    kernel.streams_opened += 1
    handle = (stream.generation << HANDLE_BITS) | index
    host.watch(kernel.poller, descriptor, STREAM | handle, kernel.scratch)
    return handle


@native
def _knock(kernel: Any) -> tuple[int, int, int]:
    """The next connection that waits: descriptor (NOBODY: none, REFUSED: it was turned away), guest, port."""
    if kernel.arrival_head != kernel.arrival_tail:
        arrival = arrival_at(kernel, kernel.arrival_head)
        kernel.arrival_head += 1
        return int(arrival.descriptor), int(arrival.guest), arrival.port
    for index in range(kernel.door_count):
        door = door_at(kernel, index)
        while door.waiting:
            descriptor = host.accept4(door.descriptor, 0, 0, host.SOCK_NONBLOCK_CLOEXEC)
            if descriptor >= 0:
                name = host.local_address(descriptor, kernel.scratch) - _LOOPBACK
                return int(descriptor), name, int(door.port)
            reason = host.error()
            if reason == host.EMFILE or reason == host.ENFILE:
                reason = _turn_away(kernel, int(door.descriptor))
            if reason == 0:
                return REFUSED, NOBODY, 0
            if reason != host.EAGAIN:
                break
            door.waiting = 0
    return NOBODY, NOBODY, 0


@native
def _turn_away(kernel: Any, door: int) -> int:
    """Reset the client that waits, as there is no descriptor left to serve it with; zero, or why that failed."""
    if kernel.spare != NOBODY:
        host.close(kernel.spare)
    descriptor = host.accept4(door, 0, 0, host.SOCK_NONBLOCK_CLOEXEC)
    reason = host.error() if descriptor < 0 else 0
    if descriptor >= 0:
        kernel.streams_refused += 1
        host.reset_descriptor(descriptor, kernel.scratch)
    kernel.spare = host.eventfd(0, host.EFD_CLOEXEC)
    return reason


@native
def accept(kernel: Any, target: int) -> int:
    """Answer ACCEPT: the handle of a stream to a living guest, described at host address `target`; -1: none."""
    for _ in range(REFUSALS):
        if not _make_room(kernel):
            return -1
        descriptor, name, port = _knock(kernel)
        if descriptor == NOBODY:
            return -1
        if descriptor == REFUSED:
            continue
        number = named(kernel, name)
        if number == NOBODY or number == kernel.gateway:
            kernel.streams_refused += 1
            host.reset_descriptor(descriptor, kernel.scratch)
            continue
        handle = _open(kernel, descriptor, number)
        numbers_at(kernel.scratch, 1)[0] = (_NETWORK + name) | (port << 32)
        copy(target, kernel.scratch, _OPEN_SIZE)
        return handle
    raise_stream_event(kernel)
    return -1


@native
def find(kernel: Any, handle: int) -> int:
    """The index of the stream that the gateway means, or NOBODY."""
    index = handle & ((1 << HANDLE_BITS) - 1)
    if handle < 0 or index >= pool_at(kernel.streams).capacity:
        return NOBODY
    stream = stream_at(kernel, index)
    held = stream.state == Phase.OPEN or stream.state == Phase.BROKEN
    return index if held and stream.generation == handle >> HANDLE_BITS else NOBODY


@native
def read(kernel: Any, index: int, target: int, size: int) -> int:
    """Answer READ into `size` bytes at a host address."""
    stream = stream_at(kernel, index)
    if stream.state == Phase.BROKEN:
        return -2
    if not stream.readable or size == 0:
        return -1
    got = host.recv(stream.descriptor, target, size, host.MSG_DONTWAIT)
    if got >= 0:
        return got
    stream.readable = 0
    return _failed(kernel, index)


@native
def write(kernel: Any, index: int, source: int, size: int) -> int:
    """Answer WRITE of `size` bytes at a host address."""
    stream = stream_at(kernel, index)
    if stream.state == Phase.BROKEN:
        return -2
    if not stream.writable:
        return -1
    sent = host.send(stream.descriptor, source, size, host.MSG_DONTWAIT | host.MSG_NOSIGNAL)
    if sent >= 0:
        return sent
    stream.writable = 0
    return _failed(kernel, index)


@native
def _failed(kernel: Any, index: int) -> int:
    """The answer to a call that failed: -1 when it would block, else the stream is over."""
    reason = host.error()
    if reason == host.EAGAIN or reason == host.EINTR:
        return -1
    reset_stream(kernel, index, Phase.BROKEN)
    return -2


@native
def close(kernel: Any, index: int, how: int) -> None:
    """Answer CLOSE."""
    stream = stream_at(kernel, index)
    if stream.state == Phase.BROKEN:
        if how != Closing.HALF:
            _free(kernel, index)
    elif how == Closing.RESET:
        reset_stream(kernel, index, Phase.FREE)
        _free(kernel, index)
    else:
        host.shutdown(stream.descriptor, host.SHUT_WR)
        if how == Closing.ORDERLY:
            guest_at(kernel, stream.guest).streams -= 1
            stream.state = Phase.LINGERING
            _drain(kernel, index)
            _call_in(kernel)


@native
def _drain(kernel: Any, index: int) -> None:
    """Throw away what a lingering client sent; close when it is done, reset when it does not stop."""
    descriptor, space = stream_at(kernel, index).descriptor, kernel.scratch
    for _ in range(_DRAINS):
        got = host.recv(descriptor, space, SCRATCH, host.MSG_DONTWAIT)
        if got < 0 and host.error() == host.EAGAIN:
            return
        if got <= 0:
            _release(kernel, index)
            _call_in(kernel)
            return
    reset_stream(kernel, index, Phase.FREE)
    _free(kernel, index)


@native
def break_streams(kernel: Any, number: int) -> None:
    """Reset the streams that lead to a guest; all of them when it is the gateway."""
    everything = number == kernel.gateway
    if not everything and guest_at(kernel, number).streams == 0:
        return
    for index in range(pool_at(kernel.streams).fresh):
        stream = stream_at(kernel, index)
        if stream.state == Phase.OPEN and (everything or stream.guest == number):
            reset_stream(kernel, index, Phase.BROKEN)
    raise_stream_event(kernel)


@native
def _noticed(kernel: Any, events: int, handle: int) -> None:
    """Note what epoll says of a stream."""
    index = handle & ((1 << HANDLE_BITS) - 1)
    stream = stream_at(kernel, index)
    if stream.generation != handle >> HANDLE_BITS:
        return
    if stream.state == Phase.LINGERING:
        _drain(kernel, index)
    elif stream.state == Phase.OPEN:
        over = events & (host.EPOLL_ERR | host.EPOLL_HUP)
        if over or events & (host.EPOLL_IN | host.EPOLL_RDHUP):
            stream.readable = 1
        if over or events & host.EPOLL_OUT:
            stream.writable = 1
        raise_stream_event(kernel)


@native
def poll(kernel: Any) -> int:
    """Ask the host what happened; how many things did."""
    space = kernel.scratch + 64  # the start of the scratch is for calls made meanwhile
    count = host.epoll_wait(kernel.poller, space, 64, 0)
    events = host.events_at(space, 64)
    for index in range(count):
        what, data = int(events[index].events), events[index].data
        if data >= STREAM:
            _noticed(kernel, what, data - STREAM)
        elif data >= DOOR:
            door_at(kernel, data - DOOR).waiting = 1
            raise_stream_event(kernel)
        else:
            host.read(kernel.alarm, kernel.scratch, 8)
    return count
