"""The manual follows the definitions."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import cast

import pytest

from denali.isa.context import Status
from denali.isa.definitions.decode import BY_NAME, DEFINITIONS, decode
from denali.isa.definitions.instruction import Instruction
from denali.isa.definitions.record import Op
from denali.isa.image import Image
from denali.isa.tools import softfloat
from denali.isa.tools.assembler import assemble
from denali.isa.tools.consequences import flags, traps
from denali.isa.tools.disassembler import disassemble, listing
from denali.isa.tools.manual import example, overview, page, pseudo_rows, reference
from denali.isa.tools.notation import step_lines
from denali.isa.tools.pseudo import PSEUDOS
from denali.isa.tools.reference import Machine

DIVU = '''\
divu: rd = rs1 / rs2, unsigned; a zero divisor gives all ones.

    divu rd, rs1, rs2

Part of

    M: integer multiplication and division, which never traps (unprivileged manual, chapter 12).

Bits

     31:25   24:20  19:15  14:12  11:7    6:0
    0000001   rs2    rs1    101    rd   0110011

Operands

    rd   destination: integer register
    rs1  first source: integer register
    rs2  second source: integer register

For example

    0x02c5d533  divu a0,a1,a2

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


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "c.lwsp",
            ["rd   destination: integer register, not zero", "imm  unsigned immediate, 0 to 252, a multiple of 4"],
        ),
        ("c.addi16sp", ["imm  signed immediate, -512 to 496, a multiple of 16, not 0"]),
        ("addi", ["mv rd, rs: for addi rd, rs, 0", "imm  signed immediate, -2048 to 2047"]),
        ("csrrs.cycle", ["rdcycle rd: for csrrs rd, cycle, zero"]),
        ("amoadd.w.aqrl", ["MISALIGNED_STORE: the address is no multiple of 4; value: the address"]),
        ("lb", ["LOAD: the byte there cannot be read; value: the address"]),
        ("fdiv.s", ["NV, DZ, OF, UF, NX"]),
        ("nop", ["addi rd, rs1, imm"]),
        ("beq", ["0x00c58463  beq a1,a2,0x10008   at 0x10000"]),
    ],
)
def test_a_page_has_what_one_wants_to_know(name: str, lines: list[str]) -> None:
    assert {f"    {line}" for line in lines} <= set(page(name).splitlines())


def test_a_pseudo_instruction_is_explained_by_what_it_is_written_for() -> None:
    assert page("nop").splitlines()[0] == "nop: written for addi zero, zero, 0"
    assert page("NOP") == page("nop")
    assert page("li").startswith("li rd, number: written for lui, addi, addiw, slli")
    for name, _ in PSEUDOS:
        assert page(name)


@pytest.mark.parametrize("one", DEFINITIONS, ids=lambda one: one.name)
def test_the_example_is_the_instruction_and_can_be_written(one: Instruction) -> None:
    word, text = example(one).split(maxsplit=1)
    found = decode(int(word, 16))
    assert found is not None
    assert found[0] is one
    assert assemble(text.partition("   at ")[0]).text == int(word, 16).to_bytes(one.length, "little")


@pytest.mark.parametrize("one", DEFINITIONS, ids=lambda one: one.name)
def test_it_ends_in_no_trap_but_those_that_its_page_names(one: Instruction) -> None:
    code = int(example(one).split()[0], 16).to_bytes(one.length, "little")
    named = {line.partition(":")[0] for line in traps(one)}
    for value, fcsr in ((0, 0), (1, 7 << 5), (0x30000, 0), ((1 << 64) - 3, 0)):
        machine = Machine(Image.raw(code + bytes((1, 0)) * 10), 4096)
        machine.x[1:], machine.fcsr = [value] * 31, fcsr
        machine.run(2)
        cause = machine.cause.name if machine.status is Status.TRAP and machine.cause is not None else ""
        assert not cause or cause in named, f"x = {value:#x}: {cause} at {machine.pc:#x}"


@pytest.mark.parametrize("one", [one for one in DEFINITIONS if one.has(Op.FLOAT)], ids=lambda one: one.name)
def test_the_flags_that_it_may_raise_are_those_that_it_raises_at_the_edges(one: Instruction) -> None:
    step = one.step(Op.FLOAT)
    assert step is not None
    operation, width = cast(tuple[str, object], step.attribute)[0], step.args[0].width
    numbers = [n % (1 << width) for n in INTEGERS] if operation.startswith("from") else edges(width)
    seen = 0
    for arguments in product(numbers, repeat=min(2, len(step.args))):
        third = [numbers[sum(arguments) % len(numbers)]] * (len(step.args) - len(arguments))
        seen |= softfloat.operate(operation, 0, [*arguments, *third], width, step.width)[1]
    assert [
        name for bit, name in zip((16, 8, 4, 2, 1), ("NV", "DZ", "OF", "UF", "NX"), strict=True) if seen & bit
    ] == flags(one)


INTEGERS = [0, 1, (1 << 24) + 1, (1 << 31) + 1, (1 << 32) - 1, (1 << 54) + 1]


def edges(width: int) -> list[int]:
    """Zeros, subnormals, numbers about one, the largest, infinity and NaNs, of both signs."""
    fraction = {32: 23, 64: 52}[width]
    one, infinity = (1 << width - 2) - (1 << fraction), (1 << width - 1) - (1 << fraction)
    numbers = (
        0,
        1,
        3,
        (1 << fraction) + 1,
        one,
        one + 1,
        infinity - 1,
        infinity,
        infinity + 1,
        infinity | 1 << fraction - 1,
    )
    return [sign | number for number in numbers for sign in (0, 1 << width - 1)]


def test_an_unknown_name_is_answered_with_names_like_it() -> None:
    with pytest.raises(KeyError, match="no instruction 'divuu'; like it: divu"):
        page("divuu")


def test_the_overview_has_a_line_for_each() -> None:
    lines = overview().splitlines()
    assert sum(line.startswith("  ") for line in lines) == len(DEFINITIONS) + len(pseudo_rows())


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
