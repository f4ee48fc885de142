"""The figures of `density` for people: tables, and a plot."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from denali.bench.crowds import Crowd
from denali.bench.density import METHOD, Point


@dataclass(slots=True)
class Density:
    """All that was measured."""

    points: list[Point]
    others: list[Crowd] = field(default_factory=list[Crowd])
    skipped: dict[str, str] = field(default_factory=dict[str, str])

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: the largest count, the curve of all, the others."""
        return {
            **self.points[-1].as_dict(),
            "curve": [point.as_dict() for point in self.points],
            "others": [crowd.as_dict() for crowd in self.others],
            "skipped": self.skipped,
            "method": METHOD,
        }


def show(density: Density, console: Console) -> None:
    """Print the curve, and how far the others went."""
    columns = ("guests", "answered", "resident", "parked", "bytes a guest", "ns to spawn", "… of CPU", "s to answer")
    columns += ("µs of CPU a guest", "s to close")
    table = Table(*columns, box=None)
    for column in table.columns:
        column.justify = "right"
    for one in density.points:
        numbers = (one.guests, one.answered, one.resident, one.parked, one.bytes_per_guest, one.spawn_ns_per_guest)
        row = [f"{number:,.0f}" for number in (*numbers, one.spawn_cpu_ns_per_guest)]
        row += [f"{one.answer_all_s:.2f}", f"{one.answer_cpu_us_per_guest:.1f}", f"{one.close_s:.2f}"]
        table.add_row(*row)
    console.print(table)
    for one in density.points:
        if one.later_parked is not None:
            said = f"{one.later_parked:,} of {one.guests:,} then parked, {one.park_us_per_guest:.1f} µs each"
            console.print(f"{said}: {one.parked_bytes_per_guest:,.0f} bytes a guest", highlight=False)
    console.print(METHOD, style="dim")
    if density.others:
        console.print(_others(density.others))
    for name, reason in density.skipped.items():
        console.print(f"without {name}: {reason}", markup=False)


def _others(crowds: list[Crowd]) -> Table:
    table = Table(
        "", "made", "answered", "bytes each", "ns to make", "s until all answered", "where it ended", box=None
    )
    for column in table.columns[1:-1]:
        column.justify = "right"
    for one in crowds:
        numbers = (one.guests, one.answered, one.bytes_per_guest, one.spawn_ns_per_guest)
        table.add_row(one.name, *(f"{number:,.0f}" for number in numbers), f"{one.answer_all_s:.2f}", one.ended)
    return table


def plot(density: Density, folder: Path) -> Path:
    """Write `density.svg`: bytes, time to spawn and to answer, a guest, over the number of guests.

    Raises:
        ImportError: matplotlib is not installed.
    """
    canvas: Any = import_module("matplotlib.backends.backend_svg")
    figures: Any = import_module("matplotlib.figure")
    folder.mkdir(parents=True, exist_ok=True)
    figure = figures.Figure(figsize=(12, 4), layout="constrained")
    canvas.FigureCanvasSVG(figure)
    series = (
        ("bytes a guest", lambda one: one.bytes_per_guest),
        ("ns to spawn a guest", lambda one: one.spawn_ns_per_guest),
        ("µs a guest until all have answered", lambda one: one.answer_all_s * 1e6 / one.guests),
    )
    for index, (label, value) in enumerate(series):
        axes = figure.add_subplot(1, 3, index + 1)
        axes.plot([one.guests for one in density.points], [value(one) for one in density.points], "o-", label="denali")
        for one in density.others:
            axes.plot([one.guests], [value(one)], "x", label=one.name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("guests")
        axes.set_ylabel(label)
        axes.legend()
    target = folder / "density.svg"
    figure.savefig(target)
    return target
