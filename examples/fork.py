"""A fork inside a guest: two address spaces that share every page until one of them writes to it.

denali-py run examples/fork.py
"""

import numpy as np

from denali.isa.definitions.record import Cause
from denali.libos import machine
from denali.libos.paging import frames

HEAP, COPY = 1 << 30, (1 << 30) - 4096  # the heap, and a page through which the handler writes to a new frame
PAGES, PARENT, CHILD = 32, 0, 1
BOTH = int(machine.Right.READ | machine.Right.WRITE)
READ = int(machine.Right.READ)

tables = np.zeros((2, PAGES), np.int64)  # the page tables: one entry a page, a physical address and rights
running = np.zeros(1, np.int64)  # whose table is in use
copies = np.zeros(1, np.int64)


def shared(number: int) -> bool:
    """Whether both spaces have the frame of a page."""
    return tables[PARENT, number] >> 12 == tables[CHILD, number] >> 12


def switch(space: int) -> None:
    """Let the other address space be the one in use."""
    running[0] = space
    machine.drop_all()


def fork() -> None:
    """Give the child all that the parent has; neither may write any more without asking."""
    for number in range(PAGES):
        entry = tables[PARENT, number] & ~2
        tables[PARENT, number] = tables[CHILD, number] = entry
    machine.drop_all()


def fresh() -> int:
    """A new frame; the guest ends when there is none."""
    frame = frames.take()
    if frame == 0:
        machine.fail(b"out of memory")
    return frame


def own(number: int) -> int:
    """The entry with which the running space may write to a page: its own copy, if it shares the frame."""
    entry = tables[running[0], number]
    if entry == 0:
        return fresh() | BOTH
    if not shared(number):
        return entry | BOTH
    frame = fresh()
    machine.bind(HEAP + number * machine.PAGE, READ, entry & -machine.PAGE)
    machine.bind(COPY, BOTH, frame)
    machine.words(COPY, 512)[:] = machine.words(HEAP + number * machine.PAGE, 512)
    machine.drop(COPY, 1)
    copies[0] += 1
    return frame | BOTH


def miss(cause: int, value: int) -> None:
    """Bind the page that was missed; who wants to write gets a frame of its own."""
    number = (value - HEAP) >> 12
    if cause not in (Cause.MISS_READ, Cause.MISS_WRITE) or not 0 <= number < PAGES:
        machine.fail(b"an access that nobody expected")
    if cause == Cause.MISS_WRITE or tables[running[0], number] == 0:
        tables[running[0], number] = own(number)
    entry = tables[running[0], number]
    machine.bind(value & -machine.PAGE, entry & 7, entry & -machine.PAGE)


def total(heap) -> int:
    """The sum of the first words of the pages."""
    result = 0
    for number in range(PAGES):
        result += heap[512 * number]
    return result


def main() -> int:
    """The child changes three pages; the parent sees none of it, and 29 pages were never copied."""
    machine.handle(miss)
    if machine.mmu(64) < 0:
        return -1
    heap = machine.words(HEAP, PAGES * 512)
    for number in range(PAGES):
        heap[512 * number] = number
    fork()
    switch(CHILD)
    for number in range(3):
        heap[512 * number] += 1000
    child = total(heap)
    switch(PARENT)
    print("child", child, "parent", total(heap), "copied", copies[0])
    heap[0] += 1
    return copies[0]
