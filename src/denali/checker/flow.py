"""The values of registers and stack slots at every point of one function, as sums of terms.

Blocks are run in order until nothing changes. Where ways merge, a place that holds the same on all of them keeps it;
else it gets a term of its own, `phi`, or another place's phi plus a difference that is the same on all ways, as the
pointers of one loop have; or a multiple of it, as a pointer and an index have. At the end a term's value is that of the
latest execution of where it was made.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from denali.checker.facts import inverse
from denali.checker.machine_code import Function, Instruction, Object
from denali.checker.state import GENERAL, Place, State, Step, Unreadable, is_host, jump_table
from denali.checker.sums import BASES, Sum, number, of

Kept = Callable[[Instruction], frozenset[str]]
Merged = dict[Place, Place]
NEAR = BASES  # kinds of terms in the difference of two places that are taken to move together
FAR = BASES | {"at", "in"}
TRIES = 3  # times that a place with a phi of its own looks for another to follow
TIMES = (2, 4, 8, -1)  # how many times as far as another place one moves: a pointer, a countdown


@dataclass(slots=True)
class Block:
    """Instructions that run one after the other; how it can be left is known once its values are."""

    start: int
    code: list[Instruction]
    sources: list[int] = field(default_factory=list[int])
    targets: list[tuple[int, str | None]] = field(default_factory=list[tuple[int, "str | None"]])


class Flow:
    """The values in one function; `entry` is what its places hold when it is called."""

    def __init__(
        self, function: Function, code: Object, step: Step, entry: State, *, together: frozenset[str] = NEAR
    ) -> None:
        """Follow all ways through the function."""
        self.together = together
        self.function, self.object, self.step = function, code, step
        self.blocks = _blocks(function, code)
        self.before: dict[int, State] = {function.start: entry}
        self.after: dict[int, State] = {}
        self._merged: dict[int, Merged] = {}
        self._tried: dict[tuple[int, Place], int] = {}
        self._times: dict[tuple[int, Place], int] = {}  # by merge and place, where it follows another's multiple
        self._run()

    def _ways(self, block: Block, state: State) -> Iterator[tuple[int, str | None]]:
        """Where a block leads within the function, and under which condition."""
        last = block.code[-1]
        if last.name == "jmp":
            if last.target in self.blocks:
                assert isinstance(last.target, int)
                yield last.target, None
            elif last.target is None:
                yield from ((target, None) for target in self.switched(last, state))
        elif last.name.startswith("j"):
            if last.target in self.blocks:
                assert isinstance(last.target, int)
                yield last.target, last.name[1:]
            yield last.end, inverse(last.name[1:])
        elif last.name not in ("ret", "ud2"):
            if last.end not in self.blocks:
                raise Unreadable(last, "the function goes on behind its end")
            yield last.end, None

    def switched(self, jump: Instruction, state: State) -> list[int]:
        """The targets of a jump through a jump table of the object; none when it is another kind of jump."""
        table = jump_table(self.step.value(state, jump, jump.operands[0]))
        if table is None:
            return []
        targets = dict.fromkeys(self.object.jumps(*table))
        return [target for target in targets if target in self.blocks]

    def _run(self) -> None:
        """Blocks in the order of addresses, which is nearly the order of execution."""
        pending = [self.function.start]
        while pending:
            start = heapq.heappop(pending)
            if pending and pending[0] == start:
                continue
            block, state = self.blocks[start], self.before[start].copy()
            for instruction in block.code:
                self.step.run(state, instruction)
            self.after[start] = state
            for target, condition in self._ways(block, state):
                if (target, condition) not in block.targets:
                    block.targets.append((target, condition))
                    if start not in self.blocks[target].sources:
                        self.blocks[target].sources.append(start)
            for target in dict.fromkeys(target for target, _ in block.targets):
                if self._enter(target):
                    heapq.heappush(pending, target)

    def _enter(self, start: int) -> bool:
        """Merge what comes into a block; whether that is new."""
        states = [self.after[source] for source in self.blocks[start].sources if source in self.after]
        if start == self.function.start:
            raise Unreadable(self.blocks[start].code[0], "a jump to the function's beginning")
        merged = self._merge(start, states) if len(self.blocks[start].sources) > 1 else states[0].copy()
        if start in self.before and merged.values == self.before[start].values:
            same = merged.flags == self.before[start].flags
            self.before[start] = merged
            return not same
        self.before[start] = merged
        return True

    def _merge(self, start: int, states: list[State]) -> State:
        first, rest = states[0], states[1:]
        merged = self._merged.setdefault(start, {})
        values: dict[Place, Sum] = {}
        for place, value in sorted(first.values.items(), key=lambda item: is_host(item[1])):
            if all(place in state.values for state in rest):
                if place in merged or any(state.values[place] != value for state in rest):
                    merged[place] = self._leader(start, place, merged, states)
                else:
                    values[place] = value
        self._follow_multiples(start, merged, states)
        for place, leader in merged.items():
            if place in first.values and all(place in state.values for state in rest):
                times = self._times.get((start, place), 1)
                difference = _apart(place, leader, times, first) if place != leader else number(0)
                values[place] = of("phi", start, leader).times(times) + difference
        flags = first.flags if all(state.flags == first.flags for state in rest) else None
        return State(values, flags)

    def _leader(self, start: int, place: Place, merged: Merged, states: list[State]) -> Place:
        """The place whose phi this one shares, at the same difference on all ways; itself where there is none."""
        current = merged.get(place)
        if current == place:
            tried = self._tried.get((start, place), 0)
            if tried >= TRIES:
                return place
            self._tried[start, place] = tried + 1
        others = [p for p, leader in merged.items() if p == leader and p != place]
        for leader in others if current in (None, place) else [current]:
            assert leader is not None
            if not all(leader in state.values for state in states) or is_host(states[0].values[leader]):
                continue
            if self._moves_with(place, leader, self._times.get((start, place), 1), states):
                return leader
        self._times.pop((start, place), None)
        return place

    def _moves_with(self, place: Place, leader: Place, times: int, states: list[State]) -> bool:
        """Whether a place is so many times another, and a difference, on all ways."""
        found = {_apart(place, leader, times, state) for state in states}
        return len(found) == 1 and all(term.kind in self.together for term, _ in found.pop().terms)

    def _follow_multiples(self, start: int, merged: Merged, states: list[State]) -> None:
        """Have places with phis of their own follow a multiple of another's, with those that follow them."""
        alone = [place for place, leader in merged.items() if place == leader and _is_whole(place)]
        alone = [place for place in alone if all(place in state.values for state in states)]
        for place in alone:
            tries = self._tried.get((start, f"{place} times"), 0)
            self._tried[start, f"{place} times"] = tries + 1
            if tries >= TRIES or is_host(states[0].values[place]):
                continue
            for leader in alone:
                if merged[leader] == leader != place and self._follow(start, place, leader, merged, states):
                    break

    def _follow(self, start: int, place: Place, leader: Place, merged: Merged, states: list[State]) -> bool:
        """Have a place and those that follow it follow a multiple of another, if they do on all ways; whether."""
        led = [one for one in merged if merged[one] == place]
        if not all(one in state.values for one in led for state in states):
            return False
        for more in TIMES:
            times = {one: more * self._times.get((start, one), 1) for one in led}
            if all(self._moves_with(one, leader, count, states) for one, count in times.items()):
                merged.update(dict.fromkeys(times, leader))
                self._times.update({(start, one): count for one, count in times.items()})
                return True
        return False


def _is_whole(place: Place) -> bool:
    """Whether a place is a register or a slot of the frame."""
    return isinstance(place, int) or place in GENERAL


def _apart(place: Place, leader: Place, times: int, state: State) -> Sum:
    """How far a place is from so many times another."""
    return state.values[place].minus(state.values[leader].times(times))


def _blocks(function: Function, code: Object) -> dict[int, Block]:
    starts = {function.start}
    for instruction in function.code:
        if instruction.name.startswith("j"):
            starts.add(instruction.end)
            if isinstance(instruction.target, int):
                starts.add(instruction.target)
        elif instruction.name in ("ret", "ud2"):
            starts.add(instruction.end)
        for operand in instruction.operands:
            if operand.memory is not None and operand.memory.section is not None:
                targets = code.jumps(operand.memory.section, operand.memory.displacement)
                starts.update(target for target in targets if function.start <= target < function.end)
    blocks: dict[int, Block] = {}
    current: list[Instruction] = []
    for instruction in function.code:
        if instruction.address in starts:
            current = []
            blocks[instruction.address] = Block(instruction.address, current)
        current.append(instruction)
    return blocks
