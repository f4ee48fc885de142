# pyright: basic
"""Pools of equal records with a free list through their first word.

Law: `free` is the number of items that are neither handed out nor lost; an item is with one holder or on the list.
The list is last in, first out, and items never used are taken last, so a quiet kernel touches little memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from denali.tlb.native import native, numbers_at

from .records import POOL, pool_at


@native
def take(address: int) -> int:
    """The index of an item nobody holds, now held by the caller; -1 when there is none."""
    pool = pool_at(address)
    index = pool.head
    if index >= 0:
        pool.head = numbers_at(pool.items + index * pool.size, 1)[0]
    elif pool.fresh < pool.capacity:
        index = pool.fresh
        pool.fresh += 1
    else:
        return -1
    pool.free -= 1
    return index


@native
def give(address: int, index: int) -> None:
    """Take an item back."""
    pool = pool_at(address)
    numbers_at(pool.items + index * pool.size, 1)[0] = pool.head
    pool.head = index
    pool.free += 1


class Pool:
    """Keeps a pool's memory and record alive."""

    def __init__(self, kind: np.dtype[Any], capacity: int) -> None:
        self.items = np.zeros(capacity, kind)
        self.record = np.zeros(1, POOL)
        self.record[0] = (self.items.ctypes.data, kind.itemsize, capacity, 0, -1, capacity)
        self.address: int = self.record.ctypes.data

    @property
    def free(self) -> int:
        """Items nobody holds."""
        return int(self.record["free"][0])

    def unheld(self) -> list[int]:
        """The indices nobody holds, in ascending order."""
        found, head = list(range(int(self.record["fresh"][0]), len(self.items))), int(self.record["head"][0])
        while head >= 0:
            found.append(head)
            head = int(self.items["next"][head])
        return sorted(found)

    def check(self) -> None:
        """Assert the law of this file, as far as the pool alone can tell."""
        unheld = self.unheld()
        assert len(unheld) == len(set(unheld)) == self.free, f"{self.free} counted free, {len(unheld)} listed"
