"""Our own engine, measured as users get it: under the kernel's own loop, in turns of 5 ms, with another guest.

A kernel that runs for 50 ms is stopped in the middle about ten times; the other guest has a short turn between, and it
goes on where it was. What is counted is the CPU time of the loop's thread from the start of the guest to its end, less
the other guest's instructions at their usual cost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from denali.bench import pythons
from denali.bench.compilers import Compiler
from denali.bench.programs import FLAGS, FOLDER, Broken, Run, Sample
from denali.isa.image import Image
from denali.libos import cc

if TYPE_CHECKING:
    from denali.kernel.guest import Guest

TURN = 0.005  # seconds
FIRST_TURN = 10_000_000  # instructions, until it is known how many take 5 ms
OTHER_TURN = 50_000  # instructions, some 20 µs
STACK = 256 * 1024
QUIET = 1.5  # seconds in which no call was faster than before: the code is the best it will be
PATIENCE = 60.0  # seconds after which a guest is measured warm or not
LONGEST = 30.0  # seconds for one call of a kernel


class Denali:
    """Guests under the kernel."""

    def __init__(self, compiler: Compiler, guest: str = "_guest.c", *flags: str, masked: bool = False) -> None:
        """A kernel is called by `guest`, compiled with `flags`; `masked`: see `Kernel`."""
        from denali.kernel.kernel import Kernel

        self.compiler = compiler.name
        self.guest, self.flags = guest, flags
        before = set(threading.enumerate())
        self.kernel = Kernel(masked=masked)
        (self.loop,) = [t for t in threading.enumerate() if t not in before and t.name == "denali kernel"]
        self.other_ns = 0.0  # for one instruction of the other guest, once measured
        self.turn = FIRST_TURN

    def prepare(self, name: str, amount: int, folder: Path) -> Run:
        """See `Engine`."""
        image, other = self._image(name, amount, folder), self._other(folder)
        self.turn = FIRST_TURN
        memory = image.footprint + STACK

        def run() -> Sample:
            guest = self.kernel.spawn(image, 1, memory=memory, turn=self.turn, start=False)[0]
            rival = self.kernel.spawn(other, 1, turn=OTHER_TURN, start=False)[0]
            seconds, others = self._time(guest, rival)
            seconds -= others * self.other_ns / 1e9
            self.kernel.kill(rival)
            if guest.exit_status is None:
                raise Broken(guest.message or f"ended: {guest.ending}")
            self.turn = max(int(guest.metrics()["retired"] / seconds * TURN), 1000)
            return Sample(seconds, guest.exit_status)

        _warm_up(run, lambda: self.kernel.prepare(image, memory=memory))
        return run

    def _image(self, name: str, amount: int, folder: Path) -> Image:
        if name in pythons.PYTHON:
            return pythons.guest(name, amount, folder)
        sources = [FOLDER / self.guest, FOLDER / f"{name}.c"]
        cc.build(sources, folder / f"{name}.elf", compiler=self.compiler, flags=[*FLAGS, f"-DN={amount}", *self.flags])
        return Image.load(folder / f"{name}.elf")

    def _clock(self) -> float:
        assert self.loop.ident is not None
        return time.clock_gettime_ns(time.pthread_getcpuclockid(self.loop.ident)) / 1e9

    def _time(self, *guests: Guest) -> tuple[float, int]:
        """From the start of these guests to the end of the first, read by the loop itself when that one has ended.

        CPU seconds of the loop, and the instructions that the others have executed.
        """
        ended: list[tuple[float, int]] = []

        def note(_: Future[None]) -> None:
            others = sum(guest.metrics()["retired"] for guest in guests[1:])
            ended.append((time.thread_time_ns() / 1e9, others))

        over = self.kernel.when_over(guests[:1])
        over.add_done_callback(note)
        start = self._clock()
        for guest in guests:
            guest.start()
        try:
            over.result(LONGEST)
        except TimeoutError:
            for guest in guests:
                self.kernel.kill(guest)
            raise Broken(f"no answer after {LONGEST:.0f} s") from None
        while not ended:
            time.sleep(0)
        seconds, others = ended[0]
        return seconds - start, others

    def _other(self, folder: Path) -> Image:
        """The competitor; the first time, measure what its instructions cost."""
        target = folder / "competitor.elf"
        if not target.exists():
            cc.build([FOLDER / "_competitor.c"], target, compiler=self.compiler)
        image = Image.load(target)
        if not self.other_ns:
            for fuel in (100_000_000, 200_000_000):  # the first finds what is hot
                guest = self.kernel.spawn(image, 1, fuel=fuel, turn=OTHER_TURN, start=False)[0]
                self.other_ns = self._time(guest)[0] * 1e9 / fuel
        return image

    def release(self) -> None:
        """Nothing is kept for one kernel only."""

    def close(self) -> None:
        """End the kernel."""
        self.kernel.close()


def _warm_up(run: Run, settle: Callable[[], None]) -> None:
    """Run until nothing is translated any more (`settle` waits for what is under way) and no call gets faster."""
    settle()
    begin = better = time.monotonic()
    best = float("inf")
    while time.monotonic() - better < QUIET and time.monotonic() - begin < PATIENCE:
        seconds = run().seconds
        settle()
        if seconds < 0.97 * best:
            best, better = seconds, time.monotonic()
