"""Fills all memory it can reach, its own stack and registers page included, and goes on past the end."""

import numpy as np

from denali.libos import unsafe

first = np.zeros(1, np.int64)


def main() -> None:
    """Write upwards until something stops it."""
    here = unsafe.address_of(first) & -4096
    while True:
        unsafe.store(here, -1)
        here += 8
