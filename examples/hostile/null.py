"""Follows a null pointer."""

from denali.libos import unsafe


def main() -> int:
    """Read address zero, which never belongs to a guest."""
    return unsafe.load(0)
