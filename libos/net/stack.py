"""The loop: send what is due, take the frames that wait, let timers go off, sleep until something happens."""
# pyright: basic

from __future__ import annotations

from denali.libos import machine

from . import arrival, fifo, ip, output, segment, table, timers

BATCH = 32  # frames taken before their connections' owners have their say
EVENTS = int(machine.Event.FRAME | machine.Event.TIMER | machine.Event.QUANTUM)


def work() -> bool:
    """Do what can be done now; whether frames may still be waiting."""
    table.stack[0].now = machine.clock()
    output.flush()
    machine.clear(EVENTS)
    more = _take_frames()
    c = timers.first()
    while c >= 0 and table.connection[c].deadline <= table.stack[0].now:
        output.expire(c)
        c = timers.first()
    return more


def sleep(until: int) -> None:
    """Send what is left to send, then idle until an event, the next timer or `until` (ns)."""
    output.flush()
    if not fifo.empty(table.ready):
        return
    c = timers.first()
    machine.idle(until if c < 0 else min(until, int(table.connection[c].deadline)))


def step(until: int) -> int:
    """The next connection with news, or -1 after one sleep that `until` bounds, or when a caller found no place."""
    if table.stack[0].settled == 0:
        settle()
    c = news()
    if c < 0 and not work() and fifo.empty(table.ready) and table.stack[0].pressed == 0:
        sleep(until)
    return news() if c < 0 else c


def settle() -> None:
    """Mark this guest as set up, unless it has opened connections already; what follows is each guest's own."""
    table.stack[0].settled = 1
    if table.unused():
        machine.mark()
        table.refresh()


def news() -> int:
    """The next connection that its owner should look at; -1 when there is none now."""
    c = fifo.pop(table.ready)
    while c >= 0 and not _owned(c):
        c = fifo.pop(table.ready)
    return c


def _owned(c: int) -> bool:
    bits = table.connection[c].bits
    return table.connection[c].state != table.FREE and bits & table.ANNOUNCED != 0 and bits & table.RELEASED == 0


def _take_frames() -> bool:
    for _ in range(BATCH):
        received = machine.peek(table.frames, 0)
        if received == 0:
            return False
        table.counted[table.RECEIVED] += 1
        _take(received)
        machine.receive(table.frames[:1])
    return True


def _take(received: int) -> None:
    """Deal with one frame."""
    found = ip.payload_of(received)
    if found < 0:
        return
    start, length = found >> 16, found & 0xFFFF
    protocol = int(table.frames[23])
    if protocol == ip.TCP:
        if segment.parse(start, length):
            arrival.arrive()
    elif protocol == ip.ICMP:
        ip.echo(start, length)
