"""The official riscv-tests for user level (rv64ui um ua uf ud uc, Zba, Zbb, Zbs): every engine, every memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from engines import ALL, Call, exits, run
from toolchain import compiled, suite

from denali.isa.context import Status
from denali.isa.image import Image
from denali.isa.virtual import Service

VARIABLE, REPOSITORY = "DENALI_RISCV_TESTS", "https://github.com/riscv-software-src/riscv-tests"
FOLDERS = ("rv64ui", "rv64um", "rv64ua", "rv64uf", "rv64ud", "rv64uc", "rv64uzba", "rv64uzbb", "rv64uzbs")
PRIVATE_SIZE = 1 << 16
SELF_WRITING = {"rv64uc/rvc.S"}  # its data lie in .text, which our images share and nobody may write
FUEL = 2_000_000


def sources() -> list[str]:
    """Names of all tests there are, as folder/file; one name that skips when there is no suite."""
    isa = Path(os.environ.get(VARIABLE) or "/nowhere") / "isa"
    return [f"{folder}/{one.name}" for folder in FOLDERS for one in sorted((isa / folder).glob("*.S"))] or ["suite"]


def expected_engines(index: int) -> list[object]:
    """All engines and memories in the full run; by default the interpreter, and every tenth test on the others."""
    return [pytest.param(one, marks=() if one == "interpreter" or index % 10 == 0 else pytest.mark.full) for one in ALL]


CASES = [
    pytest.param(name, engine.values[0], marks=engine.marks, id=f"{name}-{engine.values[0]}")  # type: ignore[attr-defined]
    for index, name in enumerate(sources())
    for engine in expected_engines(index)
]


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_the_official_test_passes(name: str, engine: str) -> None:
    isa = suite(VARIABLE, REPOSITORY) / "isa"
    macros = f"-I{isa / 'macros' / 'scalar'}"
    if name in SELF_WRITING:
        elf = compiled(isa / name, macros, "-DDENALI_WRITABLE_TEXT", script="link_writable.ld")
    else:
        elf = compiled(isa / name, macros)
    image = Image.from_elf(elf, name)
    statuses: list[int] = []

    def serve(call: Call) -> int:
        if call.number == Service.EXIT:
            statuses.append(call.a)
        return exits(call)

    outcome = run(engine, image, fuel=FUEL, private_size=PRIVATE_SIZE, service=serve)
    assert outcome.status is Status.LEFT, f"stopped at {outcome.pc:#x}: {outcome.status!r} {outcome.cause!r}"
    assert statuses == [0], f"test case {statuses[0] >> 1} of {name} failed"
