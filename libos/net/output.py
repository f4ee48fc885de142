"""What a connection sends: data as far as the windows allow, acknowledgments, and the same again when it got lost.

Nothing here keeps more than `send_next`: a loss moves it back to `unacknowledged`, and the ordinary path sends again
(go-back-N). Losses inside this network are announced by the sender's own machine, so they are rare.
"""
# pyright: basic

from __future__ import annotations

from denali.libos.machine import Sent

from . import fifo, segment, table, timers, wire

SHORTEST_TIMEOUT = 200 * table.MILLISECOND
LONGEST_TIMEOUT = 2_000 * table.MILLISECOND
PATIENCE = 8_000 * table.MILLISECOND  # for a peer that says nothing
STALL = 120_000 * table.MILLISECOND  # for a peer that keeps its window closed
HANDSHAKE = 3_000 * table.MILLISECOND  # for the third segment of a connection that somebody else opened


def flush() -> None:
    """Send what every touched connection has to send."""
    c = fifo.pop(table.dirty)
    while c >= 0:
        transmit(c)
        c = fifo.pop(table.dirty)


def transmit(c: int) -> None:
    """Send everything that `c` may send now, an acknowledgment at least if one is due, and set its timer."""
    one = table.connection[c]
    if one.state == table.SYN_SENT or one.state == table.SYN_RECEIVED:
        if one.send_next == one.unacknowledged:
            _emit(c, segment.SYN, 0)
    elif one.state == table.OPEN:
        length = _piece(c)
        while length >= 0 and _emit(c, _flags(c, length), length):
            length = _piece(c)
    if one.bits & (table.ACKNOWLEDGE | table.PROBE) and (one.state == table.OPEN or one.state == table.TIME_WAIT):
        _acknowledge(c)
    _schedule(c)


def _piece(c: int) -> int:
    """How many bytes the next segment may carry; -1 when none may be sent now. A FIN alone carries none."""
    one = table.connection[c]
    flying = wire.since(one.send_next, one.unacknowledged)
    waiting = one.send_length - flying
    if waiting < 0 or one.state != table.OPEN or one.bits & table.FIN_ACKNOWLEDGED:
        return -1
    if waiting == 0:
        return 0 if one.bits & table.FINISHING else -1
    length = min(waiting, one.segment, min(one.window, one.congestion) - flying)
    if length <= 0 or (length < one.segment and length < waiting and flying > 0):
        return -1  # a closed window, or one so small that waiting is better (RFC 9293, 3.8.6.2.1)
    return int(length)


def _flags(c: int, length: int) -> int:
    """The flags of a segment with the next `length` bytes: the last one carries the FIN."""
    one = table.connection[c]
    last = wire.since(one.send_next, one.unacknowledged) + length == one.send_length
    if not last:
        return segment.ACK
    return segment.ACK | segment.PSH | (segment.FIN if one.bits & table.FINISHING else 0)


def _emit(c: int, flags: int, length: int) -> bool:
    """Send one segment that takes room in sequence space; whether it went out."""
    one = table.connection[c]
    flying = wire.since(one.send_next, one.unacknowledged)
    if one.state == table.SYN_RECEIVED:
        flags |= segment.ACK
    if not _launch(c, one.send_next, flags, table.outgoing(c) + one.send_at + flying, length):
        return False
    spoken = length + (1 if flags & (segment.SYN | segment.FIN) else 0)
    one.send_next = (one.send_next + spoken) & wire.WORD
    if wire.since(one.send_next, one.top) > 0:
        one.top = one.send_next
        if one.timed == 0:
            one.timed, one.timed_at = one.send_next | 1 << 32, table.stack[0].now
    else:
        table.counted[table.RETRANSMITTED] += 1
    if flags & segment.FIN and not one.bits & table.PEER_FINISHED:
        one.bits |= table.FIRST_TO_CLOSE
    return True


def _acknowledge(c: int) -> None:
    """Send a segment without bytes, and apart from it a probe, which asks for an answer by naming an old byte."""
    one = table.connection[c]
    probe = one.bits & table.PROBE
    one.bits &= ~table.PROBE
    if one.bits & table.ACKNOWLEDGE and not _launch(c, one.send_next, segment.ACK, 0, 0):
        return
    if probe:
        _launch(c, (one.send_next - 1) & wire.WORD, segment.ACK, 0, 0)


