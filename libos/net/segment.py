"""TCP headers (RFC 9293, 3.1): reading one that arrived, writing one to send."""
# pyright: basic

from __future__ import annotations

import numpy as np

from denali.libos import machine

from . import ip, table, wire

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SMALLEST_MSS = 64  # a peer that asks for less would have us send more headers than bytes

_WIDE = ("remote", "sequence", "acknowledgment")
_NARROW = ("remote_port", "port", "control", "window", "mss", "start", "length")
SEGMENT = np.dtype([(name, "<i8") for name in _WIDE] + [(name, "<i4") for name in _NARROW])
arrived = np.zeros(1, SEGMENT).view(np.recarray)


def parse(start: int, length: int) -> bool:
    """Read the segment at `start` of the frame into `arrived`; false, and counted, when it is not well formed."""
    frame = table.frames
    header = 4 * (int(frame[start + 12]) >> 4) if length >= 20 else 0
    if header < 20 or header > length:
        table.counted[table.BAD_SEGMENT] += 1
        return False
    one = arrived[0]
    one.remote = wire.get32(frame, 26)
    one.remote_port = wire.get16(frame, start)
    one.port = wire.get16(frame, start + 2)
    one.sequence = wire.get32(frame, start + 4)
    one.acknowledgment = wire.get32(frame, start + 8)
    one.control = int(frame[start + 13]) & 0x1F
    one.window = wire.get16(frame, start + 14)
    one.start = start + header
    one.length = length - header
    one.mss = _mss(start + 20, start + header)
    if wire.checksum(_pseudo_header(int(one.remote), length) + _sum(start, length)) != 0:
        table.counted[table.BAD_CHECKSUM] += 1
        return False
    return True


def _sum(start: int, length: int) -> int:
    """The sum of the words of the segment; what is not here yet comes piece by piece behind the headers."""
    frame, size = table.frames, len(table.frames)
    value = wire.total(frame, start, min(length, size - start))
    at, stop = size, start + length
    while at < stop:
        machine.peek(frame[table.LONGEST_HEADERS :], at)
        value += wire.total(frame, table.LONGEST_HEADERS, min(stop - at, size - table.LONGEST_HEADERS))
        at += size - table.LONGEST_HEADERS
    return value


def _mss(at: int, stop: int) -> int:
    """The maximum segment size that the options give, within reason; options that make no sense end the search."""
    frame = table.frames
    while at + 1 < stop and frame[at] != 0:
        kind = int(frame[at])
        length = int(frame[at + 1]) if kind != 1 else 1
        if length == 0 or (length == 1 and kind != 1) or at + length > stop:
            break
        if kind == 2 and length == 4:
            return min(max(wire.get16(frame, at + 2), SMALLEST_MSS), 1460)
        at += length
    return 536


def _pseudo_header(remote: int, length: int) -> int:
    """The sum over the addresses, the protocol and the length (the same in both directions)."""
    here = machine.address()
    return (remote >> 16) + (remote & 0xFFFF) + (here >> 16) + (here & 0xFFFF) + ip.TCP + length


def send(
    remote: int, ports: int, sequence: int, acknowledgment: int, flags: int, window: int, at: int = 0, length: int = 0
) -> int:
    """Send a segment with `length` bytes of the rows from `at`; `ports` is ours << 16 | theirs."""
    frame = table.frames
    header = 24 if flags & SYN else 20
    wire.put32(frame, ip.PAYLOAD, ports)
    wire.put32(frame, ip.PAYLOAD + 4, sequence)
    wire.put32(frame, ip.PAYLOAD + 8, acknowledgment)
    wire.put16(frame, ip.PAYLOAD + 12, header << 10 | flags)
    wire.put16(frame, ip.PAYLOAD + 14, window)
    wire.put32(frame, ip.PAYLOAD + 16, 0)
    if flags & SYN:
        wire.put32(frame, ip.PAYLOAD + 20, 0x02040000 | table.MSS)
    value = _pseudo_header(remote, header + length) + wire.total(frame, ip.PAYLOAD, header)
    value += wire.total(table.space, at, length)
    wire.put16(frame, ip.PAYLOAD + 16, wire.checksum(value))
    return ip.send(remote, ip.TCP, header, at, length)


def refuse() -> None:
    """Answer the segment that arrived with a reset (RFC 9293, 3.5.2); a reset is never answered."""
    one = arrived[0]
    if one.control & RST:
        return
    table.counted[table.REFUSED] += 1
    ports = int(one.port) << 16 | int(one.remote_port)
    if one.control & ACK:
        send(int(one.remote), ports, int(one.acknowledgment), 0, RST, 0)
        return
    spoken = one.length + (1 if one.control & SYN else 0) + (1 if one.control & FIN else 0)
    send(int(one.remote), ports, 0, int(one.sequence + spoken), RST | ACK, 0)
