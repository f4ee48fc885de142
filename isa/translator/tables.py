"""Jumps through tables in the image: which entry leads where, found by following the code with every entry.

The search says where the table is and what the code makes of each entry; it supposes that some registers hold what
their function has put there. Translated code asks both before it reads the table (`Accesses.entry_of`): then the number
of the entry says where the jump goes, and neither the entry nor the computed target has to be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..definitions.record import Op, Step
from .bounds import access_of
from .liveness import effects_of
from .loops import expectations
from .units import SWITCH_LIMIT, Block, Function, Located, Table, Text
from .values import Known, Tracker


@dataclass(frozen=True, slots=True)
class _Read:
    """A load whose address is the table's first entry plus something unknown."""

    place: int
    start: int
    size: int


class _Reader(Tracker):
    """A tracker for which the load at one place gives a certain entry."""

    def __init__(self, holds: Mapping[int, int], place: int | None = None, entry: int = 0) -> None:
        super().__init__()
        self.registers |= {register: Known(None, value) for register, value in holds.items()}
        self.place, self.entry, self.here = place, entry, -1

    def follow(self, located: Located) -> dict[Step, Known]:
        """One instruction."""
        self.here = located.pc
        return self.run(located.instruction.steps, located.operands, located.pc, located.word)

    def _combine(self, step: Step, values: list[Known]) -> Known:
        if step.op is Op.LOAD and self.here == self.place:
            return Known(None, self.entry)
        return super()._combine(step, values)


def find_tables(function: Function, text: Text) -> None:
    """Note the tables of a function that has computed jumps."""
    jumps = [block for block in function.blocks.values() if block.kind == "indirect"]
    known = expectations(function) if jumps else {}
    for block in jumps:
        reads = effects_of(block.code).reads
        before = known.get(block.pc, {})
        holds = {register: value.distance for register, value in before.items() if register in reads and not value.base}
        table = _table(function, block, holds, text)
        if table is not None:
            function.tables[block.pc] = table


def _table(function: Function, block: Block, holds: dict[int, int], text: Text) -> Table | None:
    read = _last_read(block, holds, text)
    if read is None:
        return None
    targets: list[int] = []
    leaves: dict[int, dict[int, int]] = {}
    for place in range(read.start, read.start + SWITCH_LIMIT * read.size, read.size):
        entry = text.constant(place, read.size)
        reader = _Reader(holds, read.place, entry or 0)
        target = None if entry is None else _target(block, reader)
        if target not in function.blocks:
            break
        targets.append(target)
        left = {register: value.distance for register, value in reader.registers.items() if value.base is None}
        others = leaves.setdefault(target, left)
        leaves[target] = {register: value for register, value in others.items() if left.get(register) == value}
    return Table(read.place, read.start, read.size, tuple(targets), holds, leaves) if targets else None


def _last_read(block: Block, holds: dict[int, int], text: Text) -> _Read | None:
    reader, found = _Reader(holds), None
    for located in block.code:
        access = access_of(located, dict(reader.follow(located)))
        if access is not None and not access.writes and access.address.base is not None:
            start = access.address.distance
            if text.constant(start, access.size) is not None:
                found = _Read(located.pc, start, access.size)
    return found


def _target(block: Block, reader: _Reader) -> int | None:
    """Where the jump at the end of the block goes when the table has this entry; None where it depends on more."""
    known: dict[Step, Known] = {}
    for located in block.code:
        known = reader.follow(located)
    jump = block.code[-1].instruction.step(Op.JUMP)
    assert jump is not None
    return known[jump.args[0]].constant
