# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false
"""The machine code of translations is confined, as an independent checker finds; it catches mutated translators."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from c_guest import kernel
from careless import Mutant, mutants, mutated
from native.programs import Program

from denali import checker
from denali.bench.programs import KERNELS
from denali.checker import Layout, Report, check, keep_checks
from denali.isa.context import Mode
from denali.isa.image import Image
from denali.isa.runtime.compile import compile_object
from denali.isa.runtime.loader import frame_of
from denali.isa.tools.assembler import assemble
from denali.isa.translator.translate import Translation
from denali.system import load

SIZE = 8192 + 96
SMALL, PUSHED = 128, 64  # bytes of a frame that take another instruction, and of registers that are pushed before
# Something of everything, through addresses that nobody can know: groups up and down, a read-only table, stores,
# atomics, calls, jumps through registers and a table. No address is a byte or a half alone: what is behind it would
# never be reached, as private memory begins above 65,535, and the checker knows it.
EVERYTHING = """
        .text
_start: addi sp, sp, -64
        sd ra, 56(sp)
        la s0, words
        ld s0, 0(s0)
        li s1, 10
        addi s3, sp, 8
        sd s3, 0(s3)
again:  ld a0, 0(s0)
        lw a1, 12(s0)
        lbu a2, 20(s0)
        sd a0, 24(s0)
        sb a2, 40(s0)
        sb a2, 200(s0)
        add a2, a2, s0
        li t0, 24
        sub t1, s0, t0
        sd a1, 0(t1)
        lw t2, 0(a0)
        slli t3, t2, 2
        add t3, t3, a4
        lw t3, 0(t3)
        add a4, a4, t2
        lhu a5, 4(a4)
        add a5, a5, a4
        amoadd.d t2, a0, (a5)
        call touch
        ld a6, 8(a0)
        jalr a6
        sd a7, 8(s3)
        sd a7, 32(sp)
choose: ld a7, 32(s0)
        la a3, places
        add t6, a7, a3
        lw t6, 0(t6)
        jr t6
first:  ld s2, 0(s0)
        j last
second: xor s2, s2, a1
        j last
third:  call touch
        j last
fourth: sub s2, s2, a5
        sd s2, 8(s0)
        j choose
fifth:  mul s2, s2, t1
last:   ld t3, 4(zero)
        add s0, s0, t3
        addi s1, s1, -1
        bnez s1, again
        ld a7, 40(s0)  # a jump that stands once, as it is in no loop: LLVM makes its table
        la a3, ways
        add t6, a7, a3
        lw t6, 0(t6)
        jr t6
out1:   sd s2, 16(s0)
        j out5
out2:   xor s1, s1, a1
        j out5
out3:   add s2, s2, a5
        j out4
out4:   sd s2, 8(s0)
out5:   ld ra, 56(sp)
        addi sp, sp, 64
        ret
touch:  lh t4, -2(a0)
        ld t5, 6(a0)
        add a1, a1, t4
        ld t5, 0(a1)
        fld fa0, 8(a2)
        fsd fa0, 16(a2)
        lui a7, 16
        lw a7, 8(a7)
        ret
        .rodata
table:  .byte 1, 2, 3, 4, 5, 6, 7, 8
places: .word first, second, third, fourth, fifth
        .word 1
ways:   .word out1, out2, out3, out4, out5
        .data
words:  .zero 256
"""


def everything() -> Image:
    return Image.from_elf(assemble(EVERYTHING).elf(), "everything")


def checked(image: Image, size: int = SIZE, entries: list[int] | None = None, mode: Mode = Mode.FLAT) -> Report:
    """The checker's report on a translation whose checks LLVM kept; the loader sees no smaller frames."""
    translation = Translation(image, size, mode)
    text, _ = translation.module(translation.entries() if entries is None else entries)
    code = compile_object(keep_checks(text))
    start = image.private_start if mode is Mode.PAGED else None
    report = check(code, Layout(size, len(image.read_only), (image.text_end - image.text_start + 1) // 2, start))
    assert max(report.frames.values()) <= max(frame_of(code), SMALL) + PUSHED
    return report


def test_the_translator_is_accepted() -> None:
    report = checked(everything())
    assert not report.refusals
    assert report.accesses["memory"] > 20


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.title)
def test_a_mutated_translator_is_caught(mutant: Mutant) -> None:
    with mutated(mutant):
        report = checked(everything())
    assert report.refusals, mutant.title


def test_the_checker_shares_no_code_with_the_translator() -> None:
    for path in Path(checker.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.module if isinstance(node, ast.ImportFrom) else None
            assert name is None or not name.startswith("denali.isa") or name == "denali.isa.context", f"{path}: {name}"


@pytest.mark.parametrize("seed", range(4))
def test_random_programs_are_accepted(seed: int) -> None:
    accept(Program(seed).image())


@pytest.mark.parametrize("name", ["fib", "quicksort", "sieve", "bytecode", "indirect", "nbody"])
def test_compiled_kernels_are_accepted(name: str, tmp_path: Path) -> None:
    accept(kernel(name, tmp_path))


@pytest.mark.full
@pytest.mark.usefixtures("one_processor")
@pytest.mark.parametrize("compiler", ["gcc", "zig"])
@pytest.mark.parametrize("name", sorted(KERNELS))
def test_every_kernel_of_the_benchmark_is_accepted(name: str, compiler: str, tmp_path: Path) -> None:
    accept(kernel(name, tmp_path, compiler))


@pytest.mark.parametrize("name", ["sha256", "matmul_double"])
def test_copies_of_loops_in_loops_are_accepted(name: str, tmp_path: Path) -> None:
    """LLVM turns a loop of clang's four times at once, or rounds its turns down, or moves rows from loop to loop."""
    accept(kernel(name, tmp_path, "zig"))


@pytest.mark.full
@pytest.mark.usefixtures("one_processor")
@pytest.mark.parametrize("name", ["hello", "compute", "store", "ring"])
def test_services_in_python_are_accepted(name: str) -> None:
    accept(load(Path(__file__).parents[2] / "examples" / f"{name}.py"))


def accept(image: Image) -> None:
    assert not checked(image, whole_pages(image)).refusals


def whole_pages(image: Image) -> int:
    """A size of private memory that the image fits into."""
    return -(-(image.footprint + (1 << 18)) // 4096) * 4096 + 96
