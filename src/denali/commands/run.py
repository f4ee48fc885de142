"""`denali-py run`: one guest in the foreground."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from ._limits import take_descriptors
from ._terminal import COUNTS, INTERRUPTED, TRAPPED, UNHEARD, WATCHDOG, Bytes, masked_option, one_line_errors, spinner

NOTICED_S = 0.25  # until we notice that nobody reads our output


@click.command()
@click.argument("program", type=click.Path(path_type=Path))
@click.option("--memory", type=Bytes(), help="Private memory, e.g. 64K. Default: its data and 64K of stack.")
@click.option("--fuel", type=COUNTS, help="Instructions it may execute in all. Default: no limit.")
@click.option(
    "--watchdog",
    type=click.IntRange(0, COUNTS.max),
    help="Stop it when it computes for so many instructions without asking the machine for anything; 0: never. "
    f"Default: {WATCHDOG} for a Python service, never for an ELF image.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Let this port of the host lead to port 80 of the guest.")
@masked_option
def run(
    program: Path, memory: int | None, fuel: int | None, watchdog: int | None, port: int | None, masked: bool
) -> None:
    """Run one guest of PROGRAM, a Python service or an ELF image.

    Its console is our stdout and its exit status ours. A guest that is stopped gives a message on stderr and status
    70, a file that cannot run one line and status 2; Ctrl-C says where the guest was and gives status 130.

    \b
    denali-py run examples/hostile/null.py
    denali-py run examples/hostile/endless_loop.py --watchdog 1000000
    denali-py run prog.elf --memory 1M --fuel 1000000000
    denali-py run examples/hello.py --port 8080
    """
    from ..system import Kernel, load_all

    take_descriptors()
    if watchdog is None and program.suffix == ".py":
        watchdog = WATCHDOG
    console = _Console()
    with one_line_errors(), spinner(f"loading {program.name}") as progress:
        image = load_all(program, ("gateway",) if port is not None else (), progress, masked=masked)
        kernel = Kernel(gateway=port is not None, progress=progress, masked=masked)
    with kernel, one_line_errors():
        guest = kernel.spawn(
            image, memory=memory, fuel=fuel, watchdog=watchdog or None, pipe=console.write, start=False
        )[0]
        try:
            if port is not None:
                kernel.publish(port)
            guest.start()
            while not guest.wait(NOTICED_S) and not console.unheard:
                pass
        except KeyboardInterrupt:
            guest.kill()
            click.echo(guest.message, err=True)
            sys.exit(INTERRUPTED)
    if console.unheard:
        console.give_up()
    if guest.message is not None:
        click.echo(guest.message, err=True)
        sys.exit(TRAPPED)
    sys.exit((guest.exit_status or 0) & 0xFF)


class _Console:
    """Our output, as long as somebody reads it."""

    def __init__(self) -> None:
        self.unheard = False

    def write(self, text: bytes) -> None:
        """Pass on what the guest has written; the kernel's thread."""
        try:
            sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            self.unheard = True

    def give_up(self) -> NoReturn:
        """End as others do who write to a closed pipe; what is left in the buffer goes nowhere."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(UNHEARD)
