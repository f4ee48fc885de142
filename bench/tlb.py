"""`denali-py bench tlb`: what the virtual MMU costs, in ns: a hit, a miss, a binding; and unicorn's soft MMU beside it.

One small guest touches a word in each of a number of pages, round after round, with a TLB that has room for them or
has not. CPU time of the kernel's thread, from the start of the guest to its end; what starting it costs is measured by
the same guest with one round, and taken off. Every figure is the best of several rounds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from denali.isa.tools.assembler import assemble
from denali.kernel.guest import Guest
from denali.kernel.kernel import Kernel

AT = 1 << 30
NAMES = ("entries", "pages", "touched", "rounds", "where", "mode")
ENTRIES, PAGES = (64, 256, 1024), (32, 128, 512, 2048)
HITS, MISSES, BINDS = 10_000_000, 200_000, 1_000_000  # accesses in a measurement
FITS = 128  # pages that any TLB here has room for
WARM = 3  # runs until code is translated, at least
SOURCE = (Path(__file__).parent / "tlb_guest.s").read_text()
Progress = Callable[[str], None]


class Failed(Exception):
    """A guest of this bench did not do what it should; the message says what it said."""


@dataclass(slots=True)
class Point:
    """One cell of the table: ns for an access to one of `pages`, in turn, with a TLB of `entries`."""

    entries: int
    pages: int
    ns: float
    misses: float  # for each access


@dataclass(slots=True)
class Results:
    """What was measured, ns each; `unicorn` has figures, or `skipped` a reason."""

    flat_ns: float = 0.0  # an access without the virtual MMU
    wired_ns: float = 0.0  # with it, to wired memory
    hit_ns: float = 0.0  # to a page with an entry
    miss_ns: float = 0.0  # to a page that the guest's handler binds first
    bind_ns: float = 0.0
    batched_bind_ns: float = 0.0
    sweep: list[Point] = field(default_factory=list[Point])
    unicorn: dict[str, float] = field(default_factory=dict[str, float])
    skipped: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


class Bench:
    """A kernel with one guest at a time."""

    def __init__(self, rounds: int) -> None:
        """Each figure is the best of `rounds`."""
        before = set(threading.enumerate())
        self.kernel, self.rounds = Kernel(capacity=1 << 12, frames=1 << 16), rounds
        (self.loop,) = [t for t in threading.enumerate() if t not in before and t.name == "denali kernel"]
        self.image = assemble(SOURCE, name="tlb").image()
        self.misses = 0.0

    def memory(self, values: dict[str, int]) -> int:
        """Bytes of private memory of a guest with these words in its data."""
        return self.image.footprint + 4096 * (2 + (0 if values.get("where") else values["pages"])) + 65536

    def run(self, **values: int) -> float:
        """CPU seconds of one guest with these words in its data."""
        memory, extra = self.memory(values), values["pages"] + 64
        (guest,) = self.kernel.spawn(self.image, memory=memory, turn=10_000_000, extra=extra, start=False)
        words = b"".join(values.get(name, 0).to_bytes(8, "little") for name in NAMES)
        guest.write_memory(self.image.object("entries").start, words)
        seconds = self._time(guest)
        if guest.exit_status != 0:
            raise Failed(guest.message or "the kernel gave it too few frames")
        self.misses = float(guest.metrics()["events"])
        return seconds

    def _time(self, guest: Guest) -> float:
        ended: list[float] = []

        def note(_: Future[None]) -> None:
            ended.append(time.thread_time_ns() / 1e9)

        self.kernel.when_over([guest]).add_done_callback(note)
        assert self.loop.ident is not None
        start = time.clock_gettime_ns(time.pthread_getcpuclockid(self.loop.ident)) / 1e9
        guest.start()
        if not guest.wait(60):
            self.kernel.kill(guest)
            raise Failed("no end after 60 s")
        while not ended:
            time.sleep(0)
        return ended[0] - start

    def best(self, count: int, **values: int) -> float:
        """ns for one of `count` operations of a round; as many rounds as the caller says, after some to get warm."""
        rounds = values.pop("rounds")
        self._settle(lambda: self.run(rounds=rounds, **values), memory=self.memory(values))
        many = min(self.run(rounds=rounds, **values) for _ in range(self.rounds))
        misses = self.misses
        one = min(self.run(rounds=1, **values) for _ in range(self.rounds))
        self.misses = (misses - self.misses) / count / (rounds - 1)
        return max(many - one, 0.0) / count / (rounds - 1) * 1e9

    def _settle(self, run: Callable[[], float], memory: int) -> None:
        """Run until nothing is translated any more and no run is faster than those before."""
        best, since = float("inf"), 0
        while since < WARM:
            seconds = run()
            self.kernel.prepare(self.image, memory=memory)
            since = 0 if seconds < 0.97 * best else since + 1
            best = min(best, seconds)

    def touch(self, entries: int, pages: int, where: int, *, misses: bool = False) -> float:
        """ns for an access to one of so many pages."""
        touched = max(pages * 63 // 64, 1)
        rounds = max((MISSES if misses else HITS) // touched, 2)
        return self.best(touched, entries=entries, pages=pages, touched=touched, rounds=rounds, where=where)


def measure(*, rounds: int = 5, progress: Progress = lambda _: None) -> Results:
    """Everything, on this machine, now."""
    results, bench = Results(), Bench(rounds)
    try:
        progress("without the virtual MMU")
        results.flat_ns = bench.touch(0, 128, 0)
        progress("wired memory")
        results.wired_ns = bench.touch(256, 128, 0)
        progress("hits")
        results.hit_ns = bench.touch(256, 128, AT)
        progress("misses")
        results.miss_ns = bench.touch(64, 512, AT, misses=True)
        progress("bindings")
        results.bind_ns = bench.best(1, entries=256, pages=64, rounds=BINDS, where=AT, mode=1)
        results.batched_bind_ns = bench.best(64, entries=256, pages=64, rounds=BINDS // 64, where=AT, mode=2)
        for entries in ENTRIES:
            for pages in PAGES:
                progress(f"{entries} entries, {pages} pages")
                ns = bench.touch(entries, pages, AT, misses=pages > entries)
                results.sweep.append(Point(entries, pages, ns, bench.misses))
        progress("unicorn")
        _measure_unicorn(results, rounds)
    finally:
        bench.kernel.close()
    return results


def _measure_unicorn(results: Results, rounds: int) -> None:
    if find_spec("unicorn") is None:
        results.skipped = "not installed: pip install 'denali-py[bench]'"
        return
    one, two = Unicorn(virtual=False), Unicorn(virtual=True)
    results.unicorn["hit_ns"] = min(one.warm(FITS) for _ in range(rounds))
    results.unicorn["miss_ns"] = min(one.cold() for _ in range(rounds))
    results.unicorn["handler_miss_ns"] = min(two.cold() for _ in range(rounds))


class Unicorn:
    """The same loop under unicorn: its own page tables, or (virtual) a Python function that fills its TLB."""

    def __init__(self, *, virtual: bool) -> None:
        """Take the loop out of the guest's source."""
        self.unicorn: Any = import_module("unicorn")
        self.registers: Any = import_module("unicorn.riscv_const")
        loop = SOURCE[SOURCE.index("outer:") : SOURCE.index("done:")]
        image = assemble(f"_start: nop\n{loop}", name="loop").image()
        self.loop, self.end = image.text_start + 4, image.text_end
        self.machine = self.unicorn.Uc(self.unicorn.UC_ARCH_RISCV, self.unicorn.UC_MODE_RISCV64)
        self.machine.mem_map(image.ro_start & -4096, 4096)
        self.machine.mem_write(image.ro_start, image.read_only)
        self.machine.mem_map(AT, 4096 * 4096)
        if virtual:
            self.machine.ctl_set_tlb_mode(self.unicorn.UC_TLB_VIRTUAL)
            self.machine.hook_add(self.unicorn.UC_HOOK_TLB_FILL, _fill)

    def _run(self, pages: int, rounds: int) -> float:
        touched, registers = max(pages * 63 // 64, 1), self.registers
        values = {"S3": touched, "S5": rounds, "S4": AT, "S7": 4160, "S6": 0}
        for name, value in values.items():
            self.machine.reg_write(getattr(registers, f"UC_RISCV_REG_{name}"), value)
        start = time.thread_time_ns()
        self.machine.emu_start(self.loop, self.end)
        return float(time.thread_time_ns() - start) / touched

    def warm(self, pages: int) -> float:
        """ns for an access when every page has an entry."""
        self._run(pages, 2)
        rounds = HITS // 4 // pages
        return self._run(pages, rounds) / rounds

    def _round(self, *, flush: bool) -> float:
        if flush:
            self.machine.ctl(self.unicorn.UC_CTL_TLB_FLUSH, self.unicorn.UC_CTL_IO_WRITE)
        return self._run(FITS, 1)

    def cold(self) -> float:
        """ns more for an access that finds no entry: a round after a flush of the TLB, less one without."""
        self._run(FITS, 2)
        warm = min(self._round(flush=False) for _ in range(100))
        return max(min(self._round(flush=True) for _ in range(100)) - warm, 0.0)


def _fill(_machine: Any, address: int, _kind: int, entry: Any, _data: Any) -> bool:
    """Every page is where its address says."""
    entry.paddr, entry.perms = address & -4096, 7
    return True
