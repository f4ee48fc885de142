# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false
"""Masked code: each access in what LLVM makes of it is by a mask, and a translator that forgets one is caught."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from c_guest import kernel
from checker.careless import Mutant, mutated
from masks import functions

from denali.bench.programs import KERNELS
from denali.isa.context import Mode
from denali.isa.image import Image
from denali.isa.interpreter.native import runtime_text
from denali.isa.runtime.compile import inspect_asm, inspect_llvm, optimise
from denali.isa.runtime.worker import LEVEL, QUICK
from denali.isa.tools.assembler import assemble
from denali.isa.translator.emit import Body
from denali.isa.translator.ends import Ends
from denali.isa.translator.flat import FlatMemory
from denali.isa.translator.pages import PagedMemory
from denali.isa.translator.strides import Strides
from denali.isa.translator.translate import Translation
from denali.kernel.births import private_size
from denali.system import load

ROOT = Path(__file__).parents[2]
# Groups in the stack, of stores, of loads that may be of either region, accesses alone, atomic and fixed ones, calls
# through a register.
ACCESSES = """
        .text
_start: addi sp, sp, -64
        sd ra, 56(sp)
        ld s0, 48(sp)
again:  ld a0, 0(s0)
        lw a1, 12(s0)
        sd a0, 24(s0)
        sb a1, 40(s0)
        lw t2, 0(a0)
        ld a5, -8(a1)
        lw a6, 24(a1)
        amoadd.d t2, a0, (a5)
        sd a6, 8(sp)
        jalr a6
        sh a7, 0(a3)
        lbu a2, 0(a4)
        ld t3, 4(zero)
        addi s1, s1, -1
        bnez s1, again
        ld ra, 56(sp)
        addi sp, sp, 64
        ret
        .rodata
table:  .byte 1, 2, 3, 4, 5, 6, 7, 8
"""
# Loops that go through memory in even strides, for which copies are made (a store, and a load that may be of either
# region), and a jump by a table.
LOOPS = """
        .text
_start: mv a2, a1
1:      sd a1, 8(a0)
        sw a2, 16(a0)
        addi a0, a0, 24
        addi a1, a1, -1
        bnez a1, 1b
2:      lw a3, 4(a4)
        add a2, a2, a3
        addi a4, a4, 4
        bne a4, a5, 2b
        andi a6, a2, 7
        la a7, places
        slli a6, a6, 2
        add a7, a7, a6
        lw a7, 0(a7)
        jr a7
first:  sub a2, a2, a5
        j last
second: xor a2, a2, a1
        j last
third:  mul a2, a2, a4
        j last
fourth: and a2, a2, a4
        j last
fifth:  or a2, a2, a1
last:   sd a2, 0(a0)
        ret
        .rodata
places: .word first, second, third, fourth, fifth, first, second, third
"""


@cache
def images() -> tuple[Image, ...]:
    """What has something of everything."""
    return tuple(Image.from_elf(assemble(source).elf(), "program") for source in (ACCESSES, LOOPS))


def refusals(mode: Mode, *, masked: bool = True) -> list[str]:
    return [one for image in images() for one in refused(image, SIZE, mode, masked=masked)]


def refused(image: Image, size: int, mode: Mode, *, masked: bool = True) -> Iterator[str]:
    """What is refused of an image's translation, as it is made at first and as it is optimised."""
    translation = Translation(image, size, mode, masked=masked)
    for level in (QUICK, LEVEL):
        text = str(optimise(translation.module(translation.entries())[0], level)[0])
        for function in functions(text, image, size):
            yield from function.refusals()


