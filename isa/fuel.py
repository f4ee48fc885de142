"""Where translated code looks at its fuel, and how much it must find there.

Every block takes its instructions from the fuel as it begins. Only checkpoints compare: the beginning of a unit, loop
headers, and the places where calls and services return to. Each asks for the longest path to the next checkpoint, so
that nothing in between can overdraw; a guest with less goes on in the interpreter, which counts one by one.
"""

from __future__ import annotations

from .units import Function


def loop_headers(function: Function, entry: int) -> set[int]:
    """Targets of the edges that lead back in a depth-first walk from `entry`; without them no path is endless."""
    headers: set[int] = set()
    active: set[int] = set()
    done: set[int] = set()
    stack: list[tuple[int, list[int]]] = [(entry, list(function.successors(function.blocks[entry])))]
    active.add(entry)
    while stack:
        pc, rest = stack[-1]
        if not rest:
            stack.pop()
            active.discard(pc)
            done.add(pc)
            continue
        after = rest.pop()
        if after in active:
            headers.add(after)
        elif after not in done:
            active.add(after)
            stack.append((after, list(function.successors(function.blocks[after]))))
    return headers


def checkpoints(function: Function, entry: int) -> dict[int, int]:
    """The blocks that look at the fuel in a unit entered at `entry`, and what each asks for."""
    places = {entry} | loop_headers(function, entry)
    for block in function.blocks.values():
        if block.kind in ("call", "service"):
            places.add(block.after)
    places &= set(function.blocks)
    needed = _longest(function, places)
    return {pc: needed[pc] for pc in places if pc in needed}


def _longest(function: Function, places: set[int]) -> dict[int, int]:
    """For every block the most instructions from its beginning to the next checkpoint."""
    needed: dict[int, int] = {}
    for start in function.blocks:
        stack = [start]
        while stack:
            block = function.blocks[stack[-1]]
            inner = [pc for pc in function.successors(block) if pc not in places]
            missing = [pc for pc in inner if pc not in needed]
            if missing and stack[-1] not in needed:
                stack += missing
                continue
            needed[stack.pop()] = len(block.code) + max((needed[pc] for pc in inner), default=0)
    return needed
