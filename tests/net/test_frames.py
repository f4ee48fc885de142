"""Frames from strangers: bytes known by heart are answered right, and no bytes at all can hurt the stack."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denali.isa.virtual import Sent

from .client import Client, request
from .world import Guest, World, fresh

HELLO = "denali.examples.hello"

# An echo request of 10.1.0.1 to 10.1.0.2 with the payload "abcd", put together by hand; `addressed` and
# `sealed` add the checksums.
PING = bytes.fromhex(
    "02000a010002 02000a010001 0800"
    "4500 0020 0000 4000 40 01 0000 0a010001 0a010002"
    "08 00 0000 0102 0003 61626364"
)  # fmt: skip
# A SYN from port 1000 to port 80, sequence 1, window 1000, without options.
SYN = bytes.fromhex(
    "02000a010002 02000a010001 0800"
    "4500 0028 0000 4000 40 06 0000 0a010001 0a010002"
    "03e8 0050 00000001 00000000 5002 03e8 0000 0000"
)  # fmt: skip

wire, checksums = fresh("wire", "segment")


def summed(data: bytes) -> int:
    """RFC 1071, written once more: the ones' complement sum of 16-bit words, a whole number at a time."""
    total = sum(int.from_bytes((data + b"\0")[i : i + 2], "big") for i in range(0, len(data), 2))
    return total % 0xFFFF or (0xFFFF if total else 0)


def addressed(frame: bytes) -> bytes:
    """The frame with the right checksum of IPv4 (for a header without options)."""
    frame = frame[:24] + b"\0\0" + frame[26:]
    return frame[:24] + (0xFFFF - summed(frame[14:34])).to_bytes(2, "big") + frame[26:]


def sealed(frame: bytes) -> bytes:
    """The frame with right checksums of IPv4 and TCP (for a header without options)."""
    whole = bytearray(addressed(frame))
    segment = whole[34 : 14 + int.from_bytes(whole[16:18], "big")]
    segment[16:18] = b"\0\0"
    pseudo = bytes(whole[26:34]) + b"\0\6" + len(segment).to_bytes(2, "big")
    whole[50:52] = (0xFFFF - summed(pseudo + bytes(segment))).to_bytes(2, "big")
    return bytes(whole)


@pytest.fixture
def server() -> Guest:
    world = World()
    world.answer = lambda frame: Sent.QUEUED
    guest = world.guest(2, HELLO)
    guest.work()
    return guest


def taken(server: Guest, *frames: bytes) -> list[bytes]:
    """What the server sends when these frames arrive."""
    before = len(server.sent)
    for frame in frames:
        server.deliver(frame)
    server.work()
    return server.sent[before:]


@given(st.binary(max_size=100))
def test_the_checksum_is_that_of_the_standard(data: bytes) -> None:
    total = wire.total(np.frombuffer(data, np.uint8), 0, len(data))
    assert wire.checksum(total) == 0xFFFF - summed(data)


def test_a_ping_is_answered_with_the_same_bytes(server: Guest) -> None:
    frame = addressed(PING[:36] + (0xFFFF - summed(PING[34:36] + PING[38:])).to_bytes(2, "big") + PING[38:])
    (answer,) = taken(server, frame)
    assert answer[:12] == frame[6:12] + frame[:6]
    assert answer[26:34] == frame[30:34] + frame[26:30]
    assert answer[34:36] == b"\0\0"
    assert answer[38:] == frame[38:]
    assert summed(answer[14:34]) == summed(answer[34:]) == 0xFFFF


def test_a_syn_is_answered_with_a_syn_that_acknowledges_it(server: Guest) -> None:
    (answer,) = taken(server, sealed(SYN))
    assert answer[34:38] == bytes.fromhex("005003e8")
    assert int.from_bytes(answer[42:46], "big") == 2
    assert answer[47] == 0x12
    assert answer[54:58] == bytes.fromhex("02040400")
    assert summed(answer[14:34]) == 0xFFFF


def test_a_segment_for_a_closed_port_is_answered_with_a_reset(server: Guest) -> None:
    (answer,) = taken(server, sealed(SYN[:37] + b"\x51" + SYN[38:]))
    assert answer[47] == 0x14
    assert int.from_bytes(answer[42:46], "big") == 2


