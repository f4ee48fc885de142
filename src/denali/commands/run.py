"""`denali-py run`: one guest in the foreground."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ._terminal import COUNTS, INTERRUPTED, TRAPPED, Bytes, one_line_errors, spinner


@click.command()
@click.argument("program", type=click.Path(path_type=Path))
@click.option("--memory", type=Bytes(), help="Private memory, e.g. 64K. Default: its data and 64K of stack.")
@click.option("--fuel", type=COUNTS, help="Instructions it may execute in all. Default: no limit.")
@click.option(
    "--watchdog",
    type=COUNTS,
    help="Stop it when it computes for so many instructions without asking the machine for anything. Default: never.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Let this port of the host lead to port 80 of the guest.")
def run(program: Path, memory: int | None, fuel: int | None, watchdog: int | None, port: int | None) -> None:
    """Run one guest of PROGRAM, a Python service or an ELF image.

    Its console is our stdout and its exit status ours. A guest that is stopped gives a message on stderr and status
    70, a file that cannot run one line and status 2, Ctrl-C status 130.

    \b
    denali-py run examples/hostile/null.py
    denali-py run examples/hostile/endless_loop.py --watchdog 1000000000
    denali-py run prog.elf --memory 1M --fuel 1000000000
    denali-py run examples/hello.py --port 8080
    """
    from ..system import Kernel, load_all

    with one_line_errors(), spinner(f"loading {program.name}") as progress:
        image = load_all(program, ("gateway",) if port is not None else (), progress)
        kernel = Kernel(gateway=port is not None, progress=progress)
    with kernel, one_line_errors():
        guest = kernel.spawn(image, memory=memory, fuel=fuel, watchdog=watchdog, pipe=_write)[0]
        if port is not None:
            kernel.publish(port)
        try:
            guest.wait()
        except KeyboardInterrupt:
            guest.kill()
            sys.exit(INTERRUPTED)
    if guest.message is not None:
        click.echo(guest.message, err=True)
        sys.exit(TRAPPED)
    sys.exit((guest.exit_status or 0) & 0xFF)


def _write(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
