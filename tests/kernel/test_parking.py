# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false
"""Parked guests: their memory comes back bit by bit, whatever happens between; what is lost is said."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import resource
import signal
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from denali.isa.context import CONTEXT
from denali.isa.runtime.engine import Engine
from denali.isa.virtual import Sent
from denali.kernel.guest import Guest
from denali.kernel.kernel import Kernel
from denali.kernel.records import End, State
from denali.kernel.swap import BLOCK, Full, Swap, Unreadable
from denali.tlb.native import offset_of

from .conftest import opened, program
from .programs import COUNT_FRAMES, SLEEPER, SPIN, TABLE

# Adds one to a counter for each frame that it receives, and spoils all registers that it does not need.
COUNTS = f"""
.data
count: .dword 0
buffer: .zero 64
.text
_start: la s0, count
li s2, -1
{COUNT_FRAMES}
add s3, s3, t0
fcvt.d.l f9, s3
j more
"""
TICKS = """
.data
count: .dword 0
.text
_start: la s0, count
again: v.clock a0, zero, zero
li t1, 20000000
add a0, a0, t1
v.idle zero, a0, zero
sw zero, 48(tp)
ld t0, 0(s0)
addi t0, t0, 1
sd t0, 0(s0)
j again
"""


def settled(guests: list[Guest]) -> None:
    deadline = time.monotonic() + 20
    while any(guest.state in (State.READY, State.RUNNING) for guest in guests):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def change(kernel: Kernel, **fields: object) -> None:
    """Set fields of the warehouse between two turns: they are the loop's."""

    def act() -> None:
        for name, value in fields.items():
            setattr(kernel._runner.warehouse, name, value)  # type: ignore[reportPrivateUsage]

    kernel._call(act)  # type: ignore[reportPrivateUsage]


def digest(kernel: Kernel, guest: Guest) -> str:
    """Of registers and memory; brings a parked guest back."""
    kernel.read_memory(guest, guest.image.private_start, 0)
    record = kernel.tables.guests[guest.number]
    first = int(record["first_frame"]) * 4096
    return hashlib.sha256(kernel.tables.frames.memory[first : first + int(record["frames"]) * 4096]).hexdigest()


def count(guest: Guest) -> int:
    return int.from_bytes(guest.read_memory(guest.image.private_start, 8), "little")


def sleepers(kernel: Kernel, number: int, source: str = COUNTS, **options: object) -> list[Guest]:
    guests = list(kernel.spawn(program(source), number, **options))  # type: ignore[arg-type]
    while any(guest.state is not State.IDLE for guest in guests):
        time.sleep(0.001)
    return guests


def table_keepers(kernel: Kernel, number: int) -> list[Guest]:
    """Guests of a warmed image that share a long stretch of it."""
    guests = list(kernel.spawn(kernel.warm(program(TABLE)), number))
    settled(guests)
    return guests


def test_a_parked_guest_has_no_frames_and_comes_back_bit_by_bit(kernel: Kernel) -> None:
    guests = sleepers(kernel, 10)
    before = [digest(kernel, guest) for guest in guests]
    free = kernel.metrics()["frames_free"]
    assert kernel.park(*guests) == 10
    assert kernel.park(*guests) == 0
    assert all(guest.parked for guest in guests)
    assert kernel.metrics()["parked"] == 10
    assert kernel.metrics()["frames_free"] == free + 10 * 17
    kernel.check()
    assert [digest(kernel, guest) for guest in guests] == before
    assert kernel.metrics()["frames_free"] == free


def test_a_frame_wakes_a_parked_guest(kernel: Kernel) -> None:
    guests = sleepers(kernel, 300)
    assert kernel.park(*guests) == 300
    for guest in guests:
        assert kernel.send(guest, bytes(60)) is Sent.QUEUED
    settled(guests)
    assert [count(guest) for guest in guests] == [1] * 300


