# pyright: basic, reportDeprecated=false
"""Definitions with one mistake in them, to see whether the tests notice.

A mutant is an instruction with one recorded step changed: another operator, arguments swapped, a constant off by a
bit, an effect left out. `applied` puts it in the instruction's place for every consumer of this process. Some mistakes
are none (or instead of exclusive or, where bits are apart): `differs` tries whether a mutant ever does anything else.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import streams

from denali.isa.definitions.instruction import Instruction
from denali.isa.definitions.record import ALL_ONES, EFFECTS, Cause, Op, Step
from denali.isa.image import Image
from denali.isa.tools.notation import step_lines
from denali.isa.tools.reference import Machine

OTHERS: dict[Op, tuple[Op, ...]] = {
    Op.ADD: (Op.SUB, Op.OR),
    Op.SUB: (Op.ADD,),
    Op.MUL: (Op.ADD,),
    Op.UDIV: (Op.SDIV, Op.UREM),
    Op.UREM: (Op.SREM, Op.UDIV),
    Op.SDIV: (Op.UDIV, Op.SREM),
    Op.SREM: (Op.UREM, Op.SDIV),
    Op.AND: (Op.OR, Op.XOR),
    Op.OR: (Op.AND, Op.XOR),
    Op.XOR: (Op.OR, Op.AND),
    Op.SHL: (Op.LSHR,),
    Op.LSHR: (Op.SHL, Op.ASHR),
    Op.ASHR: (Op.LSHR,),
    Op.EQ: (Op.NE,),
    Op.NE: (Op.EQ,),
    Op.ULT: (Op.SLT,),
    Op.SLT: (Op.ULT,),
    Op.SEXT: (Op.ZEXT,),
    Op.ZEXT: (Op.SEXT,),
    Op.CLZ: (Op.CTZ, Op.POPCOUNT),
    Op.CTZ: (Op.CLZ,),
    Op.POPCOUNT: (Op.CLZ,),
    Op.BSWAP: (Op.POPCOUNT,),
    Op.RESERVE: (Op.LOAD,),
}
SWAPPED = {Op.SUB, Op.ULT, Op.SLT, Op.SDIV, Op.UDIV, Op.SREM, Op.UREM}
ATOMIC = ("swap", "add", "xor", "and", "or", "smin", "smax", "umin", "umax")
FLOAT = {
    "add": "sub",
    "sub": "add",
    "mul": "div",
    "div": "mul",
    "min": "max",
    "max": "min",
    "eq": "le",
    "lt": "le",
    "le": "lt",
    "to_i32": "to_u32",
    "to_u32": "to_i32",
    "to_i64": "to_u64",
    "to_u64": "to_i64",
    "from_i32": "from_u32",
    "from_u32": "from_i32",
    "from_i64": "from_u64",
    "from_u64": "from_i64",
}
PART = {"fflags": "frm", "frm": "fflags"}
STATES = 1000
SIZE = 4096


@dataclass(frozen=True, slots=True)
class Mutant:
    """An instruction with its step number `index` replaced; by nothing: left out."""

    one: Instruction
    index: int
    step: Step | None
    number: int  # among those of this step

    @property
    def name(self) -> str:
        """The instruction, the step in its place among the steps, and the number."""
        return f"{self.one.name}[{self.index}].{self.number}"

    def steps(self) -> list[Step]:
        """All steps, each on the changed ones."""
        made: dict[int, Step] = {}
        steps: list[Step] = []
        for place, old in enumerate(self.one.steps):
            source = self.step if place == self.index else old
            if source is not None:
                new = replace(source, args=tuple(made[id(argument)] for argument in source.args))
                made[id(old)] = new
                steps.append(new)
        return steps

    def __str__(self) -> str:
        """The recorded steps, the changed ones marked."""
        with applied(self):
            after = step_lines(self.one)
        before = step_lines(self.one)
        return "\n".join([self.name, *(f"  {'  ' if line in before else '! '}{line}" for line in after)])


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """The mutant instead of its instruction."""
    steps = list(mutant.one.steps)
    changed = mutant.steps()
    mutant.one.steps[:] = changed
    try:
        yield
    finally:
        mutant.one.steps[:] = steps


def mutants_of(one: Instruction) -> Iterator[Mutant]:
    """One mistake after the other in each step."""
    for index, step in enumerate(one.steps):
        for number, changed in enumerate(_changes(one, step)):
            yield Mutant(one, index, changed, number)


def _changes(one: Instruction, step: Step) -> Iterator[Step | None]:
    yield from (replace(step, op=other) for other in OTHERS.get(step.op, ()))
    if step.op in SWAPPED:
        yield replace(step, args=step.args[::-1])
    if step.op is Op.SELECT:
        yield replace(step, args=(step.args[0], step.args[2], step.args[1]))
    if step.op is Op.CONST:
        yield from _constants(step)
    if step.op is Op.LOAD:
        yield replace(step, width=step.width // 2 if step.width > 8 else 16)
    if step.op in EFFECTS and not step.width:
        yield None
    if step.op in (Op.JUMP, Op.TRAP) and len(step.args) == 2:
        yield replace(step, args=step.args[:1])
    if step.op is Op.TRAP:
        yield replace(step, attribute=Cause.BREAKPOINT if step.attribute != Cause.BREAKPOINT else Cause.FETCH)
    yield from _attributes(one, step)


def _constants(step: Step) -> Iterator[Step]:
    value = int(str(step.attribute))
    for bit in sorted({0, min(4, step.width - 1)}):  # a shift's amount counts modulo its width
        yield replace(step, attribute=value ^ 1 << bit)


def _attributes(one: Instruction, step: Step) -> Iterator[Step]:
    """What a step says beside its arguments, said otherwise."""
    if step.op in (Op.X, Op.F, Op.SET_X, Op.SET_F) and isinstance(step.attribute, str):
        kind = one.operands[step.attribute]
        others = [name for name, other in one.operands.items() if other is kind and name != step.attribute]
        yield from (replace(step, attribute=name) for name in others[:1])
    elif step.op in (Op.X, Op.SET_X):
        yield replace(step, attribute=int(str(step.attribute)) ^ 1)
    elif step.op is Op.ATOMIC:
        yield replace(step, attribute=ATOMIC[(ATOMIC.index(str(step.attribute)) + 1) % len(ATOMIC)])
    elif step.op is Op.FLOAT:
        yield from _float(step)
    elif step.op in (Op.STATUS, Op.SET_STATUS):
        yield replace(step, attribute=PART[str(step.attribute)])
    elif step.op is Op.VIRTUAL:
        yield replace(step, attribute=int(str(step.attribute)) ^ 1)
    elif step.op is Op.COUNTER:
        yield Step(Op.CONST, step.width, (), 0)


def _float(step: Step) -> Iterator[Step]:
    assert isinstance(step.attribute, tuple)
    operation, mode = step.attribute
    if operation in FLOAT:
        yield replace(step, attribute=(FLOAT[operation], mode))
    if mode is not None:
        yield replace(step, attribute=(operation, None))


def differs(mutant: Mutant) -> bool:
    """Whether the mutant leaves another state than its instruction does, from any of many random states."""
    generator = random.Random(mutant.name)
    for _ in range(STATES):
        word = generator.getrandbits(8 * mutant.one.length) & ~mutant.one.mask | mutant.one.match
        if not mutant.one.accepts(word):
            continue
        seed = generator.getrandbits(64)
        expected = _after(mutant.one, word, seed)
        with applied(mutant):
            if _after(mutant.one, word, seed) != expected:
                return True
    return False


def _after(one: Instruction, word: int, seed: int) -> object:
    """All that a guest is after one instruction from the state of this seed."""
    generator, asked = random.Random(seed), list[tuple[int, int, int]]()

    def service(_: Machine, number: int, a: int, b: int) -> int:
        asked.append((number, a, b))
        return seed

    machine = Machine(Image.raw(word.to_bytes(4, "little"), name="one"), SIZE, service)
    content = streams.block(generator)
    machine.x[1:], machine.f[:] = struct.unpack_from("<31Q", content, 8), struct.unpack_from("<32Q", content, streams.F)
    machine.fcsr, machine.fuel, machine.limit = generator.randrange(256), 2, 2 + generator.randrange(1000)
    machine.memory.private[:] = generator.randbytes(SIZE)
    if one.has(*streams.MEMORY):
        _aim(machine, one.extract(word), generator)
    try:
        machine.step()
    except (ArithmeticError, ValueError) as error:
        return str(error)
    state = machine.pc, machine.x, machine.f, machine.fcsr, machine.cause, machine.value, machine.fuel
    return state, machine.reservation, machine.reserved_value, bytes(machine.memory.private), asked


def _aim(machine: Machine, operands: dict[str, int], generator: random.Random) -> None:
    """Most addresses lie in memory, aligned; some are reserved with what stands there."""
    base, place = operands.get("rs1", 2), machine.memory.private_start + 8 * generator.randrange(SIZE // 8 - 2)
    if base and generator.random() < 0.9:
        machine.x[base] = place - operands.get("imm", 0) & ALL_ONES
    if generator.random() < 0.6:
        machine.reservation, machine.reserved_value = place, machine.load(place, generator.choice((32, 64)))
