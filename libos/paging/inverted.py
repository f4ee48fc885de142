"""An inverted page table: one entry for each frame, found by hashing the page (open addressing, linear probing)."""

import numpy as np

SIZE = 1024  # a power of two, and twice the frames there can be

pages = np.zeros(SIZE, np.int64)  # 0: free
values = np.zeros(SIZE, np.int64)
used = np.zeros(1, np.int64)


def _hash(page: int) -> int:
    """Where the search for a page begins."""
    number = page >> 12
    return (number ^ (number >> 10) ^ (number >> 20)) * 40503 % SIZE


def _slot(page: int) -> int:
    """The slot that has a page, or else the free one where it would go."""
    slot = _hash(page)
    while pages[slot] != 0 and pages[slot] != page:
        slot = (slot + 1) % SIZE
    return slot


def find(page: int) -> int:
    """The entry of a page, or 0."""
    return values[_slot(page)]


def put(page: int, entry: int) -> bool:
    """Set the entry of a page; False when the table is half full."""
    slot = _slot(page)
    if pages[slot] == 0:
        if 2 * used[0] >= SIZE or page == 0:
            return False
        used[0] += 1
        pages[slot] = page
    values[slot] = entry
    return True


def remove(page: int) -> None:
    """Forget a page, and move those behind it that hashed past it."""
    hole = _slot(page)
    if pages[hole] == 0:
        return
    used[0] -= 1
    at = hole
    while True:
        at = (at + 1) % SIZE
        if pages[at] == 0:
            break
        home = _hash(pages[at])
        if (at - home) % SIZE >= (at - hole) % SIZE:
            pages[hole], values[hole] = pages[at], values[at]
            hole = at
    pages[hole], values[hole] = 0, 0
