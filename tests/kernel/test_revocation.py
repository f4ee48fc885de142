"""Revocation: asked for, given, taken by force, listed; and what stays whatever happens."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from denali.isa.virtual import FRAMES_AT
from denali.kernel.guest import Guest
from denali.kernel.kernel import Kernel
from denali.kernel.revocation import GUARANTEED

from .conftest import program
from .test_memory import AT, DATA, ON

# Asks for `count` frames, puts them into `array`; tells of it in the first of `answers`.
HOLD = "li a1, {count}\n v.allocate a2, s0, a1\n sd a2, 0(s1)\n"
WAIT = "sleep: li a0, -1\n v.idle zero, a0, zero\n j sleep\n"
# Gives back as many frames as it is asked for, the first of `array` first.
COMPLY = """
        la a0, handler
        sd a0, 56(tp)
        j sleep
handler:ld t0, 72(tp)
        li t1, 80
        bne t0, t1, done
        ld t1, 88(tp)
        {less}
        v.release t2, s0, t1
        sd t2, 8(s1)
done:   v.return zero, zero, zero
"""

ANSWERS = 2 * 4096 + 16 + 512 + 16


def spawn(kernel: Kernel, *parts: str) -> Guest:
    (guest,) = kernel.spawn(program(DATA + "\n".join(parts)))
    while not word(guest, 0):
        assert guest.ending is None, guest.message
    return guest


def word(guest: Guest, index: int) -> int:
    return int.from_bytes(guest.read_memory(guest.image.private_start + ANSWERS + 8 * index, 8), "little")


def held(guest: Guest) -> int:
    return guest.metrics()["extra_held"]


def until(condition: Callable[[], bool]) -> None:
    for _ in range(200_000):
        if condition():
            return
    raise AssertionError("it did not come about")


def test_a_guest_that_complies_chooses_what_it_gives(kernel: Kernel) -> None:
    guest = spawn(kernel, HOLD.format(count=20), COMPLY.format(less=""), WAIT)
    assert kernel.revoke(guest, 5, within=60) == 5
    until(lambda: held(guest) == 15)
    assert word(guest, 1) == 5
    assert guest.metrics()["extra_repossessed"] == 0
    first = int.from_bytes(guest.read_memory(guest.image.private_start + 2 * 4096 + 16, 8), "little")
    assert kernel.tables.frames.holds[(first - FRAMES_AT) // 4096] == 0


def test_who_ignores_it_loses_frames_after_the_deadline_and_finds_them_listed(kernel: Kernel) -> None:
    vector = "la a0, page\n li a1, 16\n sd a1, 8(a0)\n sd a0, 104(tp)\n sw zero, 52(tp)\n"
    guest = spawn(kernel, vector, HOLD.format(count=20), WAIT)
    assert kernel.revoke(guest, 100, within=0.02) == 20 - GUARANTEED
    assert held(guest) == 20
    until(lambda: held(guest) == GUARANTEED)
    kernel.check()
    raw = guest.read_memory(guest.image.private_start, 16 + 8 * 16)
    words = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)]
    assert words[0] == 12
    assert len(set(words[2:14])) == 12
    assert all(kernel.tables.frames.holds[(w - FRAMES_AT) // 4096] == 0 for w in words[2:14])
    assert words[14:] == [0] * 4
    assert guest.ending is None


def test_who_gives_a_part_loses_only_the_rest(kernel: Kernel) -> None:
    guest = spawn(kernel, HOLD.format(count=20), COMPLY.format(less="li t1, 2"), WAIT)
    assert kernel.revoke(guest, 6, within=0.02) == 6
    until(lambda: held(guest) == 14)
    assert guest.metrics()["extra_repossessed"] == 4
    assert word(guest, 1) == 2


@pytest.mark.parametrize("vector", [1, 0x1_0000, (1 << 64) - 8, 1 << 40])
def test_a_vector_that_makes_no_sense_loses_only_the_list(kernel: Kernel, vector: int) -> None:
    guest = spawn(kernel, f"li a0, {vector}\n sd a0, 104(tp)\n sw zero, 52(tp)\n", HOLD.format(count=10), WAIT)
    kernel.revoke(guest, 2, within=0.001)
    until(lambda: held(guest) == 8)
    assert guest.ending is None


def test_a_short_vector_counts_what_it_has_no_room_for(kernel: Kernel) -> None:
    vector = "la a0, page\n li a1, 1\n sd a1, 8(a0)\n sd a0, 104(tp)\n sw zero, 52(tp)\n"
    guest = spawn(kernel, vector, HOLD.format(count=12), WAIT)
    kernel.revoke(guest, 4, within=0.001)
    until(lambda: held(guest) == 8)
    raw = guest.read_memory(guest.image.private_start, 32)
    assert int.from_bytes(raw[:8], "little") == 4
    assert raw[24:] == bytes(8)


def test_a_binding_to_a_taken_frame_is_broken(kernel: Kernel) -> None:
    touch = f"addi a2, s0, 72\n ld a2, 0(a2)\n li a3, {AT | 3}\n v.bind zero, a3, a2\n li a3, {AT}\n sw zero, 52(tp)\n"
    spin = "li a4, 1\n sd a4, 0(a3)\n sd a4, 0(s1)\nspin: ld a4, 0(a3)\n bnez a4, spin\n v.exit zero, zero, zero"
    guest = spawn(kernel, ON, HOLD.format(count=10).replace("sd a2, 0(s1)", ""), touch, spin)
    kernel.revoke(guest, 1, within=0.001)
    assert guest.wait(20)
    assert f"no TLB entry to read {AT:#x}" in (guest.message or "")
    kernel.check()


def test_nothing_new_is_given_while_something_is_asked_back(kernel: Kernel) -> None:
    poll = "sw zero, 52(tp)\nspin: ld a3, 88(tp)\n beqz a3, spin\n li a1, 1\n v.allocate a2, s0, a1\n addi a2, a2, 7\n"
    guest = spawn(kernel, HOLD.format(count=10), poll, "v.exit zero, a2, zero")
    kernel.revoke(guest, 1, within=60)
    assert guest.wait(20)
    assert guest.exit_status == 7


def test_a_guest_can_shrink_and_grow_like_a_balloon(kernel: Kernel) -> None:
    guest = spawn(kernel, HOLD.format(count=40), COMPLY.format(less=""), WAIT)
    assert kernel.allow(guest, 30, within=60) == 10
    until(lambda: held(guest) == 30)
    assert kernel.allow(guest, 200, within=60) == 0
    with pytest.raises(ValueError, match="may hold 0 to"):
        kernel.allow(guest, -1, within=1)


def test_others_notice_nothing_and_the_end_of_a_guest_ends_its_revocation(kernel: Kernel) -> None:
    first, second = (spawn(kernel, "sw zero, 52(tp)\n", HOLD.format(count=20), WAIT) for _ in range(2))
    kernel.revoke(first, 5, within=60)
    kernel.revoke(second, 5, within=0.01)
    first.kill()
    until(lambda: held(second) == 15)
    kernel.check()
    assert kernel.revoke(first, 5, within=1) == 0


def test_flat_memory_and_the_guaranteed_frames_cannot_be_asked_for(kernel: Kernel) -> None:
    guest = spawn(kernel, HOLD.format(count=GUARANTEED), WAIT)
    assert kernel.revoke(guest, 1, within=0.001) == 0
    kernel.check()


def test_by_the_virtual_clock_a_deadline_comes_though_everybody_sleeps(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(clock="virtual")
    guest = spawn(kernel, "sw zero, 52(tp)\n", HOLD.format(count=20), WAIT)
    kernel.revoke(guest, 12, within=3600)
    until(lambda: held(guest) == 8)


def test_a_guest_that_never_asked_for_frames_is_asked_for_none(kernel: Kernel) -> None:
    (guest,) = kernel.spawn(program("sleep: li a0, -1\n v.idle zero, a0, zero\n j sleep\n_start: j sleep"))
    kernel.park(guest)
    assert kernel.revoke(guest, 5, within=1) == 0
    assert kernel.allow(guest, 0, within=1) == 0


# Whoever does these things holds 20 frames, is asked for 12, and is left with the guaranteed 8 or is stopped.
HOSTILE = {
    "is deaf: no handler, all events masked, computes": "sw zero, 52(tp)\n" + HOLD.format(count=20) + "spin: j spin",
    "says in its registers page that nothing is asked": HOLD.format(count=20)
    + "lie: sd zero, 88(tp)\n li a0, -1\n srli a0, a0, 1\n sd a0, 96(tp)\n sw zero, 48(tp)\n j lie",
    "claims in its vector that all is there already": "la a0, page\n li a1, -1\n sd a1, 0(a0)\n sd a1, 8(a0)\n"
    "sd a0, 104(tp)\n" + HOLD.format(count=20) + WAIT,
    "has its vector in its own registers page": "sd tp, 104(tp)\n" + HOLD.format(count=20) + WAIT,
    "never leaves its handler": "la a0, handler\n sd a0, 56(tp)\n"
    + HOLD.format(count=20)
    + WAIT
    + "handler: j handler",
    "traps in its handler": "la a0, handler\n sd a0, 56(tp)\n"
    + HOLD.format(count=20)
    + WAIT
    + "handler: ld a0, 0(zero)",
    "asks for more in its handler, for ever": "la a0, handler\n sd a0, 56(tp)\n"
    + HOLD.format(count=20)
    + WAIT
    + "handler: li a1, 20\n addi a3, s0, 256\n v.allocate a2, a3, a1\n j handler",
    "turns its virtual MMU on and off meanwhile": HOLD.format(count=20) + "la a1, wired\n la a0, other\n sd a0, 0(a1)\n"
    "turn: li a0, 16\n la a1, wired\n v.mmu a2, a0, a1\n v.mmu a2, zero, zero\n j turn",
    "offers what it is to give, again and again": HOLD.format(count=20)
    + "offer: ld a0, 0(s0)\n addi a0, a0, 3\n li a1, 1\n v.share a2, a0, a1\n j offer",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_guest_is_left_with_what_is_guaranteed_or_is_stopped(kernel: Kernel, what: str) -> None:
    (neighbour,) = kernel.spawn(program("count: addi a0, a0, 1\n v.yield zero, zero, zero\n j count\n_start: j count"))
    good = spawn(kernel, "sw zero, 52(tp)\n", HOLD.format(count=20), WAIT)
    guest = spawn(kernel, HOSTILE[what])
    free = kernel.metrics()["frames_free"]
    assert kernel.allow(guest, GUARANTEED, within=0.02) == 20 - GUARANTEED
    until(lambda: guest.ending is not None or held(guest) == GUARANTEED)
    if guest.ending is not None:
        assert "load access fault at 0x0" in (guest.message or "")
    until(lambda: kernel.metrics()["frames_free"] >= free + 12)
    turns = neighbour.metrics()["turns"]
    until(lambda: neighbour.metrics()["turns"] > turns)
    assert held(good) == 20
    kernel.check()
    guest.kill()
    kernel.check()
