"""Hostile guests among good ones: each harms only itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from denali.kernel.guest import Guest
from denali.kernel.kernel import Kernel
from denali.kernel.records import End

from .conftest import program
from .programs import ECHO, RECEIVER, SENDER, SLEEPER, SPIN, TRAPS

RECURSION = "_start: addi sp, sp, -16\n sd ra, 0(sp)\n call _start"
SCRIBBLER = """
_start: ld a0, 24(tp)
        ld a1, 16(tp)
        add a1, a1, a0
again:  sd a0, 0(a0)
        addi a0, a0, 8
        bltu a0, a1, again
        sd a0, 0(a0)
"""
CHATTER = "_start: ld a0, 24(tp)\n li a1, 4096\nmore: v.console a2, a0, a1\n j more"
YIELDER = "_start: v.yield zero, zero, zero\n j _start"
WAKER = "_start: v.clock a0, zero, zero\n addi a0, a0, 1\n v.idle zero, a0, zero\n sw zero, 48(tp)\n j _start"
ENDLESS = [SPIN, CHATTER, YIELDER, WAKER, "_start: v.send a0, sp, zero\n j _start"]
HOSTILE = [*TRAPS.values(), RECURSION, SCRIBBLER, *ENDLESS]
WORKER = """
        .data
done:   .dword 0
        .text
_start: li s0, 50
again:  v.clock a0, zero, zero
        li a1, 200000
        add a0, a0, a1
        v.idle zero, a0, zero
        sw zero, 48(tp)
        la a2, done
        ld a3, 0(a2)
        addi a3, a3, 1
        sd a3, 0(a2)
        addi s0, s0, -1
        bnez s0, again
        la a2, done
        ld a3, 0(a2)
        v.exit zero, a3, zero
"""


def mix(kernel: Kernel, count: int) -> None:
    """`count` hostile guests among as many good ones: all good ones finish their work unharmed."""
    good, hostile = list[Guest](), list[Guest]()
    for index in range(count):
        hostile += kernel.spawn(program(HOSTILE[index % len(HOSTILE)]), memory=16384, turn=20_000)
        good += kernel.spawn(program(WORKER), memory=8192)
    assert kernel.wait(good, 120)
    assert {guest.exit_status for guest in good} == {50}
    over = [guest for guest in hostile if guest.ending is not None]
    assert all(f"guest {g.number} (program): " in str(g.message) for g in over)
    assert {g.ending.end for g in over if g.ending} == {End.TRAPPED}
    kernel.kill(*hostile)


def test_a_hundred_hostile_guests_among_a_hundred_good_ones(kernel: Kernel) -> None:
    mix(kernel, 100)


@pytest.mark.full
def test_a_thousand_hostile_guests_among_a_thousand_good_ones(kernel: Kernel) -> None:
    mix(kernel, 1000)


@pytest.mark.parametrize("source", [RECURSION, SCRIBBLER])
def test_overrunning_memory_stops_at_its_end(kernel: Kernel, source: str) -> None:
    left, bad, right = (kernel.spawn(program(s), memory=8192)[0] for s in (SLEEPER, source, SLEEPER))
    seen = [g.read_memory(g.image.private_start, g.memory - 128) for g in (left, right)]
    assert bad.wait(10)
    assert "access fault" in str(bad.message)
    assert [g.read_memory(g.image.private_start, g.memory - 128) for g in (left, right)] == seen


def test_a_guest_that_lies_about_its_registers_page_confuses_only_itself(kernel: Kernel) -> None:
    lie = (
        "_start: li a0, -1\n"
        + "\n".join(f"sd a0, {n}(tp)" for n in range(0, 128, 8))
        + "\nv.yield zero, zero, zero\necall"
    )
    (liar,) = kernel.spawn(program(lie))
    assert liar.wait(5)
    assert "guest 1 (program): " in str(liar.message)
    (after,) = kernel.spawn(program("_start: lw a0, 8(tp)\nv.exit zero, a0, zero"))
    assert after.wait(5)
    assert after.exit_status == after.number


def test_those_who_wake_each_other_all_the_time_do_not_starve_those_who_compute(kernel: Kernel) -> None:
    kernel.spawn(program(WAKER), 50)
    (worker,) = kernel.spawn(
        program("_start: li a0, 3000000\n1: addi a0, a0, -1\n bnez a0, 1b\n v.exit zero, a0, zero")
    )
    assert worker.wait(30)


def test_killing_during_everything_loses_nothing(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(gateway=program(ECHO, "gateway"))
    stop = threading.Event()

    def knock() -> None:
        while not stop.is_set():
            for guest in kernel.guests()[1:]:
                try:
                    guest.request(b"x", timeout=5)
                except (ConnectionError, TimeoutError):
                    continue

    thread = threading.Thread(target=knock)
    thread.start()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        guests = [g for s in (SLEEPER, SPIN, SENDER, RECEIVER, CHATTER, WAKER) for g in kernel.spawn(program(s), 3)]
        kernel.check()
        kernel.kill(*guests[::2])
        kernel.check()
        kernel.kill(*guests)
    stop.set()
    thread.join()
