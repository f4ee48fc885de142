"""Berkeley TestFloat's cases on both native engines: every function that RISC-V has, every rounding mode, level 1."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import arithmetic_guests as guests
import numpy as np
import pytest

VARIABLE = "DENALI_TESTFLOAT"
HOW = "build github.com/ucb-bar/berkeley-softfloat-3 and berkeley-testfloat-3 with SPECIALIZE_TYPE=RISCV"
ROUNDING = ("-rnear_even", "-rminMag", "-rmin", "-rmax", "-rnear_maxMag")  # in the order of RISC-V's numbers
OPERATIONS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "sqrt": "fsqrt", "mulAdd": "fmadd"}
RELATIONS = {"eq": "feq", "lt": "flt", "le": "fle"}
INTEGERS = {"i32": "w", "ui32": "wu", "i64": "l", "ui64": "lu"}
LETTERS = {"f32": "s", "f64": "d"}
CHUNK = 1 << 19  # cases at a time

FUNCTIONS = {
    **{f"{f}_{t}": f"{n}.{c}" for f, c in LETTERS.items() for t, n in (OPERATIONS | RELATIONS).items()},
    **{f"{i}_to_{f}": f"fcvt.{c}.{n}" for f, c in LETTERS.items() for i, n in INTEGERS.items()},
    **{f"{f}_to_{i}": f"fcvt.{n}.{c}" for f, c in LETTERS.items() for i, n in INTEGERS.items()},
    "f32_to_f64": "fcvt.d.s",
    "f64_to_f32": "fcvt.s.d",
}
CASES = [(f, mode) for f, name in FUNCTIONS.items() for mode in range(5 if guests.INSTRUCTIONS[name].rounds else 1)]
HEX = np.zeros(256, np.uint64)
HEX[list(b"0123456789ABCDEF")] = np.arange(16, dtype=np.uint64)

Words = np.ndarray[Any, np.dtype[np.uint64]]


def cases(function: str, mode: int) -> Iterator[list[Words]]:
    """TestFloat's cases for a function, in chunks: one array for each column."""
    place = os.environ.get(VARIABLE)
    if not place:
        pytest.skip(f"{VARIABLE} is not set: {HOW}, then name the folder of testfloat_gen")
    command = [str(Path(place, "testfloat_gen")), "-level", "1", "-tininessafter", "-exact", ROUNDING[mode], function]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        rest = first
        while text := rest + process.stdout.read(CHUNK * len(first) - len(rest)):
            rest = b""
            yield columns(text, first)
    assert process.returncode == 0


def columns(text: bytes, line: bytes) -> list[Words]:
    """The columns of lines that are all as wide as `line`."""
    table = np.frombuffer(text, np.uint8).reshape(-1, len(line))
    found: list[Words] = []
    start = 0
    for field in line.split():
        value = np.zeros(len(table), np.uint64)
        for place in range(start, start + len(field)):
            value = value << np.uint64(4) | HEX[table[:, place]]
        found.append(value)
        start += len(field) + 1
    return found


def in_register(kind: str, type_name: str, values: Words) -> Words:
    """What a register holds for a value: a boxed single, a sign-extended integer."""
    if kind == "s":
        return values | np.uint64(0xFFFFFFFF << 32)
    if type_name in ("i32", "ui32"):
        return values.astype(np.uint32).astype(np.int32).astype(np.int64).astype(np.uint64)
    return values


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("engine", ["interpreter", "translated"])
@pytest.mark.parametrize(("function", "mode"), CASES)
def test_testfloat_finds_nothing(function: str, mode: int, engine: str) -> None:
    one = guests.INSTRUCTIONS[FUNCTIONS[function]]
    source, _, target = function.partition("_to_")
    total, wrong = 0, list[str]()
    for *operands, result, flags in cases(function, mode):
        given = np.stack([in_register(k, source, o) for k, o in zip(one.operands, operands, strict=True)], axis=1)
        named = guests.DYNAMIC if engine == "translated" else guests.MODES[mode]  # what names a mode is interpreted
        found = guests.apply(engine, one, named if one.rounds else "", given, mode)
        expected = np.stack([in_register(one.result, target, result), flags], axis=1)
        total += len(expected)
        for row in np.flatnonzero((found != expected).any(axis=1))[:8]:
            wrong.append(f"{[hex(n) for n in given[row]]}: {found[row].tolist()} not {expected[row].tolist()}")
    assert total > 300
    assert not wrong, f"of {total} cases:\n" + "\n".join(wrong[:8])
