# pyright: basic, reportUnusedExpression=false, reportMissingImports=false, reportArgumentType=false
"""A mistake in a definition is noticed: in any step of any instruction, by the tests that run every day.

Those are asked as they stand: the cases of `test_streams.py` that hold the instruction, its random rows, the random
programs, floating point at the edges, and the tests of traps and counters. The reference interpreter answers, because
it evaluates the very steps that the other engines are made from and needs no compiler for each mutant.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import arithmetic_guests
import mutants
import pytest
import shaped
import streams
import test_control
import test_floating_point
from test_random_programs import SAMPLE_ROUNDS
from toolchain import QEMU, linux_output, require

from denali.isa.definitions.decode import DEFINITIONS, length_of
from denali.isa.definitions.instruction import Instruction
from denali.isa.definitions.record import Cause
from denali.isa.tools.reference import Machine

FILES = [str(Path(test_control.__file__).parent / name) for name in ("test_edges.py", "test_semantics.py")]
EVERY = 100  # by default every so many mutants is tried
PARTS = 20
CASE, PROGRAM = 1000, 200_000  # instructions: more than any has
CONTROL = [test for name, test in vars(test_control).items() if name.startswith("test_")]
REFERENCE = test_floating_point.ENGINES[0]


def noticed(mutant: mutants.Mutant) -> bool:
    """Whether any of the tests fails with this mutant."""
    one = mutant.one
    with mutants.applied(mutant):
        try:
            return case_notices(one) or rules_notice(one) or program_notices(one)
        except (ArithmeticError, ValueError):
            return True


def case_notices(one: Instruction) -> bool:
    """Whether a case of `test_streams.py` that holds `one` comes out otherwise than on qemu."""
    return any(
        differs(stream, number, expected)
        for stream, expected in streams_of_the_sample()
        for number in range(stream.size // streams.BLOCK)
        if holds(stream.cases[number % len(stream.cases)], one)
    )


@cache
def streams_of_the_sample() -> list[tuple[streams.Stream, bytes]]:
    """The programs of `test_streams.py`, and what qemu makes of them."""
    groups = [[one for one in streams.POOL if one.extension == group] for group in sorted(set(streams.GROUPS))]
    made = [*(streams.each(group) for group in groups), *(streams.make(seed, cases=100) for seed in range(2))]
    return [(stream, linux_output(stream.elf)) for stream in made]


def differs(stream: streams.Stream, number: int, expected: bytes) -> bool:
    """Whether one case of a stream leaves another block than the expected one."""
    machine = Machine(stream.image, stream.private_size)
    start, end = stream.places[number % len(stream.cases)], stream.places[number % len(stream.cases) + 1]
    machine.pc, machine.x[streams.GP] = start, stream.start + number * streams.BLOCK
    machine.fuel = machine.limit = CASE
    while machine.pc != end and machine.fuel and machine.cause is None:
        machine.step()
    part = slice(number * streams.BLOCK, (number + 1) * streams.BLOCK)
    return machine.pc != end or bytes(machine.memory.private[part]) != expected[part]


def rules_notice(one: Instruction) -> bool:
    """Whether exact arithmetic, the manual's words on control registers, or a test of traps and limits disagrees."""
    try:
        if one.name in arithmetic_guests.INSTRUCTIONS:
            test_floating_point.test_edges_are_as_exact_arithmetic_has_them(one.name, REFERENCE)
        for test in CONTROL:
            test(REFERENCE)
    except AssertionError:
        return True
    with contextlib.redirect_stdout(io.StringIO()):
        return pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-k", REFERENCE, *FILES]) != 0


def program_notices(one: Instruction) -> bool:
    """Whether a random program that holds `one` comes out otherwise than on qemu."""
    return any(left_by(program) != expected for program, expected in programs() if holds(program.image.read_only, one))


@cache
def programs() -> list[tuple[shaped.Program, bytes]]:
    """The sample's random programs, and what qemu makes of them."""
    made = [shaped.make(seed, rounds=SAMPLE_ROUNDS) for seed in range(12)]
    return [(one, linux_output(one.elf)) for one in made]


def holds(code: bytes, one: Instruction) -> bool:
    """Whether the instruction is in some code."""
    return any(length_of(word) == one.length and one.accepts(word) for _, word in streams.words(code, 0))


def left_by(program: shaped.Program) -> bytes:
    """The blocks that the reference interpreter leaves; nothing when it does not come to the end."""
    machine = Machine(program.image, program.private_size)
    machine.run(PROGRAM)
    return bytes(machine.memory.private[: program.written]) if machine.cause is Cause.ENVIRONMENT_CALL else b""


def every_mutant() -> Iterator[mutants.Mutant]:
    return (mutant for one in DEFINITIONS for mutant in mutants.mutants_of(one))


def check(chosen: list[mutants.Mutant]) -> None:
    require(QEMU)
    streams_of_the_sample(), programs()  # as the definitions make them
    mistakes = [one for one in chosen if mutants.differs(one)]
    wrong = [one for one in mistakes if not noticed(one)]
    shown = "\n".join(map(str, wrong[:8]))
    assert not wrong, f"of {len(mistakes)} mistakes, {len(wrong)} are not noticed:\n{shown}"


def test_a_mistake_in_a_definition_is_noticed() -> None:
    check(list(every_mutant())[::EVERY])


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_mistake_in_a_definition_is_noticed(part: int) -> None:
    check(list(every_mutant())[part::PARTS])
