"""`denali-py bench compute`: C kernels under every engine, each against native code of the same compiler.

Kernels in Python run where there is a compiler for them, and "native" is then numba's own target for this host.

Thread CPU time. For each kernel the engines take turns, round by round, so that a slow minute of the host hits all of
them; the figure of an engine is the median over the rounds of its time divided by native's in the same round. In a
round all of them run on one processor, in the next on another: what others do to it would else hit whoever is there.
"""

from __future__ import annotations

import math
import os
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from denali.bench import pythons
from denali.bench.compilers import Compiler, choose
from denali.bench.flat import Denali
from denali.bench.programs import KERNELS, Broken, Engine, Run, Sample, Unavailable
from denali.bench.pythons import PYTHON
from denali.bench.rivals import Native, Qemu, Wasmtime

BASE = "native"


ENGINES: dict[str, Callable[[Compiler], Engine]] = {
    BASE: Native,
    "native-march": lambda compiler: Native(compiler, march=True),
    "denali-flat": Denali,
    "denali-masked": lambda compiler: Denali(compiler, masked=True),
    "denali-paged": lambda compiler: Denali(compiler, "_guest_paged.c", "-DSCATTERED=0"),
    "denali-scattered": lambda compiler: Denali(compiler, "_guest_paged.c", "-DSCATTERED=1"),
    "wasmtime": Wasmtime,
    "wasmtime-epoch": lambda compiler: Wasmtime(compiler, epochs=True),
    "qemu": lambda _: Qemu(),  # programs of Linux: of the one compiler that has a C library for them
}


@dataclass(slots=True)
class Results:
    """Samples by kernel and engine, and what could not be had."""

    compiler: str
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict[str, dict[str, list[Sample]]])
    skipped: dict[str, str] = field(default_factory=dict[str, str])  # engine: reason
    failed: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])  # kernel: engine: reason

    def engines(self) -> list[str]:
        """Those that have any figure, in the order of `ENGINES`."""
        return [name for name in ENGINES if any(name in row for row in self.samples.values())]

    def seconds(self, kernel: str, engine: str) -> float:
        """Median CPU time of one call."""
        return statistics.median(sample.seconds for sample in self.samples[kernel][engine])

    def ratio(self, kernel: str, engine: str) -> float | None:
        """Median over the rounds of the time against native's; None where there is none."""
        pairs = self._pairs(kernel, engine)
        return statistics.median(mine / base for mine, base in pairs) if pairs else None

    def least(self, kernel: str, engine: str) -> float | None:
        """The least time against native's least, which others on the host disturb less."""
        pairs = self._pairs(kernel, engine)
        return min(mine for mine, _ in pairs) / min(base for _, base in pairs) if pairs else None

    def _pairs(self, kernel: str, engine: str) -> list[tuple[float, float]]:
        """The time of an engine and native's, by rounds; none where one of them has none."""
        row = self.samples[kernel]
        if engine not in row or BASE not in row:
            return []
        return [(mine.seconds, base.seconds) for mine, base in zip(row[engine], row[BASE], strict=True)]

    def geomean(self, engine: str, *, python: bool = False, least: bool = False) -> float | None:
        """Geometric mean of the ratios over the kernels that this engine ran, those in C or those in Python.

        Of the least times if `least`. None where there is none, or where one call was too short to tell its time from
        the other guest's.
        """
        kernels = [kernel for kernel in self.samples if (kernel in PYTHON) is python]
        of = self.least if least else self.ratio
        ratios = [ratio for kernel in kernels if (ratio := of(kernel, engine)) is not None]
        return math.exp(statistics.fmean(map(math.log, ratios))) if ratios and min(ratios) > 0 else None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`; ratios and failures beside what the format promises."""
        kernels = {k: {e: self.seconds(k, e) for e in row} for k, row in self.samples.items()}
        ratios = {k: {e: self.ratio(k, e) for e in row} for k, row in self.samples.items()}
        geomean = {engine: self.geomean(engine) for engine in self.engines()}
        least = {engine: self.geomean(engine, least=True) for engine in self.engines()}
        result = {"kernels": kernels, "geomean": geomean, "ratios": ratios, "skipped": self.skipped}
        python = {engine: mean for engine in self.engines() if (mean := self.geomean(engine, python=True)) is not None}
        more = {"geomean_python": python, "geomean_least": least, "failed": self.failed}
        return {**result, "compiler": self.compiler, **more}


def measure(
    only: Iterable[str] = (),
    engines: Iterable[str] = (),
    *,
    rounds: int = 7,
    compiler: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Results:
    """Run the kernels named (default: all) on the engines named (default: all; native always).

    Raises:
        Unavailable: there is no such compiler.
    """
    chosen = choose(compiler)
    results = Results(chosen.name)
    ready: dict[str, Engine] = {}
    for name, make in ENGINES.items():
        if engines and name not in (BASE, *engines):
            continue
        try:
            ready[name] = make(chosen)
        except Unavailable as reason:
            results.skipped[name] = str(reason)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for kernel in only or (*KERNELS, *PYTHON):
                _measure_kernel(results, kernel, ready, rounds, Path(folder), progress)
    finally:
        for engine in ready.values():
            engine.close()
    return results


def _measure_kernel(
    results: Results, kernel: str, ready: dict[str, Engine], rounds: int, folder: Path, progress: Callable[[str], None]
) -> None:
    runs: dict[str, Run] = {}
    failed: dict[str, str] = {}
    for name, engine in ready.items():
        if kernel in PYTHON and name not in pythons.ENGINES:
            continue
        progress(f"{kernel}: {name}")
        try:
            runs[name] = engine.prepare(kernel, (KERNELS | PYTHON)[kernel], folder)
        except Exception as error:  # whatever a rival or a half-built engine throws is a line of the report
            failed[name] = f"{type(error).__name__}: {error}"
    row: dict[str, list[Sample]] = {name: [] for name in runs}
    for number in range(rounds):
        progress(f"{kernel}: round {number + 1} of {rounds}")
        with _one_processor(number):
            for name, run in list(runs.items()):
                try:
                    row[name].append(run())
                except Broken as error:
                    failed[name] = str(error)
                    del runs[name]
    for engine in ready.values():
        engine.release()
    results.samples[kernel] = _agreeing(row, failed)
    if failed:
        results.failed[kernel] = failed


@contextmanager
def _one_processor(number: int) -> Iterator[None]:
    """All threads of this process on one of its processors, in turn by `number`."""
    usual = os.sched_getaffinity(0)
    _pin({sorted(usual)[number % len(usual)]})
    try:
        yield
    finally:
        _pin(usual)


def _pin(processors: set[int]) -> None:
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), processors)


def _agreeing(row: dict[str, list[Sample]], failed: dict[str, str]) -> dict[str, list[Sample]]:
    """The engines that gave native's answer every time; the others go to `failed`."""
    right = row[BASE][0].answer
    for name, samples in row.items():
        wrong = next((sample.answer for sample in samples if sample.answer != right), None)
        if wrong is not None:
            failed[name] = f"wrong answer {wrong}, native says {right}"
    return {name: samples for name, samples in row.items() if name not in failed}
