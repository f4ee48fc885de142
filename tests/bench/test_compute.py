"""The benchmark of compute kernels: its arithmetic, and what it does with engines that lack, fail or lie."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from denali.bench import compute, programs
from denali.bench.compilers import Compiler
from denali.bench.compute import Results, measure
from denali.bench.programs import KERNELS, Broken, Run, Sample, Unavailable
from denali.bench.pythons import PYTHON

SMALL = {"fib": 12, "sieve": 1, "sha256": 50, "mandelbrot": 20}


class Fake:
    """An engine that answers at once."""

    def __init__(self, *seconds: float, answer: int = 42) -> None:
        self.seconds, self.answer = list(seconds), answer
        self.released = self.closed = 0

    def prepare(self, name: str, amount: int, folder: Path) -> Run:
        if not self.seconds:
            raise Broken("does not compile")
        return lambda: Sample(self.seconds.pop(0), self.answer)

    def release(self) -> None:
        self.released += 1

    def close(self) -> None:
        self.closed += 1


def some_compiler(_: str | None) -> Compiler:
    return Compiler("cc", (), (), None)


def maker(fake: Fake) -> Callable[[Compiler], Fake]:
    return lambda _: fake


def lacking(_: Compiler) -> Fake:
    raise Unavailable("install it")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> dict[str, Fake]:
    fakes = {
        "native": Fake(1, 2, 4),
        "even": Fake(2, 4, 8),
        "noisy": Fake(1, 20, 4),
        "liar": Fake(1, 1, 1, answer=41),
        "broken": Fake(),
    }
    table = {name: maker(fake) for name, fake in fakes.items()}
    monkeypatch.setattr(compute, "choose", some_compiler)
    monkeypatch.setattr(compute, "ENGINES", {**table, "lacking": lacking})
    return fakes


def test_ratios_are_medians_of_rounds(engines: dict[str, Fake]) -> None:
    results = measure(["fib"], rounds=3)
    assert (results.ratio("fib", "even"), results.ratio("fib", "noisy")) == (2, 1)
    assert results.geomean("even") == pytest.approx(2)
    assert results.seconds("fib", "native") == 2


def test_an_engine_that_lacks_fails_or_lies_is_named_with_the_reason(engines: dict[str, Fake]) -> None:
    results = measure(["fib"], rounds=3)
    assert results.skipped == {"lacking": "install it"}
    assert results.failed["fib"]["liar"] == "wrong answer 41, native says 42"
    assert "does not compile" in results.failed["fib"]["broken"]
    assert results.engines() == ["native", "even", "noisy"]


def test_every_engine_is_released_and_closed(engines: dict[str, Fake]) -> None:
    measure(["fib"], rounds=3)
    assert {(fake.released, fake.closed) for fake in engines.values()} == {(1, 1)}


def test_the_json_has_what_its_readers_are_promised(engines: dict[str, Fake]) -> None:
    report = json.loads(json.dumps(measure(["fib"], rounds=3).as_dict()))
    assert report["kernels"]["fib"] == {"native": 2, "even": 4, "noisy": 4}
    assert report["geomean"]["native"] == 1
    assert set(report) >= {"kernels", "geomean", "skipped"}


def test_of_least_times_one_round_that_was_disturbed_does_not_count() -> None:
    results = Results("cc")
    results.samples["fib"] = {"native": [Sample(1, 0), Sample(1, 0)], "even": [Sample(2, 0), Sample(9, 0)]}
    assert results.geomean("even", least=True) == pytest.approx(2)
    assert results.geomean("even") == pytest.approx(5.5)


def test_a_geomean_needs_a_figure() -> None:
    assert Results("cc").geomean("native") is None


def test_there_are_twelve_kernels_and_each_has_its_file() -> None:
    assert len(KERNELS) >= 12
    files = {path.stem for path in programs.FOLDER.glob("*.c") if not path.stem.startswith("_")}
    assert files == set(KERNELS)
    assert {path.stem for path in programs.FOLDER.glob("*.py")} == set(PYTHON)


def test_a_kernel_in_python_has_one_answer_in_a_guest_and_by_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "PYTHON", {"py_parse": 50})
    monkeypatch.setattr("denali.bench.flat.QUIET", 0)
    results = measure(["py_parse"], ["denali-flat"], rounds=1)
    assert not results.failed
    assert set(results.samples["py_parse"]) == {"native", "denali-flat"} - set(results.skipped)


@pytest.mark.parametrize("engine", ["native-march", "denali-flat", "wasmtime", "wasmtime-epoch", "qemu"])
def test_an_engine_gives_natives_answers(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here")
    monkeypatch.setattr(compute, "KERNELS", SMALL)
    monkeypatch.setattr("denali.bench.flat.QUIET", 0)
    results = measure(SMALL, [engine], rounds=1)
    if engine in results.skipped:
        pytest.skip(results.skipped[engine])
    assert results.failed == {}
    assert set(results.samples) == set(SMALL)


def test_the_command_refuses_a_kernel_that_is_not_there() -> None:
    command = [sys.executable, "-m", "denali", "bench", "compute", "--only", "nothing"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "'nothing' is not one of fib, tak" in result.stderr
