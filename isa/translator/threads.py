"""Jumps through tables inside loops: one behind every block that leads there, as a threaded interpreter has them.

A host guesses where a computed jump goes from where it stands and where control came from. A compiler makes one jump of
the `switch` in an interpreter's loop; here each of its cases ends in a jump of its own, which is guessed better. And
what the blocks on the way to the jump need not look at again, because a case has, differs by case.
"""

from __future__ import annotations

from dataclasses import replace

from .inline import keyed
from .loops import predecessors
from .units import COPY, HIGHEST, Function

SHORT = 8  # instructions of a block that is on the way to a jump and nothing more
LONGEST = 32  # instructions in all such blocks
MOST = 600  # ways from all copies of one jump, and instructions in them


def threaded(function: Function) -> Function:
    """`function`, whose copies of other functions stay as they are, with its jumps in loops behind each way there."""
    for jump in sorted(function.tables.keys() & function.blocks.keys()):
        function = _threaded(function, jump)
    return function


def _threaded(function: Function, jump: int) -> Function:
    before = predecessors(function)
    targets = set(function.tables[jump].targets)
    if jump not in function.reached(*targets):
        return function
    tail = _tail(function, jump, before, targets)
    ways_in = {pc for block in tail for pc in before[block]} - tail
    sources = sorted(pc for pc in ways_in if function.blocks[pc].kind != "indirect")
    size = sum(len(function.blocks[pc].code) for pc in tail)
    if size > LONGEST or len(sources) * max(len(targets), size) > MOST:
        return function
    blocks, tables = dict(function.blocks), dict(function.tables)
    for number, source in enumerate(sources, (max(blocks) >> COPY) + 1):
        key = number << COPY
        blocks[source] = keyed(blocks[source], source, tail, key)
        blocks |= {pc | key: keyed(function.blocks[pc], pc | key, tail, key) for pc in tail}
        tables[jump | key] = tables[jump]
    ways_out = {pc for block in tail for pc in function.successors(function.blocks[block])} - tail
    made = replace(function, blocks=blocks, tables=tables, joints=function.joints | ways_out)
    return replace(made, blocks={pc: blocks[pc] for pc in sorted(made.reached(function.entry))})


def _tail(function: Function, jump: int, before: dict[int, set[int]], targets: set[int]) -> set[int]:
    """The jump, and the short blocks that lead there from its targets and from elsewhere."""
    tail, pending = {jump}, [jump]
    while pending:
        for pc in before[pending.pop()] - tail - targets:
            block = function.blocks[pc]
            if pc < HIGHEST and block.kind in ("goto", "branch") and len(block.code) <= SHORT:
                tail.add(pc)
                pending.append(pc)
    return tail