def changed(at: int, data: bytes) -> bytes:
    return SYN[:at] + data + SYN[at + len(data) :]


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        (SYN[:33], "BAD_FRAME"),
        (changed(12, b"\x08\x06"), "BAD_FRAME"),
        (changed(14, b"\x60"), "BAD_IP"),
        (changed(14, b"\x44"), "BAD_IP"),
        (changed(14, b"\x4f"), "BAD_IP"),
        (changed(16, b"\xff\xff"), "BAD_IP"),
        (changed(16, b"\x00\x00"), "BAD_IP"),
        (changed(20, b"\x20\x00"), "BAD_IP"),
        (changed(20, b"\x00\x01"), "BAD_IP"),
        (sealed(changed(33, b"\x03")), "BAD_IP"),
        (sealed(changed(29, b"\x02")), "BAD_IP"),
        (SYN, "BAD_CHECKSUM"),
        (sealed(SYN)[:50] + b"\1\1" + SYN[52:], "BAD_CHECKSUM"),
        (sealed(changed(46, b"\x40")), "BAD_SEGMENT"),
        (sealed(changed(46, b"\xf0")), "BAD_SEGMENT"),
        (sealed(changed(16, b"\x00\x20")), "BAD_SEGMENT"),
    ],
)
def test_what_is_malformed_is_counted_and_dropped(server: Guest, frame: bytes, counter: str) -> None:
    assert taken(server, frame) == []
    assert server.table.counted[getattr(server.table, counter)] == 1


@pytest.mark.parametrize(
    "options", ["00000000", "02000000", "0201ffff", "02ff0000", "02040000", "0101 0204", "ff00ff00"]
)
def test_absurd_options_are_read_as_none(server: Guest, options: str) -> None:
    frame = changed(46, b"\x60") + bytes.fromhex(options)
    frame = sealed(frame[:16] + (44).to_bytes(2, "big") + frame[18:])
    (answer,) = taken(server, frame)
    assert answer[47] == 0x12
    open_ = server.table.connection[server.table.connection["state"] == server.table.SYN_RECEIVED]
    assert open_["segment"][0] in (64, 536)


@settings(max_examples=200, deadline=None)
@given(frames=st.lists(st.binary(max_size=1514), max_size=5))
def test_garbage_is_dropped(frames: list[bytes]) -> None:
    world = World()
    guest = world.guest(2, HELLO)
    guest.work()
    taken(guest, *(frame for frame in frames if frame))
    guest.check()


@settings(max_examples=200, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(34, 60), st.integers(0, 255), st.booleans(), st.integers(0, 40)), min_size=1, max_size=8
    ),
    ports=st.integers(1000, 1003),
)
def test_nothing_a_stranger_sends_with_right_checksums_breaks_the_law_of_the_table(
    changes: list[tuple[int, int, bool, int]], ports: int
) -> None:
    world = World()
    world.answer = lambda frame: Sent.QUEUED
    guest = world.guest(2, HELLO)
    guest.work()
    frame = bytearray(sealed(SYN))
    for at, byte, keep, length in changes:
        mutated = bytearray(frame[:54] + bytes(length))
        mutated[16:18] = (40 + length).to_bytes(2, "big")
        mutated[34:38] = ports.to_bytes(2, "big") + b"\0\x50"
        mutated[min(at, len(mutated) - 1)] = byte
        if keep:
            frame = mutated
        taken(guest, sealed(bytes(mutated)))
        guest.check()
    world.run(limit_s=100)
    guest.check()
    assert (guest.table.connection["state"] <= guest.table.OPEN).all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_forger_who_sees_every_frame_cannot_break_more_than_the_connection(data: st.DataObject) -> None:
    world = World()
    world.guest(2, HELLO)
    client = world.guest(1)
    one = Client(world, client)
    one.say(b"GET / HTTP/1.1\r\n")
    for _ in range(data.draw(st.integers(1, 6))):
        frame = bytearray(data.draw(st.sampled_from(world.log)))
        frame[data.draw(st.integers(34, len(frame) - 1))] = data.draw(st.integers(0, 255))
        world.carry(sealed(bytes(frame)))
        world.run(limit_s=0.01)
        for guest in world.guests.values():
            guest.check()
    client.do(client.tcp.abort, one.connection)
    world.run()
    fresh_one = Client(world, client)
    fresh_one.say(request("GET", "/"))
    assert b"Hello" in fresh_one.heard


def test_spoofed_syns_fill_no_table() -> None:
    world = World()
    world.answer = lambda frame: Sent.QUEUED if frame[4:6] == b"\xee\xee" else -1
    server, client = world.guest(2, HELLO), world.guest(1)
    server.work()
    for port in range(500):
        forged = changed(28, b"\xee\xee")
        taken(server, sealed(forged[:34] + (1024 + port).to_bytes(2, "big") + forged[36:]))
        server.check()
    one = Client(world, client)
    one.say(request("GET", "/"))
    assert b"Hello" in one.heard
    one.close()
    world.run()
    assert (server.table.connection["state"] == server.table.FREE).all()
