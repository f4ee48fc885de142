"""What a segment does to its connection, in the order of RFC 9293, 3.10.7: every field is a stranger's claim."""
# pyright: basic

from __future__ import annotations

from denali.isa.virtual import address_of
from denali.libos import machine

from . import output, row, segment, table, timers, wire

LINGER = 2_000 * table.MILLISECOND  # for the FIN of a peer when nobody here waits for it
TIME_WAIT = 500 * table.MILLISECOND
FIRST_WINDOW = 10  # segments (RFC 6928)
GATEWAY = address_of(0)  # all clients of the host come from there
NEIGHBOURS = 16  # slots looked at when a place must be found


def arrive() -> None:
    """Deal with `segment.arrived`."""
    one = segment.arrived[0]
    c = table.find(int(one.remote), int(one.remote_port), int(one.port))
    if c >= 0 and table.connection[c].state == table.RESET:
        segment.refuse()
    elif c >= 0 and table.connection[c].state == table.SYN_SENT:
        _answered(c)
    elif c >= 0 and not _reopens(c):
        _expected(c)
    else:
        _stranger()


def _reopens(c: int) -> bool:
    """Whether the segment opens anew what is only remembered in TIME-WAIT; then that is forgotten."""
    one = table.connection[c]
    newer = wire.since(segment.arrived[0].sequence, one.receive_next) > 0
    if one.state != table.TIME_WAIT or segment.arrived[0].control != segment.SYN or not newer:
        return False
    timers.disarm(c)
    table.forget(c)
    return True


def _stranger() -> None:
    """A segment of no connection: it may open one where somebody listens."""
    came = segment.arrived[0]
    if came.control & ~segment.PSH != segment.SYN or not _listening(int(came.port)):
        segment.refuse()
        return
    c = _admitted()
    if c < 0:
        table.counted[table.CROWDED] += 1
        table.stack[0].pressed = 1
        return
    begin(c, table.SYN_RECEIVED)
    _synchronise(c)


def _listening(port: int) -> bool:
    found = False
    for i in range(table.LISTENERS):
        found |= port != 0 and table.listening[i] == port
    return found


def _admitted() -> int:
    """A place for who knocks; -1: none. Other guests cannot have the last quarter of the places: host clients can."""
    came = segment.arrived[0]
    host = came.remote == GATEWAY
    kept = 0 if host else table.SLOTS >> 2
    if table.stack[0].spare <= kept:
        make_room(host)
    if table.stack[0].spare <= kept:
        return -1
    c = table.allocate(int(came.remote), int(came.remote_port), int(came.port))
    if c < 0 and make_room(host):
        c = table.allocate(int(came.remote), int(came.remote_port), int(came.port))
    return c


def make_room(everybody: bool = True) -> bool:
    """Give up a connection that is over or not yet there, so that a flood of SYNs cannot keep others out.

    `everybody`: be it one of the gateway's.
    """
    me = table.stack[0]
    for _ in range(min(NEIGHBOURS, table.SLOTS)):
        c = int(me.hand)
        me.hand = c + 1 if c + 1 < table.SLOTS else 0
        state = table.connection[c].state
        over = state == table.TIME_WAIT or state == table.SYN_RECEIVED
        if over and (everybody or table.connection[c].remote != GATEWAY):
            timers.disarm(c)
            table.forget(c)
            return True
    return False


def begin(c: int, state: int) -> None:
    """Start `c` with a fresh sequence number; its SYN goes out with the next flush."""
    one = table.connection[c]
    one.state = state
    one.unacknowledged = one.send_next = one.top = machine.random() & wire.WORD
    table.touch(c)


def _synchronise(c: int) -> None:
    """Take over what the peer's SYN says."""
    one, came = table.connection[c], segment.arrived[0]
    one.receive_next = (came.sequence + 1) & wire.WORD
    one.edge = one.receive_next
    one.segment = came.mss
    one.congestion = FIRST_WINDOW * came.mss
    _take_window(c)


def _answered(c: int) -> None:
    """The answer to our SYN (simultaneous open is not supported: a lone SYN is dropped)."""
    one, came = table.connection[c], segment.arrived[0]
    right = came.control & segment.ACK and came.acknowledgment == one.top and one.top != one.unacknowledged
    if came.control & segment.ACK and not right:
        segment.refuse()
    elif right and came.control & segment.RST:
        output.lose(c)
    elif right and came.control & segment.SYN:
        _synchronise(c)
        _open(c)
        one.bits |= table.ACKNOWLEDGE


