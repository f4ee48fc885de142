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
        counters["sent_to_nobody"] + counters["sent_spoofed"],
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


@pytest.mark.parametrize("peer", [0, 4000, 65535])
def test_nobody_has_that_address(kernel: Kernel, peer: int) -> None:
    assert send(kernel, peer)[1] == [0, 1, 0]


def test_a_guest_that_is_over_gets_nothing(kernel: Kernel) -> None:
    target = receiver(kernel, 1)
    target.kill()
    assert send(kernel, target.number)[1] == [0, 1, 0]


@pytest.mark.parametrize("byte", [6, 7, 8, 9, 10, 11])
def test_a_false_source_address_goes_nowhere(kernel: Kernel, byte: int) -> None:
    target = receiver(kernel, 1)
    lie = SENDER.replace("again:  li a1, 64", f"again:  li a1, 99\n sb a1, {byte}(s0)\n li a1, 64")
    guest, answers = send(kernel, target.number, source=lie)
    assert answers == [0, 1, 0]
    assert guest.exit_status == Sent.NOBODY
    assert guest.metrics()["sent_spoofed"] == 1
    assert target.state is State.IDLE


@pytest.mark.parametrize(("source_ip", "length", "arrives"), [(None, 64, True), (0, 64, False), (None, 33, False)])
def test_a_false_ipv4_source_goes_nowhere(kernel: Kernel, source_ip: int | None, length: int, arrives: bool) -> None:
    target = receiver(kernel, 1)
    claimed = address_of(target.number + 1) if source_ip is None else source_ip
    stores = "li a1, 8\n sb a1, 12(s0)\n sb zero, 13(s0)\n"
    for index, byte in enumerate(claimed.to_bytes(4, "big")):
        stores += f" li a1, {byte}\n sb a1, {26 + index}(s0)\n"
    source = SENDER.replace("again:  li a1, 64", f"again: {stores} li a1, {length}")
    assert (send(kernel, target.number, source=source)[1] == [1, 0, 0]) is arrives


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
