"""A two-level radix page table: a directory of tables, each for 512 pages."""

import numpy as np

LEVEL = 512
TABLES = 16  # as many runs of 2 MiB may have pages
BASE = 1 << 30  # the first address it covers; the directory spans 1 GiB from there

directory = np.zeros(LEVEL, np.int64)  # number of the table, plus one
tables = np.zeros((TABLES, LEVEL), np.int64)
used = np.zeros(1, np.int64)


def _covers(page: int) -> bool:
    """Whether a page is in reach of the directory."""
    return BASE <= page < BASE + LEVEL * LEVEL * 4096


def find(page: int) -> int:
    """The entry of a page, or 0."""
    if not _covers(page):
        return 0
    number = (page - BASE) >> 12
    table = directory[number // LEVEL]
    return tables[table - 1, number % LEVEL] if table else 0


def put(page: int, entry: int) -> bool:
    """Set the entry of a page; False when it is out of reach, or there are no more tables."""
    if not _covers(page):
        return False
    number = (page - BASE) >> 12
    if directory[number // LEVEL] == 0:
        if used[0] == TABLES:
            return False
        used[0] += 1
        directory[number // LEVEL] = used[0]
    tables[directory[number // LEVEL] - 1, number % LEVEL] = entry
    return True


def remove(page: int) -> None:
    """Forget a page."""
    if find(page):
        put(page, 0)
