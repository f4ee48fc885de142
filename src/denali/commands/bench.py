"""`denali-py bench`: how fast guests are, how many fit, and against what."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


@click.group()
def bench() -> None:
    """Measure guests against native code, other sandboxes, processes and threads.

    \b
    denali-py bench compute --only fib
    denali-py bench density --count 100000
    """


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--report", type=click.Path(file_okay=False, path_type=Path), help="Write compute.json and a plot there.")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True, help="Measured calls of each kernel.")
@click.option("--only", multiple=True, metavar="NAME", help="This kernel only; may be repeated.")
@click.option("--engine", "engines", multiple=True, metavar="NAME", help="This engine (and native); may be repeated.")
@click.option(
    "--compiler", type=click.Choice(["zig", "clang", "gcc"]), help="For all engines; default: the first that is here."
)
def compute(
    as_json: bool,
    report: Path | None,
    rounds: int,
    only: tuple[str, ...],
    engines: tuple[str, ...],
    compiler: str | None,
) -> None:
    """Run C kernels natively, as guests, under wasmtime and under qemu; Python kernels by numba and as guests.

    \b
    Engines that are not installed are named with the reason; pip install 'denali-py[bench,c]' brings
    wasmtime, matplotlib and a C compiler. Exit status 1: an engine gave a wrong answer or none.

    \b
    denali-py bench compute
    denali-py bench compute --only fib --only sha256 --engine denali-flat --rounds 15
    denali-py bench compute --json --report report/ > compute.json
    """
    from ..bench.compute import ENGINES, measure
    from ..bench.programs import KERNELS, Unavailable
    from ..bench.pythons import PYTHON
    from ..bench.report import plot, show
    from ._terminal import spinner, tables

    for names, known in ((only, KERNELS | PYTHON), (engines, ENGINES)):
        for name in names:
            if name not in known:
                raise click.BadParameter(f"{name!r} is not one of {', '.join(known)}")
    try:
        with spinner("compiling") as progress:
            results = measure(only, engines, rounds=rounds, compiler=compiler, progress=progress)
    except Unavailable as reason:
        raise click.ClickException(str(reason)) from None
    show(results, tables(stderr=as_json))
    if report is not None:
        _write("compute", results.as_dict(), report, lambda folder: plot(results, folder))
    if as_json:
        click.echo(json.dumps(results.as_dict()))
    sys.exit(1 if results.failed else 0)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--report", type=click.Path(file_okay=False, path_type=Path), help="Write tlb.json and a plot there.")
@click.option(
    "--rounds", type=click.IntRange(1), default=5, show_default=True, help="Each figure is the best of these."
)
def tlb(as_json: bool, report: Path | None, rounds: int) -> None:
    """Measure the virtual MMU: hits, misses and bindings, and unicorn's soft MMU beside it.

    \b
    denali-py bench tlb
    denali-py bench tlb --json --report report/ > tlb.json
    """
    from ..bench.tlb import measure
    from ..bench.tlb_report import plot, show
    from ._terminal import spinner, tables

    with spinner("compiling") as progress:
        results = measure(rounds=rounds, progress=progress)
    show(results, tables(stderr=as_json))
    if report is not None:
        _write("tlb", results.as_dict(), report, lambda folder: plot(results, folder))
    if as_json:
        click.echo(json.dumps(results.as_dict()))


@bench.command()
@click.option(
    "-n", "--count", default=10_000, show_default=True, type=click.IntRange(1, 1_000_000), help="Most guests."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--report", type=click.Path(file_okay=False, path_type=Path), help="Write density.json and a plot.")
@click.option("--others/--no-others", default=True, help="Also wasmtime instances, processes and threads.")
@click.option("--park", is_flag=True, help="Park all when they have answered, and say what each takes then.")
def density(count: int, as_json: bool, report: Path | None, others: bool, park: bool) -> None:
    """Count what a guest of a web service costs, from a thousand guests up; each answers an HTTP request.

    \b
    A guest takes some 4.5 KB; a count for which the host has too little free memory is refused. Others go as far as
    they get in ten seconds. Exit status 1: a guest did not answer, or a count could not be measured.

    \b
    denali-py bench density --count 100000
    denali-py bench density --count 1000000 --no-others --json --report report/ > density.json
    """
    from ..bench import crowds
    from ..bench import density as measured
    from ..bench.density_report import Density, plot, show
    from ._terminal import one_line_errors, spinner, tables

    with one_line_errors(), spinner("translating") as progress:
        try:
            result = Density(measured.measure(count, progress, park=park))
        except (measured.TooLittle, RuntimeError) as reason:
            raise click.ClickException(str(reason)) from None
        if others:
            result.others, result.skipped = crowds.measure(count, progress=progress)
    show(result, tables(stderr=as_json, width=140))
    if report is not None:
        _write("density", result.as_dict(), report, lambda folder: plot(result, folder))
    if as_json:
        click.echo(json.dumps(result.as_dict()))
    sys.exit(0 if all(point.answered == point.guests for point in result.points) else 1)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--text", default=100_000, show_default=True, type=click.IntRange(1), help="Bytes of the image's text.")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True, help="New images, and reloads.")
def start(as_json: bool, text: int, rounds: int) -> None:
    """Say how soon a new image runs its first instruction, what its translation costs, and how fast that reloads.

    \b
    denali-py bench start
    denali-py bench start --text 20000 --json
    """
    from ..bench.start import measure
    from ._terminal import one_line_errors, spinner

    with one_line_errors(), spinner("starting") as progress:
        figures = measure(text, rounds, progress).as_dict()
    if as_json:
        click.echo(json.dumps(figures))
        return
    width = max(map(len, figures))
    for name, value in figures.items():
        click.echo(f"{name:{width}}  {value:,.2f}" if isinstance(value, float) else f"{name:{width}}  {value:,}")


def _write(name: str, figures: dict[str, Any], folder: Path, plot: Callable[[Path], Path]) -> None:
    """Write a bench's report: its figures, and a plot where that can be drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    try:
        click.echo(f"plot: {plot(folder)}", err=True)
    except ImportError:
        click.echo("no plot: matplotlib is not installed (pip install 'denali-py[bench]')", err=True)
