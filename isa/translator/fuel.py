"""Where translated code takes its fuel, and how much.

Only checkpoints do: the beginning of a unit, the ways back to loop headers, and the places where services return to,
and those calls after which it could be noticed or would be much. Each takes what the longest path to the next
checkpoint needs, so that nothing in between can overdraw; a guest with less goes on in the interpreter, which counts
one by one. A branch to a shorter path gives back the difference; who unwinds out of a call, what was taken for the way
behind it. The first turn of a loop is paid for before the loop, as most loops inside others turn only a few times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .units import Block, Function, guest

Edge = tuple[int, int]  # from the block at a pc to that at another


def ways_back(function: Function, entry: int) -> set[Edge]:
    """The edges that lead back in a depth-first walk from `entry`; without them no path is endless."""
    back: set[Edge] = set()
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
            back.add((pc, after))
        elif after not in done:
            active.add(after)
            stack.append((after, list(function.successors(function.blocks[after]))))
    return back


MOST = 100  # instructions that are paid for before a call which they follow, or before a loop that begins with them


@dataclass(frozen=True, slots=True)
class Fuel:
    """The checkpoints of a unit, and for every block the most instructions from its beginning to the next of them.

    Blocks in `checkpoints` take their fuel where they begin, but the ways back to them in `turns` pay what is missing
    and go past that. Other loop headers have no more than such ways.
    """

    checkpoints: frozenset[int]
    needed: dict[int, int]
    turns: frozenset[Edge]

    def spare(self, block: Block) -> int:
        """What has been taken for the paths behind a block."""
        return self.needed[block.pc] - len(block.code)

    def paid(self, pc: int) -> int:
        """What has been taken for a block when control comes to it."""
        return 0 if pc in self.checkpoints else self.needed[pc]

    def back(self, block: Block, after: int) -> int:
        """What is given back on the way from a block to the one at `after`, or out of the unit; negative: taken."""
        if (block.pc, after) in self.turns:
            return self.spare(block) - self.needed[after]
        return self.spare(block) - (self.paid(after) if after in self.needed else 0)


def fuel_of(function: Function, entry: int, observed: Callable[[Block], bool]) -> Fuel:
    """The fuel of a unit entered at `entry`; `observed` says whether a call may ask how much there is."""
    turns = ways_back(function, entry)
    calls = [block for block in function.blocks.values() if block.kind == "call"]
    places = {entry} | {block.after for block in calls if observed(block)}
    places |= {block.after for block in function.blocks.values() if block.kind == "service"}
    places = (places | function.joints) & function.blocks.keys()
    dear = {block.after for block in calls} | {header for _, header in turns}
    needed = _longest(function, places, turns, dear)
    short = {pc for pc, to in turns if pc == to}  # these may have a copy, before which nothing is paid
    ours = {to for to in places - function.joints if to == guest(to)}  # in inlined copies it takes too many registers
    pay = frozenset((pc, to) for pc, to in turns if to in ours and (pc == to or to not in short))
    return Fuel(frozenset(places), needed, pay)


def _longest(function: Function, places: set[int], turns: set[Edge], dear: set[int]) -> dict[int, int]:
    """For every block the most instructions from its beginning to the next checkpoint.

    The checkpoints are `places`, the edges in `turns`, and those of the blocks in `dear` that need more than is paid
    ahead: they become places.
    """
    needed: dict[int, int] = {}
    for start in function.blocks:
        stack = [start]
        while stack:
            block = function.blocks[stack[-1]]
            inner = [pc for pc in function.successors(block) if pc not in places and (block.pc, pc) not in turns]
            missing = [pc for pc in inner if pc not in needed]
            if missing and stack[-1] not in needed:
                stack += missing
                continue
            pc = stack.pop()
            needed[pc] = len(block.code) + max((needed[pc] for pc in inner), default=0)
            if pc in dear and needed[pc] > MOST:
                places.add(pc)
    return needed
