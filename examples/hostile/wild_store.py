"""Writes behind its own memory, where another guest's may begin, then all over the address space."""

from denali.libos import machine, unsafe


def main() -> None:
    """Write further and further away; the first one that is outside ends it."""
    here = machine.random() & ~7
    while True:
        unsafe.store(here, -1)
        here = machine.random() & ~7