def _launch(c: int, sequence: int, flags: int, at: int, length: int) -> bool:
    """Send a segment of `c`; where nobody is there any more, the connection is lost at once."""
    one = table.connection[c]
    window = min(table.RECEIVE - int(one.receive_length), 0xFFFF)
    sent = segment.send(one.remote, _ports(c), sequence, one.receive_next, flags, window, at, length)
    if sent == Sent.NOBODY:
        lose(c)
    elif sent == Sent.FULL:
        one.bits |= table.HELD
    else:
        one.edge = (one.receive_next + window) & wire.WORD
        one.bits &= ~(table.ACKNOWLEDGE | table.HELD)
    return sent == Sent.QUEUED


def _ports(c: int) -> int:
    """Our port and the peer's."""
    return int(table.connection[c].port) << 16 | int(table.connection[c].remote_port)


def _schedule(c: int) -> None:
    """Have the timer go off if the peer is silent, or soon if the network was full."""
    one = table.connection[c]
    if one.state != table.SYN_SENT and one.state != table.SYN_RECEIVED and one.state != table.OPEN:
        return
    now = int(table.stack[0].now)
    if lingers(c):
        return
    if one.send_next == one.unacknowledged and one.send_length == 0 and not one.bits & table.HELD:
        one.expires = 0
        return
    if one.expires == 0:
        closed = one.state == table.OPEN and one.window == 0
        one.expires = now + (HANDSHAKE if one.state == table.SYN_RECEIVED else STALL if closed else PATIENCE)
    if one.bits & table.HELD:
        stuck = max(now - one.expires + PATIENCE, 0)
        timers.arm(c, now + table.MILLISECOND + (stuck >> 3))
    elif one.place == 0:
        timers.arm(c, now + one.timeout)


def lingers(c: int) -> bool:
    """Whether all that is left is the peer's FIN, for which a time is set."""
    return table.connection[c].bits & (table.RELEASED | table.FIN_ACKNOWLEDGED) == (
        table.RELEASED | table.FIN_ACKNOWLEDGED
    )


def again(c: int) -> None:
    """The timer went off: send what is unacknowledged again, more slowly each time (RFC 6298)."""
    one = table.connection[c]
    timers.disarm(c)
    if one.bits & table.HELD:
        one.bits &= ~table.HELD
    else:
        one.timeout = min(2 * one.timeout, LONGEST_TIMEOUT)
        rewind(c, 1)
        if one.window == 0:
            one.bits |= table.PROBE
    table.touch(c)


def rewind(c: int, segments: int) -> None:
    """Take everything in flight for lost, and go on with a congestion window of so many segments (RFC 5681)."""
    one = table.connection[c]
    flying = wire.since(one.send_next, one.unacknowledged)
    one.threshold = max(flying >> 1, 2 * one.segment)
    one.congestion = segments * one.segment
    one.send_next = one.unacknowledged
    one.timed = one.duplicates = 0


def lose(c: int) -> None:
    """The connection ended badly: its owner sees a reset, and nobody does when there is no owner."""
    one = table.connection[c]
    timers.disarm(c)
    if one.bits & table.RELEASED or not one.bits & table.ANNOUNCED:
        table.forget(c)
        return
    one.state = table.RESET
    one.send_length = one.receive_length = 0
    table.announce(c)


def reset(c: int) -> None:
    """Tell the peer that this connection is over."""
    one = table.connection[c]
    if one.state == table.OPEN or one.state == table.SYN_RECEIVED:
        segment.send(one.remote, _ports(c), one.send_next, one.receive_next, segment.RST | segment.ACK, 0)


def expire(c: int) -> None:
    """The timer of `c` went off."""
    one = table.connection[c]
    if one.state == table.TIME_WAIT:
        timers.disarm(c)
        table.forget(c)
    elif lingers(c) or table.stack[0].now >= one.expires:
        reset(c)
        lose(c)
    else:
        again(c)
