"""Spawn many guests, have each answer one request, and say what that took: the figures of `denali-py spawn`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import numpy as np

from .isa.image import Image
from .isa.virtual import loopback_of
from .kernel.guest import Guest
from .kernel.template import Frozen, NotFrozen, has_mark
from .room import available
from .system import Kernel, service
from .tlb.frames import FRAME, Overdrawn

HTTP = 80  # the port on which a guest of `spawn` answers
WARMING_S = 10.0  # until an image is taken for one without a mark
RECORDS = 300  # bytes for a guest besides its pages, at least
PATIENCE_S = 60.0  # without any answer, the probe is given up
_PROBE = "denali.libos.probe"
_RECORD = np.dtype([("index", "<u4"), ("latency", "<u4")])  # what the probe writes for each guest
_FAILED = 0xFFFFFFFF


@dataclass(slots=True)
class Latency:
    """Microseconds from opening a connection to the end of the answer."""

    p50: float
    p99: float


@dataclass(slots=True)
class Report:
    """What spawning and asking took."""

    guests: int
    answered: int
    failed: int
    first_guest_s: float  # from the start of this process until the first guest was made
    spawn_ns_per_guest: float  # a guest's memory is written later, before its first turn
    spawn_cpu_ns_per_guest: float  # of this process; the other is by the clock on the wall
    bytes_per_guest: float  # growth of this process (resident pages and page tables) over spawn and answers, by guest
    answer_all_s: float
    answer_cpu_us_per_guest: float  # from the end of the spawn on, first turns included
    requests_per_second: float
    latency_us: Latency
    warmed: bool  # they started from a warmed image
    addresses: tuple[str, str]  # by which the host reaches the first and the last of them

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def since_process_start() -> float:
    """Seconds that this process has lived (to 10 ms, the host's tick)."""
    started = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def footprint() -> int:
    """Bytes of memory that belong to this process: its proportional set and its page tables."""
    lines = [
        *Path("/proc/self/smaps_rollup").read_text().splitlines(),
        *Path("/proc/self/status").read_text().splitlines(),
    ]
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Pss:", "VmPTE:")))


def survey(
    kernel: Kernel,
    image: Image,
    count: int,
    *,
    memory: int | None = None,
    fuel: int | None = None,
    watchdog: int | None = None,
    warm: bool = True,
    wait: float | None = None,
    asked: Callable[[int], None] = lambda _: None,
) -> Report:
    """Spawn `count` guests of `image` in `kernel` and ask each of them once over the virtual network.

    Args:
        kernel: an open kernel.
        image: a service that speaks HTTP on port 80.
        count: how many guests.
        memory: bytes of private memory each; None: what the kernel gives by default.
        fuel: instructions in the life of each; None: no limit.
        watchdog: instructions after which one that asks for nothing is stopped; None: no limit.
        wait: see `Kernel.spawn`.
        warm: start them from the image warmed to its mark, if it has one.
        asked: told from time to time how many guests have been asked.

    Raises:
        Overdrawn: the host has not the memory for so many, and nobody said from when on idle ones are parked.
    """
    results = bytearray()
    frozen = _warmed(kernel, image, memory) if warm else None
    if wait is None:
        _require(image, frozen, count)
    before = footprint()
    begin, working = time.perf_counter_ns(), time.process_time_ns()
    start, size = (frozen, None) if frozen else (image, memory)
    guests = kernel.spawn(start, count=count, memory=size, fuel=fuel, watchdog=watchdog, wait=wait)
    spawn_ns, spawned = time.perf_counter_ns() - begin, time.process_time_ns()
    first_guest_s = since_process_start()
    probe = kernel.spawn(service("probe"), start=False, pipe=results.extend)[0]
    for name, value in (("first", guests[0].number), ("count", count), ("port", HTTP)):
        probe.write(f"{_PROBE}.{name}", value.to_bytes(8, "little"))
    begin = time.perf_counter_ns()
    probe.start()
    _watch(probe.wait, results, asked)
    seconds, answer_cpu = (time.perf_counter_ns() - begin) / 1e9, time.process_time_ns() - spawned
    taken = footprint() - before
    probe.kill()
    latencies = np.frombuffer(bytes(results[: len(results) // 8 * 8]), _RECORD)["latency"]
    good = latencies[latencies != _FAILED] / 1000
    p50, p99 = np.percentile(good, (50, 99)) if len(good) else (0.0, 0.0)
    return Report(
        guests=count,
        answered=len(good),
        failed=count - len(good),
        first_guest_s=first_guest_s,
        spawn_ns_per_guest=spawn_ns / count,
        spawn_cpu_ns_per_guest=(spawned - working) / count,
        bytes_per_guest=taken / count,
        answer_all_s=seconds,
        answer_cpu_us_per_guest=answer_cpu / count / 1000,
        requests_per_second=len(good) / seconds,
        latency_us=Latency(float(p50), float(p99)),
        warmed=frozen is not None,
        addresses=(_reached_at(guests[0]), _reached_at(guests[-1])),
    )


def _require(image: Image, frozen: Frozen | None, count: int) -> None:
    """Refuse what the host's out-of-memory killer would end: more pages written in first turns than fit."""
    pages = len(frozen.template.own) if frozen else len(image.data) // FRAME + 1
    least, free = pages * FRAME + RECORDS, available()
    if count * least > free:
        said = f"{count:,} guests of {image.name} take at least {count * least / 2**30:.1f} GiB of memory"
        advice = f"say --count {free // least} at most, or --resident SIZE to have idle ones parked"
        raise Overdrawn(f"{said}, {free / 2**30:.1f} GiB are free: {advice}")


def _reached_at(guest: Guest) -> str:
    return str(IPv4Address(loopback_of(guest.row)))


def _warmed(kernel: Kernel, image: Image, memory: int | None) -> Frozen | None:
    """The image warmed up; None when it has no mark that a guest comes to soon."""
    with suppress(NotFrozen):
        return kernel.warm(image, memory=memory, timeout=WARMING_S) if has_mark(image) else None
    return None


def _watch(wait: Callable[[float], bool], results: bytearray, asked: Callable[[int], None]) -> None:
    """Wait for the probe, tell of progress, and lose patience when there is none."""
    seen, since = 0, time.monotonic()
    while not wait(0.1):
        if len(results) != seen:
            seen, since = len(results), time.monotonic()
            asked(seen // 8)
        elif time.monotonic() - since > PATIENCE_S:
            return
