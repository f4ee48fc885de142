"""The figures of `compute` for people: a table, and a plot."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from denali.bench.compute import BASE, Results


def _cell(ratio: float | None) -> str:
    if ratio is None:
        return "–"
    colour = "green" if ratio <= 1.1 else "yellow" if ratio <= 1.6 else "red"
    return f"[{colour}]{ratio:.2f}[/]"


def show(results: Results, console: Console) -> None:
    """Print the ratios to native, and what was left out."""
    others = [name for name in results.engines() if name != BASE]
    table = Table("kernel", "native ms", *others, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for kernel, row in results.samples.items():
        native = f"{results.seconds(kernel, BASE) * 1e3:.1f}" if BASE in row else "–"
        table.add_row(kernel, native, *(_cell(results.ratio(kernel, name)) for name in others))
    table.add_section()
    table.add_row("[bold]geomean", "", *(_cell(results.geomean(name)) for name in others))
    table.add_row("[bold]... of least times", "", *(_cell(results.geomean(name, least=True)) for name in others))
    python = [(name, mean) for name in others if (mean := results.geomean(name, python=True)) is not None]
    for name, mean in python:
        table.add_row("[bold]geomean py_", "", *(_cell(mean if other == name else None) for other in others))
    console.print(
        f"CPU time against native -O2 of the same compiler, {results.compiler}"
        " (py_: against numba's own target; medians of rounds)"
    )
    console.print(table)
    for engine, reason in results.skipped.items():
        console.print(f"without {engine}: {reason}", markup=False)
    for kernel, reasons in results.failed.items():
        for engine, reason in reasons.items():
            console.print(f"{kernel} failed under {engine}: {reason}", markup=False)


def plot(results: Results, folder: Path) -> Path:
    """Write `compute.svg`: bars of the ratios, kernel by kernel, on a logarithmic scale.

    Raises:
        ImportError: matplotlib is not installed.
    """
    canvas: Any = import_module("matplotlib.backends.backend_svg")
    figures: Any = import_module("matplotlib.figure")
    folder.mkdir(parents=True, exist_ok=True)
    engines = [name for name in results.engines() if name != BASE]
    kernels = list(results.samples)
    figure = figures.Figure(figsize=(1.1 * len(kernels) + 3, 5), layout="constrained")
    canvas.FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    width = 0.8 / max(len(engines), 1)
    for index, engine in enumerate(engines):
        ratios = [*(results.ratio(kernel, engine) for kernel in kernels), results.geomean(engine)]
        places = [place + index * width for place in range(len(ratios))]
        axes.bar(places, [ratio or 0 for ratio in ratios], width, label=engine)
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(kernels) + 1)], [*kernels, "geomean"], rotation=30)
    axes.set_yscale("log", base=2)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_ylabel("CPU time / native -O2")
    axes.legend()
    target = folder / "compute.svg"
    figure.savefig(target)
    return target