def _open(c: int) -> None:
    """Our SYN is acknowledged: the connection is there, and its owner hears of it."""
    one = table.connection[c]
    one.state = table.OPEN
    one.bits |= table.ANNOUNCED
    one.unacknowledged = one.send_next = one.top
    _measured(c)
    table.announce(c)
    table.touch(c)


def _expected(c: int) -> None:
    """A segment of a connection that is synchronised."""
    one, came = table.connection[c], segment.arrived[0]
    ahead = wire.since(came.sequence, one.receive_next)
    window = wire.since(one.edge, one.receive_next)
    span = came.length + (1 if came.control & segment.FIN else 0)
    inside = 0 <= ahead <= window if span == 0 else ahead < max(window, 1) and ahead + span > 0
    table.touch(c)
    if came.control & segment.RST and inside and ahead == 0:
        output.lose(c)
    elif not inside or came.control & (segment.RST | segment.SYN):
        table.counted[table.STALE] += 1
        if inside or not came.control & segment.RST:  # what could be a true reset is asked to prove it (RFC 5961)
            _repeat(c)
    elif came.control & segment.ACK and _handshaken(c) and _acknowledged(c):
        _text(c, ahead)
        _finish(c)
        settle(c)


def _repeat(c: int) -> None:
    """Say again where we are: an acknowledgment, or the SYN when that was not heard."""
    one = table.connection[c]
    if one.state == table.SYN_RECEIVED:
        one.send_next = one.unacknowledged
    else:
        one.bits |= table.ACKNOWLEDGE


def _handshaken(c: int) -> bool:
    """Whether the connection is open, perhaps by the acknowledgment that just came."""
    one, came = table.connection[c], segment.arrived[0]
    if one.state != table.SYN_RECEIVED:
        return True
    if came.acknowledgment != one.top or one.top == one.unacknowledged:
        segment.refuse()
        return False
    timers.disarm(c)
    one.expires = 0
    _open(c)
    return True


