# pyright: basic
"""The wheel against a sorted list, and sleeping guests against both clocks."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denali.kernel import timers
from denali.kernel.kernel import Kernel
from denali.kernel.records import NOBODY, kernel_at
from denali.kernel.tables import Tables
from denali.tlb.compiled import entry

from .conftest import program

NAP = """
        .data
until:  .dword 0
seen:   .dword 0
        .text
_start: la s0, until
        ld a0, 0(s0)
        v.idle zero, a0, zero
        v.clock a0, zero, zero
        sd a0, 8(s0)
        v.exit zero, a0, zero
"""


@entry
def sleep(address: int, number: int, wake: int) -> None:
    timers.set_timer(kernel_at(address), number, wake)


@entry
def cancel(address: int, number: int) -> None:
    timers.cancel_timer(kernel_at(address), number)


@entry
def due(address: int, now: int) -> int:
    return timers.due(kernel_at(address), now)


@entry
def next_wake(address: int) -> int:
    return timers.next_wake(kernel_at(address))


times = st.one_of(st.integers(0, 1 << 20), st.integers(0, 1 << 34), st.integers(0, (1 << 62) - 1))
steps = st.lists(
    st.tuples(st.sampled_from(["sleep", "cancel", "pass", "jump"]), st.integers(0, 19), times), max_size=80
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_the_wheel_wakes_whom_a_sorted_list_would_wake(plan) -> None:
    tables, model, now = Tables(capacity=20, frames=1, packets=1, chunks=1, virtual=True), {}, 0
    tables.guests["timer_slot"] = NOBODY
    for step, number, moment in plan:
        if step == "sleep" and number not in model:
            model[number] = now + moment
            sleep(tables.address, number, now + moment)
        elif step == "cancel":
            model.pop(number, None)
            cancel(tables.address, number)
        elif step == "pass":
            now += moment >> 30
        elif model:
            assert next_wake(tables.address) <= min(model.values())
            now = max(now, next_wake(tables.address))
        if step in ("pass", "jump"):
            woken = set()
            while (one := due(tables.address, now)) != NOBODY:
                woken.add(one)
            assert woken == {n for n, wake in model.items() if wake <= now}
            model = {n: wake for n, wake in model.items() if wake > now}
        assert tables.wheel["sleepers"].sum() == len(model)
    tables.close()


def nap(kernel: Kernel, until: list[int]):
    guests = kernel.spawn(program(NAP), len(until), start=False)
    for guest, moment in zip(guests, until, strict=True):
        guest.write("until", moment.to_bytes(8, "little"))
    kernel.start(*guests)
    assert kernel.wait(guests, 30)
    return guests


def test_by_the_virtual_clock_a_day_passes_at_once_and_nobody_wakes_early(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(clock="virtual")
    day = 86_400 * 1_000_000_000
    until = [day, 5, day - 1, 1_000_000, 123_456_789_012]
    began = time.monotonic()
    seen = [guest.exit_status for guest in nap(kernel, until)]
    assert time.monotonic() - began < 20
    assert all(
        saw is not None and 0 <= saw - wanted < 1000 for saw, wanted in zip(seen, until, strict=True) if wanted > 1000
    )


def test_by_the_real_clock_a_sleeper_wakes_in_time(kernel: Kernel) -> None:
    now = kernel.metrics()["clock"]
    (guest,) = nap(kernel, [now + 80_000_000])
    late = (guest.exit_status or 0) - now - 80_000_000
    assert 0 <= late < 200_000_000


def test_the_same_input_gives_the_same_run_by_the_virtual_clock(make_kernel: Callable[..., Kernel]) -> None:
    def run() -> list[tuple[int, int]]:
        kernel = make_kernel(clock="virtual")
        source = """
_start: li s0, 20
again:  v.clock a0, zero, zero
        lw a1, 8(tp)
        slli a1, a1, 14
        add a0, a0, a1
        v.idle zero, a0, zero
        sw zero, 48(tp)
        addi s0, s0, -1
        bnez s0, again
        v.clock a0, zero, zero
        v.exit zero, a0, zero
"""
        guests = kernel.spawn(program(source), 30)
        assert kernel.wait(guests, 30)
        return [(guest.exit_status or 0, guest.metrics()["retired"]) for guest in guests]

    assert run() == run()


def test_counters_count_a_guests_own_instructions_whatever_its_turns_and_time_is_the_same_every_time(
    make_kernel: Callable[..., Kernel],
) -> None:
    def run(turn: int, result: str) -> list[tuple[int, int]]:
        kernel = make_kernel(clock="virtual")
        source = f"""
_start: li s0, 50000
again:  addi s0, s0, -1
        bnez s0, again
        rdtime s1
        rdinstret s2
        rdcycle s3
        v.exit zero, {result}, zero
"""
        guests = kernel.spawn(program(source), 7, turn=turn)
        assert kernel.wait(guests, 30)
        return [(guest.exit_status or 0, guest.metrics()["retired"]) for guest in guests]

    before = 2 + 2 * 50000  # li and the loop
    assert run(1000, "s2") == run(777, "s2") == [(before + 1, before + 4)] * 7
    assert run(1000, "s3") == [(before + 2, before + 4)] * 7
    times = run(1000, "s1")
    assert times == run(1000, "s1")
    assert all(time >= before for time, _ in times)


@pytest.mark.parametrize("until", [-1, (1 << 63) - 1, 1 << 63])
def test_idle_without_a_limit_sleeps_until_something_happens(kernel: Kernel, until: int) -> None:
    (guest,) = kernel.spawn(program(NAP), start=False)
    guest.write("until", (until % (1 << 64)).to_bytes(8, "little"))
    guest.start()
    assert not guest.wait(0.05)
    kernel.send(guest, bytes(14))
    assert guest.wait(5)