def test_a_timer_wakes_a_parked_guest(kernel: Kernel) -> None:
    (guest,) = sleepers(kernel, 1, TICKS)
    before = count(guest)
    turns = guest.metrics()["turns"]
    while not kernel.park(guest):
        turns = guest.metrics()["turns"]
    deadline = time.monotonic() + 20
    while guest.metrics()["turns"] <= turns:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert count(guest) > before


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_interleaving_of_parking_and_running_is_as_if_nobody_had_been_parked(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    swap = tmp_path_factory.mktemp("swap") / "file" if data.draw(st.booleans()) else None
    with opened(engine, swap=swap, resident=1 if swap else None, clock="virtual") as kernel:
        one, other = sleepers(kernel, 2) if data.draw(st.booleans()) else table_keepers(kernel, 2)
        sent = 0
        for verb in data.draw(st.lists(st.sampled_from(["park", "send", "write", "look", "reset"]), max_size=12)):
            if verb == "park":
                kernel.park(one)
            elif verb == "reset":
                sent = 0
                for guest in (one, other):
                    guest.reset()
                settled([one, other])
            elif verb == "send":
                sent += 1
                for guest in (one, other):
                    kernel.send(guest, bytes(60))
                settled([one, other])
            elif verb == "write":
                where = one.image.private_start + data.draw(st.integers(2048, one.memory - 2048))
                content = data.draw(st.binary(min_size=1, max_size=900))
                for guest in (one, other):
                    guest.write_memory(where, content)
            else:
                assert count(one) == sent
        assert _without_identity(kernel, one) == _without_identity(kernel, other)
        kernel.check()


def _without_identity(kernel: Kernel, guest: Guest) -> bytes:
    memory = bytearray(guest.read_memory(guest.image.private_start, guest.memory))
    memory[-128:-80] = bytes(48)
    first = int(kernel.tables.guests["first_frame"][guest.number]) * 4096
    registers = bytes(kernel.tables.frames.memory[first + offset_of(CONTEXT, "fcsr") : first + CONTEXT.itemsize])
    return bytes(memory) + registers


def test_more_guests_than_frames_take_turns(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(frames=17 * 8)
    guests: list[Guest] = []
    for _ in range(10):
        batch = sleepers(kernel, 4)
        guests += batch
        assert kernel.park(*batch) == 4
    for guest in guests:
        kernel.send(guest, bytes(60))
    deadline = time.monotonic() + 20
    while any(kernel.tables.guests["frames_received"][guest.number] == 0 for guest in guests):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [count(guest) for guest in guests] == [1] * 40
    kernel.check()


def test_a_crowd_that_never_idles_shares_too_few_frames(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(frames=17 * 3)
    guests = sleepers(kernel, 2, SLEEPER)
    assert kernel.park(*guests) == 2
    spinners = kernel.spawn(program(SPIN), 3, turn=1000)
    for guest in guests:
        kernel.send(guest, bytes(60))
    deadline = time.monotonic() + 20
    while any(guest.metrics()["turns"] < 2 for guest in guests):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert all(guest.metrics()["turns"] for guest in spinners)


def test_idle_guests_are_parked_when_memory_is_short(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(resident=1)
    guests = sleepers(kernel, 500)
    deadline = time.monotonic() + 20
    while kernel.metrics()["parked"] < 500:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kernel.send(guests[7], bytes(60))
    while kernel.tables.guests["frames_received"][guests[7].number] == 0:
        assert time.monotonic() < deadline


def test_killing_and_closing_give_back_what_was_parked(make_kernel: Callable[..., Kernel], tmp_path: Path) -> None:
    kernel = make_kernel(resident=1, swap=tmp_path / "swap")
    guests = sleepers(kernel, 20)
    kernel.park(*guests)
    guests[3].kill()
    assert guests[3].message == "guest 4 (program): killed while it was parked"
    kernel.check()
    kernel.close()
    assert not (tmp_path / "swap").exists()


def spoil(kernel: Kernel, path: Path, how: str) -> None:
    if how == "truncated":
        os.truncate(path, BLOCK)
    elif how == "punched":
        with path.open("r+b") as file:
            keep, punch = 1, 2
            size = path.stat().st_size
            if ctypes.CDLL(None).fallocate(file.fileno(), keep | punch, ctypes.c_long(0), ctypes.c_long(size)):
                pytest.skip("the file system makes no holes")
    elif how == "overwritten":
        with path.open("r+b") as file:
            file.seek(BLOCK)
            file.write(b"x" * (path.stat().st_size - BLOCK))
    else:
        swap = kernel._runner.warehouse.swap  # type: ignore[reportPrivateUsage]
        assert swap is not None
        os.dup2(os.open("/proc/self/mem", os.O_RDONLY), swap._descriptor)  # type: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", "was cut short"),
        ("overwritten", "the checksum of"),
        ("punched", "the checksum of"),
        ("unreadable", "Input/output error"),
    ],
)
def test_what_the_disk_loses_stops_those_guests_and_no_others(
    make_kernel: Callable[..., Kernel], tmp_path: Path, how: str, words: str
) -> None:
    path = tmp_path / "swap"
    kernel = make_kernel(resident=1 << 40, swap=path)
    guests = sleepers(kernel, 5)
    change(kernel, resident=0)
    kernel.park(guests[0])
    for guest in guests[1:]:
        kernel.park(guest)
    change(kernel, resident=None)
    resident = sleepers(kernel, 5)
    on_disk = [guest for guest in guests if guest.parked and kernel.tables.parked["offset"][guest.number] > 0]
    assert len(on_disk) >= 3
    spoil(kernel, path, how)
    for guest in [*on_disk, *resident]:
        kernel.send(guest, bytes(60))
    assert kernel.wait(on_disk, 10)
    for guest in on_disk:
        assert guest.ending is not None
        assert guest.ending.end is End.LOST
        assert words in str(guest.message)
        assert str(guest.message).startswith(f"guest {guest.number} (program): lost: ")
    settled(resident)
    assert [count(guest) for guest in resident] == [1] * 5


def test_a_swap_file_that_somebody_removed_loses_nobody(make_kernel: Callable[..., Kernel], tmp_path: Path) -> None:
    kernel = make_kernel(resident=1 << 40, swap=tmp_path / "swap")
    guests = sleepers(kernel, 20)
    change(kernel, resident=0)
    kernel.park(*guests)
    change(kernel, resident=None)
    assert sum(int(kernel.tables.parked["offset"][guest.row]) > 0 for guest in guests if guest.parked) >= 15
    (tmp_path / "swap").unlink()
    for guest in guests:
        kernel.send(guest, bytes(60))
    settled(guests)
    assert [count(guest) for guest in guests] == [1] * 20
    kernel.close()


def test_a_small_file_system_fills_and_all_go_on(make_kernel: Callable[..., Kernel], tmp_path: Path) -> None:
    kernel = make_kernel(resident=1 << 40, swap=tmp_path / "swap")
    guests = sleepers(kernel, 200)
    before = [digest(kernel, guest) for guest in guests]
    change(kernel, resident=0)
    with most_of_a_file(20 * BLOCK):
        kernel.park(*guests)  # those that the kernel has not parked by itself, being above its limit
        assert kernel.metrics()["parked"] == 200
    change(kernel, resident=None)
    on_disk = sum(int(kernel.tables.parked["offset"][guest.row]) >= 0 for guest in guests)
    assert 5 <= on_disk < 100
    assert [digest(kernel, guest) for guest in guests] == before
    kernel.park(*guests)
    for guest in guests:
        kernel.send(guest, bytes(60))
    settled(guests)
    assert [count(guest) for guest in guests] == [1] * 200


@contextlib.contextmanager
def most_of_a_file(size: int) -> Iterator[None]:
    """The host lets files of this process grow no further meanwhile: what is beyond is written in part, or not."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_swap_file_gives_back_what_was_written(tmp_path: Path) -> None:
    swap = Swap(tmp_path / "swap")
    pieces = [os.urandom(size) for size in (1, 511, 512, 513, 5000)]
    places = [swap.write(piece) for piece in pieces]
    assert [swap.read(at, len(p), zlib.crc32(p)) for at, p in zip(places, pieces, strict=True)] == pieces
    swap.free(places[1], 511)
    assert swap.write(b"again") == places[1]
    with pytest.raises(Unreadable, match="checksum"):
        swap.read(places[2], 512, 1)
    swap.close()


def test_a_full_disk_is_said_and_nothing_is_lost(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(resident=1 << 40)
    guests = sleepers(kernel, 5)
    swap = Swap.__new__(Swap)
    swap.path, swap._end, swap.is_full = Path("/dev/full"), 0, False  # type: ignore[reportPrivateUsage]
    swap._descriptor = os.open("/dev/full", os.O_RDWR)  # type: ignore[reportPrivateUsage]
    swap._free = defaultdict(list)  # type: ignore[reportPrivateUsage]
    with pytest.raises(Full, match="/dev/full: No space left on device"):
        swap.write(b"x")
    swap.is_full = False
    before = [digest(kernel, guest) for guest in guests]
    kernel.park(guests[0])
    change(kernel, swap=swap, resident=0)
    kernel.park(*guests)
    change(kernel, swap=None, resident=None)
    assert [digest(kernel, guest) for guest in guests] == before
    os.close(swap._descriptor)  # type: ignore[reportPrivateUsage]


def test_a_reset_guest_is_as_it_began_but_for_its_randomness(kernel: Kernel) -> None:
    used, fresh = sleepers(kernel, 2)
    for _ in range(5):
        kernel.send(used, bytes(60))
    settled([used])
    used.write_memory(used.image.private_start + 30_000, b"secret")
    free = kernel.metrics()["frames_free"]
    words = used.read_memory(used.image.private_start + used.memory - 96, 16)
    used.reset()
    settled([used])
    assert count(used) == 0
    assert b"secret" not in used.read_memory(used.image.private_start, used.memory)
    assert used.read_memory(used.image.private_start + used.memory - 96, 16) != words
    assert _without_identity(kernel, used) == _without_identity(kernel, fresh)
    assert kernel.metrics()["frames_free"] == free
    kernel.check()


def test_a_guest_is_reset_in_every_state_in_which_it_lives(kernel: Kernel) -> None:
    (idle,), (ready,), (held,) = (
        sleepers(kernel, 1),
        kernel.spawn(program(SPIN), turn=1000),
        kernel.spawn(program(SPIN), start=False),
    )
    parked = sleepers(kernel, 1)[0]
    kernel.park(parked)
    for guest in (idle, ready, held, parked):
        guest.reset()
    assert held.state is State.HELD
    assert not parked.parked
    kernel.check()
    ready.kill()
    with pytest.raises(ValueError, match="cannot be reset"):
        ready.reset()


def test_a_guest_that_takes_every_frame_leaves_those_that_are_parked_their_way_back(
    make_kernel: Callable[..., Kernel],
) -> None:
    kernel = make_kernel(frames=17 * 8)
    guests = sleepers(kernel, 4)
    assert kernel.park(*guests) == 4
    (hoarder,) = kernel.spawn(program(HOARDS), extra=1000)
    deadline = time.monotonic() + 20
    while hoarder.metrics()["turns"] < 20:
        assert time.monotonic() < deadline
    assert hoarder.metrics()["extra_held"] >= 17 * 6
    for guest in guests:
        kernel.send(guest, bytes(60))
    while any(kernel.tables.guests["frames_received"][guest.row] == 0 for guest in guests):
        assert time.monotonic() < deadline, "those that are parked wait for ever"
        time.sleep(0.01)
    assert [count(guest) for guest in guests] == [1] * 4
    assert hoarder.ending is None
    kernel.check()


# Asks for frames for ever, and gives every second of those it is given back, so that what is free lies scattered.
HOARDS = """
.data
array: .zero 16
.text
_start: la s0, array
more: li a1, 1
v.allocate a2, s0, a1
beqz a2, none
addi a3, s0, 8
v.allocate a2, a3, a1
beqz a2, none
v.release a2, s0, a1
j more
none: v.yield zero, zero, zero
j more
"""
