"""Random programs with the shapes that compilers make: functions, frames, loops, calls, tables; and some wild code.

Most of it keeps to the ABI so that translated code gets far; here and there an access, a jump or a return goes astray.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from denali.isa.definitions.decode import BY_NAME
from denali.isa.image import PAGE, TEXT_BASE, Image, Symbol
from denali.isa.tools.encoding import encode

RA, SP = 1, 2
SAVED: tuple[int, ...] = (8, 9, 18, 19, 20, 21, 22)  # s0..s6: four slots of the convention and some that are none
FREE = (5, 6, 7, 10, 11, 12, 13, 14, 15, 28, 29)
COUNTERS: tuple[int, ...] = (23, 24, 25)  # s7..s9: of loops, never written otherwise
DATA, TABLE = 26, 27  # s10 points into private memory, s11 at read-only bytes
FRAME = 96
REGISTER = (
    "add",
    "sub",
    "sll",
    "srl",
    "sra",
    "slt",
    "sltu",
    "xor",
    "or",
    "and",
    "mul",
    "mulh",
    "div",
    "remu",
    "addw",
    "sllw",
    "divw",
)
IMMEDIATE = ("addi", "slti", "sltiu", "xori", "ori", "andi", "addiw")
LOADS = {"lb": 1, "lbu": 1, "lh": 2, "lhu": 2, "lw": 4, "lwu": 4, "ld": 8}
STORES = {"sb": 1, "sh": 2, "sw": 4, "sd": 8}
FLOATS = ("fadd.d", "fsub.d", "fmul.d", "fdiv.d", "fsgnj.d", "fsgnjn.d", "fmin.d", "fmax.d", "fadd.s", "fmul.s")
ATOMICS = ("amoadd.w", "amoswap.d", "amomax.w", "lr.d", "sc.d")
BRANCHES = ("beq", "bne", "blt", "bge", "bltu", "bgeu")
Label = str
Word = int | Callable[[int, dict[Label, int]], int]


class Program:
    """Instructions with labels; `image` resolves them."""

    def __init__(self, seed: int | str, *, wild: float = 0.01, functions: int = 4) -> None:
        """A program that only the seed decides; `wild` is the share of instructions that break rules."""
        self.source = random.Random(seed)
        self.words: list[Word] = []
        self.labels: dict[Label, int] = {}
        self.wild, self.functions, self.fresh = wild, functions, 0
        self._start()
        for number in range(functions):
            self._function(number)

    def image(self) -> Image:
        """The program, read-only bytes behind it, and a page of data."""
        code = bytearray()
        for index, word in enumerate(self.words):
            pc = TEXT_BASE + 4 * index
            code += struct.pack("<I", word if isinstance(word, int) else word(pc, self.labels))
        end = TEXT_BASE + len(code)
        table = random.Random(1).randbytes(512)
        start = -(-(end + len(table)) // PAGE) * PAGE
        symbols = tuple(Symbol(f"f{n}", self.labels[f"f{n}"], 0) for n in range(self.functions))
        data = self.source.randbytes(1024)
        return Image("random", TEXT_BASE, TEXT_BASE, bytes(code) + table, TEXT_BASE, end, start, data, 0, symbols)

    def emit(self, name: str, **operands: int) -> None:
        """Append an instruction."""
        self.words.append(encode(BY_NAME[name], operands))

    def mark(self, label: Label) -> None:
        """The next instruction is at `label`."""
        self.labels[label] = TEXT_BASE + 4 * len(self.words)

    def label(self) -> Label:
        """A fresh one."""
        self.fresh += 1
        return f"l{self.fresh}"

    def jump(self, name: str, label: Label, field: str, **operands: int) -> None:
        """Append a jump or branch to a label."""
        self.words.append(lambda pc, labels: encode(BY_NAME[name], {**operands, field: labels.get(label, pc) - pc}))

    def address(self, register: int, label: Label) -> None:
        """Put the address of a label into a register."""
        self.words.append(lambda pc, labels: encode(BY_NAME["lui"], {"rd": register, "imm": high(labels[label])}))
        self.words.append(
            lambda pc, labels: encode(BY_NAME["addi"], {"rd": register, "rs1": register, "imm": low(labels[label])})
        )

    def _start(self) -> None:
        """Point at the data, call the first function for ever."""
        later: list[Word] = [
            lambda _pc, _labels: encode(BY_NAME["lui"], {"rd": DATA, "imm": high(self._data())}),
            lambda _pc, _labels: encode(BY_NAME["lui"], {"rd": TABLE, "imm": high(self._end())}),
            lambda _pc, _labels: encode(BY_NAME["addi"], {"rd": TABLE, "rs1": TABLE, "imm": low(self._end())}),
        ]
        self.words += later
        self.mark("again")
        self.jump("jal", "f0", "imm", rd=RA)
        self.emit("addi", rd=8, rs1=8, imm=1)
        self.jump("jal", "again", "imm", rd=0)

    def _end(self) -> int:
        return TEXT_BASE + 4 * len(self.words)

    def _data(self) -> int:
        return -(-(self._end() + 512) // PAGE) * PAGE

    def _function(self, number: int) -> None:
        """A frame, saved registers, a body, and the way back."""
        source = self.source
        self.mark(f"f{number}")
        leaf = number == self.functions - 1 and source.random() < 0.7
        saved: list[int] = source.sample(SAVED, source.randrange(0, 5)) + list(COUNTERS)
        if not leaf:
            early = self.label()
            if source.random() < 0.5:
                self.emit("andi", rd=10, rs1=10, imm=255)
                self.jump("beq", early, "imm", rs1=10, rs2=0)
            self.emit("addi", rd=SP, rs1=SP, imm=-FRAME)
            for place, register in enumerate([RA, *saved]):
                self.emit("sd", rs1=SP, rs2=register, imm=8 * place)
            self._body(number, source.randrange(3, 30), saved[:-3], depth=2)
            for place, register in enumerate([RA, *saved]):
                self.emit("ld", rd=register, rs1=SP, imm=8 * place)
            self.emit("addi", rd=SP, rs1=SP, imm=FRAME)
            self.mark(early)
        else:
            self._body(number, source.randrange(1, 15), [], depth=0, calls=False)
        self.emit("jalr", rd=0, rs1=RA, imm=0)

    def _body(self, number: int, length: int, saved: list[int], depth: int, calls: bool = True) -> None:
        registers = [*FREE, *saved]
        for _ in range(length):
            kind = self.source.random()
            if kind < 0.45:
                self._arithmetic(registers)
            elif kind < 0.7:
                self._access(registers)
            elif kind < 0.76:
                self._float()
            elif kind < 0.78:
                self._atomic(registers)
            elif kind < 0.86:
                self._skip(number, registers, saved, depth, calls)
            elif kind < 0.9 and depth:
                self._loop(number, saved, depth, calls)
            elif kind < 0.98 and calls:
                self._call(number)
            elif self.source.random() < self.wild * 20:
                self._astray(registers)

    def _arithmetic(self, registers: list[int]) -> None:
        pick = self.source.choice
        if self.source.random() < 0.5:
            self.emit(pick(REGISTER), rd=pick(registers), rs1=pick(registers), rs2=pick(registers))
        else:
            self.emit(pick(IMMEDIATE), rd=pick(registers), rs1=pick(registers), imm=self.source.randrange(-2048, 2048))

    def _access(self, registers: list[int]) -> None:
        source = self.source
        base = source.choice((DATA, DATA, SP, TABLE))
        if base == TABLE or source.random() < 0.5:
            name = source.choice(list(LOADS))
            self.emit(
                name, rd=source.choice(registers), rs1=base, imm=source.randrange(0, FRAME if base == SP else 480)
            )
        elif base == SP:
            self.emit("sd", rs1=SP, rs2=source.choice(registers), imm=8 * source.randrange(11, 12))
        else:
            self.emit(
                source.choice(list(STORES)), rs1=base, rs2=source.choice(registers), imm=source.randrange(0, 2040)
            )

    def _float(self) -> None:
        source = self.source
        name, rd = source.choice(FLOATS), source.randrange(0, 12)
        if source.random() < 0.3:
            self.emit("fld", rd=rd, rs1=DATA, imm=8 * source.randrange(0, 100))
        elif source.random() < 0.2:
            self.emit("fcvt.d.l", rd=rd, rs1=source.choice(FREE))
        elif source.random() < 0.2:
            self.emit("fsd", rs1=DATA, rs2=rd, imm=8 * source.randrange(0, 100))
        elif source.random() < 0.2:
            self.emit(source.choice(("fmv.x.d", "fclass.d")), rd=source.choice(FREE), rs1=rd)
        elif source.random() < 0.2:
            register = source.randrange(0, 12)
            self.emit("fsgnj.d", rd=rd, rs1=register, rs2=register)
        elif source.random() < 0.2:
            self.emit("fmadd.d", rd=rd, rs1=source.randrange(12), rs2=source.randrange(12), rs3=source.randrange(12))
        else:
            self.emit(name, rd=rd, rs1=source.randrange(0, 12), rs2=source.randrange(0, 12))

    def _atomic(self, registers: list[int]) -> None:
        source = self.source
        name, rd = source.choice(ATOMICS), source.choice(registers)
        operands = {"rd": rd, "rs1": DATA}
        self.emit(name, **operands if name.startswith("lr") else {**operands, "rs2": source.choice(registers)})

    def _skip(self, number: int, registers: list[int], saved: list[int], depth: int, calls: bool) -> None:
        """A forward branch over some instructions."""
        label, source = self.label(), self.source
        name = source.choice(BRANCHES)
        self.jump(name, label, "imm", rs1=source.choice(registers), rs2=source.choice(registers))
        self._body(number, source.randrange(1, 5), saved, depth=0, calls=calls)
        self.mark(label)

    def _loop(self, number: int, saved: list[int], depth: int, calls: bool) -> None:
        """A counted loop."""
        label, counter = self.label(), COUNTERS[depth]
        self.emit("addi", rd=counter, rs1=0, imm=self.source.randrange(1, 9))
        self.mark(label)
        self._body(number, self.source.randrange(1, 8), saved, depth=depth - 1, calls=calls and depth == 1)
        self.emit("addi", rd=counter, rs1=counter, imm=-1)
        self.jump("bne", label, "imm", rs1=counter, rs2=0)

    def _call(self, number: int) -> None:
        """Of a later function, directly or through a register; seldom of any."""
        source = self.source
        last = self.functions - 1
        callee = (
            source.randrange(number + 1, last + 1)
            if number < last and source.random() < 0.9
            else source.randrange(last + 1)
        )
        if source.random() < 0.75:
            self.jump("jal", f"f{callee}", "imm", rd=RA)
        else:
            self.address(7, f"f{callee}")
            self.emit("jalr", rd=RA, rs1=7, imm=0)

    def _astray(self, registers: list[int]) -> None:
        """Something that ends badly, or at least elsewhere."""
        source = self.source
        match source.randrange(8):
            case 0:
                self.emit("ld", rd=source.choice(registers), rs1=source.choice(registers), imm=8)
            case 1:
                self.emit("sd", rs1=source.choice(registers), rs2=5, imm=8)
            case 2:
                self.emit("jalr", rd=0, rs1=source.choice((RA, 7)), imm=source.choice((0, 4)))
            case 3:
                self.emit("sd", rs1=TABLE, rs2=5, imm=0)
            case 4:
                self.emit("v.console", rd=10, rs1=10, rs2=11)
            case 5:
                self.words.append(
                    source.choice((0, 0x00100073, 0x00000073, 0xC0002573))
                )  # illegal, ebreak, ecall, rdcycle
            case 6:
                self.emit("csrrw", rd=10, rs1=source.choice(registers), csr=1) if "csrrw" in BY_NAME else None
            case _:
                self.emit("addi", rd=RA, rs1=RA, imm=source.choice((1, 4, -4)))


def high(address: int) -> int:
    """The operand of lui that goes with `low`."""
    return (address + 0x800) & ~0xFFF


def low(address: int) -> int:
    """The low twelve bits, signed."""
    return (address & 0xFFF ^ 0x800) - 0x800
