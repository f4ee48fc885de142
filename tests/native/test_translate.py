"""Translated code does what the reference interpreter does, wherever its fuel ends."""

from __future__ import annotations

import random

import pytest
from programs import Program
from twins import SIZE, Twins, random_float

from denali.isa.context import Status
from denali.isa.definitions.decode import DEFINITIONS
from denali.isa.runtime.compile import compile_object
from denali.isa.runtime.engine import Engine
from denali.isa.tools.assembler import assemble
from denali.isa.translator.translate import Translation


def translated(engine: Engine, program: Program) -> Twins:
    """The program on both engines, all its functions translated."""
    twins = Twins(engine, program.image())
    translation = Translation(twins.space.image, SIZE)
    text, _ = translation.module(translation.entries())
    assert twins.space.flat.install(compile_object(text))
    source = random.Random(1)
    twins.set_registers(twins.reference.x, [random_float(source) for _ in range(32)])
    return twins


def check(engine: Engine, seed: int, slices: list[int], wild: float = 0.01) -> None:
    """Run a program in slices of fuel until one of them traps."""
    twins = translated(engine, Program(seed, wild=wild))
    for fuel in slices:
        if twins.run(fuel) is Status.TRAP:
            break
    twins.space.close()


def test_a_tangle_of_branches_is_not_translated_once_for_each_of_its_loops() -> None:
    source = random.Random(1)
    lines = [f"l{n}: beq a{source.randrange(8)}, a{source.randrange(8)}, l{source.randrange(400)}" for n in range(400)]
    tangle = Translation(assemble("\n".join(lines)).image(), SIZE)
    assert len(tangle.loops[tangle.image.entry]) > 100
    assert tangle.entries() == [tangle.image.entry]
    loop = Translation(assemble("nop; 1: addi a0, a0, -1; bnez a0, 1b; ret").image(), SIZE)
    assert len(loop.entries()) == 2


@pytest.mark.parametrize("seed", range(6))
def test_a_random_program_runs_alike(engine: Engine, seed: int) -> None:
    check(engine, seed, [3000])


@pytest.mark.parametrize("seed", range(100, 104))
def test_it_stops_exactly_where_its_fuel_ends(engine: Engine, seed: int) -> None:
    source = random.Random(seed)
    check(engine, seed, [source.choice((1, 2, 3, 7, 20, 100)) for _ in range(150)])


@pytest.mark.parametrize("seed", range(200, 204))
def test_wild_programs_end_alike(engine: Engine, seed: int) -> None:
    check(engine, seed, [50] * 40, wild=0.2)


@pytest.mark.parametrize("seed", range(300, 304))
def test_units_with_resident_registers_run_alike(engine: Engine, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denali.isa.translator.frame.LARGE", 0)
    source = random.Random(seed)
    check(engine, seed, [source.choice((1, 3, 20, 100, 1000)) for _ in range(60)], wild=source.choice((0.0, 0.1)))


def test_a_loop_around_any_instruction_is_translated() -> None:
    source = random.Random(1)
    for one in DEFINITIONS:
        words = (source.getrandbits(8 * one.length) & ~one.mask | one.match for _ in range(1000))
        word = next(word for word in words if one.accepts(word))
        code = f"1: {'.word' if one.length == 4 else '.half'} {word:#x}; addi s11, s11, -1; bnez s11, 1b; ret"
        translation = Translation(assemble(code).image(), SIZE)
        assert translation.module(translation.entries())[1], one.name


@pytest.mark.full
@pytest.mark.parametrize("seed", range(1000, 1400))
def test_many_random_programs_run_alike(engine: Engine, seed: int) -> None:
    source = random.Random(seed)
    check(engine, seed, [source.choice((5, 50, 300, 1000)) for _ in range(40)], wild=source.choice((0.0, 0.02, 0.2)))
