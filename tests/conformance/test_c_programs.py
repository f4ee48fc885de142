"""Random C programs by csmith, compiled by GCC: every value they check is the one they check under qemu."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from engines import ENGINES, run
from toolchain import GCC, HERE, QEMU, compiled, kept, linux_output, require

from denali.isa.context import Status
from denali.isa.definitions.record import Cause
from denali.isa.image import PAGE, Image

INCLUDE = "/usr/include/csmith"
LEVELS = ("-O0", "-O1", "-O2", "-Os", "-O3")
STYLE = ("-w", "-ffreestanding", "-fno-strict-aliasing", "-fwrapv", "-ffp-contract=on", "-lgcc")
SMALL = ("--max-funcs", "4", "--max-block-size", "3", "--max-expr-complexity", "5")
STACK = 1 << 18
FUEL = 2 * 10**10  # more than qemu executes in that time
REFERENCE_FUEL = 200_000  # where a program is longer, the reference interpreter is left out
SECONDS = 5  # for qemu; a program may be endless


def source(seed: int) -> bytes:
    """The program of this seed; every third has floating point."""
    require("csmith")
    options = ["--seed", str(seed), "--no-argc", "--concise", *SMALL, *(["--float"] if seed % 3 == 0 else [])]

    def make(out: Path) -> None:
        command = ["csmith", *options]  # where it runs it leaves a file
        made = subprocess.run(command, capture_output=True, check=True, timeout=60, cwd=out.parent)
        out.write_bytes(made.stdout)

    return kept("csmith", options, make)


def program(seed: int, folder: Path, *options: str) -> bytes:
    """Its ELF file; the level of optimisation goes by the seed."""
    require(GCC, QEMU)
    if not Path(INCLUDE).is_dir():
        pytest.skip(f"{INCLUDE} is missing: apt-get install libcsmith-dev")
    file = folder / f"csmith-{seed}.c"
    file.write_bytes(source(seed))
    return compiled(file, f"-I{HERE / 'c'}", f"-I{INCLUDE}", LEVELS[seed % len(LEVELS)], *STYLE, *options)


def memory_of(image: Image) -> int:
    """Bytes of private memory for it, its stack among them."""
    return -(-(image.footprint + STACK) // PAGE) * PAGE


def check(seed: int, folder: Path) -> bool:
    """Whether the program ends under qemu in time; if it does, it does the same here."""
    elf = program(seed, folder)
    try:
        expected = linux_output(elf, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return False
    image = Image.from_elf(elf, f"csmith-{seed}")
    length = 0
    for engine in ("interpreter", "translated", "reference"):
        if engine == "reference" and length > REFERENCE_FUEL:
            continue
        outcome = run(engine, image, fuel=FUEL, private_size=memory_of(image))
        where = f"seed {seed}, {engine}: {outcome.cause!r} at {image.function_at(outcome.pc)}"
        assert (outcome.status, outcome.cause) == (Status.TRAP, Cause.ENVIRONMENT_CALL), where
        start = outcome.x[11] - image.private_start
        mine = outcome.memory[start : start + outcome.x[12]]
        assert mine == expected, f"seed {seed}, {engine}: {differences(mine, expected)}"
        assert length in (0, FUEL - outcome.fuel), f"seed {seed}, {engine}: another number of instructions"
        length = FUEL - outcome.fuel
    return True


def differences(mine: bytes, expected: bytes) -> str:
    """Which checked values differ."""
    wrong = [n // 8 - 2 for n in range(0, len(expected), 8) if mine[n : n + 8] != expected[n : n + 8]]
    return f"{len(wrong)} of the values checked differ: {wrong[:5]}" if len(mine) == len(expected) else "lengths"


@pytest.mark.parametrize("seed", [1, 4, 7, 8, 11, 12])  # short ones
def test_a_random_c_program_does_what_it_does_on_qemu(seed: int, tmp_path: Path) -> None:
    if not check(seed, tmp_path):
        pytest.skip(f"does not end within {SECONDS} s under qemu either")


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(20))
def test_many_random_c_programs(part: int, tmp_path: Path) -> None:
    ended = [check(seed, tmp_path) for seed in range(1000 + 20 * part, 1020 + 20 * part)]
    assert sum(ended) >= 10, "most programs should end"


assert {"interpreter", "translated", "reference"} == set(ENGINES)
