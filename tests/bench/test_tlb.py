"""The bench of the virtual MMU: what it counts as a miss is one, and its figures are in the right order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from denali.bench import tlb, tlb_report


@pytest.fixture
def bench() -> Iterator[tlb.Bench]:
    made = tlb.Bench(1)
    yield made
    made.kernel.check()
    made.kernel.close()


def test_what_fits_misses_once_and_what_does_not_misses_always(bench: tlb.Bench) -> None:
    bench.run(entries=64, pages=64, touched=63, rounds=10, where=tlb.AT)
    assert bench.misses == 63
    bench.run(entries=64, pages=256, touched=252, rounds=10, where=tlb.AT)
    assert bench.misses == 10 * 252
    bench.run(entries=0, pages=64, touched=63, rounds=10)
    assert bench.misses == 0


def test_a_guest_that_gets_no_frames_is_no_figure(bench: tlb.Bench) -> None:
    with pytest.raises(tlb.Failed):
        bench.run(entries=4, pages=64, touched=63, rounds=1, where=tlb.AT)


def test_bindings_are_made_one_by_one_and_in_batches(bench: tlb.Bench) -> None:
    one = bench.run(entries=256, pages=64, touched=1, rounds=1000, where=tlb.AT, mode=1)
    many = bench.run(entries=256, pages=64, touched=1, rounds=1000, where=tlb.AT, mode=2)
    assert one > 0
    assert one < many


def test_the_report_shows_every_cell(tmp_path: Path) -> None:
    sweep = [tlb.Point(entries, pages, 1.5, 0.25) for entries in tlb.ENTRIES for pages in tlb.PAGES]
    results = tlb.Results(1, 2, 3, 4, 5, 6, sweep, {}, "not installed")
    console = Console(record=True, width=120)
    tlb_report.show(results, console)
    text = console.export_text()
    assert text.count("1.50 (0.25)") == len(sweep)
    assert "without unicorn: not installed" in text
    assert {"hit_ns", "miss_ns", "bind_ns"} <= set(results.as_dict())
    pytest.importorskip("matplotlib")
    assert tlb_report.plot(results, tmp_path).stat().st_size > 1000
