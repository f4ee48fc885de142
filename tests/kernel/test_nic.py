"""The switch: who gets a frame, who is refused, and that nobody can take all buffers."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from denali.isa.virtual import Sent, address_of
from denali.kernel.guest import Guest
from denali.kernel.kernel import Kernel
from denali.kernel.records import State

from .conftest import program
from .programs import RECEIVER, SENDER, SLEEPER


def word(number: int) -> bytes:
    return number.to_bytes(8, "little")


def send(kernel: Kernel, peer: int, times: int = 1, source: str = SENDER) -> tuple[Guest, list[int]]:
    """Run a sender; how often it got each answer of `Sent`."""
    (guest,) = kernel.spawn(program(source), start=False)
    guest.write("peer", word(peer))
    guest.write("times", word(times))
    start = guest.image.object("answers").start
    guest.start()
    assert guest.wait(20)
    counters = guest.metrics()
    assert start
    return guest, [
        counters["frames_sent"],
        counters["sent_to_nobody"],
        counters["sent_to_full"],
    ]


def receiver(kernel: Kernel, enough: int) -> Guest:
    (guest,) = kernel.spawn(program(RECEIVER), start=False)
    guest.write("enough", word(enough))
    guest.start()
    return guest


def test_a_frame_reaches_the_guest_that_its_address_spells(kernel: Kernel) -> None:
    others = kernel.spawn(program(RECEIVER), 3)
    target = receiver(kernel, 5)
    assert send(kernel, target.number, 5)[1] == [5, 0, 0]
    assert target.wait(5)
    assert target.exit_status == 64
    assert target.metrics()["bytes_received"] == 5 * 64
    assert [guest.metrics()["frames_received"] for guest in others] == [0, 0, 0]


GATHERER = SENDER.replace(
    "v.send a2, s0, a1",
    "li a3, 40 << 32\n or a3, a3, s0\n addi a4, s0, 40\n li a5, 24 << 32\n or a4, a4, a5\n v.gather a2, a3, a4",
)
PEEKER = RECEIVER.replace(
    "v.receive a2, a0, a1",
    """li a3, 30 << 32 | 8
        v.peek a4, a0, a3
        beqz a4, take
        la a5, seen
        sd a4, 0(a5)
        ld a4, 0(a0)
        sd a4, 8(a5)
