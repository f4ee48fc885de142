# pyright: basic
"""Random instructions, random programs and random C programs leave the state that they leave on unicorn, all of it.

qemu-riscv64 shows what a program writes (`test_random_programs.py`, `test_c_programs.py`); of unicorn we see every
register, fcsr and the whole memory. It has singles or doubles in its registers but no boxes, so that programs which mix
them are left to qemu: a world of random instructions has singles, or it has doubles.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import shaped
import streams
import test_c_programs
from engines import ENGINES, run
from test_random_programs import SAMPLE_ROUNDS
from toolchain import linux_output
from unicorn_machine import ENVIRONMENT_CALL, ILLEGAL, IT_ERRS, IT_ERRS_WITH_NANS, IT_LACKS, State, finished

from denali.isa.context import Status
from denali.isa.definitions.instruction import Instruction
from denali.isa.definitions.record import Cause, Op
from denali.isa.image import Image
from denali.isa.tools.assembler import assemble

FUEL = 10**9
PROGRAM_ROUNDS = 100
PLAIN = "-march=rv64gc_zifencei"


SINGLE = (".s", "flw", "fsw", "fmv.w.x", "fmv.x.w")
DOUBLE = (".d", "fld", "fsd", "fmv.d.x", "fmv.x.d")


def handles(one: Instruction, parts: Sequence[str]) -> bool:
    """Whether an instruction reads or writes floating-point registers and has one of these in its name."""
    return one.has(Op.F, Op.SET_F) and any(part in one.name for part in parts)


KNOWN = [one for one in streams.POOL if one.extension not in IT_LACKS]
MIXABLE = [one for one in KNOWN if one.name.partition(".")[0] not in IT_ERRS_WITH_NANS]
WORLDS = {
    "singles": streams.World([one for one in MIXABLE if not handles(one, DOUBLE)], boxed=True),
    "doubles": streams.World([one for one in MIXABLE if not handles(one, SINGLE)]),
}
PARTS = {"singles": SINGLE, "doubles": DOUBLE}
GROUPS = sorted(set(streams.GROUPS) - set(IT_LACKS))


def ours(engine: str, image: Image, private_size: int) -> State:
    """The state of a guest at its first system call on one of our engines."""
    outcome = run(engine, image, fuel=FUEL, private_size=private_size)
    where = f"{engine}: {outcome.cause!r} at {image.function_at(outcome.pc)}"
    assert (outcome.status, outcome.cause) == (Status.TRAP, Cause.ENVIRONMENT_CALL), where
    return State(ENVIRONMENT_CALL, outcome.x, outcome.f, outcome.fcsr, outcome.memory)


def compare(image: Image, private_size: int, engines: Sequence[str] = ENGINES) -> set[str]:
    """Every engine leaves what unicorn leaves, but for unicorn's errors: those that were met."""
    theirs, met = finished(image, private_size), set[str]()
    assert theirs.exception == ENVIRONMENT_CALL, theirs.exception
    for engine in engines:
        wrong = list[str]()
        for name, mine, other in ours(engine, image, private_size).apart(theirs):
            error = next((text for text, covers in IT_ERRS.items() if covers(mine, other)), None)
            met |= {error} if error else set()
            wrong += [] if error else [f"{name} {mine:#x} {other:#x}"]
        assert not wrong, f"{image.name}, {engine} and unicorn, {len(wrong)} differ:\n" + "\n".join(wrong[:8])
    return met


def compare_stream(stream: streams.Stream) -> set[str]:
    return compare(stream.image, stream.private_size)


def compare_program(program: shaped.Program, engines: Sequence[str] = ENGINES) -> set[str]:
    return compare(program.image, program.private_size, engines)


