"""One exact check for a group of accesses through the same base value.

A guest's addresses are base plus small distance, and many accesses share a base. Where they stand in one block, all of
them lie inside private memory exactly if the lowest and the highest do, so one comparison

    (base + lowest - private_start)  <u  private_size - span + 1

stands for the group: what is below the start wraps around to a huge number. A group that fails says only that some
access of it may be wrong; the interpreter then runs the block from its first access on and finds out which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..definitions.record import Op
from .units import Block, Located
from .values import Known, Tracker, signed

SIZED_BY_RESULT = (Op.LOAD, Op.RESERVE)
STACKS = (("x", 2), 2)  # as a block finds the stack pointer, and as the unit found it
AHEAD = 64  # bytes that a check covers for the sake of blocks which may not be reached
WRITING = (Op.STORE, Op.ATOMIC, Op.CONDITIONAL)


class Access(NamedTuple):
    """What one instruction does to memory: `size` bytes at `address`."""

    pc: int
    address: Known
    size: int
    writes: bool


@dataclass(slots=True)
class Group:
    """Accesses through one base; `low` and `high` are distances from it, the first is that at `first` in `block`.

    `private`: nobody expects read-only bytes there, as something is written, or it is the stack.
    """

    first: int
    block: int
    low: int = field(kw_only=True)
    high: int = field(kw_only=True)
    private: bool = field(kw_only=True)
    count: int = 0
    writes: bool = False

    @property
    def span(self) -> int:
        """Bytes from the lowest byte accessed to behind the highest."""
        return self.high - self.low


def access_of(located: Located, known: dict[object, Known]) -> Access | None:
    """The memory access of an instruction, of which there is at most one."""
    for step in located.instruction.steps:
        if step.op in SIZED_BY_RESULT:
            return Access(located.pc, known[step.args[0]], step.width // 8, False)
        if step.op in WRITING:
            return Access(located.pc, known[step.args[0]], step.args[1].width // 8, True)
    return None


def accesses(block: Block, known: Mapping[int, Known] | None = None) -> list[Access]:
    """The memory accesses of a block, in order, if `known` holds of registers before it."""
    tracker, found = Tracker(known), list[Access]()
    for located in block.code:
        known = tracker.run(located.instruction.steps, located.operands, located.pc, located.word)
        access = access_of(located, dict(known))
        if access is not None:
            found.append(access)
    return found


Plan = dict[int, tuple[Access, Group]]  # by the pc of an access: it and the group whose check covers it


class Planner:
    """Forms the groups of a block, which may go on with those of the only block before it."""

    def __init__(self, largest: int, tracker: Tracker, groups: Mapping[object, Group]) -> None:
        """Groups span up to `largest` bytes; `tracker` and `groups` are as the block before left them."""
        self.largest, self.tracker, self.groups = largest, tracker, dict(groups)

    def behind(self, known: Mapping[int, Known]) -> Planner:
        """For a block that can only be reached from the one planned last; `known` holds there too."""
        return Planner(self.largest, Tracker(self.tracker.registers | known), self.groups)

    def plan(self, block: Block, apart: int | None) -> Plan:
        """All accesses of a block but that at `apart`."""
        plan: Plan = {}
        for located in block.code:
            known = self.tracker.run(located.instruction.steps, located.operands, located.pc, located.word)
            access = access_of(located, dict(known))
            if access is not None and access.pc != apart:
                plan[access.pc] = access, self._join(access, block.pc)
        return plan

    def _join(self, access: Access, block: int) -> Group:
        low = signed(access.address.distance)
        high = low + access.size
        group = self.groups.get(access.address.base)
        if group is None or not self._fits(group, access, low, high, block):
            private = access.address.base in STACKS
            group = Group(access.pc, block, low=low, high=high, private=private)
            self.groups[access.address.base] = group
        group.low, group.high = min(low, group.low), max(high, group.high)
        group.private |= access.writes
        group.writes |= access.writes
        group.count += 1
        return group

    def _fits(self, group: Group, access: Access, low: int, high: int, block: int) -> bool:
        """Whether an access can be covered too. Where a later block makes it, that must not ask for much more."""
        span = max(high, group.high) - min(low, group.low)
        if group.block == block:
            return span <= self.largest
        return span - group.span <= AHEAD and span <= self.largest and (group.private or not access.writes)
