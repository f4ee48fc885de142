"""The assembler makes what GNU's makes, and its errors say where and why."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import oracles
import pytest

from denali.isa.definitions.decode import BY_NAME, DEFINITIONS
from denali.isa.definitions.instruction import Instruction
from denali.isa.definitions.operands import Kind
from denali.isa.tools.assembler import AssemblyError, assemble
from denali.isa.tools.disassembler import disassemble
from denali.isa.tools.encoding import encode
from denali.isa.tools.pseudo import PSEUDOS, Pseudo, constant_steps
from denali.isa.tools.reference import Machine

INTEGER = {"rd": "a0", "rs": "s1", "rt": "t2", "to": ". + 16", "imm": "3", "csr": "fcsr"}
FLOATING = {"rd": "fa0", "rs": "fs1", "rt": "ft2"}
PLAIN = "rv64imafdc_zicsr_zifencei_zihintpause_zba_zbb_zbs"


def gnu(source: str, folder: Path) -> bytes:
    """The text that GNU as and ld make of a source, put where ours is, without relaxation and compression."""
    folder.joinpath("a.s").write_text(f".option norvc\n.option norelax\n.globl _start\n{source}\n")
    binary = folder / "a.bin"
    prefix = oracles.GNU_AS.removesuffix("as")
    for command in (
        [oracles.GNU_AS, f"-march={PLAIN}", "-o", str(folder / "a.o"), str(folder / "a.s")],
        [prefix + "ld", "-Ttext=0x10000", "-e0x10000", "-o", str(folder / "a.elf"), str(folder / "a.o")],
        [prefix + "objcopy", "-O", "binary", "-j", ".text", str(folder / "a.elf"), str(binary)],
    ):
        subprocess.run([oracles.tool(command[0]), *command[1:]], check=True, capture_output=True)
    return binary.read_bytes()


def differences(lines: list[str], folder: Path) -> list[str]:
    """Lines of four bytes each that GNU's assembler encodes otherwise than ours."""
    ours = [assemble(line, base=0x10000 + 4 * i).text for i, line in enumerate(lines)]
    content = gnu("\n".join(lines), folder)
    theirs = [content[4 * i : 4 * i + 4] for i in range(len(lines))]
    return [f"{line}: {o.hex()} {t.hex()}" for line, o, t in zip(lines, ours, theirs, strict=True) if o != t]


def written(pseudo: Pseudo) -> str:
    """A pseudo-instruction with operands that fit."""
    names = INTEGER | (FLOATING if re.fullmatch(r"f\w+\.[sd]", pseudo.name) else {})
    if pseudo.name[:3] in ("fgt", "fge"):
        names["rd"] = INTEGER["rd"]
    return f"{pseudo.name} {', '.join(names[parameter] for parameter in pseudo.parameters)}"


@oracles.needs(oracles.GNU_AS)
def test_pseudo_instructions_are_those_of_gnu(tmp_path: Path) -> None:
    lines = [written(pseudo) for pseudo in PSEUDOS.values() if pseudo.name not in ("call", "tail")]  # two there
    assert not differences(lines, tmp_path)


@oracles.needs(oracles.GNU_AS)
def test_loads_and_stores_of_symbols_are_those_of_gnu(tmp_path: Path) -> None:
    lines = ["here: ld a0, here", "lbu t1, here + 5", "flw fa0, here, t0", "fsd fs1, here, a7", "sw a0, 1f - 4, t2"]
    source = "\n".join([*lines, "1: sb zero, here, ra"])
    assert assemble(source).text == gnu(source, tmp_path)


def sample(one: Instruction) -> dict[str, int]:
    """Operands of `one` that its text shows."""
    generator = random.Random(one.name)
    while True:
        word = generator.getrandbits(8 * one.length) & ~one.mask | one.match
        operands = one.extract(word)
        hidden = {n: 0 for n, kind in one.operands.items() if n not in one.text and kind is not Kind.ORDER}
        if one.accepts(word):
            return operands | hidden


@pytest.mark.parametrize("one", DEFINITIONS, ids=lambda one: one.name)
def test_what_the_disassembler_writes_the_assembler_reads(one: Instruction) -> None:
    word = encode(one, sample(one))
    text = disassemble(word, 0x10000)
    assert assemble(text).text == word.to_bytes(one.length, "little"), text


@oracles.needs(oracles.GNU_AS)
def test_what_the_disassembler_writes_gnu_reads(tmp_path: Path) -> None:
    wide = [one for one in DEFINITIONS if one.length == 4 and not one.name.startswith(("v.", "fcvt.d.w", "fcvt.d.s"))]
    still = [one for one in wide if Kind.OFFSET not in one.operands.values()]  # a distant branch becomes a pair
    words = [encode(one, sample(one)) for one in still]
    assert not differences([disassemble(word) for word in words], tmp_path)


