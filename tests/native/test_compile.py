"""What a worker makes, seen from outside."""

from __future__ import annotations

import struct

import pytest

from denali.isa.image import TEXT_BASE, Image, Symbol
from denali.isa.runtime.compile import BATCH, batches, inspect_asm, inspect_llvm

CODE = struct.pack("<2I", 0x00150513, 0x00008067) * 2  # a0 = a0 + 1; return; twice
IMAGE = Image("two", TEXT_BASE, TEXT_BASE, CODE, TEXT_BASE, TEXT_BASE + 16, TEXT_BASE + 4096, b"", 0,
              functions=(Symbol("first", TEXT_BASE, 8), Symbol("second", TEXT_BASE + 8, 8)))  # fmt: skip


def test_the_llvm_code_of_one_function_can_be_seen() -> None:
    text = inspect_llvm(IMAGE, 8192, "second")
    assert "@pc_10008(" in text
    assert "x86_regcallcc" in text
    assert "@pc_10000(" not in text


def test_the_hosts_assembly_of_all_functions_can_be_seen() -> None:
    text = inspect_asm(IMAGE, 8192)
    assert "pc_10000:" in text
    assert "pc_10008:" in text


def test_an_unknown_function_is_named() -> None:
    with pytest.raises(KeyError, match="no function 'third'"):
        inspect_llvm(IMAGE, 8192, "third")


def test_batches_keep_neighbours_together_and_have_a_bounded_span() -> None:
    entries = [TEXT_BASE + 1000 * number for number in (5, 3, 1, 30, 20, 21)]
    found = batches(IMAGE, entries)
    assert [one for batch in found for one in batch] == sorted(entries)
    assert all(batch[-1] - batch[0] <= BATCH for batch in found)