take:   v.receive a2, a0, a1""",
).replace("buffer:", "seen:   .dword 0, 0\nbuffer:")


def test_a_frame_in_two_parts_arrives_as_one(kernel: Kernel) -> None:
    target = receiver(kernel, 3)
    marked = GATHERER.replace("again:", "again: li a1, 77\n sb a1, 39(s0)\n li a1, 78\n sb a1, 40(s0)\n")
    assert send(kernel, target.number, 3, marked)[1] == [3, 0, 0]
    assert target.wait(5)
    assert target.exit_status == 64
    assert target.metrics()["bytes_received"] == 3 * 64


def test_a_look_at_a_frame_leaves_it_there(kernel: Kernel) -> None:
    image = program(PEEKER)
    (target,) = kernel.spawn(image, start=False)
    target.write("enough", word(2))
    target.start()
    marked = SENDER.replace("again:", "again: li a1, 77\n sb a1, 31(s0)\n")
    send(kernel, target.number, 1, marked)
    assert kernel.send(target, bytes(30)) is Sent.QUEUED
    assert kernel.wait([target], 5)
    assert target.metrics()["frames_received"] == 2


@pytest.mark.parametrize(("size", "there"), [(20, 0), (30, 0), (31, 1), (34, 4), (100, 70)])
def test_a_look_beyond_a_frames_end_sees_what_is_there(kernel: Kernel, size: int, there: int) -> None:
    (target,) = kernel.spawn(program(PEEKER), start=False)
    target.write("enough", word(2))
    target.start()
    assert kernel.send(target, bytes(range(size))) is Sent.QUEUED
    deadline = time.monotonic() + 5
    while target.metrics()["frames_received"] < 1 and time.monotonic() < deadline:
        time.sleep(0.001)
    seen = target.read("seen")
    assert int.from_bytes(seen[:8], "little") == there
    assert seen[8 : 8 + min(there, 8)] == bytes(range(size))[30:38]


@pytest.mark.parametrize("peer", [0, 4000, 65535])
def test_nobody_has_that_address(kernel: Kernel, peer: int) -> None:
    assert send(kernel, peer)[1] == [0, 1, 0]


def test_a_guest_that_is_over_gets_nothing(kernel: Kernel) -> None:
    target = receiver(kernel, 1)
    target.kill()
    assert send(kernel, target.number)[1] == [0, 1, 0]


@pytest.mark.parametrize("byte", [6, 7, 8, 9, 10, 11])
def test_a_false_source_address_ends_its_sender(kernel: Kernel, byte: int) -> None:
    target = receiver(kernel, 1)
    lie = SENDER.replace("again:  li a1, 64", f"again:  li a1, 99\n sb a1, {byte}(s0)\n li a1, 64")
    guest, answers = send(kernel, target.number, source=lie)
    assert answers == [0, 0, 0]
    assert "from its own address" in str(guest.message)
    assert target.state is State.IDLE


# Bytes of a frame that differ from a right IPv4 header of 20 bytes and 50 bytes of packet, and the frame's length.
LIES: list[tuple[dict[int, int], int]] = [
    ({26: 11}, 64),  # from somebody else
    ({14: 0x55}, 64),  # not version 4
    ({14: 0x44}, 64),  # a header of 16 bytes
    ({14: 0x4F, 17: 59}, 64),  # a header longer than the packet
    ({17: 51}, 64),  # a packet longer than the frame
    ({16: 1}, 64),
    ({}, 63),
    ({}, 33),  # no room for a header
]


def ipv4_sender(number: int, changes: dict[int, int], length: int) -> str:
    """A sender of frames with an IPv4 header, changed here and there."""
    header = {12: 8, 13: 0, 14: 0x45, 16: 0, 17: 50}
    header |= {26 + index: byte for index, byte in enumerate(address_of(number).to_bytes(4, "big"))} | changes
    stores = "".join(f" li a1, {byte}\n sb a1, {at}(s0)\n" for at, byte in header.items())
    return SENDER.replace("again:  li a1, 64", f"again: {stores} li a1, {length}")


def test_an_ipv4_packet_that_is_what_it_says_arrives(kernel: Kernel) -> None:
    target = receiver(kernel, 1)
    assert send(kernel, target.number, source=ipv4_sender(target.number + 1, {}, 64))[1] == [1, 0, 0]


@pytest.mark.parametrize(("changes", "length"), LIES)
def test_an_ipv4_packet_that_lies_ends_its_sender(kernel: Kernel, changes: dict[int, int], length: int) -> None:
    target = receiver(kernel, 1)
    guest, answers = send(kernel, target.number, source=ipv4_sender(target.number + 1, changes, length))
    assert answers == [0, 0, 0]
    assert "(send: a frame is" in str(guest.message)
    assert target.state is State.IDLE


def test_a_full_queue_refuses_and_both_sides_are_told(kernel: Kernel) -> None:
    (silent,) = kernel.spawn(program(SLEEPER))
    _, (sent, _, full) = send(kernel, silent.number, 500)
    assert sent + full == 500
    assert 0 < sent <= 128
    assert silent.metrics()["missed"] == full


def test_a_sender_that_is_over_leaves_no_debt(kernel: Kernel) -> None:
    (silent,) = kernel.spawn(program(SLEEPER))
    sender, (sent, _, _) = send(kernel, silent.number, 20)
    assert kernel.tables.guests["outstanding"][sender.number] == sent
    silent.kill()
    assert kernel.tables.guests["outstanding"][sender.number] == 0


def test_no_band_of_guests_takes_the_last_buffer(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(packets=4096)
    hoarders = kernel.spawn(program(SLEEPER), 100)
    image = program(SENDER)
    senders = kernel.spawn(image, 100, start=False)
    for sender, hoarder in zip(senders, hoarders, strict=True):
        sender.write("peer", word(hoarder.number))
        sender.write("times", word(300))
    kernel.start(*senders)
    assert kernel.wait(senders, 30)
    assert kernel.metrics()["packets_free"] >= 128
    target = receiver(kernel, 1)
    assert send(kernel, target.number)[1] == [1, 0, 0]
    assert target.wait(5)


def test_the_host_sends_frames_too_within_the_same_limits(kernel: Kernel) -> None:
    (silent,) = kernel.spawn(program(SLEEPER))
    answers = [kernel.send(silent, bytes(60)) for _ in range(200)]
    assert {Sent.QUEUED, Sent.FULL} == set(answers)
    silent.kill()
    assert kernel.send(silent, bytes(60)) is Sent.NOBODY
    for length in (0, 13, 1515):
        with pytest.raises(ValueError, match="14 to 1514"):
            kernel.send(silent, bytes(length))


def test_a_long_frame_is_cut_to_the_buffer_and_an_empty_buffer_takes_nothing(kernel: Kernel) -> None:
    source = RECEIVER.replace("li a1, 1514", "li a1, 0\n v.receive a2, a0, a1\n bnez a2, 1f\n1: li a1, 20")
    (guest,) = kernel.spawn(program(source))
    kernel.send(guest, bytes(range(100)))
    assert guest.wait(5)
    assert guest.exit_status == 20


def test_a_flood_does_not_stop_those_who_talk_to_each_other(kernel: Kernel) -> None:
    (victim,) = kernel.spawn(program(SLEEPER))
    flooders = kernel.spawn(program(SENDER), 50, start=False)
    for guest in flooders:
        guest.write("peer", word(victim.number))
        guest.write("times", word(1 << 40))
        guest.start()
    began = time.monotonic()
    for _ in range(10):
        target = receiver(kernel, 3)
        assert send(kernel, target.number, 3)[1] == [3, 0, 0]
        assert target.wait(10)
    assert time.monotonic() - began < 20
    kernel.kill(*flooders)