@pytest.mark.parametrize("value", [0, 1, -1, 2047, 2048, -2048, -2049, 1 << 31, (1 << 31) - 1, -(1 << 31), 1 << 63])
def test_li_makes_the_constant(value: int) -> None:
    program = assemble(f"li a0, {value}")
    machine = Machine(program.image(), 4096)
    machine.run(len(program.text) // 4)
    assert machine.x[10] == value & (1 << 64) - 1


def test_li_makes_any_constant_in_at_most_eight_instructions() -> None:
    generator = random.Random(5)
    for _ in range(300):
        value = generator.getrandbits(64) >> generator.randrange(64)
        assert len(constant_steps(value)) <= 8
        test_li_makes_the_constant(value)


def test_sections_symbols_and_relocation_functions_meet() -> None:
    program = assemble("""
        .data
    text:   .asciz "a\\tb;\\x41"     # not a comment's end; nor a separator
            .align 3
    table:  .dword text, table + 8, -1
            .bss
    room:   .zero 100
            .rodata
    number: .word 0x01020304
            .equ size, 24
            .text
            .globl _start, leaf
    _start: la   a0, table
            lui  a1, %hi(text)
            addi a1, a1, %lo(text)
    1:      auipc a2, %pcrel_hi(number)
            lwu  a2, %pcrel_lo(1b)(a2)
            li   a3, size * 2 + 'A'
            la   a4, room
            call leaf
            j    2f
    leaf:   ret
    2:      ebreak
    """)
    machine = Machine(program.image(), 8192)
    machine.run(100)
    symbols = program.symbols
    assert machine.x[10:15] == [symbols["table"], symbols["text"], 0x01020304, 113, symbols["room"]]
    assert program.data[:7] == b"a\tb;A\0\0"
    words = [int.from_bytes(program.data[8 * i : 8 * i + 8], "little") for i in (1, 2, 3)]
    assert words == [symbols["text"], symbols["table"] + 8, (1 << 64) - 1]
    assert [name for name, _, _ in program.functions] == ["_start", "leaf"]
    assert [name for name, _, _ in program.objects] == ["number", "text", "table", "room"]
    assert symbols["room"] % 16 == 0


@pytest.mark.parametrize(
    ("source", "column", "message"),
    [
        ("adi a0, a1, 1", 1, "no instruction 'adi'; like it: andi, addi, addiw"),
        ("  add a0, a9, a1", 11, "'a9' is no integer register"),
        ("fadd.s fa0, fa1, a2", 18, "'a2' is no floating-point register"),
        ("addi a0, a0, 5000", 14, "imm = 5000 is not within -2048 to 2047"),
        ("lw a0, a1", 8, "'a1' should look like imm(rs1)"),
        ("lw a0, 8", 8, "'8' should look like imm(rs1)"),
        ("lw a0, there", 8, "nothing is called 'there'"),
        ("sw a0, there, 5", 15, "'5' is no integer register"),
        ("sw a0, there", 8, "'there' should look like imm(rs1)"),
        ("call ra, there", 1, "the operands should be: call to"),
        ("fscsr", 1, "the operands should be: fscsr rd, rs or fscsr rs"),
        ("c.lwsp a0, 4(a1)", 14, "the base register is sp here"),
        ("c.lw a0, 3(a1)", 10, "imm = 3 is not a multiple of 4"),
        ("c.sub t0, a0", 7, "'t0' is no integer register x8 to x15"),
        ("lr.w a0, 8(a1)", 10, "this instruction takes no offset"),
        ("add a0, a1", 1, "the operands should be: add rd, rs1, rs2"),
        ("add a0,, a1", 8, "an operand is missing"),
        ("j nowhere", 3, "nothing is called 'nowhere'"),
        ("beqz a0, . + 8192", 10, "imm = 8192 is not within -4096 to 4094"),
        ("li a0, 1 + (2", 14, "')' is missing"),
        ("li a0, 1 2", 10, "'2' is one thing too many"),
        ("li a0, there", 8, "nothing is called 'there' so far; for the address of a label use la"),
        ("li a0, 1 / 0", 10, "integer division or modulo by zero"),
        ("li a0, 1 << 64", 8, "18446744073709551616 has more than 64 bits"),
        (".wrd 1", 1, "no directive '.wrd'; there are .word"),
        (".bss; .word 1", 7, ".bss has no bytes in the file, only zeros: use .zero, or .data"),
        ("li a0, 1 << 99999999999", 10, "shift by 99999999999"),
        ("li a0, " + "9" * 9999, 8, "a number of 9999 digits is too large"),
        ("li a0, " + "*".join(["99999999999"] * 99), 8, "a number of 3618 bits is too large"),
        ("li a0, " + "(" * 9999, 8, "this is nested too deeply"),
        ("li a0, " + "-" * 9999 + "1", 8, "this is nested too deeply"),
        (".byte 256", 7, "256 does not fit 1 bytes"),
        (".asciz hello", 8, "hello should be a string in double quotes"),
        ("here: nop; here: nop", 12, "'here' is defined already"),
        ("addi a0, %lw(5)", 10, None),
        ("csrr a0, mstatus", 1, None),
        ("!", 1, "cannot read '!'"),
    ],
)
def test_an_error_names_line_and_column(source: str, column: int, message: str | None) -> None:
    with pytest.raises(AssemblyError) as error:
        assemble(f"nop\n{source}", name="file.s")
    assert error.value.line == 2
    assert message is None or (error.value.column, error.value.message) == (column, message)
    assert str(error.value).startswith(f"file.s:2:{error.value.column}: ")


def test_one_program_has_one_encoding() -> None:
    source = "_start: la a0, x\n j _start\n.data\nx: .word 1"
    assert assemble(source).elf() == assemble(source).elf()


def test_ordering_and_rounding_may_be_left_out() -> None:
    assert assemble("lr.w a0, (a1)").text == encode(BY_NAME["lr.w"], {"rd": 10, "rs1": 11, "order": 0}).to_bytes(
        4, "little"
    )
    assert assemble("fsqrt.d fa0, fa1").text == assemble("fsqrt.d fa0, fa1, dyn").text
