"""Runs bytes that are no instruction: data may be executed, but not just any data."""

import numpy as np

from denali.libos import unsafe

code = np.zeros(2, np.uint32)


def main() -> None:
    """Write an illegal instruction and run it."""
    code[0] = 0xFFFFFFFF
    unsafe.jump(unsafe.address_of(code))
