"""Arithmetic on any numbers: what a guest computes is what CPython computes, modulo two to the 64."""

from __future__ import annotations

import dataclasses
import math
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from denali.isa.image import Image
from denali.libos.compiler import build

from .guest import run_image, run_text, write

INTEGERS = (
    *("a + b", "a - b", "a * b", "a & b", "a | b", "a ^ b", "~a", "-a", "a >> (b & 63)", "a << (b & 63)"),
    *(
        "int(a < b)",
        "int(a == b)",
        "min(a, b)",
        "max(a, b)",
        "abs(a)",
        "int(a < b < 7)",
        "int(not a)",
        "a or b",
        "a and b",
    ),
    *("a // b if b != 0 else 1", "a % b if b != 0 else 1", "divmod(a, b)[0] + divmod(a, b)[1] if b != 0 else 1"),
    *("a**3", "(a & 15) ** (b & 7)", "(a * b + 12345) >> 3 & 0xFFFF", "(a & 0xFFFF) * (b & 0xFFFF) // 7 % 1000"),
)
FLOATS = (
    *(
        "x + y",
        "x - y",
        "x * y",
        "x / y if y != 0.0 else 1.0",
        "x // y if y != 0.0 else 1.0",
        "x % y if y != 0.0 else 1.0",
    ),
    *(
        "-x",
        "abs(x)",
        "min(x, y)",
        "math.sqrt(abs(x))",
        "float(a)",
        "float(int(x) if abs(x) < 1e15 else 0)",
        "x * x + y",
    ),
    *("float(math.floor(x) if abs(x) < 1e15 else 0)", "float(math.ceil(x) if abs(x) < 1e15 else 0)", "float(x < y)"),
)
NARROW = ("i1", "u1", "i2", "u2", "i4", "u4")

HEAD = f"""
import math

numbers = np.array([1, 2], np.int64)
reals = np.array([1.0, 2.0])
integers = np.zeros({len(INTEGERS)}, np.int64)
floats = np.zeros({len(FLOATS)})
narrow = np.zeros({len(NARROW)}, np.int64)
"""
CELLS = "".join(f"{t} = np.zeros(1, '{t}')\n" for t in NARROW)


def source() -> str:
    """A service that evaluates every expression on what the host has put into `numbers` and `reals`."""
    text = HEAD + CELLS + "\n\ndef main() -> int:\n    a, b, x, y = numbers[0], numbers[1], reals[0], reals[1]\n"
    text += "".join(f"    integers[{i}] = {e}\n" for i, e in enumerate(INTEGERS))
    text += "".join(f"    floats[{i}] = {e}\n" for i, e in enumerate(FLOATS))
    for i, kind in enumerate(NARROW):
        text += f"    {kind}[0] = a\n    narrow[{i}] = int({kind}[0]) * 3 + b\n"
    return text + "    return 0\n"


class Built:
    """The service's image, shown in a failure by its type alone."""

    def __init__(self, image: Image) -> None:
        self.image = image

    def __repr__(self) -> str:
        return "Built"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(Image.from_elf(build(write(tmp_path_factory.mktemp("arithmetic"), source())), "service"))


def wrapped(n: int, bits: int = 64, signed: bool = True) -> int:
    """A number modulo two to the bits."""
    n &= (1 << bits) - 1
    return n - (n >> bits - 1 << bits) if signed else n


def with_data(image: Image, symbol: str, content: bytes) -> Image:
    """The image with other bytes in a module-level array."""
    at = image.object(symbol).start - image.private_start
    return dataclasses.replace(image, data=image.data[:at] + content + image.data[at + len(content) :])


def same(mine: float, theirs: float) -> bool:
    """Equal to the bit, where a NaN is a NaN."""
    return struct.pack("<d", mine) == struct.pack("<d", theirs) or (math.isnan(mine) and math.isnan(theirs))


WHOLE = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-9, 9)
REAL = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-99, 99).map(lambda n: n / 4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(a=WHOLE, b=WHOLE, x=REAL, y=REAL)
@example(a=-(1 << 63), b=-1, x=-0.0, y=5e-324)
@example(a=7, b=-2, x=1e308, y=-7.5)
def test_every_expression_gives_what_cpython_gives(built: Built, a: int, b: int, x: float, y: float) -> None:
    ready = with_data(built.image, "service.numbers", struct.pack("<qq", a, b))
    end = run_image(with_data(ready, "service.reals", struct.pack("<dd", x, y)))
    assert end.failure is None
    names = {"a": a, "b": b, "x": x, "y": y, "math": math}
    for text, got in zip(INTEGERS, end.words("service.integers"), strict=True):
        expected = int(eval(text, names))
        divided = "//" in text or "divmod" in text
        beyond = divided and not -(1 << 63) <= expected < 1 << 63  # of all quotients only -2**63 // -1
        assert beyond or got == wrapped(expected), text
    reals = [struct.unpack("<d", n.to_bytes(8, "little", signed=True))[0] for n in end.words("service.floats")]
    for text, got in zip(FLOATS, reals, strict=True):
        assert same(got, eval(text, names)), (text, got)
    for kind, got in zip(NARROW, end.words("service.narrow"), strict=True):
        cell = wrapped(a, 8 * int(kind[1]), kind[0] == "i")
        assert got == wrapped(cell * 3 + b), kind


def test_int_of_any_cell_is_an_int(tmp_path: Path) -> None:
    text = """
    narrow, wide = np.array([200], np.uint8), np.array([7, 2**64 - 1], np.uint64)


    def less(n: int, m: int) -> int:
        return n // m - int(wide[0])


    def main() -> int:
        return less(int(narrow[0]) << 8, 3) + int(wide[1]) + int(narrow[0] > 100)
    """
    assert run_text(tmp_path, text).exit_status == 51200 // 3 - 7 - 1 + 1
