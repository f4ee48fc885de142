"""Misses are upcalls: the guest's own handler binds the page, and the access is made again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from denali.kernel.kernel import Kernel

from .conftest import program
from .test_memory import AT, DATA, EXIT, FOUR, ON, run, status

# Binds the page that was missed to the next of the four frames, with all rights; counts in s3. Uses t0 to t3.
HANDLER = """
handler:
        ld t0, 80(tp)
        li t1, -4096
        and t0, t0, t1
        ori t0, t0, {rights}
        slli t2, s3, 3
        add t2, t2, s0
        ld t2, 0(t2)
        v.bind zero, t0, t2
        addi s3, s3, 1
        v.return zero, zero, zero
"""
READY = ON + FOUR + "li s3, 0\n la a0, handler\n sd a0, 56(tp)\n"


def test_a_miss_is_bound_by_the_guest_and_the_access_made_again(kernel: Kernel) -> None:
    work = f"li a3, {AT}\n li a4, 77\n sd a4, 8(a3)\n ld a5, 8(a3)\n slli a6, s3, 8\n or a5, a5, a6\n"
    assert status(kernel, READY, work, "v.exit zero, a5, zero", HANDLER.format(rights=3)) == 1 << 8 | 77


def test_an_access_across_two_pages_misses_both(kernel: Kernel) -> None:
    work = f"li a3, {AT + 4092}\n li a4, 0x123456789\n sd a4, 0(a3)\n ld a5, 0(a3)\n sub a5, a5, a4\n add a5, a5, s3\n"
    assert status(kernel, READY, work, "v.exit zero, a5, zero", HANDLER.format(rights=3)) == 2


def test_a_store_to_a_page_bound_for_reading_misses_again(kernel: Kernel) -> None:
    work = f"li a3, {AT}\n ld a4, 0(a3)\n sd a4, 0(a3)\n v.exit zero, s3, zero"
    guest = run(kernel, READY, work, HANDLER.format(rights=1), fuel=10_000)
    assert guest.message is not None  # read-only again and again: the four frames are soon used up
    assert guest.metrics()["events"] >= 4


def test_code_in_a_bound_page_runs_if_the_right_is_given(kernel: Kernel) -> None:
    word = 0x00008067  # ret
    work = f"li a3, {AT}\n li a4, {word}\n sw a4, 0(a3)\n fence.i\n jalr ra, 0(a3)\n v.exit zero, s3, zero"
    assert status(kernel, READY, work, HANDLER.format(rights=7)) == 1
    bound = f"li a3, {AT | 3}\n v.bind zero, a3, s2\n li a3, {AT}\n jalr ra, 0(a3)\n"
    message = run(kernel, ON, FOUR, bound, EXIT).message or ""
    assert f"no TLB entry to execute {AT:#x}" in message


@pytest.mark.parametrize(("access", "kind"), [("ld a4, 16(a3)", "read"), ("sd a4, 16(a3)", "write")])
def test_what_if_the_handler_misses_too(kernel: Kernel, access: str, kind: str) -> None:
    handler = f"handler: li a3, {AT + 0x5000}\n {access}\n v.return zero, zero, zero"
    message = run(kernel, READY, f"li a3, {AT}\n ld a4, 0(a3)", EXIT, handler).message or ""
    assert f"no TLB entry to {kind} {AT + 0x5010:#x}" in message
    assert "inside its event handler" in message


def test_without_a_handler_a_miss_stops_the_guest(kernel: Kernel) -> None:
    message = run(kernel, ON, f"li a3, {AT}\n ld a4, 24(a3)", EXIT).message or ""
    assert f"no TLB entry to read {AT + 24:#x}" in message
    assert "pc 0x" in message


def test_a_device_misses_as_a_load_does(kernel: Kernel) -> None:
    work = f"li a3, {AT}\n li a4, 5\n v.console a5, a3, a4\n add a5, a5, s3\n v.exit zero, a5, zero"
    assert status(kernel, READY, work, HANDLER.format(rights=3)) == 6
    across = f"li a3, {AT + 4094}\n li a4, 5\n v.console a5, a3, a4"
    message = run(kernel, ON, across, EXIT).message or ""
    assert "a device refused the argument" in message


def test_off_means_off(kernel: Kernel) -> None:
    work = f"li a3, {AT | 3}\n v.bind zero, a3, s2\n li a3, {AT}\n ld a4, 0(a3)\n v.mmu zero, zero, zero\n"
    assert status(kernel, ON, FOUR, work, "la a4, page\n ld a5, 0(a4)\n v.exit zero, a5, zero") == 0
    message = run(kernel, ON, FOUR, work, "ld a4, 0(a3)", EXIT).message or ""
    assert f"load access fault at {AT:#x}" in message


def test_memory_outside_the_wired_part_needs_entries_too(kernel: Kernel) -> None:
    message = run(kernel, ON, "la a3, page\n ld a4, 0(a3)", EXIT).message or ""
    assert "no TLB entry to read" in message


def test_misses_for_ever_leave_the_others_their_turns(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel()
    loop = f"li a3, {AT}\nloop: ld a4, 0(a3)\n j loop\nhandler: v.return zero, zero, zero"
    (guest,) = kernel.spawn(program(DATA + READY + loop))
    (other,) = kernel.spawn(program("_start: v.exit zero, zero, zero"))
    assert other.wait(20)
    assert guest.ending is None
