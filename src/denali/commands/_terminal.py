"""What every command says to a person: progress on stderr, and one line instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from .. import BadImage, CompileError

BAD_INPUT = 2  # exit status: the file given is not a program we can run
TRAPPED = 70  # exit status: the guest trapped (EX_SOFTWARE of sysexits.h)


class Rejected(click.ClickException):
    """The input cannot be used; one line says why."""

    exit_code = BAD_INPUT

    def show(self, file: object = None) -> None:
        """Print the line."""
        click.echo(f"denali-py: {self.format_message()}", err=True)


@contextmanager
def fail() -> Iterator[None]:
    """Turn what a bad file causes into `Rejected`."""
    try:
        yield
    except (BadImage, CompileError, OSError) as error:
        raise Rejected(str(error)) from error


@contextmanager
def status(first: str) -> Iterator[Callable[[str], None]]:
    """A spinner with a text on a terminal; the texts as plain lines, each once, elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: print(text, file=sys.stderr, flush=True)
        return
    with console.status(first) as spinner:
        yield spinner.update
