"""Where a guest that was stopped goes on: a unit of its own for that place, in code as good as what it was stopped in.

A guest that ran out of fuel in a loop comes back at its header. A unit for that place holds what is reached from there
up to the headers of other loops, those around it and those behind it, which are units themselves: so each loop stands
in its unit as in the function, entered at its header only. What the function knows to be constant there (it is, on
every way from the function's entry) the unit checks once and then knows as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .fuel import ways_back
from .units import Block, Function
from .values import Known, Tracker

Registers = dict[int, Known]

STACK = 2  # x2, and the base of what is some distance from where the function found it
PRESERVED = frozenset({2, 8, 9, *range(18, 28)})  # registers that a call leaves as they were
ALL = frozenset(range(1, 32))


def loops_of(function: Function) -> dict[int, frozenset[int]]:
    """For every loop header but the entry: the blocks from which it is reached again without leaving the loop."""
    headers = {header for _, header in ways_back(function, function.entry)} - {function.entry}
    before = predecessors(function)
    return {header: _loop(function, header, before) for header in sorted(headers)}


def nested(function: Function) -> bool:
    """Whether a loop stands in another."""
    loops = loops_of(function)
    return any(header in body for header in loops for other, body in loops.items() if other != header)


def predecessors(function: Function) -> dict[int, set[int]]:
    """The blocks that each block is reached from."""
    before: dict[int, set[int]] = {pc: set() for pc in function.blocks}
    for block in function.blocks.values():
        for successor in function.successors(block):
            before[successor].add(block.pc)
    return before


def _loop(function: Function, header: int, before: dict[int, set[int]]) -> frozenset[int]:
    """The natural loop: what leads to a jump back to the header, which dominates it, walked backwards from there."""
    outside = function.reached(function.entry, without={header})
    body = {header}
    pending = [pc for pc in before[header] if pc not in outside]
    while pending:
        pc = pending.pop()
        if pc not in body:
            body.add(pc)
            pending += before[pc] - outside
    return frozenset(body)


def rest_of(function: Function, loops: dict[int, frozenset[int]], entry: int, home: Block) -> Function:
    """What a unit at `entry` in the block `home` holds: what is reached, up to the headers of loops not inside it."""
    others = loops.keys() - loops.get(entry, frozenset()) - {entry}
    rest = [located for located in home.code if located.pc >= entry]
    known = function.blocks | {entry: Block(entry, rest, home.kind, home.target, home.after)}
    there = replace(function, entry=entry, blocks=known).reached(entry, without=others)
    blocks = {pc: block for pc, block in sorted(known.items()) if pc in there}
    tables = {pc: table for pc, table in function.tables.items() if there.issuperset(table.targets)}
    return Function(entry, blocks, [pc for pc in function.switch if pc in there], tables)


def expectations(function: Function) -> dict[int, Registers]:
    """What `known_before` says for the function's entry if calls keep what they have to; all of it is to be checked."""
    return known_before(function, function.entry, {}, lambda _: ALL - PRESERVED)


def known_before(
    function: Function, entry: int, known: Registers, written_by: Callable[[Block], frozenset[int]]
) -> dict[int, Registers]:
    """For every block what integer registers hold before it, if `known` holds at `entry`.

    `written_by` says which registers the call at the end of a block may leave with something else.
    """

    def after(block: Block, before: Registers) -> Registers:
        tracker = Tracker(before)
        for located in block.code:
            tracker.run(located.instruction.steps, located.operands, located.pc, located.word)
        lost = written_by(block) if block.kind == "call" else frozenset[int]()
        return {r: v for r, v in tracker.registers.items() if v.base in (None, STACK) and r not in lost}

    def meet(_: int, old: Registers | None, left: Registers) -> Registers:
        return left if old is None else {register: v for register, v in old.items() if left.get(register) == v}

    return function.forward({entry: known | {STACK: Known(STACK, 0)}}, after, meet)
