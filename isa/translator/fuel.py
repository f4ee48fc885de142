"""Where translated code takes its fuel, and how much.

Only checkpoints do: the beginning of a unit, loop headers, and the places where services return to, and those calls
after which it could be noticed or would be much. Each takes what the longest path to the next checkpoint needs, so that
nothing in between can overdraw; a guest with less goes on in the interpreter, which counts one by one. A branch to a
shorter path gives back the difference; who unwinds out of a call, what was taken for the way behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .units import Block, Function


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


MOST = 100  # instructions behind a call that are paid for before it


@dataclass(frozen=True, slots=True)
class Fuel:
    """The checkpoints of a unit, and for every block the most instructions from its beginning to the next of them."""

    checkpoints: frozenset[int]
    needed: dict[int, int]

    def spare(self, block: Block) -> int:
        """What has been taken for the paths behind a block."""
        return self.needed[block.pc] - len(block.code)

    def back(self, block: Block, after: int) -> int:
        """What is given back on the way from a block to the one at `after`, or out of the unit."""
        inside = after in self.needed and after not in self.checkpoints
        return self.spare(block) - (self.needed[after] if inside else 0)


def fuel_of(function: Function, entry: int, observed: Callable[[Block], bool]) -> Fuel:
    """The fuel of a unit entered at `entry`; `observed` says whether a call may ask how much there is."""
    places = {entry} | loop_headers(function, entry)
    calls = [block for block in function.blocks.values() if block.kind == "call"]
    places |= {block.after for block in calls if observed(block)}
    places |= {block.after for block in function.blocks.values() if block.kind == "service"}
    places &= set(function.blocks)
    needed = _longest(function, places)
    places |= {block.after for block in calls if needed.get(block.after, 0) > MOST}
    return Fuel(frozenset(places), _longest(function, places))


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
