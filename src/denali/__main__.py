"""The command `denali-py`: each subcommand is one file of `commands/`, imported when it is named."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import click

COMMANDS = {
    "spawn": "Spawn many guests of one service and reach each from the host.",
    "run": "Run one guest; its console is our output, its exit status ours.",
    "build": "Compile a Python service to an image.",
    "cc": "Compile a C program to an image.",
    "inspect": "Show what the machine made of a program.",
    "manual": "Explain an instruction.",
    "symbols": "Name the translated code of a running kernel to gdb.",
    "bench": "Measure guests against native code and other sandboxes.",
    "cache": "Show, check, bound or clear what is kept on disk.",
    "doctor": "Say what this host offers and what is missing for what.",
}


class Commands(click.Group):
    """The subcommands; listing them imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand of that name."""
        if cmd_name not in COMMANDS:
            return None
        return getattr(import_module(f"denali.commands.{cmd_name}"), cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line a subcommand, without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="denali-py", prog_name="denali-py")
def cli() -> None:
    """Run thousands of small isolated guests on one host.

    \b
    denali-py spawn --count 5000            five thousand web servers, each at its own address
    denali-py run service.py                one guest, in the foreground
    denali-py COMMAND --help                options and examples of a command
    """


def _end_helpers() -> None:
    """End the processes that compile for us: who waits for them would keep us here."""
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            for child in (task / "children").read_text().split():
                os.kill(int(child), signal.SIGTERM)


def _interrupted(number: int, frame: object) -> None:
    """Ctrl-C."""
    _end_helpers()
    raise KeyboardInterrupt


def _terminated(number: int, frame: object) -> None:
    """End as Ctrl-C does, by leaving every `with` block."""
    _end_helpers()
    sys.exit(128 + number)


def main() -> None:
    """Entry point; Ctrl-C ends with status 130 and SIGTERM with 143, guests and sockets closed."""
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's `&` has it ignored
        signal.signal(signal.SIGINT, _interrupted)
    try:
        cli(prog_name="denali-py", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)


if __name__ == "__main__":
    main()
