"""Writes to its console for ever, more than anybody would read."""

from denali.libos import machine


def main() -> None:
    """Never stop."""
    while True:
        machine.console(b"all work and no play makes Jack a dull boy\n")
