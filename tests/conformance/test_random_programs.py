"""Random programs with functions, loops and calls: what qemu makes of them, and alike wherever they are stopped.

    pytest -m full tests/conformance/test_random_programs.py -k ten_million

executes ten million random instructions on every engine and on qemu, compares all they leave, and prints the counts.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

import pytest
import shaped
import streams
from engines import ALL, ENGINES, PAGED, Outcome, Start, guests, run
from toolchain import linux_output

from denali.isa.context import Status
from denali.isa.definitions.decode import decode
from denali.isa.definitions.record import Cause
from denali.isa.tools.disassembler import disassemble
from denali.isa.tools.reference import Machine

ENOUGH = 10**8
SAMPLE_ROUNDS = 10
PROGRAM = 100_000  # instructions that each of many programs retires, by the number of its rounds
TEN_MILLION = 10**7
CUTS = 40  # places where each program is stopped
ROUNDS = 60  # runs in short turns, so that the places where it stops become hot


def finished(engine: str, program: shaped.Program, fuel: int = ENOUGH) -> Outcome:
    outcome = run(engine, program.image, fuel=fuel, private_size=program.private_size)
    if fuel == ENOUGH:
        ended = (outcome.status, outcome.cause) == (Status.TRAP, Cause.ENVIRONMENT_CALL)
        assert ended, f"{engine}: {outcome.cause!r} at {outcome.pc:#x}"
    return outcome


def check_against_qemu(program: shaped.Program, engines: Sequence[str] = ENGINES) -> int:
    """Every round leaves what it leaves on qemu; the number of instructions that all retire."""
    expected = linux_output(program.elf)
    assert len(expected) == program.written
    fuels = set[int]()
    for engine in engines:
        outcome = finished(engine, program)
        wrong = apart(outcome.memory, expected)
        assert not wrong, f"{program.image.name}, {engine} and qemu differ:\n{wrong}\n{first_difference(program)}"
        fuels.add(outcome.fuel)
    assert len(fuels) == 1, f"{program.image.name}: engines count different instructions"
    return ENOUGH - fuels.pop()


def apart(mine: bytes, theirs: bytes) -> str:
    """The first words in which two machines' blocks differ: round, register or place, ours, theirs."""
    found = [n for n in range(0, len(theirs), 8) if mine[n : n + 8] != theirs[n : n + 8]]
    rows = [(*divmod(n, shaped.SIZE), mine[n : n + 8][::-1].hex(), theirs[n : n + 8][::-1].hex()) for n in found[:6]]
    return "\n".join(f"round {number}: {streams.place_name(at // 8)} {a} {b}" for number, at, a, b in rows)


def first_difference(program: shaped.Program) -> str:
    """The instruction after which an engine is first in another state than the reference interpreter is."""
    for engine in ENGINES[1:]:
        if not _differences(engine, program, ENOUGH):
            continue
        fuel = bisect_left(range(ENOUGH), True, key=lambda n, e=engine: bool(_differences(e, program, n)))
        before = finished(ENGINES[0], program, fuel - 1)
        word = Machine(program.image, program.private_size).memory.read(before.pc, 4) or bytes(4)
        text = disassemble(int.from_bytes(word, "little"), before.pc)
        return f"{ENGINES[0]} and {engine}, instruction {fuel} {text}:\n{_differences(engine, program, fuel)}"
    return "the engines agree with each other"


def _differences(engine: str, program: shaped.Program, fuel: int) -> str:
    return finished(ENGINES[0], program, fuel).differences(finished(engine, program, fuel))


