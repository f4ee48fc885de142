"""Loops as functions of their own, so that a guest stopped inside one goes on in code as good as before.

A guest that ran out of fuel in a loop comes back at its header. A unit for the header holds the loop with what is
nested in it; where the loop is left, the unit is left. What the function knows to be constant there (it is, on every
way from the function's entry) the unit checks once and then knows as well.
"""

from __future__ import annotations

from .fuel import loop_headers
from .units import Block, Function
from .values import Known, Tracker


def loops_of(function: Function) -> dict[int, Function]:
    """For every loop header but the entry: the blocks from which it is reached again without leaving the loop."""
    predecessors: dict[int, set[int]] = {pc: set() for pc in function.blocks}
    for block in function.blocks.values():
        for successor in function.successors(block):
            predecessors[successor].add(block.pc)
    headers = loop_headers(function, function.entry) - {function.entry}
    return {header: _loop(function, header, predecessors) for header in sorted(headers)}


def _loop(function: Function, header: int, predecessors: dict[int, set[int]]) -> Function:
    """The natural loop: what leads to a jump back to the header, walked backwards from there."""
    outside = _reached_without(function, header)
    body = {header}
    pending = [pc for pc in predecessors[header] if pc not in outside]
    while pending:
        pc = pending.pop()
        if pc not in body:
            body.add(pc)
            pending += predecessors[pc] - outside
    blocks = {pc: block for pc, block in function.blocks.items() if pc in body}
    return Function(header, blocks, [pc for pc in function.switch if pc in body])


def _reached_without(function: Function, header: int) -> set[int]:
    """The blocks that can be reached from the entry without passing the header; it dominates all others."""
    seen: set[int] = set()
    pending = [function.entry]
    while pending:
        pc = pending.pop()
        if pc not in seen and pc != header:
            seen.add(pc)
            pending += function.successors(function.blocks[pc])
    return seen


def constants(function: Function) -> dict[int, dict[int, int]]:
    """For every block the integer registers that hold a constant whenever control comes from the function's entry."""
    entry: dict[int, dict[int, int]] = {function.entry: {}}
    pending = [function.entry]
    while pending:
        block = function.blocks[pending.pop()]
        after = _after(block, entry[block.pc])
        for successor in function.successors(block):
            before = entry.get(successor)
            merged = after if before is None else {r: v for r, v in before.items() if after.get(r) == v}
            if merged != before:
                entry[successor] = merged
                pending.append(successor)
    return entry


def _after(block: Block, known: dict[int, int]) -> dict[int, int]:
    tracker = Tracker()
    tracker.registers |= {register: Known(None, value) for register, value in known.items()}
    for located in block.code:
        tracker.run(located.instruction.steps, located.operands, located.pc, located.word)
    if block.kind == "call":
        return {}
    return {r: value.distance for r, value in tracker.registers.items() if r and value.base is None}
