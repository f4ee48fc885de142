"""The figures of `bench tlb` for people: a table, and a plot."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from denali.bench.tlb import ENTRIES, PAGES, Results


def show(results: Results, console: Console) -> None:
    """Print what one of each costs, and the sweep over sizes."""
    rows = {
        "access without the virtual MMU": results.flat_ns,
        "access to wired memory": results.wired_ns,
        "hit": results.hit_ns,
        "miss, with the guest's handler": results.miss_ns,
        "bind": results.bind_ns,
        "bind, one of 64 in a batch": results.batched_bind_ns,
        **{f"unicorn: {name.removesuffix('_ns').replace('_', ' ')}": ns for name, ns in results.unicorn.items()},
    }
    table = Table("CPU time, ns each", "", box=None)
    table.columns[1].justify = "right"
    for name, ns in rows.items():
        table.add_row(name, f"{ns:.2f}")
    console.print(table)
    if results.skipped:
        console.print(f"without unicorn: {results.skipped}", markup=False)
    sweep = Table("ns an access (misses)", *(f"{pages} pages" for pages in PAGES), box=None)
    for entries in ENTRIES:
        cells = [f"{p.ns:.2f} ({p.misses:.2f})" for p in results.sweep if p.entries == entries]
        sweep.add_row(f"{entries} entries", *cells)
    console.print(sweep)


def plot(results: Results, folder: Path) -> Path:
    """Write `tlb.svg`: ns an access over the working set, a line for each size of the TLB.

    Raises:
        ImportError: matplotlib is not installed.
    """
    canvas: Any = import_module("matplotlib.backends.backend_svg")
    figures: Any = import_module("matplotlib.figure")
    figure = figures.Figure(figsize=(7, 5), layout="constrained")
    canvas.FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    for entries in ENTRIES:
        points = [p for p in results.sweep if p.entries == entries]
        axes.plot([p.pages for p in points], [p.ns for p in points], marker="o", label=f"{entries} entries")
    axes.axhline(results.flat_ns, color="black", linewidth=0.8, label="without the virtual MMU")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("pages touched in turn")
    axes.set_ylabel("CPU time of an access, ns")
    axes.legend()
    target = folder / "tlb.svg"
    figure.savefig(target)
    return target
