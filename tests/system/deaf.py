"""A guest that listens nowhere."""

from denali.libos import machine
from denali.libos.net import stack


def main() -> None:
    """Run the stack, which refuses every connection."""
    while True:
        stack.step(machine.FOREVER)