def compare_c(seed: int, folder: Path) -> bool:
    """Whether a C program ends under qemu in time; if it does, it leaves the same state here and on unicorn."""
    elf = test_c_programs.program(seed, folder, PLAIN)
    try:
        linux_output(elf, timeout=test_c_programs.SECONDS)
    except subprocess.TimeoutExpired:
        return False
    image = Image.from_elf(elf, f"csmith-{seed}")
    compare(image, test_c_programs.memory_of(image), ENGINES[1:])
    return True


@pytest.mark.parametrize("group", GROUPS)
def test_each_instruction_leaves_what_it_leaves_on_unicorn(group: str) -> None:
    members = [one for one in KNOWN if one.extension == group]
    compare_stream(streams.each([one for one in members if not handles(one, SINGLE) or one.name == "fcvt.s.d"]))
    if singles := [one for one in members if handles(one, SINGLE)]:
        assert compare_stream(streams.each(singles, boxed=True)) == set(IT_ERRS), "an error that is not met must go"


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("world", WORLDS)
def test_random_instructions_leave_what_they_leave_on_unicorn(world: str, seed: int) -> None:
    compare_stream(streams.make(seed, cases=100, world=WORLDS[world]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("world", WORLDS)
def test_a_random_program_leaves_what_it_leaves_on_unicorn(world: str, seed: int) -> None:
    compare_program(shaped.make(seed, rounds=SAMPLE_ROUNDS, world=WORLDS[world]))


@pytest.mark.parametrize("seed", [1, 4, 7])
def test_a_random_c_program_leaves_what_it_leaves_on_unicorn(seed: int, tmp_path: Path) -> None:
    if not compare_c(seed, tmp_path):
        pytest.skip("does not end in time under qemu either")


@pytest.mark.parametrize("extension", IT_LACKS)
def test_what_unicorn_lacks_it_still_lacks(extension: str) -> None:
    for one in (one for one in streams.POOL if one.extension == extension):
        state = finished(Image.raw(one.match.to_bytes(4, "little"), name=one.name), 4096)
        assert state.exception == ILLEGAL, f"{one.name} must be compared from now on"


SIGNALLING, ONE, INFINITE, ZERO, QUIET = 0x7FF << 52 | 1, 0x3FF << 52, 0x7FF << 52, 0, 0x7FF8 << 48
NO_FLAG, INVALID = 0, 1 << 4


def after(name: str, operands: Sequence[int]) -> tuple[State, State]:
    """What we and unicorn make of one instruction on doubles: the result in f0, with its flags."""
    loads = "; ".join(f"li t0, {bits}; fmv.d.x f{n}, t0" for n, bits in enumerate(operands, 1))
    registers = ", ".join(f"f{n}" for n in range(len(operands) + 1))
    image = assemble(f"{loads}; {name}.d {registers}; ecall").image()
    return ours(ENGINES[0], image, 4096), finished(image, 4096)


@pytest.mark.parametrize("name", IT_ERRS_WITH_NANS)
def test_where_unicorn_errs_with_nans_it_still_errs(name: str) -> None:
    mixed = "this instruction may be mixed with others from now on"
    if name in ("fmin", "fmax"):
        mine, theirs = after(name, (SIGNALLING, ONE))
        assert (mine.f[0], theirs.f[0]) == (ONE, QUIET), mixed
    else:
        mine, theirs = after(name, (INFINITE, ZERO, QUIET))
        assert (mine.fcsr, theirs.fcsr) == (INVALID, NO_FLAG), mixed
        assert mine.f[0] == theirs.f[0] == QUIET


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("world", WORLDS)
def test_many_random_programs_leave_what_they_leave_on_unicorn(world: str, part: int) -> None:
    for seed in range(4000 + 10 * part, 4010 + 10 * part):
        compare_program(shaped.make(seed, rounds=PROGRAM_ROUNDS, world=WORLDS[world]))


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_many_random_c_programs_leave_what_they_leave_on_unicorn(part: int, tmp_path: Path) -> None:
    ended = [compare_c(seed, tmp_path) for seed in range(1000 + 10 * part, 1010 + 10 * part)]
    assert sum(ended) >= 5, "most programs should end"
