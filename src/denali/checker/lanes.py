"""What is followed of vector registers: their lowest 64 bits, as LLVM may keep a loop's counter there.

Of any other instruction that writes a vector register, the lowest lane is unknown afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from denali.checker.machine_code import Instruction, Operand
from denali.checker.sums import Sum, number, of

if TYPE_CHECKING:
    from denali.checker.state import State, Step

VECTOR = re.compile(r"[xyz]mm(\d+)")
MOVES = re.compile(r"vmov(q|dqa(32|64)?|dqu(8|16|32|64)?|[au]p[sd])|vpbroadcastq")
Function = Callable[[Sum, Sum], Sum | None]


def lane_of(register: str | None) -> str | None:
    """The place of a vector register's lowest 64 bits; None for other registers."""
    found = VECTOR.fullmatch(register or "")
    return f"lane{found[1]}" if found else None


def forget_lanes(state: State) -> None:
    """After a call, or what zeroes them all."""
    for place in [place for place in state.values if isinstance(place, str) and place.startswith("lane")]:
        del state.values[place]


def _or(a: Sum, b: Sum) -> Sum | None:
    return a if b == number(0) else b if a == number(0) else None


def _shifted(a: Sum, b: Sum) -> Sum | None:
    return a.times(1 << b.number) if b.number is not None and b.number < 64 else None


FUNCTIONS: dict[str, Function] = {
    "vpaddq": lambda a, b: a + b, "vpsubq": Sum.minus, "vpsllq": _shifted,
    "vpor": _or, "vporq": _or, "vpord": _or, "vorps": _or, "vorpd": _or,
}  # fmt: skip
NOTHING = frozenset({"vpxor", "vpxord", "vpxorq", "vxorps", "vxorpd"})  # of a register with itself


def move_lane(step: Step, state: State, instruction: Instruction) -> bool:
    """Do an instruction of which the lowest lane is known; whether it is one."""
    if not instruction.operands:
        return False
    target, *sources = instruction.operands
    if target.memory is not None or "{k" in instruction.text:
        return False
    if MOVES.fullmatch(instruction.name) and len(sources) == 1:
        _set(step, state, instruction, target, _lane(step, state, instruction, sources[0]))
    elif instruction.name in FUNCTIONS and len(sources) == 2 and lane_of(target.register):
        a, b = (_lane(step, state, instruction, source) for source in sources)
        _set(step, state, instruction, target, FUNCTIONS[instruction.name](a, b))
    elif instruction.name in NOTHING and len(sources) == 2 and sources[0] == sources[1] and sources[0].register:
        _set(step, state, instruction, target, number(0))
    else:
        return False
    return True


def _lane(step: Step, state: State, instruction: Instruction, source: Operand) -> Sum:
    place = lane_of(source.register)
    if place is not None:
        return state.values.get(place, of("at", instruction.address, "operand", place))
    if source.memory is not None:
        return step.load(state, instruction, step.address(state, instruction, source.memory), 8)
    return step.value(state, instruction, source)


def _set(step: Step, state: State, instruction: Instruction, target: Operand, value: Sum | None) -> None:
    place = lane_of(target.register)
    if place is None:
        step.set(state, instruction, target, of("at", instruction.address, "lane") if value is None else value)
    else:
        state.values[place] = of("at", instruction.address, place) if value is None else value
