"""Ethernet frames and IPv4 datagrams (RFC 791), and the answer to a ping (RFC 792).

A frame that arrives stays with the network until it has been dealt with; here are only its first bytes, all headers
among them, and later in their place the headers of what is sent. No ARP: a guest's hardware address is 02:00 followed
by its IPv4 address.
"""
# pyright: basic

from __future__ import annotations

from denali.libos import machine

from . import table, wire

ICMP, TCP = 1, 6
ETHERTYPE_IPV4 = 0x0800
DATAGRAM = 14  # where the IPv4 header starts in a frame
PAYLOAD = 34  # where what we send starts, as we send no options
ECHO_REQUEST = 8


def send(destination: int, protocol: int, header: int, at: int, length: int) -> int:
    """Send the `header` bytes at `PAYLOAD` and `length` bytes of the rows to another guest; a number of `Sent`."""
    source, frame = machine.address(), table.frames
    wire.put16(frame, 0, 0x0200)
    wire.put32(frame, 2, destination)
    wire.put16(frame, 6, 0x0200)
    wire.put32(frame, 8, source)
    wire.put16(frame, 12, ETHERTYPE_IPV4)
    wire.put16(frame, 14, 0x4500)
    wire.put16(frame, 16, 20 + header + length)
    wire.put32(frame, 18, 0x4000)  # no identification, don't fragment
    wire.put16(frame, 22, 64 << 8 | protocol)
    wire.put16(frame, 24, 0)
    wire.put32(frame, 26, source)
    wire.put32(frame, 30, destination)
    wire.put16(frame, 24, wire.checksum(wire.total(frame, DATAGRAM, 20)))
    table.counted[table.SENT] += 1
    return machine.gather(frame, PAYLOAD + header, table.space[at : at + length])


def payload_of(received: int) -> int:
    """Check the frame of `received` bytes: start of its payload << 16 | length, or -1 for what we do not take."""
    frame = table.frames
    if received < PAYLOAD or wire.get16(frame, 12) != ETHERTYPE_IPV4:
        return _drop(table.BAD_FRAME)
    header = 4 * (int(frame[DATAGRAM]) & 15)
    length = wire.get16(frame, 16)
    if frame[DATAGRAM] >> 4 != 4 or header < 20 or length < header or DATAGRAM + length > received:
        return _drop(table.BAD_IP)
    here = machine.address()
    if wire.get16(frame, 20) & 0x3FFF or wire.get32(frame, 30) != here or wire.get32(frame, 26) == here:
        return _drop(table.BAD_IP)  # a fragment, not for us, or said to be from us
    if wire.checksum(wire.total(frame, DATAGRAM, header)) != 0:
        return _drop(table.BAD_CHECKSUM)
    return (DATAGRAM + header) << 16 | (length - header)


def echo(start: int, length: int) -> None:
    """Answer an echo request of which every byte is here; drop every other control message."""
    frame = table.frames
    if length < 8 or start + length > len(frame) or wire.checksum(wire.total(frame, start, length)) != 0:
        _drop(table.BAD_IP)
        return
    if frame[start] != ECHO_REQUEST:
        _drop(table.BAD_IP)
        return
    asker = wire.get32(frame, 26)
    for i in range(length if start != PAYLOAD else 0):  # the request had IP options, the answer has none
        frame[PAYLOAD + i] = frame[start + i]
    wire.put16(frame, PAYLOAD, 0)
    wire.put16(frame, PAYLOAD + 2, 0)
    wire.put16(frame, PAYLOAD + 2, wire.checksum(wire.total(frame, PAYLOAD, length)))
    send(asker, ICMP, length, 0, 0)


def _drop(why: int) -> int:
    table.counted[why] += 1
    return -1
