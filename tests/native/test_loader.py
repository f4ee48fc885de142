# pyright: basic
"""The loader: code that runs, is never writable and executable at once, and objects that are refused."""

from __future__ import annotations

import ctypes
import os
import re

import llvmlite.binding as llvm
import pytest

from denali.isa.runtime.compile import compile_object
from denali.isa.runtime.loader import Unloadable, load

TWICE = "define i64 @twice(i64 %x) { %r = shl i64 %x, 1\n ret i64 %r }"
CALLER = """
declare i64 @other(i64)
define i64 @caller(i64 %x) { %a = call i64 @other(i64 %x)
  %b = add i64 %a, 1
  ret i64 %b }
define ptr @address() { ret ptr @other }
"""
TABLE = """
@numbers = internal constant [4 x i64] [i64 7, i64 11, i64 13, i64 17]
define i64 @pick(i64 %i) { %k = and i64 %i, 3
  %p = getelementptr [4 x i64], ptr @numbers, i64 0, i64 %k
  %v = load i64, ptr %p
  ret i64 %v }
"""
POINTERS = """
@table = internal constant [2 x ptr] [ptr @one, ptr @two]
define internal i64 @one() { ret i64 1 }
define internal i64 @two() { ret i64 2 }
define i64 @through(i64 %i) { %k = and i64 %i, 1
  %p = getelementptr [2 x ptr], ptr @table, i64 0, i64 %k
  %f = load ptr, ptr %p
  %r = call i64 %f()
  ret i64 %r }
"""
CELL = "@cell = global i64 5\ndefine i64 @get() { %v = load i64, ptr @cell\n ret i64 %v }"
FUNCTION = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)


def test_loaded_functions_run() -> None:
    code = load(compile_object(TWICE))
    assert FUNCTION(code.symbols["twice"])(21) == 42
    code.close()


def test_an_external_symbol_is_called_wherever_it_is() -> None:
    twice = load(compile_object(TWICE))
    code = load(compile_object(CALLER), {"other": twice.symbols["twice"]})
    assert FUNCTION(code.symbols["caller"])(5) == 11
    assert FUNCTION(code.symbols["address"])(0) == twice.symbols["twice"]
    far = load(compile_object(CALLER), {"other": 0x7FFF_FFFF_F000})
    assert FUNCTION(far.symbols["address"])(0) == 0x7FFF_FFFF_F000
    for one in (code, twice, far):
        one.close()


@pytest.mark.parametrize(("text", "name", "expected"), [(TABLE, "pick", 13), (POINTERS, "through", 1)])
def test_constants_and_tables_are_reached(text: str, name: str, expected: int) -> None:
    code = load(compile_object(text))
    assert FUNCTION(code.symbols[name])(2) == expected
    code.close()


def test_an_unknown_symbol_is_named() -> None:
    with pytest.raises(Unloadable, match="'other'"):
        load(compile_object(CALLER))


def test_writable_data_is_refused() -> None:
    with pytest.raises(Unloadable, match=r"writable data in \.data"):
        load(compile_object(CELL))


def test_no_mapping_is_writable_and_executable() -> None:
    code = load(compile_object(TWICE))
    with open("/proc/self/maps") as file:
        ranges = [re.match(r"([0-9a-f]+)-([0-9a-f]+) (....)", line) for line in file]
    mine = [m[3] for m in ranges if m and int(m[1], 16) <= code.address < int(m[2], 16)]
    assert mine == ["r-xp"]
    code.close()


def test_closing_unmaps() -> None:
    code = load(compile_object(TWICE))
    address = code.address
    code.close()
    code.close()
    with open("/proc/self/maps") as file:
        assert not any(line.startswith(f"{address:x}-") for line in file)


def test_a_cut_or_damaged_object_is_refused_or_harmless() -> None:
    whole = compile_object(CALLER)
    for length in range(0, len(whole), 7):
        with pytest.raises(Unloadable):
            load(whole[:length], {"other": 1})


def test_other_objects_are_refused() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple("riscv64-unknown-none-elf").create_target_machine()
    with pytest.raises(Unloadable, match="x86-64"):
        load(target.emit_object(llvm.parse_assembly(TWICE)))


def test_perf_is_told_the_names_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/tmp/perf-{os.getpid()}.map"
    existed = os.path.exists(path)
    monkeypatch.setenv("DENALI_PERF_MAP", "1")
    code = load(compile_object(TWICE))
    with open(path) as file:
        assert any(line.split()[0] == f"{code.symbols['twice']:x}" and "twice" in line for line in file)
    code.close()
    if not existed:
        os.unlink(path)
