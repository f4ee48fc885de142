"""A kernel that goes on for ever: rows of guests that are over have new guests, and nobody takes one for the other."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from denali.isa.runtime.engine import Engine
from denali.isa.virtual import Sent
from denali.kernel.guest import Guest
from denali.kernel.kernel import Kernel
from denali.kernel.records import End, State
from denali.tlb.frames import Overdrawn

from .conftest import opened, program
from .programs import EXIT, RECEIVER, SENDER, SLEEPER, SPIN

FEW = 8


@pytest.fixture
def small(make_kernel: Callable[..., Kernel]) -> Kernel:
    return make_kernel(capacity=FEW)


def wear_out(kernel: Kernel) -> None:
    """Use every row once, so that the next guests have rows that had others."""
    room = len(kernel.tables.guests) - int(kernel.tables.record["count"][0])
    kernel.kill(*kernel.spawn(program(SPIN), room, start=False))


def send(kernel: Kernel, peer: int) -> dict[str, int]:
    """Run a guest that sends one frame to a number."""
    (sender,) = kernel.spawn(program(SENDER), start=False)
    sender.write("peer", peer.to_bytes(8, "little"))
    sender.start()
    assert sender.wait(20)
    return sender.metrics()


def test_a_row_has_many_guests_and_each_another_address(small: Kernel) -> None:
    wear_out(small)
    seen = set[str]()
    for _ in range(5 * FEW):
        (guest,) = small.spawn(program(EXIT.format(status=3)))
        assert guest.wait(20)
        assert (guest.exit_status, guest.metrics()["turns"]) == (3, 1)
        seen.add(guest.address)
    assert len(seen) == 5 * FEW
    assert int(small.tables.record["count"][0]) == FEW + 1
    small.check()


def test_a_number_is_not_used_again_while_somebody_has_a_handle(small: Kernel) -> None:
    kept = small.spawn(program(EXIT.format(status=7)), FEW)
    assert small.wait(kept, 20)
    one = kept[3]
    with pytest.raises(Overdrawn, match="8 numbers are free"):
        small.spawn(program(SLEEPER))
    del kept
    with pytest.raises(Overdrawn):
        small.spawn(program(SLEEPER))
    assert (one.state, one.exit_status) == (State.GONE, 7)
    del one
    gc.collect()
    assert len(small.spawn(program(SLEEPER), FEW)) == FEW


def test_who_asks_for_a_number_gets_its_guest_or_an_error(small: Kernel) -> None:
    wear_out(small)
    (guest,) = small.spawn(program(EXIT.format(status=1)))
    number = guest.number
    assert guest.wait(20)
    del guest
    assert small.guest(number).exit_status == 1
    row = number & small.tables.mask
    while small.tables.name(row) == number:
        small.kill(*small.spawn(program(SPIN)))
    with pytest.raises(KeyError, match=f"there is no guest {number}"):
        small.guest(number)
    assert small.guest(small.tables.name(row)).ending is not None


def test_a_late_frame_does_not_reach_the_next_guest_of_a_row(small: Kernel) -> None:
    wear_out(small)
    (old,) = small.spawn(program(RECEIVER))
    assert send(small, old.number)["frames_sent"] == 1
    assert old.wait(20)
    name, row = old.number, old.row
    del old
    heirs = [small.spawn(program(RECEIVER))[0] for _ in range(FEW)]
    heir = next(guest for guest in heirs if guest.row == row)
    small.kill(*(guest for guest in heirs if guest is not heir))
    del heirs
    assert send(small, name)["sent_to_nobody"] == 1
    assert heir.metrics()["frames_received"] == 0
    assert send(small, heir.number)["frames_sent"] == 1


def test_a_row_rests_while_frames_of_its_guest_wait_somewhere(small: Kernel) -> None:
    (deaf,) = small.spawn(program(SLEEPER), start=False)
    sent = send(small, deaf.number)
    assert sent["frames_sent"] == 1
    waiting = int(small.tables.guests["outstanding"].sum())
    assert waiting == 1
    others = small.spawn(program(SLEEPER), FEW - 2)
    with pytest.raises(Overdrawn):
        small.spawn(program(SLEEPER))
    small.check()
    deaf.kill()
    assert len([*others, *small.spawn(program(SLEEPER))]) == FEW - 1


def test_endings_are_kept_as_long_as_handles_and_no_longer_than_rows(small: Kernel) -> None:
    for status in range(10):
        guests = small.spawn(program(EXIT.format(status=status)), 4)
        assert small.wait(guests, 20)
        assert [guest.exit_status for guest in guests] == [status] * 4
    assert len(small.endings._endings) <= FEW  # type: ignore[reportPrivateUsage]


def test_news_of_a_guest_whose_row_is_anothers_is_not_told(small: Kernel) -> None:
    for _ in range(3 * FEW):
        small.spawn(program("_start: ebreak"))[0].wait(20)
    told = small.stopped()
    assert 0 < len(told) <= FEW
    assert all(guest.ending and guest.ending.end is End.TRAPPED for guest in told)


def test_the_next_guest_of_a_row_is_as_if_it_were_the_first(small: Kernel) -> None:
    wear_out(small)
    for _ in range(2 * FEW):
        (guest,) = small.spawn(program(SENDER), start=False, extra=100_000)
        account = small.tables.frames.accounts[guest.row]
        assert account["bonus"] == 100_000 - 256
        guest.write("peer", (5000).to_bytes(8, "little"))
        guest.start()
        assert guest.wait(20)
        assert (guest.metrics()["turns"], guest.metrics()["sent_to_nobody"]) == (1, 1)
        del guest
        (plain,) = small.spawn(program(SLEEPER))
        assert small.tables.frames.accounts[plain.row]["bonus"] == 0
        plain.kill()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(["sleeper", "spin", "exit", "kill", "forget", "frame", "park", "name"]), max_size=60))
def test_whatever_comes_and_goes_handles_lead_to_their_guests(engine: Engine, verbs: list[str]) -> None:
    sources = {"sleeper": SLEEPER, "spin": SPIN, "exit": EXIT.format(status=9)}
    with opened(engine, capacity=FEW, frames=1 << 10) as kernel:
        handles: list[tuple[Guest, str]] = []
        for step, verb in enumerate(verbs):
            if verb in sources:
                try:
                    (guest,) = kernel.spawn(program(sources[verb], verb), turn=1000)
                except Overdrawn:
                    assert len(handles) == FEW or int(kernel.tables.guests["queued"].sum())
                else:
                    handles.append((guest, verb))
            elif handles:
                guest, kind = handles[step % len(handles)]
                if verb == "kill":
                    guest.kill()
                elif verb == "forget":
                    del handles[step % len(handles)], guest
                elif verb == "frame" and guest.ending is None and kind == "sleeper":
                    assert kernel.send(guest, bytes(60)) is Sent.QUEUED
                elif verb == "park":
                    kernel.park(guest)
                else:
                    assert kernel.guest(guest.number) == guest
            for guest, kind in handles:
                assert guest.image.name == kind
                assert kind == "exit" or guest.ending is None or guest.ending.end is End.KILLED
            kernel.check()


def test_the_memory_of_a_kernel_does_not_grow_with_the_guests_it_has_had(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(capacity=2000)
    sizes = list[int]()
    for turn in range(40):
        guests = kernel.spawn(program(EXIT.format(status=0)), 1000)
        deadline = time.monotonic() + 20
        assert kernel.wait(guests, deadline - time.monotonic())
        if turn >= 10:
            sizes.append(_resident())
    assert sizes[-1] - sizes[0] < 1 << 20
    assert int(kernel.tables.record["count"][0]) == 2001


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_a_limit_set_for_one_guest_is_not_that_of_the_next_of_its_row(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(capacity=1)
    (first,) = kernel.spawn(program(SLEEPER))
    row = first.row
    kernel.allow(first, 5, within=1)
    first.kill()
    del first
    (second,) = kernel.spawn(program(SLEEPER))
    assert second.row == row
    assert kernel.tables.frames.accounts["bonus"][row] == 0
