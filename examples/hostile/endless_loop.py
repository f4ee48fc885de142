"""Computes for ever and never lets anybody else run, if it could choose."""


def main() -> int:
    """Never return."""
    n = 1
    while n != 0:
        n = n * 3 | 1
    return n
