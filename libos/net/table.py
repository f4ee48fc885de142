"""All state of the stack: the connections, their buffers, and how to find them.

A service chooses the sizes at its top level, before it is built: `table.configure(connections=64)`. Every free slot is
on the free list and every other one is in the hash table, with no exception (`conserved` says so in tests).
"""
# pyright: basic

from __future__ import annotations

import numpy as np

from denali.libos import machine

from . import fifo

# States. What RFC 9293 spreads over six states after ESTABLISHED is OPEN with the bits below.
FREE, SYN_SENT, SYN_RECEIVED, OPEN, TIME_WAIT, RESET = range(6)

FINISHING = 1  # our end: a FIN follows what is in the send ring
FIN_ACKNOWLEDGED = 2
PEER_FINISHED = 4  # the other end's FIN has arrived, in order
FIRST_TO_CLOSE = 8  # we finished before the peer did, so TIME-WAIT is ours
RELEASED = 16  # the owner has closed it and will not ask again
ANNOUNCED = 32  # the owner knows it
ACKNOWLEDGE = 64  # send at least an acknowledgment
WANTS_ROOM = 128  # tell the owner when the send ring has room again
PROBE = 256  # ask a peer with a closed window whether it has opened
HELD = 512  # the network had no room for the last segment

_WIDE = (
    *("remote", "user"),
    # Sending: unacknowledged <= send_next <= top in sequence space; the row holds what lies behind the first.
    *("unacknowledged", "send_next", "top", "window_sequence", "window_acknowledgment"),
    # Receiving: the row holds unread bytes up to receive_next, and one stretch behind a gap.
    *("receive_next", "gap_start", "gap_end", "edge"),
    # Time, ns.
    *("smoothed", "variation", "timeout", "timed", "timed_at", "deadline", "expires"),
)
_NARROW = (
    *("remote_port", "port", "state", "bits", "next", "place", "row"),
    *("send_at", "send_length", "segment", "window", "congestion", "threshold", "duplicates"),
    *("receive_at", "receive_length"),
)
CONNECTION = np.dtype([(name, "<i8") for name in _WIDE] + [(name, "<i4") for name in _NARROW])
_STACK = ("now", "free", "hand", "pressed", "ephemeral", "secret", "armed", "spare", "settled")
STACK = np.dtype([(name, "<i8") for name in _STACK])

# What the stack counts: a service may read it, the tests do.
RECEIVED, SENT, BAD_FRAME, BAD_IP, BAD_CHECKSUM, BAD_SEGMENT, REFUSED, CROWDED, RETRANSMITTED, STALE = range(10)

LISTENERS = 4
NONE = -1
MILLISECOND = 1_000_000
LONGEST_HEADERS = 134  # Ethernet, IPv4 and TCP with all options
HEADERS = 224  # of a frame, looked at at once: all headers, and room for some of what follows
FIRST_TIMEOUT = 500 * MILLISECOND  # of a retransmission, before a round trip has been measured


def configure(*, connections: int = 4, receive: int = 1024, send: int = 1024, frame: int = HEADERS) -> None:
    """Size the stack, when the service is built.

    Args:
        connections: at a time.
        receive: bytes that a connection keeps for its owner.
        send: bytes that a connection keeps until the peer has acknowledged them.
        frame: bytes of a frame that are looked at at once; 1514 saves time with large ones, less saves memory.
    """
    global SLOTS, BUCKETS, MSS, RECEIVE, SEND, connection, space, frames, spares, bucket, heap, ready, dirty
    if min(connections, receive, send) < 1 or frame < HEADERS:
        raise ValueError(f"a stack has at least 1 connection, 1 byte in each direction, {HEADERS} bytes of a frame")
    SLOTS = connections
    BUCKETS = 1 << (connections - 1).bit_length()
    MSS = min(1460, receive)
    RECEIVE, SEND = receive, send
    connection = np.zeros(connections, CONNECTION).view(np.recarray)
    space = np.zeros(connections * (send + receive), np.uint8)
    frames = np.zeros(frame + frame % 2, np.uint8)
    spares = np.zeros(connections, np.int32)
    bucket = np.zeros(BUCKETS, np.int32)
    heap = np.zeros(connections, np.int32)
    ready = np.zeros(connections + 2, np.int32)
    dirty = np.zeros(connections + 2, np.int32)


SLOTS = BUCKETS = MSS = RECEIVE = SEND = 0
connection = np.zeros(0, CONNECTION).view(np.recarray)
space = frames = np.zeros(0, np.uint8)
spares = bucket = heap = ready = dirty = np.zeros(0, np.int32)
stack = np.zeros(1, STACK).view(np.recarray)
listening = np.zeros(LISTENERS, np.int64)
counted = np.zeros(10, np.int64)
configure()