SIZE = 16384 + 96
FLAT, PAGED = Mode.FLAT, Mode.PAGED
FORGOTTEN = [
    (FLAT, Mutant("no masks at all", Body, "kept", "if not self.masked:", "if not base:")),
    (FLAT, Mutant("the comparison the other way round", Body, "kept", "cmovaeq", "cmovbq")),
    (FLAT, Mutant("a byte too many", FlatMemory, "_masked", "size - span + 1", "size - span + 2")),
    (FLAT, Mutant("the span forgotten", FlatMemory, "_masked", "size - span + 1", "size")),
    (FLAT, Mutant("behind the record's beginning", FlatMemory, "_masked", "CONTEXT.itemsize", "0")),
    (FLAT, Mutant("all groups by their own values", FlatMemory, "pointer", "if delta is None:", "if True:")),
    (FLAT, Mutant("the stack by its own values", FlatMemory, "private", "if self.body.masked:", "if False:")),
    (FLAT, Mutant("the entry table", Ends, "_unit_at", "body.kept(offset, size)", "offset")),
    (FLAT, Mutant("tables all the same", Translation, "__init__", "() if masked else ", "")),
    (FLAT, Mutant("the turns of a loop", Strides, "pointer_in_copy", "if body.masked:", "if False:")),
    (FLAT, Mutant("a loop's span", Strides, "_room", "i64 {span}", "i64 1")),
    (
        FLAT,
        Mutant(
            "a limit for either region", Strides, "_masked", "first, values[1]", "first, self._room(home.size, span)"
        ),
    ),
    (PAGED, Mutant("what is at home", PagedMemory, "_at_home", "if not self.body.masked:", "if True:")),
    (
        PAGED,
        Mutant(
            "home's room",
            PagedMemory,
            "_masked_home",
            "*self._in_home(low, group)",
            "self._in_home(low, group)[0], 9999",
        ),
    ),
    (PAGED, Mutant("an entry's page", PagedMemory, "_try_entry", "PAGE + 1 - group.span", "PAGE + 1")),
    (PAGED, Mutant("the tag that a branch knows", PagedMemory, "_try_entry", "body.opaque(tag)", "last")),
    (
        PAGED,
        Mutant(
            "that something was found",
            PagedMemory,
            "_find",
            'i64 {addend}, {NOWHERE}"), self',
            'i64 {addend}, 3"), self',
        ),
    ),
    (
        PAGED,
        Mutant(
            "read-only bytes",
            PagedMemory,
            "_try_read_only",
            "body.kept(offset, room + 1, theirs",
            "body.kept(offset, room + 9, theirs",
        ),
    ),
]


@pytest.mark.parametrize(("mode", "mutant"), FORGOTTEN, ids=[mutant.title for _, mutant in FORGOTTEN])
def test_a_translator_that_forgets_a_mask_is_caught(mode: Mode, mutant: Mutant) -> None:
    with mutated(mutant):
        assert refusals(mode), mutant.title


def test_every_access_goes_through_a_mask() -> None:
    for mode in Mode:
        assert not refusals(mode)


@pytest.mark.parametrize("mode", Mode)
def test_unmasked_code_is_refused(mode: Mode) -> None:
    assert refusals(mode, masked=False)


def test_masks_show_where_code_is_shown() -> None:
    assert "cmovaeq" not in inspect_llvm(images()[0], SIZE)
    assert "cmovaeq" in inspect_llvm(images()[0], SIZE, masked=True)


def test_masked_code_has_no_tables_of_jumps() -> None:
    assert "LJTI" in inspect_asm(images()[1], SIZE)
    masked = inspect_asm(images()[1], SIZE, masked=True)
    assert "jump_" not in masked
    assert "LJTI" not in masked
    assert 'no-jump-tables"="true' in runtime_text(masked=True)


@pytest.mark.parametrize("name", ["sieve", "matmul_int"])
def test_compiled_kernels_are_masked(name: str, tmp_path: Path) -> None:
    accept(kernel(name, tmp_path))


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(KERNELS))
def test_every_kernel_of_the_benchmark_is_masked(name: str, tmp_path: Path) -> None:
    accept(kernel(name, tmp_path))


@pytest.mark.full
@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.py")), ids=lambda path: path.stem)
def test_every_example_is_masked(path: Path) -> None:
    if path.stem != "__init__":
        accept(load(path))


def accept(image: Image) -> None:
    for mode in Mode:
        assert not list(refused(image, private_size(image, None), mode))
