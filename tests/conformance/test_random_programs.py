"""Random programs with functions, loops and calls: what qemu makes of them, and alike wherever they are stopped."""

from __future__ import annotations

import random

import pytest
import shaped
from engines import ENGINES, Outcome, Start, guests, run
from toolchain import linux_output

from denali.isa.context import Status
from denali.isa.record import Cause

PRIVATE_SIZE = 8192
ENOUGH = 10**7
CUTS = 40  # places where each program is stopped
ROUNDS = 60  # runs in short turns, so that the places where it stops become hot


def finished(engine: str, program: shaped.Program) -> Outcome:
    outcome = run(engine, program.image, fuel=ENOUGH, private_size=PRIVATE_SIZE)
    assert (outcome.status, outcome.cause) == (Status.TRAP, Cause.ENVIRONMENT_CALL), (
        f"{outcome.cause!r} {outcome.pc:#x}"
    )
    return outcome


def check_against_qemu(seed: int) -> None:
    program = shaped.make(seed)
    expected = linux_output(program.elf)
    for engine in ENGINES:
        mine = finished(engine, program).memory[: shaped.SIZE]
        assert len(mine) == len(expected)
        wrong = [n for n in range(0, shaped.SIZE, 8) if mine[n : n + 8] != expected[n : n + 8]]
        shown = [f"{n:#x}: {mine[n : n + 8][::-1].hex()} not {expected[n : n + 8][::-1].hex()}" for n in wrong[:4]]
        assert not wrong, f"seed {seed}, {engine}: " + "; ".join(shown)


def check_stops(seed: int, cuts: int = CUTS) -> None:
    program = shaped.make(seed)
    length = ENOUGH - finished("interpreter", program).fuel
    generator = random.Random(seed)
    fuels = sorted({length, length + 1, 1, *(generator.randrange(length) for _ in range(cuts))})
    states: dict[str, list[Outcome]] = {}
    for engine in ENGINES:
        with guests(engine, program.image, private_size=PRIVATE_SIZE) as start:
            states[engine] = [start(Start(), fuel) for fuel in fuels]
    for engine in ENGINES[1:]:
        for fuel, a, b in zip(fuels, states["reference"], states[engine], strict=True):
            assert not a.differences(b), f"seed {seed}, reference and {engine} at fuel {fuel}:\n{a.differences(b)}"


def check_turns(seed: int) -> None:
    program = shaped.make(seed)
    expected = finished("interpreter", program)
    generator = random.Random(seed)
    with guests("translated", program.image, private_size=PRIVATE_SIZE) as start:
        for turn in (generator.randrange(5, 20), generator.randrange(20, 200)):
            for repetition in range(ROUNDS):
                outcome = start(Start(turn=turn), ENOUGH)
                wrong = expected.differences(outcome)
                assert not wrong, f"seed {seed}, turns of {turn}, repetition {repetition}:\n{wrong}"
        assert not expected.differences(start(Start(), ENOUGH))


@pytest.mark.parametrize("seed", range(12))
def test_a_random_program_leaves_what_it_leaves_on_qemu(seed: int) -> None:
    check_against_qemu(seed)


@pytest.mark.parametrize("seed", range(8))
def test_a_random_program_stops_in_the_same_state_whatever_its_fuel(seed: int) -> None:
    check_stops(seed)


@pytest.mark.parametrize("seed", range(2))
def test_short_turns_and_hot_code_change_nothing(seed: int) -> None:
    check_turns(seed)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(20))
def test_many_random_programs(part: int) -> None:
    for seed in range(1000 + 25 * part, 1025 + 25 * part):
        check_against_qemu(seed)
        check_stops(seed)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_many_random_programs_in_short_turns(part: int) -> None:
    for seed in range(2000 + 5 * part, 2005 + 5 * part):
        check_turns(seed)
