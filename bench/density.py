"""How many guests of a web service fit a host: spawned, each asked once, and what that costs, from a thousand up.

Every count is measured in a process of its own, so that nothing a smaller one left behind is counted. Within it the
service is translated first; then guests are spawned from its warmed image, and the probe, a guest of their network, has
each of them answer an HTTP request. A few are asked once more through the gateway, and what they say is compared word
by word.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from denali.room import available

if TYPE_CHECKING:
    from denali.kernel.kernel import Kernel

METHOD = (
    "spawn: the spawning call alone, as a guest's memory is written just before its first turn; CPU until all have "
    "answered: from the end of that call on; bytes a guest: "
    "growth of this process's proportional set (smaps_rollup) and page tables (VmPTE) from before the spawn until all "
    "have answered, divided by the guests; resident: guests whose first page the host has in memory (mincore)"
)
LEAST = 1000
NEEDED = 6 << 10  # bytes a guest that must be free before a count is begun
SPARE = 1 << 30  # bytes that are left to others
PAGE = 4096
BATCH = 10_000  # guests that are parked between two looks of the kernel at the others
CHECKED = 50  # guests whose whole answer is compared
REQUEST = b"GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n"


class TooLittle(Exception):
    """The host has not the memory for so many guests; the message has the numbers."""


@dataclass(slots=True)
class Point:
    """What so many guests cost."""

    guests: int
    answered: int
    resident: int
    parked: int
    bytes_per_guest: float
    spawn_ns_per_guest: float
    spawn_cpu_ns_per_guest: float
    answer_all_s: float
    answer_cpu_us_per_guest: float
    close_s: float
    later_parked: int | None = None  # when all were to be parked afterwards: how many were
    parked_bytes_per_guest: float | None = None  # ... and what each of all guests takes then
    park_us_per_guest: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def counts(most: int) -> list[int]:
    """A thousand, ten thousand, … and `most`."""
    found, count = list[int](), LEAST
    while count < most:
        found.append(count)
        count *= 10
    return [*found, most]


def measure(most: int, progress: Callable[[str], None] = lambda _: None, *, park: bool = False) -> list[Point]:
    """The curve up to `most` guests; `park` them too, when they have answered.

    Raises:
        TooLittle: the host has not enough memory.
        RuntimeError: a count failed; says how.
    """
    points = list[Point]()
    for count in counts(most):
        progress(f"{count:,} guests")
        _require(count)
        points.append(_apart(count, park=park))
    return points


def _require(count: int) -> None:
    needed, free = count * NEEDED + SPARE, available()
    if free < needed:
        said = f"{count:,} guests want {needed / 2**30:.1f} GiB of free memory, {free / 2**30:.1f} are there"
        raise TooLittle(f"{said}: say --count {max((free - SPARE) // NEEDED, 0)} at most")


def _apart(count: int, *, park: bool) -> Point:
    """Measure one count in a process of its own."""
    command = [sys.executable, "-P", "-m", "denali.bench.density", str(count), *["park"] * park]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or [f"status {result.returncode}"])[-1]
        raise RuntimeError(f"{count:,} guests: {last}")
    return Point(**json.loads(result.stdout))


def point(count: int, *, park: bool = False) -> Point:
    """Spawn, have everybody answer, and look, in this process."""
    from denali import examples
    from denali.kernel.records import State
    from denali.survey import footprint, survey
    from denali.system import Kernel, load, service

    image = load(Path(examples.__path__[0]) / "hello.py")
    kernel = Kernel(capacity=count + 3)  # the probe, and the guest that is warmed
    for one in (image, service("probe")):
        kernel.prepare(one)
    before = footprint()
    report = survey(kernel, image, count)
    states = kernel.tables.guests["state"]
    first = int(np.flatnonzero((states >= State.HELD) & (states <= State.IDLE))[-count])  # the probe is over
    _check_words(kernel, first, count)
    parked = int(kernel.metrics().get("parked", 0))
    resident = _resident(kernel, first, count)
    later = _park(kernel, first, count, before) if park else (None, None, None)
    begin = time.perf_counter()
    kernel.close()
    seconds = time.perf_counter() - begin
    return Point(
        *(count, report.answered, resident, parked),
        *(report.bytes_per_guest, report.spawn_ns_per_guest, report.spawn_cpu_ns_per_guest),
        *(report.answer_all_s, report.answer_cpu_us_per_guest, seconds),
        *later,
    )


def _park(kernel: Kernel, first: int, count: int, before: int) -> tuple[int, float, float]:
    """Park everybody, and have some answer again: how many were parked, bytes of each of all then, µs it took."""
    from denali.survey import footprint

    begin, parked = time.perf_counter_ns(), 0
    for at in range(first, first + count, BATCH):
        parked += kernel.park(*(kernel.guest(number) for number in range(at, min(at + BATCH, first + count))))
    took, grown = time.perf_counter_ns() - begin, footprint() - before
    _check_words(kernel, first, count)
    return parked, grown / count, took / count / 1000


def _check_words(kernel: Kernel, first: int, count: int) -> None:
    """Ask some guests through the gateway; each must name itself."""
    for number in {first, first + count - 1, *random.choices(range(first, first + count), k=CHECKED)}:
        guest = kernel.guest(number)
        said = guest.request(REQUEST, timeout=60).partition(b"\r\n\r\n")[2]
        if said != f"Hello from guest {number} at {guest.address}\n".encode():
            raise RuntimeError(f"guest {number} said {said!r}")


def _resident(kernel: Kernel, first: int, count: int) -> int:
    """Guests whose first page is in the host's memory."""
    guests, frames = kernel.tables.guests[first : first + count], kernel.tables.frames
    start, stop = int(guests["first_frame"].min()), int(guests["first_frame"].max()) + 1
    found = np.zeros(stop - start, np.uint8)
    address, size = frames.memory.ctypes.data + start * PAGE, (stop - start) * PAGE
    mincore = ctypes.CDLL(None, use_errno=True).mincore
    if mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), ctypes.c_void_p(found.ctypes.data)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int((found[guests["first_frame"] - start] & 1).sum())


if __name__ == "__main__":
    print(json.dumps(point(int(sys.argv[1]), park="park" in sys.argv).as_dict()))
