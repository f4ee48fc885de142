"""TCP for services: many connections, one loop, no call that blocks but `wait`.

    tcp.listen(7)
    while True:
        c = tcp.wait()                      # a connection with news: new, bytes, room, end or reset
        length = tcp.receive(c, buffer[: tcp.room(c)])
        if length > 0:
            tcp.send(c, buffer, length)
        elif length < 0:                    # END or RESET
            tcp.close(c)

A connection is a small number, valid until `close` or `abort`. Listening ports hand over their connections by `wait`.
"""
# pyright: basic

from __future__ import annotations

from denali.libos import machine

from . import arrival, output, row, stack, table, timers, wire
from .table import configure
from .wire import Bytes

__all__ = ["END", "NOTHING", "RESET", "configure"]

NOTHING = 0  # no bytes now
END = -1  # the peer will send no more, and everything has been read
RESET = -2  # the connection is lost
FIRST_EPHEMERAL = 49152


def listen(port: int) -> bool:
    """Accept connections to this port from now on; false when too many ports are listening already."""
    table.start()
    for i in range(table.LISTENERS):
        if table.listening[i] == 0 or table.listening[i] == port:
            table.listening[i] = port
            return True
    return False


def connect(address: int, port: int) -> int:
    """Begin a connection and return it; -1 when all are taken. Bytes may be sent at once; a failure comes as RESET."""
    table.start()
    for _ in range(table.SLOTS + 1):
        here = FIRST_EPHEMERAL + int(table.stack[0].ephemeral)
        table.stack[0].ephemeral = (table.stack[0].ephemeral + 1) & 0x3FFF
        if table.find(address, port, here) < 0:
            c = table.allocate(address, port, here)
            if c < 0 and arrival.make_room():
                c = table.allocate(address, port, here)
            if c >= 0:
                table.connection[c].bits = table.ANNOUNCED
                arrival.begin(c, table.SYN_SENT)
            return c
    return -1


def wait(until: int = machine.FOREVER) -> int:
    """Sleep until a connection has news and return it; -1 when the clock has reached `until` (ns) first."""
    c = stack.step(until)
    while c < 0 and (until == machine.FOREVER or machine.clock() < until):
        table.stack[0].pressed = 0
        c = stack.step(until)
    return c


def is_open(c: int) -> bool:
    """Whether the connection is established and not lost."""
    return table.connection[c].state == table.OPEN


def peer_finished(c: int) -> bool:
    """Whether the peer will send no more (there may be bytes to read still), or the connection is lost."""
    return table.connection[c].bits & table.PEER_FINISHED != 0 or table.connection[c].state == table.RESET


def user(c: int) -> int:
    """The number that the owner attached to this connection; 0 at first."""
    return int(table.connection[c].user)


def set_user(c: int, value: int) -> None:
    """Attach a number to this connection."""
    table.connection[c].user = value


def receive(c: int, buffer: Bytes) -> int:
    """Take bytes that have arrived: how many, or NOTHING, END or RESET."""
    length = peek(c, buffer)
    if length > 0:
        consume(c, length)
    return length


def peek(c: int, buffer: Bytes) -> int:
    """Copy bytes that have arrived, without taking them: how many, or NOTHING, END or RESET."""
    length = min(available(c), len(buffer))
    if length > 0:
        start = front(c)
        buffer[:length] = table.space[start : start + length]
    return length


def available(c: int) -> int:
    """How many bytes have arrived and were not taken yet, or NOTHING, END or RESET; they lie at `front`."""
    one = table.connection[c]
    if one.state == table.RESET:
        return RESET
    if one.receive_length == 0:
        return END if one.bits & table.PEER_FINISHED else NOTHING
    return int(one.receive_length)


def front(c: int) -> int:
    """Where in `table.space` the bytes that have arrived begin, until the next `wait`."""
    return table.incoming(c) + int(table.connection[c].receive_at)


def consume(c: int, length: int) -> None:
    """Drop the first `length` bytes that have arrived; the peer hears of the room when there is enough of it."""
    one = table.connection[c]
    length = min(length, one.receive_length)
    one.receive_length -= length
    one.receive_at = 0 if one.receive_length == 0 and one.gap_start == one.gap_end else one.receive_at + length
    if one.receive_length > 0 or one.bits & table.PEER_FINISHED:
        table.announce(c)  # more to read, or the end of it
    opened = table.RECEIVE - one.receive_length - wire.since(one.edge, one.receive_next)
    if opened >= min(table.MSS, table.RECEIVE >> 1) and not one.bits & table.PEER_FINISHED:
        one.bits |= table.ACKNOWLEDGE
        table.touch(c)


def room(c: int) -> int:
    """How many bytes `send` would take now; when it is none, `wait` returns this connection once there is room."""
    one = table.connection[c]
    if one.bits & table.FINISHING or one.state == table.RESET:
        return 0
    free = table.SEND - one.send_length
    if free == 0:
        one.bits |= table.WANTS_ROOM
    return int(free)


def unsent(c: int) -> int:
    """How many bytes the peer has not acknowledged yet; when there are some, `wait` tells of progress."""
    one = table.connection[c]
    if one.send_length > 0:
        one.bits |= table.WANTS_ROOM
    return int(one.send_length)


def send(c: int, data: Bytes, length: int) -> int:
    """Send the first `length` bytes, as many as there is room for: how many, or RESET."""
    one = table.connection[c]
    if one.state == table.RESET or one.bits & table.FINISHING:
        return RESET
    taken = min(length, table.SEND - int(one.send_length))
    if taken < length:
        one.bits |= table.WANTS_ROOM
    base = table.outgoing(c)
    one.send_at = row.settled(table.space, base, int(one.send_at), int(one.send_length), taken, table.SEND)
    end = base + int(one.send_at + one.send_length)
    table.space[end : end + taken] = data[:taken]
    one.send_length += taken
    table.touch(c)
    return taken


def send_here(c: int, at: int, length: int) -> int:
    """Send the bytes that the caller has written at `table.outgoing(c) + at` while nothing waited: how many, or RESET.

    Raises:
        ValueError: they do not lie in the row, or something waits there.
    """
    one = table.connection[c]
    if one.state == table.RESET or one.bits & table.FINISHING:
        return RESET
    if one.send_length > 0 or not 0 <= at <= at + length <= table.SEND:
        raise ValueError("no row of bytes to send")
    one.send_at, one.send_length = at, length
    table.touch(c)
    return length


def finish(c: int) -> None:
    """Send no more; what the peer sends can still be received (half-close)."""
    one = table.connection[c]
    if one.state != table.RESET:
        one.bits |= table.FINISHING
        table.touch(c)


def close(c: int) -> None:
    """Finish and forget: what was sent is still delivered, what arrives is dropped."""
    one = table.connection[c]
    if one.state == table.RESET or one.state == table.SYN_SENT:
        abort(c)
        return
    one.bits |= table.FINISHING | table.RELEASED
    one.receive_length = 0
    table.touch(c)
    arrival.settle(c)


def abort(c: int) -> None:
    """End the connection at once; the peer sees a reset."""
    output.reset(c)
    timers.disarm(c)
    table.forget(c)
