"""The stack's group: all accesses of a unit at known distances from the stack pointer that it was entered with.

It is checked at the entry. A call in between keeps that true, as the stack pointer that it comes back with is compared
with the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .bounds import Access, accesses
from .loops import STACK, Registers
from .units import Block
from .values import signed

LARGEST = 1 << 15  # bytes between the ends of the stack's group


def reach(blocks: Iterable[Block], before: Mapping[int, Registers]) -> tuple[int, int] | None:
    """The group's ends, as distances from the stack pointer at the entry; None where it is not worth it."""
    found: dict[int, list[Access]] = {}
    for block in blocks:
        mine = [access for access in accesses(block, before.get(block.pc, {})) if access.address.base == STACK]
        if mine:
            found[block.pc] = mine
    if len(found) < 2:
        return None
    all_of_them = [access for mine in found.values() for access in mine]
    low = min(signed(access.address.distance) for access in all_of_them)
    high = max(signed(access.address.distance) + access.size for access in all_of_them)
    return (low, high) if high - low <= LARGEST else None
