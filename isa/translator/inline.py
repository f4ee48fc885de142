"""Calls inside a unit: a callee's blocks stand in the caller once more, under keys of their own.

A guest in such a copy is where its pc and registers say, like any other; nothing of the host has to know that it came
by a call. So it can be stopped there as anywhere, and a return only has to ask whether it goes where the call came
from. A key is the guest address with the number of the copy above it; code as the image has it is copy zero.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace

from .loops import nested
from .units import COPY, Block, Function

LEAF = 24  # instructions of a function that calls nobody
RECURSIVE = 800  # instructions of a unit that holds a recursive function several times
LARGEST = 600  # instructions of a unit with all its copies


def inlined(function: Function, functions: Mapping[int, Function]) -> Function:
    """`function`, which is one of `functions` or a part of one, with the calls inside that are worth it."""
    blocks, size, copies = dict(function.blocks), function.size, 0
    pending = [pc for pc, block in sorted(blocks.items()) if block.kind == "call"]
    while pending:
        call = blocks[pending.pop(0)]
        callee = functions.get(call.target) if call.target is not None else None
        if callee is None or not _worth(callee, function, size):
            continue
        copies += 1
        copy = _copy(callee, copies << COPY, call.after)
        blocks[call.pc] = Block(call.pc, call.code, "goto", callee.entry | copies << COPY, call.after)
        blocks |= copy
        size += callee.size
        pending += [pc for pc, block in copy.items() if block.kind == "call"]
    return replace(function, blocks=blocks) if copies else function


def _worth(callee: Function, function: Function, size: int) -> bool:
    """Whether a call is done inside: of a small function that calls nobody, or of the function by itself.

    Not where that has loops in loops: what it does is then worth more than its calls, and fits fewer host registers.
    Nor in a part of it, where only those go on that were stopped there: what they call is the function.
    """
    kinds = {block.kind for block in callee.blocks.values()}
    itself = callee.entry == function.entry
    if itself and nested(callee):
        return False
    if size + callee.size > (RECURSIVE if itself else LARGEST) or "indirect" in kinds:
        return False
    if not itself and (callee.size > LEAF or "call" in kinds):
        return False
    ways = {pc for block in callee.blocks.values() if block.kind in ("goto", "branch") for pc in block.successors()}
    return ways <= callee.blocks.keys() and "return" in kinds


def _copy(callee: Function, key: int, after: int) -> dict[int, Block]:
    """The callee's blocks under keys of their own, its returns going to `after`."""
    copy = {pc | key: keyed(block, pc | key, callee.blocks, key) for pc, block in callee.blocks.items()}
    for pc, block in copy.items():
        if block.kind == "return":
            copy[pc] = replace(block, kind="back", after=after)
    return copy


def keyed(block: Block, pc: int, inside: Container[int], key: int) -> Block:
    """A block as it stands at `pc`, going on in the copies with this key where it goes on `inside`."""
    target, after = block.target, block.after | key if block.after in inside else block.after
    if block.kind in ("goto", "branch") and target is not None and target in inside:
        target |= key
    return replace(block, pc=pc, target=target, after=after)
