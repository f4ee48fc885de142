"""Programs in the shape that compilers give, and in none: translated they leave what the reference interpreter does."""

from __future__ import annotations

import random
from collections.abc import Iterable

import leafy
import pytest
from engines import ALL, Outcome, Start, guests
from twins import SIZE, Twins

from denali.isa.context import Status
from denali.isa.image import PAGE
from denali.isa.runtime import compile
from denali.isa.runtime.compile import compile_object
from denali.isa.runtime.engine import Engine
from denali.isa.tools.assembler import assemble
from denali.isa.translator.translate import Translation

STEPS = (1, 3, 7, 20, 61, 200, 4000)
TURNS = 12
ROOM = 4 * PAGE


def check(engine: Engine, seeds: Iterable[int]) -> None:
    """Run each program in turns of several lengths, and compare everything at every stop."""
    for seed in seeds:
        image = leafy.make(seed)
        translation = Translation(image, SIZE)
        code = compile_object(translation.module(translation.entries())[0])
        for step in STEPS:
            twins, lengths = Twins(engine, image), random.Random(step)
            assert twins.space.flat.install(code)
            for _ in range(TURNS):
                try:
                    status = twins.run(lengths.randrange(1, 2 * step))
                except AssertionError as difference:
                    raise AssertionError(f"seed {seed}, turns of about {step}: {difference}") from None
                if status is Status.TRAP:
                    break
            twins.space.close()


@pytest.mark.parametrize("tens", range(4))
def test_small_functions_recursion_and_frames(engine: Engine, tens: int) -> None:
    check(engine, range(10 * tens, 10 * tens + 10))


@pytest.fixture
def least(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code for the least of processors, as LLVM has other instructions for much there."""
    monkeypatch.setattr(compile, "host", lambda: ("x86-64", ""))


@pytest.mark.usefixtures("least")
def test_the_same_by_the_least_of_processors(engine: Engine) -> None:
    check(engine, range(40, 60))


UNREAD = """
.text
_start: li t1, 0x7ff0000000001234
    fmv.d.x f2, t1
    li t0, 20
again: fadd.d f2, f3, f4
    fmul.d f5, f2, f2
    addi t0, t0, -1
    beqz t0, out
    bnez t0, again
out: j out
"""


@pytest.mark.usefixtures("least")
def test_a_signalling_nan_that_a_loop_finds_and_does_not_read_raises_nothing(engine: Engine) -> None:
    image = assemble(UNREAD).image()
    translation = Translation(image, SIZE)
    twins = Twins(engine, image)
    assert twins.space.flat.install(compile_object(translation.module(translation.entries())[0]))
    while twins.reference.x[5] != 20:  # up to the loop
        twins.run(1)
    twins.run(40)
    assert not twins.reference.fcsr
    twins.space.close()


@pytest.mark.parametrize("seed", range(3))
def test_the_same_behind_a_tlb(seed: int) -> None:
    image, fuels = leafy.make(seed), (1, 40, 399, 4000)
    ends: dict[str, list[Outcome]] = {}
    for engine in ALL:
        with guests(engine, image, private_size=ROOM) as start:
            stack = {2: image.private_start + ROOM - 64}
            ends[engine] = [start(Start(x=stack), fuel) for fuel in fuels]
    for engine in ALL:
        for fuel, expected, got in zip(fuels, ends["reference"], ends[engine], strict=True):
            assert not expected.differences(got), f"seed {seed}, {engine}, fuel {fuel}: {expected.differences(got)}"


@pytest.mark.full
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("hundreds", range(1, 11))
def test_a_thousand_more(engine: Engine, hundreds: int) -> None:
    check(engine, range(100 * hundreds, 100 * hundreds + 100))
