# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false
"""Guests of a warmed image share the pages of its long stretch until they write to them; nobody sees a difference."""

from __future__ import annotations

import contextlib
import resource
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from denali.isa.runtime.engine import Engine
from denali.kernel.guest import Guest
from denali.kernel.kernel import Kernel
from denali.kernel.template import GAP, SHORTEST, Frozen
from denali.tlb import stretches
from denali.tlb.frames import FRAME

from .conftest import program
from .programs import PAGES, SIZE, TABLE
from .test_parking import settled

WAYS = ("stretches", "words", "nothing")  # what the host says of touched pages


@pytest.fixture
def frozen(kernel: Kernel) -> Frozen:
    return kernel.warm(program(TABLE))


def run_of(kernel: Kernel, guest: Guest) -> np.ndarray:
    first = int(kernel.tables.guests["first_frame"][guest.row])
    return kernel.tables.frames.memory[first * FRAME :][: guest.birth.frames * FRAME]


def own_pages(kernel: Kernel, guest: Guest) -> int:
    """Pages of a guest's run that the host keeps for it alone."""
    run = run_of(kernel, guest)
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        file.seek(run.ctypes.data // FRAME * 8)
        words = np.frombuffer(file.read(len(run) // FRAME * 8), np.uint64)
    return int(((words >> np.uint64(62) != 0) & (words >> np.uint64(61) & np.uint64(1) == 0)).sum())


def memory(guest: Guest) -> bytes:
    """Its data: what it has not touched of its stack is not, as looking at it would count as touching."""
    return guest.read_memory(guest.image.private_start, SIZE)


def stack(guest: Guest) -> bytes:
    return guest.read_memory(guest.image.private_start + guest.memory - 40_000, 12_000)


def woken(kernel: Kernel, guest: Guest, times: int) -> None:
    for _ in range(times):
        settled([guest])
        kernel.send(guest, bytes(60))
    settled([guest])


def mapped(kernel: Kernel) -> int:
    return int(kernel.tables.frames.record["mapped_count"][0])


def told(kernel: Kernel, way: str) -> None:
    """Have the kernel ask the host in an older way, or not at all."""
    if way != "stretches":
        kernel.tables.record["scans"] = 0
    if way == "nothing":
        kernel.tables.record["pagemap"] = -1


@contextlib.contextmanager
def no_more_mappings() -> Iterator[None]:
    """The host refuses every mapping meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_long_stretch_is_found_and_a_short_one_copied(frozen: Frozen, kernel: Kernel) -> None:
    page, pages = frozen.template.stretch
    assert page >= 1
    assert pages in (PAGES - 1, PAGES)
    assert len(frozen.template.own) == len(frozen.template.index) - pages
    small = kernel.warm(
        program(TABLE.replace(str(PAGES * FRAME), str(20 * FRAME)).replace(f"li s2, {PAGES}", "li s2, 20"))
    )
    assert SHORTEST > 20
    assert small.template.stretch == (0, 0)
    assert GAP < SHORTEST


def test_pages_that_a_guest_does_not_write_are_the_hosts_once(kernel: Kernel, frozen: Frozen) -> None:
    guests = kernel.spawn(frozen, 200)
    settled(list(guests))
    assert mapped(kernel) == 200
    for guest in guests[:5]:
        assert own_pages(kernel, guest) <= 3
        assert struct.unpack_from("<q", memory(guest), 72 + 10 * FRAME)[0] == PAGES - 10
        assert own_pages(kernel, guest) <= 3, "reading copies nothing"
    woken(kernel, guests[0], 3)
    assert own_pages(kernel, guests[0]) <= 6


def test_those_that_have_copies_are_no_different(kernel: Kernel, frozen: Frozen) -> None:
    (one,) = kernel.spawn(frozen)
    began = memory(one)
    with no_more_mappings():
        (refused,) = kernel.spawn(frozen)
        assert memory(refused) == began
    kernel.tables.frames.record["mapped_count"] += stretches.MOST
    (beyond,) = kernel.spawn(frozen)
    assert memory(beyond) == began
    kernel.tables.frames.record["mapped_count"] -= stretches.MOST
    assert mapped(kernel) == 1
    for guest in (one, refused, beyond):
        woken(kernel, guest, 3)
    assert memory(one) == memory(refused) == memory(beyond)
    assert own_pages(kernel, one) + PAGES - 8 < own_pages(kernel, refused) == own_pages(kernel, beyond)


def test_what_a_guest_writes_in_a_stretch_is_its_own(kernel: Kernel, frozen: Frozen) -> None:
    first, second = kernel.spawn(frozen, 2, start=False)
    before = memory(second)
    first.write_memory(first.image.private_start, b"\xff" * (SIZE))
    assert memory(second) == before
    first.kill()
    kernel.check()
    third, fourth = kernel.spawn(frozen, 2, start=False)
    assert memory(third) == memory(fourth) == before


@pytest.mark.parametrize("way", WAYS)
def test_a_reset_gives_back_what_was_written_and_nothing_else(kernel: Kernel, frozen: Frozen, way: str) -> None:
    told(kernel, way)
    used, fresh = kernel.spawn(frozen, 2)
    settled([used, fresh])
    began, own = memory(fresh), own_pages(kernel, used)
    for _ in range(3):
        woken(kernel, used, 5)
        used.write_memory(used.image.private_start + 40 * FRAME, b"secret" * 2000)
        used.write_memory(used.image.private_start + used.memory - 40_000, b"secret" * 2000)
        assert memory(used) != began
        used.reset()
        settled([used])
        assert memory(used) == began
        assert not any(stack(used))
        assert own_pages(kernel, used) <= own + 4, "only pages outside the stretch may stay the guest's"
    used.reset()
    settled([used])
    assert own_pages(kernel, used) == own, "what was zero already is given back"
    kernel.check()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("copied", [False, True])
def test_a_parked_guest_keeps_what_it_wrote(kernel: Kernel, frozen: Frozen, way: str, copied: bool) -> None:
    told(kernel, way)
    one, other = kernel.spawn(frozen, 2)
    for _ in range(2):
        woken(kernel, one, 4)
        woken(kernel, other, 4)
        assert kernel.park(one) == 1
        assert mapped(kernel) == 1
        kernel.check()
        kernel.tables.frames.record["mapped_count"] += stretches.MOST * copied
        assert memory(one) == memory(other)
        kernel.tables.frames.record["mapped_count"] -= stretches.MOST * copied
        assert mapped(kernel) == 2 - copied


def test_guests_that_are_over_leave_no_mappings(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel()
    frozen = kernel.warm(program(TABLE))

    def mappings() -> int:
        return len(Path("/proc/self/maps").read_text().splitlines())

    before, counts = mappings(), list[int]()
    for _ in range(3):
        guests = list(kernel.spawn(frozen, 300))
        settled(guests)
        assert mappings() > before + 500
        kernel.kill(*guests[::2])
        kernel.kill(*guests[1::2])
        kernel.check()
        counts.append(mappings())
    assert mapped(kernel) == 0
    assert max(counts) < before + 100
    assert counts[2] <= counts[0] + 20


def test_a_run_that_the_host_does_not_unmap_is_never_given_to_another(engine: Engine) -> None:
    kernel = Kernel(engine=engine, capacity=4096, frames=1 << 10)
    with contextlib.closing(kernel):
        frozen = kernel.warm(program(TABLE))
        one, other = kernel.spawn(frozen, 2, start=False)
        frames, first = kernel.tables.frames, int(kernel.tables.guests["first_frame"][one.row])
        free, content = frames.free, memory(other)
        assert memory(one) == content
        with no_more_mappings():
            one.kill()
        assert frames.free == free
        kernel.tables.frames.check()
        assert set(frames.holder[first : first + one.birth.frames]) == {len(frames.accounts) + 1}
        guests = kernel.spawn(frozen, 8, start=False)
        assert first not in kernel.tables.guests["first_frame"][[guest.row for guest in guests]]
        assert {memory(guest) for guest in [other, *guests]} == {content}


def test_a_frozen_image_is_mapped_in_another_kernel_too(make_kernel: Callable[..., Kernel]) -> None:
    frozen = make_kernel().warm(program(TABLE))
    other = make_kernel()
    (guest,) = other.spawn(frozen, start=False)
    assert struct.unpack_from("<q", memory(guest), 72)[0] == PAGES
    assert mapped(other) == 1
