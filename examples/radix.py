"""Memory that appears when it is touched, by a page table with two levels.

denali-py run examples/radix.py
"""

import numpy as np

from denali.isa.definitions.record import Cause
from denali.libos import machine
from denali.libos.paging import frames, radix

HEAP = 1 << 30
PAGES, APART = 40, 3 * 4096 + 8  # how many pages the program touches, and how far apart

misses = np.zeros(1, np.int64)


def miss(cause: int, value: int) -> None:
    """Bind the page that was missed; the first time, to a new frame."""
    if cause not in (Cause.MISS_READ, Cause.MISS_WRITE):
        machine.fail(b"an event that nobody asked for")
    page = value & -machine.PAGE
    entry = radix.find(page)
    if entry == 0:
        entry = frames.take() | machine.Right.READ | machine.Right.WRITE
        if entry < machine.PAGE or not radix.put(page, entry):
            machine.fail(b"out of memory")
    misses[0] += 1
    machine.bind(page, entry & 7, entry & -machine.PAGE)


def main() -> int:
    """Write numbers all over the heap, read them back; their sum is the exit status, of which a shell shows 8 bits."""
    machine.handle(miss)
    if machine.mmu(16) < 0:
        return -1
    heap = machine.words(HEAP, PAGES * APART // 8 + 1)
    for i in range(PAGES):
        heap[i * APART // 8] = i
    total = 0
    for i in range(PAGES):
        total += heap[i * APART // 8]
    print(misses[0], "misses; the sum is", total)
    return total
