"""Jumps to an address that holds no code."""

from denali.libos import unsafe


def main() -> None:
    """Jump far outside."""
    unsafe.jump(0x7FFF_FFFF_F000)
