"""The gateway: a guest that joins the host's sockets to the virtual network, so that the kernel needs no TCP.

Each host stream that arrives names the guest and the port that its client dialled; the gateway opens a connection there
and carries bytes both ways. What one side cannot take stays in the other side's window: nothing is ever dropped, and no
stream can make another one wait. Whatever ends badly on one side is a reset on the other, at once. When all places are
taken, a client that its guest has told nothing for long gives way to one that comes; else who comes is reset.
"""
# pyright: basic

from __future__ import annotations

import numpy as np

from denali.libos import machine
from denali.libos.net import stack, table, tcp

STREAMS = 3072
PATIENCE = 5_000 * table.MILLISECOND  # a client that was told nothing for so long may have to give way
LOOKS = 64  # pairs looked at for one that comes
BLOCKED, BROKEN = -1, -2  # answers of `stream_read` and `stream_write`

tcp.configure(connections=STREAMS, receive=2048, send=2048, frame=1514)

HOST_FINISHED = 1  # the host's client will send no more
GUEST_FINISHED = 2  # the guest will send no more, and the client has been told

arrival = np.zeros(1, machine.STREAM_OPEN)
buffer = np.zeros(4096, np.uint8)
joined = np.zeros(STREAMS, np.int32)  # the connections with a stream, without holes
place = np.zeros(STREAMS, np.int32)  # where in `joined` a connection stands, plus one; zero: it has no stream
finished = np.zeros(STREAMS, np.int8)
told = np.zeros(STREAMS, np.int64)  # when the client of a connection was last told something, or came
joins = np.zeros(1, np.int64)
hand = np.zeros(1, np.int64)  # where in `joined` the last look ended


def main() -> None:
    """Relay for ever."""
    table.start()
    while True:
        if machine.pending() & machine.Event.STREAM:
            machine.clear(machine.Event.STREAM)
            _welcome()
            for i in range(int(joins[0]) - 1, -1, -1):  # backwards, because a stream that ends is replaced by the last
                relay(int(joined[i]))
        c = stack.step(machine.FOREVER)
        while c >= 0:
            relay(c)
            c = stack.news()


def _welcome() -> None:
    """Open a connection for every stream that has arrived."""
    handle = machine.accept(arrival)
    while handle >= 0:
        c = _connect()
        if c < 0 and _gives_way():
            c = _connect()
        if c < 0:
            machine.stream_close(handle, machine.Closing.RESET)
        else:
            tcp.set_user(c, handle)
            _join(c)
        handle = machine.accept(arrival)


def _connect() -> int:
    """Open a connection for the stream that has arrived; -1 when all are taken."""
    return tcp.connect(int(arrival[0]["address"]), int(arrival[0]["port"]))


def _gives_way() -> bool:
    """Break the next pair whose client was told nothing for long; whether there was one."""
    since = machine.clock() - PATIENCE
    for _ in range(min(LOOKS, int(joins[0]))):
        hand[0] = (hand[0] + 1) % joins[0]
        c = int(joined[hand[0]])
        if told[c] < since:
            _break(c)
            return True
    return False


def relay(c: int) -> None:
    """Carry what can be carried between a connection and its stream, and part them when both have finished."""
    if place[c] == 0 or not _to_client(c) or not _to_guest(c):
        return
    if finished[c] == HOST_FINISHED | GUEST_FINISHED:
        machine.stream_close(tcp.user(c), machine.Closing.ORDERLY)
        _part(c)
        tcp.close(c)


def _to_client(c: int) -> bool:
    """Carry what the guest has sent; false when that broke the pair."""
    handle = tcp.user(c)
    length = tcp.peek(c, buffer)
    while length > 0:
        taken = machine.stream_write(handle, buffer, length)
        if taken == BROKEN:
            return _break(c)
        if taken <= 0:
            return True
        tcp.consume(c, taken)
        told[c] = machine.clock()
        length = tcp.peek(c, buffer)
    if length == tcp.RESET:
        return _break(c)
    if length == tcp.END and not finished[c] & GUEST_FINISHED:
        finished[c] |= GUEST_FINISHED
        machine.stream_close(handle, machine.Closing.HALF)
    return True


def _to_guest(c: int) -> bool:
    """Carry what the client has sent, as far as the connection has room; false when that broke the pair."""
    room = min(tcp.room(c), len(buffer))
    while room > 0 and not finished[c] & HOST_FINISHED:
        length = machine.stream_read(tcp.user(c), buffer[:room])
        if length == BROKEN:
            return _break(c)
        if length == BLOCKED:
            return True
        if length == 0:
            finished[c] |= HOST_FINISHED
            tcp.finish(c)
            return True
        tcp.send(c, buffer, length)
        room = min(tcp.room(c), len(buffer))
    return True


def _break(c: int) -> bool:
    """Reset both sides of a pair."""
    machine.stream_close(tcp.user(c), machine.Closing.RESET)
    _part(c)
    tcp.abort(c)
    return False


def _join(c: int) -> None:
    """Enter a connection that has a stream now."""
    joined[joins[0]] = c
    joins[0] += 1
    place[c] = joins[0]
    finished[c] = 0
    told[c] = machine.clock()


def _part(c: int) -> None:
    """Take out a connection whose stream is closed; the last one moves to its place."""
    last = int(joined[joins[0] - 1])
    joined[place[c] - 1] = last
    place[last] = place[c]
    place[c] = 0
    joins[0] -= 1
