"""Reads from an address that belongs to nobody. The guest stops there; nobody else notices."""

from denali.libos import unsafe


def main() -> int:
    """Read far outside."""
    return unsafe.load(0x7FFF_FFFF_F000)
