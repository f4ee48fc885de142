"""Birth and end of guests: exits, traps, limits, kills; from Python's side."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from denali.isa.runtime.engine import Engine
from denali.kernel.guest import Guest
from denali.kernel.kernel import Kernel
from denali.kernel.mailbox import Closed
from denali.kernel.records import End, State
from denali.tlb.frames import Overdrawn

from .conftest import program
from .programs import EXIT, RECEIVER, SLEEPER, SPIN, TRAPS


def run(kernel: Kernel, source: str, **options: object) -> Guest:
    (guest,) = kernel.spawn(program(source), **options)  # type: ignore[arg-type]
    assert guest.wait(20)
    return guest


@pytest.mark.parametrize("status", [0, 7, -1, (1 << 63) - 1])
def test_a_guest_exits_with_its_status(kernel: Kernel, status: int) -> None:
    guest = run(kernel, EXIT.format(status=status))
    assert (guest.exit_status, guest.message, guest.state) == (status, None, State.GONE)


@pytest.mark.parametrize("words", TRAPS)
def test_a_trap_stops_the_guest_and_says_who_what_and_where(kernel: Kernel, words: str) -> None:
    guest = run(kernel, TRAPS[words])
    assert guest.message is not None
    assert guest.message.startswith("guest 1 (program): ")
    assert words in guest.message
    assert "pc 0x" in guest.message
    assert guest.ending is not None
    assert guest.ending.end is End.TRAPPED
    assert guest.exit_status is None


def test_a_guest_that_fails_is_quoted_and_its_words_are_made_printable(kernel: Kernel) -> None:
    source = '.data\ntext: .ascii "no\\x1b[2J way"\n.text\n_start: la a0, text\nli a1, 10\nv.fail zero, a0, a1'
    assert "guest 1 (program): no?[2J way: pc 0x" in str(run(kernel, source).message)


def test_fuel_for_life_is_exact(kernel: Kernel) -> None:
    guest = run(kernel, SPIN, fuel=12_345, turn=1000)
    assert guest.metrics()["retired"] == 12_345
    assert guest.metrics()["turns"] == 13
    assert "used up its 12,345 instructions" in str(guest.message)


def test_a_watchdog_ends_who_computes_and_asks_for_nothing(kernel: Kernel) -> None:
    silent, clock = (
        kernel.spawn(program(source), watchdog=50_000, turn=20_000)[0]
        for source in (SPIN, "_start: v.clock a0, zero, zero\n j _start")
    )
    assert kernel.wait([silent, clock], 5)
    place = "instructions without asking for anything: pc 0x10000 in _start"
    assert silent.message == f"guest {silent.number} (program): hung: 60,000 {place}"
    assert clock.ending is not None
    assert clock.ending.end is End.HUNG


def test_a_watchdog_leaves_alone_who_asks_now_and_then(kernel: Kernel) -> None:
    work = "_start: li s0, 100\nagain: li a0, 9000\n1: addi a0, a0, -1\n bnez a0, 1b\n v.console a0, tp, zero\n"
    (busy,) = kernel.spawn(
        program(work + " addi s0, s0, -1\n bnez s0, again\n v.exit zero, zero, zero"), watchdog=50_000, turn=20_000
    )
    assert busy.wait(10)
    assert busy.exit_status == 0


def test_a_guest_may_exit_with_its_last_instruction(kernel: Kernel) -> None:
    assert run(kernel, EXIT.format(status=3), fuel=2).exit_status == 3


def test_killing_ends_a_guest_in_every_state(kernel: Kernel) -> None:
    sources = {SPIN: True, SLEEPER: True, RECEIVER: False}
    guests = [kernel.spawn(program(source), start=start)[0] for source, start in sources.items()]
    while guests[1].state is not State.IDLE:
        time.sleep(0.001)
    for guest in guests:
        guest.kill()
        assert guest.state is State.GONE
        guest.kill()
    assert [guest.message.split(":")[1] for guest in guests if guest.message] == [" killed"] * 3


def test_too_many_guests_leave_the_others_and_the_pool_alone(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(frames=100)
    first = kernel.spawn(program(SLEEPER), 2)
    free = kernel.metrics()["frames_free"]
    with pytest.raises(Overdrawn, match=rf"50 guests of 17 frames \(4 KiB each\) asked for; {free} frames"):
        kernel.spawn(program(SLEEPER), 50)
    assert kernel.metrics()["frames_free"] == free
    assert {guest.number for guest in kernel.guests()} == {guest.number for guest in first}


def test_numbers_run_out_with_a_clear_message(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(capacity=10)
    for count in (11, 1 << 40):  # nothing is made ready for guests that there cannot be
        with pytest.raises(Overdrawn, match="numbers are free"):
            kernel.spawn(program(SLEEPER), count)


@pytest.mark.parametrize("options", [{"count": 0}, {"memory": 10}, {"memory": 1 << 40}, {"fuel": -1}, {"turn": -5}])
def test_senseless_arguments_are_refused(kernel: Kernel, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be|memory"):
        kernel.spawn(program(SLEEPER), **options)  # type: ignore[arg-type]


def test_no_fuel_is_not_endless_fuel_and_half_a_byte_no_size(kernel: Kernel) -> None:
    for name in ("fuel", "turn", "watchdog"):
        with pytest.raises(ValueError, match=f"{name} is 0; it must be 1 to "):
            kernel.spawn(program(SPIN), **{name: 0})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        kernel.spawn(program(SPIN), memory=65536.5)  # type: ignore[arg-type]
    assert kernel.guests() == []


def test_memory_is_what_was_asked_for_and_its_end_is_the_end(kernel: Kernel) -> None:
    source = "_start: ld a0, 16(tp)\n ld a1, 24(tp)\n add a0, a0, a1\n ld a2, -8(a0)\n ld a2, -7(a0)"
    guest = run(kernel, source, memory=100_000)
    assert 100_000 <= guest.memory < 100_000 + 4096
    assert f"load access fault at {guest.image.private_start + guest.memory - 7:#x}" in str(guest.message)


def test_a_held_guest_starts_when_told(kernel: Kernel) -> None:
    image = program(".data\nstatus: .dword 0\n.text\n_start: la a0, status\nld a0, 0(a0)\nv.exit zero, a0, zero")
    (guest,) = kernel.spawn(image, start=False)
    assert guest.state is State.HELD
    guest.write("status", (99).to_bytes(8, "little"))
    assert guest.read("status") == (99).to_bytes(8, "little")
    guest.start()
    assert guest.wait(5)
    assert guest.exit_status == 99


def test_memory_outside_a_guest_is_not_shown_to_python_either(kernel: Kernel) -> None:
    (guest,) = kernel.spawn(program(SLEEPER))
    start, end = guest.image.private_start, guest.image.private_start + guest.memory
    assert guest.read_memory(guest.image.ro_start, 4) == guest.image.read_only[:4]
    for address, count in ((start - 8, 16), (end - 8, 16), (end, 1), (0, 1), (start, -1)):
        with pytest.raises(ValueError, match="not inside"):
            guest.read_memory(address, count)
    with pytest.raises(ValueError, match="not inside"):
        guest.write_memory(guest.image.ro_start, b"x")
    guest.kill()
    with pytest.raises(ValueError, match="is over"):
        guest.read_memory(start, 1)


def test_each_guest_has_its_own_number_address_and_random_words(kernel: Kernel) -> None:
    guests = kernel.spawn(program(SLEEPER), 300)
    page = guests[0].image.private_start + guests[0].memory - 128
    pages = [guest.read_memory(page, 128) for guest in guests]
    assert guests[299].address == "10.1.1.44"
    assert [int.from_bytes(p[8:12], "little") for p in pages] == [g.number for g in guests]
    assert len({p[32:48] for p in pages}) == 300


def test_waiting_has_a_limit_and_asyncio_is_not_blocked(kernel: Kernel) -> None:
    (sleeper,) = kernel.spawn(program(SLEEPER))
    assert not sleeper.wait(0.01)

    async def both() -> int | None:
        threading.Timer(0.05, sleeper.kill).start()
        ticks = 0
        ending = asyncio.create_task(sleeper.ended())
        while not ending.done():
            ticks += 1
            await asyncio.sleep(0.001)
        return ticks

    assert (asyncio.run(both()) or 0) > 5


def test_the_gil_is_free_while_guests_run(kernel: Kernel) -> None:
    kernel.spawn(program(SPIN), turn=100_000_000)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < 0.1:
        count += 1
    assert count > 10_000


def test_many_threads_may_spawn_and_wait_at_once(kernel: Kernel) -> None:
    done: list[int] = []

    def work() -> None:
        for guest in kernel.spawn(program(EXIT.format(status=4)), 20):
            guest.wait(20)
            done.append(guest.exit_status or 0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [4] * 160


def test_bad_ends_are_told_once(kernel: Kernel) -> None:
    guests = kernel.spawn(program(TRAPS["breakpoint"]), 5) + kernel.spawn(program(EXIT.format(status=0)), 5)
    kernel.wait(guests, 10)
    assert {guest.number for guest in kernel.stopped(1)} == {guest.number for guest in guests[:5]}
    assert kernel.stopped(0.01) == []


def test_a_closed_kernel_says_so(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel()
    (guest,) = kernel.spawn(program(SPIN))
    future = kernel.when_over([guest])
    kernel.check()
    kernel.close()
    kernel.close()
    assert future.done()
    assert guest.ending is not None
    assert guest.ending.end is End.CLOSED
    with pytest.raises(Closed, match="closed"):
        guest.kill()


def test_a_closed_kernel_has_ended_everybody_and_told_who_waited(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel()
    silent = kernel.spawn(program(SLEEPER), 50)
    (dead,) = kernel.spawn(program(TRAPS["breakpoint"]))
    assert dead.wait(5)
    waiting = kernel.when_over(silent)
    kernel.close()
    waiting.result(0)
    assert {guest.ending.end for guest in silent if guest.ending} == {End.CLOSED}
    assert (silent[7].message, silent[7].exit_status, silent[7].console()) == (None, None, b"")
    assert dead.ending is not None
    assert dead.ending.end is End.TRAPPED


def test_the_guests_of_one_spawn_are_a_sequence(kernel: Kernel) -> None:
    guests = kernel.spawn(program(SLEEPER), 10)
    numbers = [guest.number for guest in guests]
    assert numbers == list(range(numbers[0], numbers[0] + 10))
    assert [guest.number for guest in guests[2:4]] == numbers[2:4]
    assert (len(guests), guests[-1].number, guests[3] in guests) == (10, numbers[9], True)
    assert [guest.number for guest in guests[:1] + guests[5:6]] == [numbers[0], numbers[5]]
    with pytest.raises(IndexError):
        guests[10]


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"frames": 0}, "frames is 0; it must be 1 to"),
        ({"capacity": -1}, "capacity is -1; it must be 1 to"),
        ({"capacity": 1 << 40}, "it must be 1 to 16711679"),
        ({"packets": 0}, "packets is 0; it must be 1 to"),
        ({"frames": 1 << 40}, r"the host refuses [\d,.]+ GiB of address space for 1,099,511,627,776 frames"),
        (
            {"packets": 1 << 30, "frames": 1 << 20, "limit": 64 << 30},
            r"GiB of address space for records of .* ulimit -v",
        ),
        ({"frames": 1 << 24, "limit": 32 << 30}, r"ulimit -v allows this process 32\.0 GiB in all"),
        ({"swap": "/nowhere/swap"}, "No such file or directory"),
    ],
)
def test_sizes_that_cannot_be_had_are_said_and_leave_nothing(engine: Engine, sizes: dict[str, Any], words: str) -> None:
    before, limits = threading.active_count(), resource.getrlimit(resource.RLIMIT_AS)
    files = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_AS, (sizes.pop("limit", limits[0]), limits[1]))
    try:
        with pytest.raises((ValueError, Overdrawn, OSError), match=words):
            Kernel(engine=engine, **sizes)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert threading.active_count() == before
    assert len(os.listdir("/proc/self/fd")) == files


def test_a_pool_too_small_for_the_gateway_says_so_and_leaves_nothing(engine: Engine) -> None:
    before = threading.active_count()
    with pytest.raises(Overdrawn, match="the gateway takes 17 frames; there are 10"):
        Kernel(engine=engine, frames=10, gateway=program(SLEEPER))
    assert threading.active_count() == before
