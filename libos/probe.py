"""The probe: a guest that has every guest of a range answer one HTTP request over the virtual network.

The host writes `first`, `count` and `port` before it starts the guest. The probe writes a record of eight bytes to its
console for every guest: which of the range, and the ns from connecting to the end of the answer. Records go out
`TOLD_AT_ONCE` together, and whatever there is every second and at the end.
"""
# pyright: basic

from __future__ import annotations

import numpy as np

from denali.isa.virtual import address_of
from denali.libos import machine
from denali.libos.net import tcp

AT_ONCE = 64
TOLD_AT_ONCE = 128
SECOND = 1_000_000_000
LIMIT = 10 * SECOND  # for one answer
FAILED = 0xFFFFFFFF
REQUEST = b"GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n"
EXPECTED = b"HTTP/1.1 200 "

tcp.configure(connections=2 * AT_ONCE, receive=1460, send=128, frame=1514)

first = np.zeros(1, np.int64)  # number of the first guest to ask
count = np.zeros(1, np.int64)  # how many
port = np.zeros(1, np.int64)
asked = np.zeros(1, np.int64)
answered = np.zeros(1, np.int64)
failed = np.zeros(1, np.int64)
told = np.zeros((TOLD_AT_ONCE, 2), np.uint32)  # the records: index in the range, ns or FAILED
untold = np.zeros(1, np.int64)  # how many of them have not been written yet

request = np.frombuffer(REQUEST, np.uint8)
begun = np.zeros(2 * AT_ONCE, np.int64)  # when each connection began; zero: it is not ours
right = np.zeros(2 * AT_ONCE, np.int8)  # whether its answer began as expected
sweep = np.zeros(1, np.int64)  # when to look next for those who never answer
buffer = np.zeros(1460, np.uint8)


def main() -> int:
    """Ask everybody; 0 when all have answered."""
    if asked[0] == 0:
        sweep[0] = machine.clock() + SECOND
    total = int(count[0])
    while answered[0] + failed[0] < total:
        while asked[0] < total and asked[0] - answered[0] - failed[0] < AT_ONCE:
            _ask(int(asked[0]))
            asked[0] += 1
        c = tcp.wait(int(sweep[0]))
        if c >= 0:
            _listen(c)
        if machine.clock() >= sweep[0]:
            _give_up()
    _write()
    return 0 if failed[0] == 0 else 1


def _ask(index: int) -> None:
    """Begin the request to one guest."""
    c = tcp.connect(address_of(int(first[0]) + index), int(port[0]))
    if c < 0:
        _tell(index, FAILED)
        return
    tcp.set_user(c, index)
    begun[c] = max(machine.clock(), 1)
    right[c] = 0
    tcp.send(c, request, len(request))


def _listen(c: int) -> None:
    """Read what a guest answers; the end of it counts."""
    if begun[c] == 0:
        return
    length = tcp.peek(c, buffer)
    if length == tcp.NOTHING or (0 < length < len(EXPECTED) and right[c] == 0 and not tcp.peer_finished(c)):
        return
    while length > 0:
        right[c] |= 1 if _is_expected(length) else 0
        tcp.consume(c, length)
        length = tcp.peek(c, buffer)
    if length < 0:
        _note(c, length == tcp.END and right[c] != 0)
        tcp.close(c)


def _is_expected(length: int) -> bool:
    """Whether the buffer begins with the status line of success."""
    if length < len(EXPECTED):
        return False
    for i in range(len(EXPECTED)):  # noqa: SIM110 (a generator would need a heap)
        if buffer[i] != EXPECTED[i]:
            return False
    return True


def _note(c: int, success: bool) -> None:
    """Write down how a request went."""
    took = machine.clock() - begun[c]
    begun[c] = 0
    _tell(tcp.user(c), min(took, FAILED - 1) if success else FAILED)


def _tell(index: int, took: int) -> None:
    """Count an outcome and note its record."""
    if took == FAILED:
        failed[0] += 1
    else:
        answered[0] += 1
    told[untold[0], 0], told[untold[0], 1] = index, took
    untold[0] += 1
    if untold[0] == TOLD_AT_ONCE:
        _write()


def _write() -> None:
    """Write the records that wait, in as many turns as the console wants."""
    records = told.reshape(-1).view(np.uint8)[: untold[0] * 8]
    done = machine.console(records)
    while done < len(records):
        machine.yield_()
        done += machine.console(records[done:])
    untold[0] = 0


def _give_up() -> None:
    """Let go of those who have been silent for too long, and look again in a while."""
    now = machine.clock()
    sweep[0] = now + SECOND
    _write()
    for c in range(len(begun)):
        if begun[c] != 0 and now - begun[c] > LIMIT:
            _note(c, False)
            tcp.abort(c)
