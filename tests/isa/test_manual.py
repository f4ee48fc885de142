"""The manual follows the definitions."""

from __future__ import annotations

from pathlib import Path

import pytest

from denali.isa.definitions.decode import BY_NAME, DEFINITIONS
from denali.isa.tools.assembler import assemble
from denali.isa.tools.disassembler import disassemble, listing
from denali.isa.tools.manual import overview, page, reference
from denali.isa.tools.notation import step_lines

DIVU = '''\
divu: rd = rs1 / rs2, unsigned; a zero divisor gives all ones.

    divu rd, rs1, rs2

Bits

     31:25   24:20  19:15  14:12  11:7    6:0
    0000001   rs2    rs1    101    rd   0110011

Operands

    rd   destination: integer register
    rs1  first source: integer register
    rs2  second source: integer register

Definition, line {line} of isa/definitions/multiply.py

    @instruction("0000001 rs2:5 rs1:5 101 rd:5 0110011")
    def divu(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
        """rd = rs1 / rs2, unsigned; a zero divisor gives all ones."""
        cpu[rd] = unsigned_quotient(cpu[rs1], cpu[rs2])

Steps recorded from it

    t0 = x[rs1]
    t1 = x[rs2]
    t2:1 = eq t1, 0
    t3 = select t2, 1, t1
    t4 = udiv t0, t3
    t5 = select t2, 0xffffffffffffffff, t4
    x[rd] = t5'''


def test_a_page_shows_everything_about_an_instruction() -> None:
    assert page("divu") == DIVU.format(line=BY_NAME["divu"].source[1])


def test_a_mnemonic_of_several_definitions_shows_them_all() -> None:
    assert page("csrrw").count("Steps recorded from it") == 3


@pytest.mark.parametrize("one", DEFINITIONS, ids=lambda one: one.name)
def test_every_instruction_has_a_page(one: object) -> None:
    assert getattr(one, "description") in page(getattr(one, "name"))  # noqa: B009


def test_an_unknown_name_is_answered_with_names_like_it() -> None:
    with pytest.raises(KeyError, match="no instruction 'divuu'; like it: divu"):
        page("divuu")


def test_the_overview_has_a_line_for_each() -> None:
    lines = overview().splitlines()
    assert sum(line.startswith("  ") for line in lines) == len(DEFINITIONS)


def test_the_document_is_what_the_definitions_say() -> None:
    file = Path(__file__).parents[2] / "docs" / "instructions.md"
    assert file.read_text() == reference(), "write it anew: python -m denali.isa.tools.manual > docs/instructions.md"


def test_steps_can_be_shown_with_their_operands() -> None:
    assert step_lines(BY_NAME["jalr"], {"rd": 1, "rs1": 10, "imm": 4}) == [
        "t0 = x[a0]",
        "t1 = add t0, 4",
        "t2 = and t1, 0xfffffffffffffffe",
        "t3 = add pc, 4",
        "x[ra] = t3",
        "jump to t2",
    ]


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (0x02C5D533, "divu a0,a1,a2"),
        (0x00008067, "jalr zero,0(ra)"),
        (0x8082, "c.jr ra"),
        (0xFE059EE3, "bne a1,zero,0x1003c"),
        (0x04B6252F, "amoadd.w.aq a0,a1,(a2)"),
        (0x02C59553, "fadd.d fa0,fa1,fa2,rtz"),
        (0x02C5F553, "fadd.d fa0,fa1,fa2"),
        (0x00302573, "csrrs a0,fcsr,zero"),
        (0x0310000F, "fence rw,w"),
        (0x0005_000B, "v.exit zero,a0,zero"),
        (0xFFFFFFFF, ".word 0xffffffff"),
        (0x0000, ".half 0x0000"),
    ],
)
def test_disassembly(word: int, text: str) -> None:
    assert disassemble(word, 0x10040) == text


def test_a_listing_names_functions_and_the_targets_of_jumps() -> None:
    program = assemble(".globl _start, leaf\n_start: call leaf\n c.ebreak\nleaf: ret\n .half 3")
    assert list(listing(program.image())) == [
        "\n10000 <_start>:",
        "     10000: 006000ef  jal ra,0x10006 <leaf>",
        "     10004: 9002      c.ebreak",
        "\n10006 <leaf>:",
        "     10006: 00008067  jalr zero,0(ra)",
        "     1000a: 0003      .half 0x0003",
    ]
