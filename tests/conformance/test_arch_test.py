"""riscv-arch-test on every engine, with every memory: the signature that a test leaves is the one it leaves under qemu.

The suite has no reference signatures of its own; they come from running the very same ELF file under qemu-riscv64,
where it writes its signature to standard output (ctzw, which is wrong in old ones, is spelt out there). Tests of
privileged modes (a trap handler) and of extensions that the machine does not have are not selected.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from engines import ALL, run
from toolchain import compiled, linux_output, suite

from denali.isa.context import Status
from denali.isa.definitions.record import Cause
from denali.isa.image import Image

VARIABLE, REPOSITORY = "DENALI_ARCH_TEST", "https://github.com/riscv-non-isa/riscv-arch-test"
FOLDERS = (*(f"rv64i_m/{one}" for one in ("I", "M", "A", "F", "D", "C", "B", "Zifencei")), "rv32i_m/F", "rv32i_m/D")
OURS = {"M", "A", "F", "D", "C", "Zicsr", "Zifencei", "Zba", "Zbb", "Zbs"}
TOKEN = re.compile(r"Z[a-z]+|[A-Z]")
SELF_WRITING = {"rv64i_m/Zifencei/src/Fencei.S"}  # writes into .text, which our images share and nobody may write
WITHOUT_CTZW = {"rv64i_m/B/src/ctzw-01.S"}  # qemu before 8.0 takes bits above the low 32 for part of the operand
FUEL = 20_000_000
SAMPLE = 301  # by default every so many tests runs, on one engine after another (no multiple of their number)


def selected(text: str) -> bool:
    """Whether a test, by its source, is for a machine like ours."""
    isas = ",".join(re.findall(r'RVTEST_ISA\("([^"]*)"\)', text)).split(",")
    fits = any(isa.startswith("RV64I") and set(TOKEN.findall(isa[5:])) <= OURS for isa in isas)
    return fits and "def rvtest_mtrap_routine=" not in text


def sources() -> list[str]:
    """The selected tests, relative to riscv-test-suite; one name that skips when there is no suite."""
    root = Path(os.environ.get(VARIABLE) or "/nowhere") / "riscv-test-suite"
    files = [one for folder in FOLDERS for one in sorted((root / folder).rglob("*.S"))]
    return [str(one.relative_to(root)) for one in files if selected(one.read_text())] or ["suite"]


CASES = [
    pytest.param(name, engine, id=f"{name}-{engine}", marks=() if index % SAMPLE == 0 else pytest.mark.full)
    for index, (name, engine) in enumerate((n, e) for n in sources() for e in ALL)
]


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_the_signature_is_that_of_the_independent_machine(name: str, engine: str) -> None:
    root = suite(VARIABLE, REPOSITORY) / "riscv-test-suite"
    options = ("-DXLEN=64", "-DFLEN=64", "-DTEST_CASE_1=True", f"-I{root / 'env'}")
    if name in SELF_WRITING:
        elf = compiled(root / name, *options, "-DDENALI_WRITABLE_TEXT", script="link_writable.ld")
    else:
        elf = compiled(root / name, *options)
    around = ("-DDENALI_WITHOUT_CTZW",) if name in WITHOUT_CTZW else ()
    expected = linux_output(compiled(root / name, *options, *around) if around else elf)
    image = Image.from_elf(elf, name)
    size = -(-(image.footprint + 4096) // 4096) * 4096
    outcome = run(engine, image, fuel=FUEL, private_size=size)
    assert (outcome.status, outcome.cause) == (Status.TRAP, Cause.ENVIRONMENT_CALL), f"stopped at {outcome.pc:#x}"
    assert outcome.x[17] == 64, "the test ends by writing its signature"
    start = outcome.x[11] - image.private_start
    signature = outcome.memory[start : start + outcome.x[12]]
    assert len(signature) == len(expected) > 0
    wrong = [n for n in range(0, len(expected), 8) if signature[n : n + 8] != expected[n : n + 8]]
    assert not wrong, differences(signature, expected, wrong)


def differences(signature: bytes, expected: bytes, wrong: list[int]) -> str:
    """The first doublewords that differ, as ours and the expected one."""
    rows = (f"{n:#x}: {signature[n : n + 8][::-1].hex()} not {expected[n : n + 8][::-1].hex()}" for n in wrong[:5])
    return f"{len(wrong)} doublewords of {len(expected) // 8} differ: " + "; ".join(rows)
