"""What a unit knows of its registers at every block, for certain: constants, and distances from the stack pointer.

The stack pointer is meant as it was when the unit was entered. All accesses at a known distance from it form one group,
which is checked at the entry; a call in between keeps that true, as the stack pointer that it comes back with is
compared with the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from .bounds import Access, accesses
from .loops import STACK
from .units import Block, Function, Located
from .values import Known, Tracker, signed

LARGEST = 1 << 15  # bytes between the ends of the stack's group

Registers = dict[int, Known]


def known_before(
    function: Function, entry: int, known: Registers, written_by: Callable[[Block], frozenset[int]]
) -> dict[int, Registers]:
    """For every block what integer registers hold before it, if `known` holds at `entry`.

    `written_by` says which registers the call at the end of a block may leave with something else.
    """
    before: dict[int, Registers] = {entry: known | {STACK: Known(STACK, 0)}}
    pending = [entry]
    while pending:
        block = function.blocks[pending.pop()]
        after = _after(block.code, before[block.pc])
        if block.kind == "call":
            after = {register: value for register, value in after.items() if register not in written_by(block)}
        for successor in function.successors(block):
            old = before.get(successor)
            merged = after if old is None else {r: v for r, v in old.items() if after.get(r) == v}
            if merged != old:
                before[successor] = merged
                pending.append(successor)
    return before


def _after(code: Iterable[Located], known: Registers) -> Registers:
    tracker = Tracker(known)
    for located in code:
        tracker.run(located.instruction.steps, located.operands, located.pc, located.word)
    return {register: value for register, value in tracker.registers.items() if value.base in (None, STACK)}


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
