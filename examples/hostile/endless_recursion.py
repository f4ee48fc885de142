"""Calls itself until the stack is used up."""

from denali.libos import machine


def down(n: int) -> int:
    """Go one deeper, with something on the stack to come back to."""
    mine = machine.buffer(64)
    mine[n & 63] = n & 255
    if n < 0:
        return 0
    return down(n + 1) + int(mine[n & 31])


def main() -> int:
    """Never come back."""
    return down(0)
