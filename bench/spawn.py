"""What spawning, parking and resetting guests of a service cost: `python -m denali.bench.spawn [SERVICE.py] [COUNT]`.

A guest's memory is written just before its first turn; what that costs is measured for all guests of a count by itself.
Times are CPU time of the kernel's thread, so that other work on the host counts little; bytes are what it keeps.
`python -m denali.bench.spawn turns [TURNS]` has a thousand guests come and go in each turn, and says how memory grows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from denali.isa.image import Image
from denali.isa.tools.assembler import assemble
from denali.kernel import births, crumbs, life, reset
from denali.kernel.records import GUEST
from denali.kernel.template import Frozen
from denali.kernel.warehouse import resident
from denali.survey import survey
from denali.system import Kernel, load

_HELLO = Path(__file__).parent.parent / "examples" / "hello.py"
_ENDLESS = 1 << 62


def timed(kernel: Kernel, action: Callable[[], object]) -> int:
    """CPU ns that an action takes in the kernel's thread."""

    def run() -> int:
        begin = time.thread_time_ns()
        action()
        return time.thread_time_ns() - begin

    return kernel._call(run)  # pyright: ignore[reportPrivateUsage]


def spawn_ns(image: Image | Frozen, count: int) -> tuple[float, float]:
    """CPU ns a guest to spawn so many, which are held, in a kernel that has made one, and to write their memory."""
    with Kernel(gateway=False) as kernel:
        kernel.spawn(image, start=False)
        birth, space = kernel._birth(image, None, _ENDLESS)  # pyright: ignore[reportPrivateUsage]
        plan = births.Plan(count, _ENDLESS, 1_000_000, _ENDLESS, start=False)
        runner = kernel._runner  # pyright: ignore[reportPrivateUsage]
        made = list[np.ndarray]()
        spawned = timed(kernel, lambda: made.append(runner.bear(birth, space, plan, None)))
        written = timed(kernel, lambda: write(kernel, made[0] & kernel.tables.mask))
        return spawned / count, written / count


def write(kernel: Kernel, rows: np.ndarray) -> None:
    """Write the memory of guests that have had no turn, as the loop does before it."""
    rows = rows[kernel.tables.guests["registers"][rows] == 0]  # others have most of it at their spawn
    for at in range(0, len(rows), life.BATCH):
        some = rows[at : at + life.BATCH]
        life.begin(kernel.tables.address, some.ctypes.data, len(some))


def parked(image: Image, count: int) -> None:
    """Have guests answer, park them, bring them back and reset them."""
    with Kernel() as kernel:
        kernel.prepare(image)
        answered = survey(kernel, image, count).answered
        guests = [guest for guest in kernel.guests() if guest.image is image]
        warehouse, tables = kernel._runner.warehouse, kernel.tables  # pyright: ignore[reportPrivateUsage]
        away = timed(kernel, lambda: [warehouse.park(guest.row) for guest in guests])
        done = kernel.metrics()["parked"]
        kept = (len(tables.crumbs.items) - tables.crumbs.free) * crumbs.CRUMB.itemsize / done
        back = timed(kernel, lambda: [warehouse.summon(guest.row) for guest in guests])
        again = timed(kernel, lambda: [reset.restore(tables.address, guest.row) for guest in guests])
    total = kept + crumbs.PARKED.itemsize + GUEST.itemsize
    print(f"{answered:,} guests answered, {done:,} parked: {total:,.0f} B each: {kept:,.0f} packed, records the rest")
    print(f"park {away / done / 1e3:.1f} us, bring back {back / done / 1e3:.1f} us, reset {again / done / 1e3:.1f} us")


def turns(count: int) -> None:
    """Spawn a thousand guests, wait until they have exited, and again: the process's memory on the way."""
    image = assemble("_start: v.exit zero, zero, zero", name="exits").image()
    with Kernel() as kernel:
        kernel.prepare(image)
        begin = time.perf_counter()
        for turn in range(count):
            kernel.wait(kernel.spawn(image, 1000))
            if (turn + 1) % max(count // 10, 1) == 0:
                took = (time.perf_counter() - begin) / (turn + 1) * 1000
                print(f"{(turn + 1) * 1000:,} guests: {resident() >> 20} MiB, {took:.1f} us each", flush=True)


def main() -> None:
    """Print the figures."""
    if sys.argv[1:2] == ["turns"]:
        return turns(int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
    image = load(sys.argv[1] if len(sys.argv) > 1 else _HELLO)
    most = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    with Kernel(gateway=False) as kernel:
        frozen = kernel.warm(image)
    pages, frames = len(frozen.template.index), frozen.template.frames
    print(f"{image.name} at its mark: {pages} of {frames} pages touched, {frozen.template.size:,} B copied")
    for count in sorted({min(most, 10**power) for power in (3, 4, 5, 6)}):
        rounds = range(max(3, 10_000 // count))  # a few ms are easily disturbed
        cold, warm = (np.min([spawn_ns(kind, count) for _ in rounds], axis=0) for kind in (image, frozen))
        said = f"{warm[0]:,.0f} ns each from the warmed image, {cold[0]:,.0f} ns cold"
        print(f"{count:,} guests: {said}; {warm[1]:,.0f} and {cold[1]:,.0f} ns to write their memory before a turn")
    return parked(image, min(most, 5000))


if __name__ == "__main__":
    main()