def _acknowledged(c: int) -> bool:
    """Take the acknowledgment and the window; false for one of bytes that were never sent."""
    one, came = table.connection[c], segment.arrived[0]
    if wire.since(came.acknowledgment, one.top) > 0:
        one.bits |= table.ACKNOWLEDGE
        return False
    bytes_ = wire.since(came.acknowledgment, one.unacknowledged)
    if bytes_ > 0:
        _progress(c, bytes_)
    elif bytes_ == 0 and came.length == 0 and came.window == one.window and one.send_next != one.unacknowledged:
        one.duplicates += 1
        if one.duplicates == 3:
            output.rewind(c, max(2, one.congestion // one.segment >> 1))
    newer = wire.since(came.sequence, one.window_sequence)
    if newer > 0 or (newer == 0 and wire.since(came.acknowledgment, one.window_acknowledgment) >= 0):
        _take_window(c)
    return True


def _take_window(c: int) -> None:
    """Remember the peer's window and which segment said so."""
    one, came = table.connection[c], segment.arrived[0]
    if one.window == 0 and came.window > 0 and one.state == table.OPEN:
        timers.disarm(c)
        one.expires = 0
    one.window = came.window
    one.window_sequence = came.sequence
    one.window_acknowledgment = came.acknowledgment


def _progress(c: int, spoken: int) -> None:
    """So much of sequence space is acknowledged: bytes, and perhaps our FIN."""
    one = table.connection[c]
    data = min(spoken, one.send_length)
    if spoken > data:
        one.bits |= table.FIN_ACKNOWLEDGED
    one.send_length -= data
    one.send_at = one.send_at + data if one.send_length > 0 else 0
    one.unacknowledged = (one.unacknowledged + spoken) & wire.WORD
    if wire.since(one.send_next, one.unacknowledged) < 0:
        one.send_next = one.unacknowledged
    grown = one.segment if one.congestion < one.threshold else max(1, one.segment * one.segment // one.congestion)
    one.congestion = min(one.congestion + min(grown, spoken), 1 << 20)
    _measured(c)
    if one.bits & table.WANTS_ROOM:
        one.bits &= ~table.WANTS_ROOM
        table.announce(c)


def _measured(c: int) -> None:
    """The peer has answered: stop the timer, and take a sample of the round trip if one was running (RFC 6298)."""
    one = table.connection[c]
    timers.disarm(c)
    one.expires = one.duplicates = 0
    if one.timed != 0 and wire.since(one.unacknowledged, one.timed & wire.WORD) >= 0:
        sample = table.stack[0].now - one.timed_at
        if one.smoothed == 0:
            one.smoothed, one.variation = sample, sample >> 1
        one.variation += (abs(one.smoothed - sample) - one.variation) >> 2
        one.smoothed += (sample - one.smoothed) >> 3
        one.timed = 0
    if one.smoothed != 0:
        timeout = max(one.smoothed + 4 * one.variation, output.SHORTEST_TIMEOUT)
        one.timeout = min(timeout, output.LONGEST_TIMEOUT)


def _text(c: int, ahead: int) -> None:
    """Keep the bytes that are new and fit; bytes behind one gap are kept too."""
    one, came = table.connection[c], segment.arrived[0]
    if came.length == 0:
        return
    one.bits |= table.ACKNOWLEDGE
    skip = max(-ahead, 0)
    place = max(ahead, 0)
    length = min(came.length - skip, table.RECEIVE - one.receive_length - place)
    if length <= 0 or one.bits & table.PEER_FINISHED:
        return
    if one.bits & table.RELEASED:
        one.receive_next = (one.receive_next + (length if place == 0 else 0)) & wire.WORD
        return
    _read(c, int(came.start + skip), int(place), int(length))
    if place > 0:
        _keep(c, (one.receive_next + place) & wire.WORD, length)
    else:
        _deliver(c, length)


def _read(c: int, start: int, place: int, length: int) -> None:
    """Copy bytes of the frame that waits, from `start`, behind what is in the row already, `place` bytes further."""
    one, base = table.connection[c], table.incoming(c)
    gap = wire.since(one.gap_end, one.receive_next) if one.gap_start != one.gap_end else 0
    kept = int(one.receive_length) + gap
    end = max(kept, int(one.receive_length) + place + length)
    one.receive_at = row.settled(table.space, base, int(one.receive_at), kept, end - kept, table.RECEIVE)
    at = base + int(one.receive_at + one.receive_length) + place
    machine.peek(table.space[at : at + length], start)


def _keep(c: int, start: int, length: int) -> None:
    """Remember a stretch behind a gap, if it touches the one that is remembered already or is the first."""
    one = table.connection[c]
    stop = (start + length) & wire.WORD
    if one.gap_start == one.gap_end:
        one.gap_start, one.gap_end = start, stop
    elif wire.since(start, one.gap_end) <= 0 and wire.since(stop, one.gap_start) >= 0:
        one.gap_start = start if wire.since(start, one.gap_start) < 0 else one.gap_start
        one.gap_end = stop if wire.since(stop, one.gap_end) > 0 else one.gap_end


def _deliver(c: int, length: int) -> None:
    """So many bytes in order are in the ring; with them perhaps what waited behind the gap."""
    one = table.connection[c]
    reached = (one.receive_next + length) & wire.WORD
    if one.gap_start != one.gap_end and wire.since(one.gap_start, reached) <= 0:
        more = max(wire.since(one.gap_end, reached), 0)
        one.gap_start = one.gap_end = 0
        length += more
    one.receive_next = (one.receive_next + length) & wire.WORD
    one.receive_length += length
    table.announce(c)


def _finish(c: int) -> None:
    """Take the peer's FIN when everything before it has been taken."""
    one, came = table.connection[c], segment.arrived[0]
    if not came.control & segment.FIN or one.bits & table.PEER_FINISHED:
        return
    one.bits |= table.ACKNOWLEDGE
    if one.receive_next == (came.sequence + came.length) & wire.WORD:
        one.receive_next = (one.receive_next + 1) & wire.WORD
        one.bits |= table.PEER_FINISHED
        table.announce(c)


def settle(c: int) -> None:
    """Let go of a connection that its owner has closed, when both ends have finished."""
    one = table.connection[c]
    if not one.bits & table.RELEASED or not one.bits & table.FIN_ACKNOWLEDGED or one.state != table.OPEN:
        return
    if not one.bits & table.PEER_FINISHED:
        if one.place == 0:
            timers.arm(c, table.stack[0].now + LINGER)
    elif one.bits & table.FIRST_TO_CLOSE:
        one.state = table.TIME_WAIT
        table.release(c)
        timers.arm(c, table.stack[0].now + TIME_WAIT)
    else:
        timers.disarm(c)
        table.forget(c)
