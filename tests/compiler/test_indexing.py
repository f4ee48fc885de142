"""Any index of any array: what a guest finds is what numpy finds, and where numpy finds nothing, the guest stops."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from denali.isa.image import Image
from denali.libos.compiler import build

from .guest import run_image, write
from .test_arithmetic import with_data

LINE, GRID, TEXT = np.arange(10, 15), np.arange(100, 112).reshape(3, 4), b"denali"
READS = (
    *("line[i]", "grid[i, j]", "grid[i][j]", "text[i]", "grid[i, 1:][j]"),
    *("line[u]", "line[s]", "line[b]"),
)
WRITES = ("line[i] = 7", "grid[i, j] = 7", "grid[i][j] = 7", "line[i] += 5", "grid[i, j:] = 7", "grid[i] = line[1:]")
EDGES = [-(1 << 63), -100, -6, -5, -4, -3, -1, 0, 2, 3, 4, 5, 100, 252, 255, (1 << 62) - 1, (1 << 63) - 1]
LOOK = """
    for k in range(5):
        found[0] += (k + 1) ** 3 * line[k]
    for k in range(12):
        found[0] += (k + 6) ** 3 * grid[k // 4, k % 4]
"""
HEAD = """
line = np.arange(10, 15)
grid = np.arange(100, 112).reshape(3, 4)
text = b"denali"
index = np.array([1, 1], np.int64)
found = np.zeros(1, np.int64)


def main() -> int:
    i, j = index[0], index[1]
    u, s, b = np.uint64(i), np.int8(i), np.uint8(i)
"""


def image_of(folder: Path, statement: str) -> Image:
    """A service that does one thing with the two indices that the host has put into it."""
    return Image.from_elf(build(write(folder, f"{HEAD}    {statement}\n    return 0\n")), "service")


def given(image: Image, i: int, j: int) -> Image:
    """The service with these indices."""
    return with_data(image, "service.index", struct.pack("<qq", i, j))


def names(i: int, j: int) -> dict[str, Any]:
    """What the statements speak of, on the host."""
    narrow = {"u": i % (1 << 64), "s": (i + 128) % 256 - 128, "b": i % 256}
    return {"line": LINE.copy(), "grid": GRID.copy(), "text": TEXT, "i": i, "j": j, **narrow}


@pytest.mark.parametrize("text", READS)
def test_what_is_read_is_what_numpy_reads(tmp_path: Path, text: str) -> None:
    image = image_of(tmp_path, f"found[0] = {text}")
    for i in EDGES:
        for j in (-5, -4, -1, 0, 2, 3, 4):
            end = run_image(given(image, i, j))
            try:
                expected = int(eval(text, names(i, j)))
            except (IndexError, OverflowError):
                assert end.failure is not None
                assert "IndexError: index is out of bounds" in end.failure
            else:
                assert (end.failure, end.words("service.found")) == (None, [expected])


@pytest.mark.parametrize("text", WRITES)
def test_what_is_written_is_what_numpy_writes(tmp_path: Path, text: str) -> None:
    image = image_of(tmp_path, f"{text}\n{LOOK}")
    for i in EDGES:
        for j in (-5, -4, -1, 0, 2, 3, 4):
            known = names(i, j)
            end = run_image(given(image, i, j))
            try:
                exec(text, known)
            except (IndexError, OverflowError):
                assert end.failure is not None
                assert "IndexError: index is out of bounds" in end.failure
                continue
            cells = [*known["line"].tolist(), *known["grid"].ravel().tolist()]
            expected = sum((k + 1) ** 3 * cell for k, cell in enumerate(cells))
            assert (end.failure, end.words("service.found")) == (None, [expected])