def start() -> None:
    """Prepare the free list; does nothing the second time."""
    me = stack[0]
    if me.secret != 0:
        return
    me.secret = machine.random() | 1
    me.ephemeral = me.secret >> 20 & 0x3FFF
    me.now = machine.clock()
    me.free = 1
    for c in range(SLOTS):
        connection[c].next = c + 2 if c + 1 < SLOTS else 0
        connection[c].row = NONE
        spares[c] = SLOTS - 1 - c
    me.spare = SLOTS


def unused() -> bool:
    """Whether there is no connection."""
    chain = 0
    while chain < BUCKETS and bucket[chain] == 0:
        chain += 1
    return chain == BUCKETS


def refresh() -> None:
    """Choose the secrets anew; there is no connection."""
    stack[0].secret = 0
    start()


def bucket_of(remote: int, remote_port: int, port: int) -> int:
    """Which chain holds a connection; the guest's secret keeps others from choosing the chain."""
    mixed = remote ^ remote_port << 16 ^ port ^ (stack[0].secret & 0xFFFFFFFF)
    mixed = (mixed * 0x45D9F3B) & 0xFFFFFFFF
    mixed = ((mixed ^ mixed >> 15) * 0x45D9F3B) & 0xFFFFFFFF
    return int(mixed ^ mixed >> 16) & (BUCKETS - 1)


def find(remote: int, remote_port: int, port: int) -> int:
    """The connection with these ends; -1 when there is none."""
    c = int(bucket[bucket_of(remote, remote_port, port)]) - 1
    while c >= 0:
        one = connection[c]
        if one.remote == remote and one.remote_port == remote_port and one.port == port:
            return c
        c = int(one.next) - 1
    return -1


def allocate(remote: int, remote_port: int, port: int) -> int:
    """A cleared connection with these ends, in no state yet; -1 when all are taken."""
    c = int(stack[0].free) - 1
    if c < 0:
        return -1
    one = connection[c]
    stack[0].free = one.next
    clear(c)
    one.remote, one.remote_port, one.port = remote, remote_port, port
    chain = bucket_of(remote, remote_port, port)
    one.next = int(bucket[chain])
    bucket[chain] = c + 1
    return c


def clear(c: int) -> None:
    """Set what a new connection starts from."""
    one = connection[c]
    stack[0].spare -= 1
    one.row = spares[stack[0].spare]
    one.bits = one.user = one.send_at = one.send_length = one.receive_at = one.receive_length = 0
    one.gap_start = one.gap_end = one.duplicates = one.timed = one.deadline = one.place = one.expires = 0
    one.smoothed = one.variation = one.window = one.window_sequence = one.window_acknowledgment = 0
    one.receive_next = one.edge = one.unacknowledged = one.send_next = one.top = one.timed_at = 0
    one.segment, one.threshold, one.congestion, one.timeout = 536, 1 << 20, 0, FIRST_TIMEOUT


def forget(c: int) -> None:
    """Take `c` out of its chain and give it back; its timer must be off."""
    one = connection[c]
    chain = bucket_of(int(one.remote), int(one.remote_port), int(one.port))
    at = int(bucket[chain]) - 1
    if at == c:
        bucket[chain] = one.next
    else:
        while connection[at].next != c + 1:
            at = int(connection[at].next) - 1
        connection[at].next = one.next
    release(c)
    one.state = FREE
    one.next = stack[0].free
    stack[0].free = c + 1


def release(c: int) -> None:
    """Give the row of a connection to the next that needs one; it neither sends nor receives bytes any more."""
    one = connection[c]
    if one.row != NONE:
        spares[stack[0].spare] = one.row
        stack[0].spare += 1
        one.row = NONE
        one.send_length = one.receive_length = 0


def outgoing(c: int) -> int:
    """Where in `space` the bytes that a connection sends are kept."""
    return int(connection[c].row) * (SEND + RECEIVE)


def incoming(c: int) -> int:
    """Where in `space` the bytes that a connection receives are kept."""
    return outgoing(c) + SEND


def announce(c: int) -> None:
    """Let the owner know that there is news of `c`."""
    fifo.push(ready, c)


def touch(c: int) -> None:
    """Have `output` look at `c` before the guest sleeps."""
    fifo.push(dirty, c)


def conserved() -> bool:
    """Whether every slot is free or findable, exactly once, and every row spare or a connection's."""
    seen, rows = np.zeros(SLOTS, np.int64), np.zeros(SLOTS, np.int64)
    for at in range(int(stack[0].spare)):
        rows[spares[at]] += 1
    for c in range(SLOTS):
        if connection[c].row != NONE:
            rows[connection[c].row] += 1
    c = int(stack[0].free) - 1
    while c >= 0:
        seen[c] += 1
        c = int(connection[c].next) - 1
    for chain in range(BUCKETS):
        c = int(bucket[chain]) - 1
        while c >= 0:
            seen[c] += 1
            c = int(connection[c].next) - 1
    return bool((seen == 1).all() and (rows == 1).all())
