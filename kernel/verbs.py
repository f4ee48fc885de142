# pyright: basic
"""What Python may do to the native kernel between turns, each one native call.

They are called by the thread that runs the loop, or when it does not run.
"""

from __future__ import annotations

from denali.tlb.compiled import entry

from . import console, host, nic, streams
from .nic import alive
from .records import ARRIVALS, arrival_at, door_at, guest_at, kernel_at


@entry
def inject(kernel_address: int, number: int, frame: int, length: int) -> int:
    """Give a living guest a frame from the host; a number of `Sent`."""
    return nic.inject(kernel_at(kernel_address), number, frame, length)


@entry
def console_text(kernel_address: int, number: int, target: int, size: int, clear: bool) -> int:
    """Copy what the kernel keeps of a guest's console to a host address, and forget it if asked to; how many bytes."""
    kernel = kernel_at(kernel_address)
    copied = console.peek(kernel, number, target, size)
    if clear:
        console.clear(kernel, number)
    return copied


@entry
def arrive(kernel_address: int, descriptor: int, number: int, port: int) -> bool:
    """Hand a connection to the gateway; False when too many wait or the guest does not live."""
    kernel = kernel_at(kernel_address)
    if kernel.arrival_tail - kernel.arrival_head >= ARRIVALS or not alive(kernel, number):
        return False
    arrival = arrival_at(kernel, kernel.arrival_tail)
    arrival.descriptor, arrival.guest, arrival.port = descriptor, guest_at(kernel, number).name, port
    kernel.arrival_tail += 1
    streams.raise_stream_event(kernel)
    return True


@entry
def add_door(kernel_address: int, descriptor: int, port: int) -> None:
    """Let the gateway accept from a listening socket; `port` is what its clients mean."""
    kernel = kernel_at(kernel_address)
    index = kernel.door_count
    kernel.door_count += 1
    door = door_at(kernel, index)
    door.descriptor, door.port, door.waiting = descriptor, port, 1
    host.watch(kernel.poller, descriptor, streams.DOOR | index, kernel.scratch)
    streams.raise_stream_event(kernel)


@entry
def watch_alarm(kernel_address: int) -> None:
    """Let writes to the alarm end the loop's sleep."""
    kernel = kernel_at(kernel_address)
    host.watch(kernel.poller, kernel.alarm, streams.ALARM, kernel.scratch)


@entry
def close_streams(kernel_address: int) -> None:
    """Reset every stream there is, those not yet accepted included."""
    kernel = kernel_at(kernel_address)
    for index in range(streams.pool_at(kernel.streams).fresh):
        stream = streams.stream_at(kernel, index)
        if stream.state == streams.Phase.OPEN or stream.state == streams.Phase.LINGERING:
            streams.reset_stream(kernel, index, streams.Phase.BROKEN)
    while kernel.arrival_head != kernel.arrival_tail:
        host.reset_descriptor(arrival_at(kernel, kernel.arrival_head).descriptor, kernel.scratch)
        kernel.arrival_head += 1
