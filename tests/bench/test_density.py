"""The density bench counts guests that are there and have answered, and says where others end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from denali.bench import crowds, density
from denali.bench.density_report import Density, plot
from denali.commands.bench import bench

POINT = density.Point(1000, 1000, 999, 1, 4096.0, 1000.0, 900.0, 0.5, 30.0, 0.1)


def test_the_counts_are_decades_and_the_last_is_what_was_asked_for() -> None:
    assert density.counts(1_000_000) == [1000, 10_000, 100_000, 1_000_000]
    assert density.counts(25_000) == [1000, 10_000, 25_000]
    assert density.counts(10) == [10]


def test_every_guest_of_a_count_is_resident_and_has_answered() -> None:
    one = density.point(200, park=True)
    assert (one.guests, one.answered, one.resident, one.parked) == (200, 200, 200, 0)
    assert one.bytes_per_guest > 4096
    assert one.later_parked is not None
    assert one.later_parked > 0


def test_a_count_that_the_host_cannot_hold_is_refused_with_the_number_that_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(density, "available", lambda: (1 << 30) + 100 * density.NEEDED)
    answer = CliRunner().invoke(bench, ["density", "--count", "1000"])
    assert answer.exit_code == 1
    assert "1,000 guests want 1.0 GiB of free memory, 1.0 are there: say --count 100 at most" in answer.output


@pytest.mark.parametrize("name", crowds.KINDS)
def test_other_kinds_answer_and_say_where_they_ended(name: str) -> None:
    if name == "wasmtime":
        pytest.importorskip("wasmtime")
    found = crowds.Crowd(**json.loads(_apart(name)))
    assert (found.guests, found.answered, found.ended) == (20, 20, "20 were asked for")
    assert found.bytes_per_guest > 0


def _apart(name: str) -> str:
    import subprocess
    import sys

    command = [sys.executable, "-P", "-m", "denali.bench.crowds", name, "20", "30"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_object_has_the_largest_count_and_the_curve() -> None:
    said = Density([POINT, POINT]).as_dict()
    assert {name: said[name] for name in POINT.as_dict()} == POINT.as_dict()
    assert said["curve"] == [POINT.as_dict()] * 2


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    crowd = crowds.Crowd("threads", 10, 10, 20000.0, 5000.0, 0.1, "10 were asked for")
    assert plot(Density([POINT], [crowd]), tmp_path).read_text().startswith("<?xml")
