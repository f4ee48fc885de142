"""Where a guest that was stopped goes on: a unit of its own for that place, in code as good as what it was stopped in.

A guest that ran out of fuel in a loop comes back at its header. A unit for that place holds what is reached from there
up to the headers of the loops around it, which are units themselves: so each loop stands in its unit as in the
function, entered at its header only. What the function knows to be constant there (it is, on every way from the
function's entry) the unit checks once and then knows as well.
"""

from __future__ import annotations

from .fuel import loop_headers
from .units import Block, Function
from .values import Known, Tracker

STACK = 2  # x2, and the base of what is some distance from where the function found it
PRESERVED = frozenset({2, 8, 9, *range(18, 28)})  # registers that a call leaves as they were
ALL = frozenset(range(1, 32))
CALLS = ("call", "back")  # ends of blocks


def loops_of(function: Function) -> dict[int, frozenset[int]]:
    """For every loop header but the entry: the blocks from which it is reached again without leaving the loop."""
    headers = loop_headers(function, function.entry) - {function.entry}
    predecessors = _predecessors(function)
    return {header: _loop(function, header, predecessors) for header in sorted(headers)}


def counted(function: Function, entry: int) -> set[int]:
    """Headers of loops without a call: LLVM could tell from the fuel how often they turn, and would, at each entry.

    For those of several blocks, which are often left early, that costs more than it saves.
    """
    headers, predecessors = loop_headers(function, entry), _predecessors(function)
    loops = {header: _loop(function, header, predecessors) for header in headers}
    plain = {header for header, body in loops.items() if all(function.blocks[pc].kind not in CALLS for pc in body)}
    return {header for header in plain if len(loops[header]) > 1}


def _predecessors(function: Function) -> dict[int, set[int]]:
    predecessors: dict[int, set[int]] = {pc: set() for pc in function.blocks}
    for block in function.blocks.values():
        for successor in function.successors(block):
            predecessors[successor].add(block.pc)
    return predecessors


def _loop(function: Function, header: int, predecessors: dict[int, set[int]]) -> frozenset[int]:
    """The natural loop: what leads to a jump back to the header, walked backwards from there."""
    outside = _reached_without(function, header)
    body = {header}
    pending = [pc for pc in predecessors[header] if pc not in outside]
    while pending:
        pc = pending.pop()
        if pc not in body:
            body.add(pc)
            pending += predecessors[pc] - outside
    return frozenset(body)


def rest_of(function: Function, loops: dict[int, frozenset[int]], entry: int, home: Block) -> Function:
    """What a unit at `entry` in the block `home` holds: what is reached, up to the headers of the loops around it."""
    around = {header for header, body in loops.items() if home.pc in body and header != entry}
    rest = [located for located in home.code if located.pc >= entry]
    known = function.blocks | {entry: Block(entry, rest, home.kind, home.target, home.after)}
    seen: set[int] = set()
    pending = [entry]
    while pending:
        pc = pending.pop()
        if pc not in seen and pc not in around:
            seen.add(pc)
            pending += function.successors(known[pc])
    blocks = {pc: block for pc, block in sorted(known.items()) if pc in seen}
    return Function(entry, blocks, [pc for pc in function.switch if pc in seen], function.tables)


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


def expectations(function: Function) -> dict[int, dict[int, Known]]:
    """For every block what its function makes of integer registers before it: constants, or the stack pointer's value.

    Both are as seen from the function's entry; that calls keep what they have to is believed, as all of it is checked.
    """
    entry: dict[int, dict[int, Known]] = {function.entry: {STACK: Known(STACK, 0)}}
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


def _after(block: Block, known: dict[int, Known]) -> dict[int, Known]:
    tracker = Tracker()
    tracker.registers |= known
    for located in block.code:
        tracker.run(located.instruction.steps, located.operands, located.pc, located.word)
    kept = PRESERVED if block.kind == "call" else ALL
    return {r: value for r, value in tracker.registers.items() if r in kept and value.base in (None, STACK)}
