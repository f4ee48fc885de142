"""What every command says to a person: progress on stderr, one line instead of a traceback, sizes with units."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

BAD_INPUT = 2  # exit status: the file given is not a program we can run
TRAPPED = 70  # exit status: the guest trapped (EX_SOFTWARE of sysexits.h)
UNHEARD = 141  # exit status: nobody reads what we write, as for who dies of SIGPIPE
INTERRUPTED = 130  # exit status: Ctrl-C
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
WATCHDOG = 1_000_000_000  # instructions that a service may compute for without asking the machine for anything
COUNTS = click.IntRange(1, (1 << 62) - 1)  # of instructions
masked_option = click.option(
    "--masked", is_flag=True, help="Code that reaches nothing out of bounds speculatively either (Spectre); slower."
)


class Rejected(click.ClickException):
    """The input cannot be used; one line says why."""

    exit_code = BAD_INPUT

    def show(self, file: Any = None) -> None:
        """Print the line."""
        click.echo(f"denali-py: {self.format_message()}", err=True)


class Bytes(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]  # older releases are not generic
    """A number of bytes: 65536, 64K, 1M, 2G."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Text to bytes."""
        if isinstance(value, int):
            return value
        digits, unit = str(value).rstrip("BbKkMmGgTt"), str(value).upper().rstrip("B").lstrip("0123456789")
        if not digits.isdigit() or unit not in _UNITS:
            self.fail(f"{value!r} is no size; write 65536, 64K or 1M", param, ctx)
        return int(digits) * _UNITS[unit]


@contextmanager
def one_line_errors() -> Generator[None]:
    """Turn what a bad file or an impossible wish causes into `Rejected`."""
    from .. import BadImage, CompileError, Overdrawn

    try:
        yield
    except OSError as error:
        raise Rejected(_without_number(error)) from error
    except (BadImage, CompileError, Overdrawn, ValueError) as error:
        raise Rejected(str(error)) from error
    except MemoryError as error:
        raise Rejected(f"the host has no more memory for this process: {error}".rstrip(": ")) from error


def _without_number(error: OSError) -> str:
    """What the host said and of which file, without the number it has for it."""
    if error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"


def tables(*, stderr: bool = False, width: int = 120) -> Console:
    """Where tables go: as wide as the terminal, and `width` columns where there is none."""
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=width)


@contextmanager
def spinner(first: str) -> Generator[Callable[[str], None]]:
    """A spinner with a text on a terminal; elsewhere a line from time to time."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines().say
        return
    with console.status(first) as status:
        yield lambda text: status.update(text)


class _Lines:
    """Progress for logs and pipes: at most a line every two seconds."""

    PAUSE_S = 2.0

    def __init__(self) -> None:
        self._next = 0.0

    def say(self, text: str) -> None:
        """Print a text, unless one was printed just now."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.PAUSE_S
            print(text, file=sys.stderr, flush=True)
