"""The gatekeeper: who waits for frames is let in as they come free, in order, or is told why not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from denali.kernel.gatekeeper import MINIMUM
from denali.kernel.kernel import Kernel
from denali.tlb.frames import Overdrawn

from .conftest import program
from .programs import EXIT, SLEEPER, SPIN

RUN = 17


def test_more_guests_than_frames_are_let_in_as_idle_ones_are_parked(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(frames=10 * RUN + MINIMUM)
    told: list[int] = []
    guests = kernel.spawn(program(SLEEPER), 100, wait=20, progress=lambda done, of: told.append(done))
    assert len(guests) == 100
    assert [guest.number for guest in guests] == list(range(1, 101))
    assert kernel.metrics()["parked"] >= 90
    assert told == sorted(told)
    assert told[-1] == 100
    kernel.check()


def test_guests_that_end_make_room(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(frames=10 * RUN + MINIMUM)
    guests = kernel.spawn(program(EXIT.format(status=3)), 200, wait=20)
    assert kernel.wait(guests, 20)
    assert {guest.exit_status for guest in guests} == {3}


def test_who_waits_in_vain_is_told_why_and_nothing_is_left(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(frames=10 * RUN + MINIMUM)
    busy = kernel.spawn(program(SPIN), 4, turn=1000)
    with pytest.raises(Overdrawn, match=r"6 of 20 guests; no room for 0.3 s: \d+ of 234 frames are free, 64 stay so"):
        kernel.spawn(program(SPIN), 20, turn=1000, wait=0.3)
    assert len(kernel.guests()) == len(busy)
    kernel.check()


def test_what_can_never_be_is_refused_at_once(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(frames=1000, capacity=50)
    with pytest.raises(Overdrawn, match="50 numbers are free"):
        kernel.spawn(program(SLEEPER), 51, wait=1000)
    with pytest.raises(Overdrawn, match="1,000 frames is all there are"):
        kernel.spawn(program(SLEEPER), 1, memory=1000 * 4096, wait=1000)


def test_those_who_wait_are_let_in_in_order(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(frames=4 * RUN + MINIMUM)
    busy = kernel.spawn(program(SPIN), 4, turn=1000)
    order: list[int] = []

    def wait(which: int) -> None:
        kernel.spawn(program(SLEEPER), 4, wait=20)
        order.append(which)

    threads = [threading.Thread(target=wait, args=(which,)) for which in range(3)]
    for which, thread in enumerate(threads, 1):
        thread.start()
        while len(kernel._gatekeeper._line) < which:  # type: ignore[reportPrivateUsage]
            time.sleep(0.001)
    assert not order
    kernel.kill(*busy)
    for thread in threads:
        thread.join(20)
    assert order == [0, 1, 2]


def test_an_interrupt_while_waiting_leaves_nothing(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(frames=10 * RUN + MINIMUM)

    def interrupt(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kernel.spawn(program(SPIN), 20, turn=1000, wait=20, progress=interrupt)
    assert kernel.guests() == []
    assert len(kernel.spawn(program(SLEEPER), 5, wait=20)) == 5
