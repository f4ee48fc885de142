# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false
"""Copies of loops, checked before they begin: the checker follows them through LLVM's vectors and remainders."""

from __future__ import annotations

import pytest
from careless import Mutant, careless_copies, careless_windows, mutated
from test_confinement import checked

from denali.isa.context import Mode
from denali.isa.image import Image
from denali.isa.tools.assembler import assemble

# By what is special: loops that begin at a0 and mostly end at a1; another pointer, or a step, is in a4.
LOOPS = {
    "numbers are added, from either region": "lw a2, 0(a0); addi a0, a0, 4; addw a3, a3, a2; bne a0, a1, loop",
    "words are filled": "sw zero, 0(a0); addi a0, a0, 4; bne a0, a1, loop",
    "bytes are copied": "lbu a2, 0(a0); sb a2, 0(a4); addi a0, a0, 1; addi a4, a4, 1; bne a0, a1, loop",
    "steps are wide": "ld a2, 0(a0); ld a3, 8(a0); sd a2, 16(a0); xor a5, a3, a2; addi a0, a0, 24; bne a0, a1, loop",
    "a step is in a register": "sb zero, 0(a0); add a0, a0, a4; bltu a0, a1, loop",
    "it goes down": "sd a0, -8(a0); addi a0, a0, -8; bgeu a0, a1, loop",
    "two steps differ": (
        "fld fa2, 0(a0); fld fa3, 0(a4); fmul.d fa2, fa2, fa3; fadd.d fa4, fa4, fa2;"
        "addi a0, a0, 8; addi a4, a4, 80; bne a0, a1, loop"
    ),
    "a column is read": (
        "lw a2, 0(a0); lw a3, 0(a4); mulw a2, a2, a3; addw a5, a5, a2;"
        "addi a0, a0, 4; addi a4, a4, 768; bne a0, a1, loop"
    ),
}


def loop(title: str) -> Image:
    """A program with such a loop, through addresses that nobody can know."""
    body = "\n".join(f"        {line.strip()}" for line in LOOPS[title].split(";"))
    source = f"""
        .text
_start: la t0, words
        ld a0, 0(t0)
        ld a1, 8(t0)
        ld a4, 16(t0)
loop:
{body}
        ret
        .rodata
        .zero 600
        .data
words:  .zero 256
"""
    return Image.from_elf(assemble(source).elf(), "loop")


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("title", LOOPS)
def test_a_copy_of_a_loop_is_accepted(title: str, mode: Mode) -> None:
    image = loop(title)
    report = checked(image, entries=[image.entry], mode=mode)
    assert not report.refusals
    assert report.accesses["memory"]


@pytest.mark.parametrize("mode", [Mode.FLAT, pytest.param(Mode.PAGED, marks=pytest.mark.full)])
@pytest.mark.parametrize("mutant", careless_copies(), ids=lambda mutant: mutant.title)
def test_a_careless_copy_is_caught(mutant: Mutant, mode: Mode) -> None:
    """By one of the loops: a mistake about steps in registers is none where steps are numbers."""
    assert refused(mutant, mode), mutant.title


@pytest.mark.parametrize("mutant", careless_windows(), ids=lambda mutant: mutant.title)
def test_a_careless_window_is_caught(mutant: Mutant) -> None:
    assert refused(mutant, Mode.PAGED), mutant.title


def refused(mutant: Mutant, mode: Mode) -> bool:
    """Whether one of some loops is refused."""
    with mutated(mutant):
        for title in ("a step is in a register", "it goes down", "steps are wide"):
            image = loop(title)
            if checked(image, entries=[image.entry], mode=mode).refusals:
                return True
    return False
