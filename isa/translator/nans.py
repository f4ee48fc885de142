"""Which registers may hold a NaN that is not yet the canonical one, so that making it so can wait.

Arithmetic of the host gives NaNs with payloads where RISC-V wants the canonical one. Arithmetic does not care which NaN
it reads, so a double is made canonical only where its bits become visible: when they are stored, moved or compared as
bits, or leave for CONTEXT. A register is at any place

    RAW    the result of arithmetic: to be made canonical before anybody sees the bits
    CLEAN  a number or the canonical NaN: making it canonical would change nothing
    EXACT  bits from elsewhere, which must stay as they are
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from ..definitions.record import ALL_ONES, Op, Step
from .fuel import ways_back
from .liveness import FLOAT, Effects, effects_of
from .units import Block, Function, Located

BITWISE = (Op.F, Op.CONST, Op.AND, Op.OR, Op.XOR)
NEAR = 16  # instructions whose NaNs are made canonical together
POSTPONED = frozenset({"add", "sub", "mul", "div", "sqrt", "fma"})


class Nan(enum.IntEnum):
    """See the module; where paths meet, the larger one holds (a RAW one is made canonical on its way to EXACT)."""

    CLEAN = 0
    RAW = 1
    EXACT = 2


States = dict[int, Nan]  # by register; EXACT where it is missing


def postpones(located: Located) -> bool:
    """Whether this is arithmetic on doubles whose result goes to a register and nowhere else."""
    steps = located.instruction.steps
    floats = [step for step in steps if step.op is Op.FLOAT]
    if len(floats) != 1 or floats[0].width != 64 or floats[0].attribute[0] not in POSTPONED:  # type: ignore[index]
        return False
    return [step.op for step in steps if any(argument is floats[0] for argument in step.args)] == [Op.SET_F]


def moved(located: Located) -> tuple[int, int] | None:
    """Where the instruction does nothing but copy one floating-point register to another: (to, from).

    Such copies come as sign injections of a register into itself. What is bitwise and takes zeros to zeros and ones to
    ones takes every bit to itself.
    """
    steps = located.instruction.steps
    sources = {located.number(step) for step in steps if step.op is Op.F}
    if len(sources) != 1 or steps[-1].op is not Op.SET_F or any(step.op not in BITWISE for step in steps[:-1]):
        return None
    if any(_copy(steps, bits) != bits for bits in (0, ALL_ONES)):
        return None
    return FLOAT + located.number(steps[-1]), FLOAT + sources.pop()


def _copy(steps: list[Step], bits: int) -> int:
    """What the last step sets when every register read holds `bits`."""
    values: dict[int, int] = {}
    for step in steps[:-1]:
        if step.op is Op.F:
            values[id(step)] = bits
        elif step.op is Op.CONST:
            values[id(step)] = int(str(step.attribute))
        else:
            a, b = (values[id(argument)] for argument in step.args)
            values[id(step)] = {Op.AND: a & b, Op.OR: a | b, Op.XOR: a ^ b}[step.op]
    return values[id(steps[-1].args[0])]


def exposed(located: Located) -> set[int]:
    """The floating-point registers whose bits this instruction shows to something other than arithmetic."""
    if moved(located) is not None:
        return set()
    others = (step for step in located.instruction.steps if step.op is not Op.FLOAT)
    return {FLOAT + located.number(argument) for step in others for argument in step.args if argument.op is Op.F}


def due(code: list[Located], states: States) -> set[int]:
    """What the first instruction wants canonical, and with it what the next do: two are looked at as quickly as one."""
    registers: set[int] = set()
    rewritten: set[int] = set()
    for located in code:
        registers |= {one for one in exposed(located) - rewritten if states.get(one) is Nan.RAW}
        if not registers:
            break
        rewritten |= effects_of([located]).writes
    return registers


def advance(located: Located, states: States) -> None:
    """What one instruction does to the states, given that what it exposes has been made canonical."""
    for register in exposed(located):
        if states.get(register) is Nan.RAW:
            states[register] = Nan.CLEAN
    copy = moved(located)
    if copy is not None:
        states[copy[0]] = states.get(copy[1], Nan.EXACT)
        return
    for step in located.instruction.steps:
        if step.op is Op.SET_F:
            states[FLOAT + located.number(step)] = _written(located, step.args[0])


def _written(located: Located, value: Step) -> Nan:
    if value.op is Op.FLOAT and value.width == 64:
        return Nan.RAW if postpones(located) else Nan.CLEAN
    zero = value.op is Op.X and located.number(value) == 0
    return Nan.CLEAN if zero else Nan.EXACT


Forced = dict[int, frozenset[int]]  # by loop header: registers that are RAW there whatever comes in


def states_at_entry(
    function: Function, blocks: list[Block], effects: Mapping[int, Effects]
) -> tuple[dict[int, States], Forced]:
    """The states at the beginning of every block; `effects` are those of the calls that end blocks, by block.

    Where a register comes into a loop EXACT and round it RAW, it is RAW: who comes in has it looked at once, and the
    loop does not make it canonical in every turn. All that may be so is tried, and given up until the rest holds.
    """
    plain = _fixpoint(function, blocks, effects, {})
    round_it = _ways_round(function, blocks)
    raw = _raw([states_after(block, {}, effects) for block in blocks])
    forced = {header: frozenset(raw - plain[header].keys()) for header in round_it}
    while any(forced.values()):
        entry, kept = _fixpoint(function, blocks, effects, forced), Forced()
        for header, registers in forced.items():
            after = [states_after(block, entry[block.pc], effects) for block in round_it[header]]
            kept[header] = frozenset(registers & _raw(after).intersection(*after))
        if kept == forced:
            return entry, {header: registers for header, registers in forced.items() if registers}
        forced = kept
    return plain, {}


def _raw(ways: list[States]) -> set[int]:
    return {register for states in ways for register, state in states.items() if state is Nan.RAW}


def _fixpoint(
    function: Function, blocks: list[Block], effects: Mapping[int, Effects], forced: Forced
) -> dict[int, States]:
    def meet(pc: int, old: States | None, left: States) -> States:
        merged = left if old is None else {r: max(old[r], left[r]) for r in old.keys() & left.keys()}
        return merged | dict.fromkeys(forced.get(pc, ()), Nan.RAW)

    first = blocks[0].pc
    return function.forward({first: meet(first, None, {})}, lambda block, at: states_after(block, at, effects), meet)


def _ways_round(function: Function, blocks: list[Block]) -> dict[int, list[Block]]:
    """By loop header the blocks that lead back to it; not of loops that a call or a computed jump may enter."""
    unsure = {pc for block in blocks if block.kind in ("call", "indirect") for pc in function.successors(block)}
    found: dict[int, list[Block]] = {}
    for pc, header in ways_back(function, blocks[0].pc):
        if header not in unsure:
            found.setdefault(header, []).append(function.blocks[pc])
    return found


def states_after(block: Block, before: States, effects: Mapping[int, Effects]) -> States:
    """The states behind a block."""
    states = dict(before)
    for located in block.code:
        advance(located, states)
    touched = effects[block.pc].touched if block.pc in effects else frozenset[int]()
    return {register: state for register, state in states.items() if register not in touched and state < Nan.EXACT}
