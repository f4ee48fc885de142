"""What is followed of vector registers: parts of 64 bits, as LLVM may keep a loop's counters and indexes there.

Of any other instruction that writes a vector register, all of it is unknown afterwards. The lowest lane then has a new
value of its own; the others have one only where something is known of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from denali.checker.machine_code import Instruction, Operand
from denali.checker.sums import Sum, multiply, number, of, united

if TYPE_CHECKING:
    from denali.checker.state import State, Step

VECTOR = re.compile(r"([xyz])mm(\d+)")
LANES = {"x": 2, "y": 4, "z": 8}
MOST = max(LANES.values())
MOVES = re.compile(r"vmov(dqa(32|64)?|dqu(8|16|32|64)?|[au]p[sd])")
EXTRACTS = re.compile(r"vextract[if](128|32x4|32x8|64x2|64x4)")
Function = Callable[[Sum, Sum], Sum | None]
Lanes = list[Sum | None]  # the lowest first; None: unknown


def lanes_of(register: str | None) -> list[str]:
    """The places of a vector register's lanes, the lowest first; none for other registers."""
    found = VECTOR.fullmatch(register or "")
    return [f"lane{found[2]}.{lane}" for lane in range(LANES[found[1]])] if found else []


def forget_lanes(state: State) -> None:
    """After a call, or what zeroes them all."""
    for place in [place for place in state.values if isinstance(place, str) and place.startswith("lane")]:
        del state.values[place]


def set_lanes(state: State, instruction: Instruction, register: str, values: Lanes) -> None:
    """Give a vector register, of whatever size, new lanes; all others of it are unknown."""
    for place, value in zip(lanes_of("z" + register[1:]), values + [None] * MOST, strict=False):
        if value is not None:
            state.values[place] = value
        else:
            state.values.pop(place, None)
    place = lanes_of(register)[0]
    state.values.setdefault(place, of("at", instruction.address, place))


def _or(a: Sum, b: Sum) -> Sum | None:
    a, b = (b, a) if b.number is None else (a, b)
    return None if b.number is None else united(a, b.number)


def _shifted(a: Sum, b: Sum) -> Sum | None:
    return a.times(1 << b.number) if b.number is not None and b.number < 64 else None


FUNCTIONS: dict[str, Function] = {
    "vpaddq": lambda a, b: a + b, "vpsubq": Sum.minus, "vpmullq": multiply, "vpsllq": _shifted,
    "vpor": _or, "vporq": _or, "vpord": _or, "vorps": _or, "vorpd": _or,
}  # fmt: skip
NOTHING = frozenset({"vpxor", "vpxord", "vpxorq", "vxorps", "vxorpd"})  # of a register with itself


def move_lanes(step: Step, state: State, instruction: Instruction) -> bool:
    """Do an instruction of whose result something may be known; whether it is one."""
    if not instruction.operands or instruction.operands[0].memory is not None or "{k" in instruction.text:
        return False
    target, *sources = instruction.operands
    values = _result(step, state, instruction, sources)
    if values is None or target.register is None:
        return False
    if lanes_of(target.register):
        set_lanes(state, instruction, target.register, values[: len(lanes_of(target.register))])
    else:
        step.set(state, instruction, target, values[0] or of("at", instruction.address, "lane"))
    return True


def _result(step: Step, state: State, instruction: Instruction, sources: list[Operand]) -> Lanes | None:
    """The lanes of what an instruction computes; None for an instruction of others."""
    name, count = instruction.name, len(sources)
    if name in NOTHING and count == 2 and sources[0] == sources[1] and sources[0].register:
        return [*([number(0)] * MOST)]
    known = name in FUNCTIONS or name in ("vmovq", "vpextrq", "vpbroadcastq")
    if not known and not MOVES.fullmatch(name) and not EXTRACTS.fullmatch(name):
        return None
    first, *others = [_lanes(step, state, instruction, source) for source in sources]
    if name in FUNCTIONS and count == 2 and (name != "vpsllq" or sources[1].number is not None):
        both = zip(first, others[0], strict=False)
        return [None if a is None or b is None else FUNCTIONS[name](a, b) for a, b in both]
    match name, count:
        case "vmovq", 1:
            return first[:1]
        case "vpbroadcastq", 1:
            return first[:1] * MOST
        case "vpextrq", 2:
            return first[(sources[1].number or 0) % 2 :]
        case _ if MOVES.fullmatch(name) and count == 1:
            return first
        case _ if EXTRACTS.fullmatch(name) and count == 2:
            width = len(lanes_of(instruction.operands[0].register))
            return first[width * ((sources[1].number or 0) % (LANES[str(sources[0].register)[0]] // width)) :]
        case _:
            return None


def _lanes(step: Step, state: State, instruction: Instruction, source: Operand) -> Lanes:
    """What is known of the lanes of an operand; a number or a general register counts as all of them."""
    if places := lanes_of(source.register):
        lowest = state.values.get(places[0], of("at", instruction.address, "operand", places[0]))
        return [lowest, *(state.values.get(place) for place in places[1:])]
    if source.memory is None:
        return [step.value(state, instruction, source)] * MOST
    address = step.address(state, instruction, source.memory)
    values: Lanes = [step.load(state, instruction, address, 8) if source.size >= 8 else None]
    if "{1to" in instruction.text:
        return values * MOST
    if address.count("section"):
        constants = (step.load(state, instruction, address.plus(8 * lane), 8) for lane in range(1, source.size // 8))
        values += [one if one.number is not None else None for one in constants]
    return values
