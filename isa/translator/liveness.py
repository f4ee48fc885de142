"""Which registers a function touches, itself and through the calls it makes: what travels at a call, and what may stay.

Registers are numbered 0 to 31 (x) and 32 to 63 (f). A caller keeps what its callee never touches in native registers
across the call; what the callee touches goes through CONTEXT, where the callee finds it and where it stays if the
guest is stopped inside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..definitions.record import Op
from .units import Block, Function, Located

FLOAT = 32  # number of f0
EVERYTHING = frozenset(range(1, 64))


@dataclass(frozen=True, slots=True)
class Effects:
    """The registers that some code may read and may write."""

    reads: frozenset[int] = frozenset()
    writes: frozenset[int] = frozenset()
    observed: bool = False  # asks for a count of instructions, or a service that may: the fuel must be exact by then

    @property
    def touched(self) -> frozenset[int]:
        """Read or written."""
        return self.reads | self.writes

    def __or__(self, other: Effects) -> Effects:
        return Effects(self.reads | other.reads, self.writes | other.writes, self.observed or other.observed)


UNKNOWN = Effects(EVERYTHING, EVERYTHING, observed=True)


def effects_of(code: Iterable[Located]) -> Effects:
    """What these instructions touch themselves."""
    reads: set[int] = set()
    writes: set[int] = set()
    observed = False
    for located in code:
        for step in located.instruction.steps:
            match step.op:
                case Op.X:
                    reads.add(located.number(step))
                case Op.F:
                    reads.add(FLOAT + located.number(step))
                case Op.SET_X:
                    writes.add(located.number(step))
                case Op.SET_F:
                    writes.add(FLOAT + located.number(step))
                case Op.VIRTUAL | Op.COUNTER:
                    observed = True
                case _:
                    pass
    return Effects(frozenset(reads - {0}), frozenset(writes - {0}), observed)


class Calls:
    """Effects of the functions of one translation, calls included; what is not known may touch everything."""

    def __init__(self, functions: dict[int, Function]) -> None:
        """Find the effects of all `functions` (by entry) at once, as recursion needs it."""
        self._own = {entry: self._local(function) for entry, function in functions.items()}
        self._effects = dict(self._own)
        callees = {entry: self._callees(function) for entry, function in functions.items()}
        changed = True
        while changed:
            changed = False
            for entry, targets in callees.items():
                total = self._effects[entry]
                for target in targets:
                    total |= self.effects(target)
                changed |= total != self._effects[entry]
                self._effects[entry] = total

    def effects(self, target: int | None) -> Effects:
        """What a call of `target` may touch."""
        return self._effects.get(target, UNKNOWN) if target is not None else UNKNOWN

    def _local(self, function: Function) -> Effects:
        return effects_of(located for block in function.blocks.values() for located in block.code)

    def _callees(self, function: Function) -> set[int | None]:
        return {target for block in function.blocks.values() for target in leaves_to(function, block)}


def leaves_to(function: Function, block: Block) -> set[int | None]:
    """The functions that run when this block ends, before the function goes on or in its place; None: unknown."""
    match block.kind:
        case "call":
            return {block.target}
        case "indirect":
            return set() if block.pc in function.tables else {None}
        case "goto" | "branch":
            ends = [block.target] if block.kind == "goto" else [block.target, block.after]
            return {pc for pc in ends if pc not in function.blocks}
        case _:
            return set()