def of_length(seed: int, length: int) -> shaped.Program:
    """The program of this seed, with as many rounds as make it retire about `length` instructions."""
    once = ENOUGH - finished("interpreter", shaped.make(seed)).fuel
    return shaped.make(seed, rounds=-(-length // once))


def census(program: shaped.Program) -> tuple[Counter[str], Machine]:
    """How often each instruction of the random parts is executed, and the reference interpreter that did it."""
    machine, places = Machine(program.image, program.private_size), Counter[int]()
    machine.fuel = ENOUGH
    while machine.status is Status.FUEL:
        places[machine.pc] += 1
        machine.step()
    counted = Counter[str]()
    for pc, word in program.random_words():
        found = decode(word)
        assert found is not None
        counted[found[0].name] += places[pc]
    return counted, machine


def check_stops(seed: int, cuts: int = CUTS, engines: Sequence[str] = ENGINES) -> None:
    program = shaped.make(seed)
    length = ENOUGH - finished("interpreter", program).fuel
    generator = random.Random(seed)
    fuels = sorted({length, length + 1, 1, *(generator.randrange(length) for _ in range(cuts))})
    states: dict[str, list[Outcome]] = {}
    for engine in engines:
        with guests(engine, program.image, private_size=program.private_size) as start:
            states[engine] = [start(Start(), fuel) for fuel in fuels]
    for engine in engines[1:]:
        for fuel, a, b in zip(fuels, states["reference"], states[engine], strict=True):
            assert not a.differences(b), f"seed {seed}, reference and {engine} at fuel {fuel}:\n{a.differences(b)}"


def check_turns(seed: int) -> None:
    program = shaped.make(seed)
    expected = finished("interpreter", program)
    generator = random.Random(seed)
    with guests("translated", program.image, private_size=program.private_size) as start:
        for turn in (generator.randrange(5, 20), generator.randrange(20, 200)):
            for repetition in range(ROUNDS):
                outcome = start(Start(turn=turn), ENOUGH)
                wrong = expected.differences(outcome)
                assert not wrong, f"seed {seed}, turns of {turn}, repetition {repetition}:\n{wrong}"
        assert not expected.differences(start(Start(), ENOUGH))


@pytest.mark.parametrize("seed", range(12))
def test_a_random_program_leaves_what_it_leaves_on_qemu(seed: int) -> None:
    check_against_qemu(shaped.make(seed, rounds=SAMPLE_ROUNDS))


@pytest.mark.parametrize("seed", range(12, 16))
def test_a_random_program_leaves_it_behind_a_tlb_too(seed: int) -> None:
    check_against_qemu(shaped.make(seed, rounds=SAMPLE_ROUNDS), PAGED)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_many_random_programs_leave_what_they_leave_on_qemu_in_every_mode_of_memory(part: int) -> None:
    for seed in range(3000 + 10 * part, 3010 + 10 * part):
        check_against_qemu(of_length(seed, PROGRAM // 10), ALL)


@pytest.mark.parametrize("seed", range(8))
def test_a_random_program_stops_in_the_same_state_whatever_its_fuel(seed: int) -> None:
    check_stops(seed)


@pytest.mark.parametrize("seed", range(4))
def test_a_random_program_stops_in_the_same_state_with_its_pages_bound_one_by_one(seed: int) -> None:
    check_stops(seed, 10, (ENGINES[0], *PAGED))


@pytest.mark.parametrize("seed", range(2))
def test_short_turns_and_hot_code_change_nothing(seed: int) -> None:
    check_turns(seed)


@pytest.mark.full
@pytest.mark.timeout(7200)
def test_ten_million_random_instructions_leave_what_they_leave_on_qemu(capsys: pytest.CaptureFixture[str]) -> None:
    executed, static, retired, programs = Counter[str](), 0, 0, 0
    while executed.total() < TEN_MILLION:
        program = of_length(10_000 + programs, PROGRAM)
        retired += check_against_qemu(program, ENGINES[1:])
        counted, machine = census(program)
        wrong = apart(bytes(machine.memory.private), linux_output(program.elf))
        assert not wrong, f"{program.image.name}, {ENGINES[0]} and qemu differ:\n{wrong}"
        executed += counted
        static, programs = static + len(program.random_words()), programs + 1
    rarest, times = min(executed.items(), key=lambda item: item[1])
    engines = f"{', '.join(ENGINES)} and qemu"
    with capsys.disabled():
        print(f"\n{executed.total():,} random instructions executed, of {retired:,} retired; equal on {engines}")
        print(
            f"{static:,} different ones in {programs} programs; {len(executed)} kinds, the rarest {rarest}: {times:,}"
        )
    assert set(executed) >= {one.name for one in streams.POOL}


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(20))
def test_many_random_programs_stop_in_the_same_state(part: int) -> None:
    for seed in range(1000 + 25 * part, 1025 + 25 * part):
        check_stops(seed)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_many_random_programs_in_short_turns(part: int) -> None:
    for seed in range(2000 + 5 * part, 2005 + 5 * part):
        check_turns(seed)
