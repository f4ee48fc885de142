"""`denali-py spawn`: thousands of guests of one service, each at its own address."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._limits import take_descriptors
from ._terminal import COUNTS, WATCHDOG, Bytes, masked_option, one_line_errors, spinner

if TYPE_CHECKING:
    from ..kernel.guest import Guest
    from ..survey import Report
    from ..system import Kernel

TOLD = 5  # guests whose end is told one by one, of those that ended at one time
NEWCOMER = Path(__file__).parent.parent / "examples" / "hello.py"


@click.command()
@click.argument("program", default=NEWCOMER, type=click.Path(path_type=Path))
@click.option("-n", "--count", default=100, show_default=True, type=click.IntRange(1, 1_000_000), help="Guests.")
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port on the host that leads to port 80 of every guest; 0: one that is free.",
)
@click.option("--memory", type=Bytes(), help="Private memory of a guest, e.g. 64K. Default: its data and stack.")
@click.option("--fuel", type=COUNTS, help="Instructions in a guest's life, as for run. Default: no limit.")
@click.option(
    "--watchdog",
    default=WATCHDOG,
    show_default=True,
    type=click.IntRange(0, COUNTS.max),
    help="Stop a guest that computes for so many instructions without asking the machine for anything; 0: never.",
)
@click.option("--resident", type=Bytes(), help="Park idle guests from this much memory on, e.g. 4G. Default: never.")
@click.option("--swap", type=click.Path(path_type=Path), help="File to be made for parked guests.")
@click.option("--warm/--cold", default=True, help="Start from the image warmed to its mark (if it has one), or do not.")
@masked_option
@click.option("--duration", type=click.FloatRange(0), help="Serve for so many seconds, then end.")
@click.option("--once", is_flag=True, help="End after the table.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of the table.")
def spawn(
    program: Path,
    count: int,
    port: int,
    memory: int | None,
    fuel: int | None,
    watchdog: int,
    resident: int | None,
    swap: Path | None,
    warm: bool,
    masked: bool,
    duration: float | None,
    once: bool,
    as_json: bool,
) -> None:
    """Spawn guests of PROGRAM, a Python service or an ELF image; by default a web server that says hello.

    Every guest answers one request over the virtual network. Then all serve until Ctrl-C, each at its own loopback
    address. Exit status 0 only if every guest answered.

    \b
    denali-py spawn --count 5000
    denali-py spawn examples/counter.py --count 10 --port 9000
    denali-py spawn service.elf --memory 256K --once --json
    """
    from ..survey import PATIENCE_S, survey
    from ..system import Kernel, load_all

    take_descriptors()
    with one_line_errors(), spinner("preparing") as say:
        image = load_all(program, ("gateway", "probe"), say, masked=masked)
        kernel = Kernel(progress=say, resident=resident, swap=swap, masked=masked)
    with kernel, one_line_errors():
        published = None if once else kernel.publish(port)
        with spinner(f"spawning {count:,} guests") as say:
            report = survey(
                kernel,
                image,
                count,
                memory=memory,
                fuel=fuel,
                watchdog=watchdog or None,
                warm=warm,
                wait=None if resident is None else PATIENCE_S,
                asked=lambda n: say(f"{n:,} of {count:,} asked"),
            )
        _tell_ends(kernel.stopped())
        if published is None:
            _show(report, as_json, None)
        else:
            with suppress(KeyboardInterrupt):
                _show(report, as_json, published)
                _serve(kernel, duration)
    sys.exit(0 if report.failed == 0 else 1)


def _serve(kernel: Kernel, duration: float | None) -> None:
    """Wait for Ctrl-C, or for `duration` seconds; say what stops meanwhile."""
    deadline = time.monotonic() + (duration if duration is not None else float("inf"))
    while (left := deadline - time.monotonic()) > 0:
        _tell_ends(kernel.stopped(timeout=min(0.25, left)))


def _tell_ends(stopped: list[Guest]) -> None:
    """Say why guests were stopped: of many at one time, the first few."""
    for guest in stopped[:TOLD]:
        click.echo(guest.message, err=True)
    if len(stopped) > TOLD:
        click.echo(f"and {len(stopped) - TOLD:,} more were stopped", err=True)


def _show(report: Report, as_json: bool, port: int | None) -> None:
    """Print the figures; with the `port` at which guests serve, what to type next."""
    if as_json:
        click.echo(json.dumps(report.as_dict() | {"port": port}))
        return
    click.echo(f"{report.answered:,} of {report.guests:,} answered")
    rows = {
        f"{report.first_guest_s:.2f} s": "from the start of this command to the first guest",
        f"{report.spawn_ns_per_guest:,.0f} ns": "to spawn a guest, whose memory is written at its first turn",
        f"{report.bytes_per_guest:,.0f} B": "of this process's memory for each guest that has answered",
        f"{report.answer_all_s:.2f} s": "until all had answered",
        f"{report.requests_per_second:,.0f}": "requests a second",
        f"{report.latency_us.p50:,.0f} µs, {report.latency_us.p99:,.0f} µs": "latency, median and 99th percentile",
    }
    width = max(map(len, rows))
    for figure, meaning in rows.items():
        click.echo(f"{figure:>{width}}  {meaning}")
    if port is not None:
        first, last = report.addresses
        click.echo(f"\nNow in another terminal:  curl http://{last}:{port}/   ({first} to {last}; Ctrl-C ends)")
