"""Random programs whose every effect is seen: for one machine after the other they must leave the same bytes.

A program is a row of cases. Each case loads all registers from its block of memory, runs a few random instructions,
and stores all registers back. gp points to the block throughout and is never written by the random instructions; memory
instructions reach a window at the block's end. After the last case the blocks are written to the standard output by
two Linux system calls, for qemu; machines without them stop there.
"""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from denali.isa.definitions.decode import BY_NAME, DEFINITIONS
from denali.isa.definitions.instruction import Instruction
from denali.isa.definitions.operands import Kind
from denali.isa.definitions.record import Op
from denali.isa.image import Image, Segment, Symbol
from denali.isa.tools.assembler import assemble
from denali.isa.tools.disassembler import disassemble, words
from denali.isa.tools.elf import write_elf
from denali.isa.tools.encoding import encode

X, F, FCSR, WINDOW, BLOCK = 0, 256, 512, 528, 784
GP = 3
TEXT, PAGE = 0x10000, 4096
MEMORY = (Op.LOAD, Op.STORE, Op.ATOMIC, Op.RESERVE, Op.CONDITIONAL)
NOT_USED = (
    {"ecall", "ebreak", "c.ebreak", "csrrwi.fcsr"}
    | {f"csrr{how}.{part}" for how in "wsc" for part in ("frm", "fcsr")}  # frm stays legal
    | {f"csrr{how}i.{part}" for how in "sc" for part in ("frm", "fcsr")}
)
QEMU_ERRS = {"ctzw"}  # before 8.0 it counts beyond the low 32 bits, against the manual


def is_used(one: Instruction) -> bool:
    """Whether programs may have this instruction; indirect jumps come in by `jump_to_register`."""
    indirect = any(step.op is Op.JUMP and step.attribute == "indirect" for step in one.steps)
    return one.name not in NOT_USED | QEMU_ERRS and not indirect and not one.has(Op.COUNTER, Op.VIRTUAL)


POOL = [one for one in DEFINITIONS if is_used(one)]
GROUPS = ("integer", "multiply", "atomic", "bits", "compressed", "float", "float", "system")


@dataclass(frozen=True, slots=True)
class World:
    """What random programs are made of: instructions, and whether all floating-point registers begin as singles."""

    pool: Sequence[Instruction]
    boxed: bool = False

    def groups(self) -> list[list[Instruction]]:
        """The instructions by extension, as often as `GROUPS` has it."""
        groups = ([one for one in self.pool if one.extension == group] for group in GROUPS)
        return [group for group in groups if group]


EVERYTHING = World(POOL)

SINGLES = (
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x3F800000, 0xBF800000, 0x7F7FFFFF,
    0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFC12345, 0x4F000000, 0x5F000000, 0xCF000000, 0x4EFFFFFF,
    0x3F000000, 0x3EFFFFFF, 0x4B800001, 0xDF000000, 0x4F7FFFFF, 0x33800000, 0x00FFFFFF,
)  # fmt: skip
DOUBLES = (
    0x0000000000000000, 0x8000000000000000, 0x0000000000000001, 0x000FFFFFFFFFFFFF, 0x0010000000000000,
    0x3FF0000000000000, 0xBFF0000000000000, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000,
    0x7FF8000000000000, 0x7FF0000000000001, 0x41E0000000000000, 0xC1E0000000000000, 0x43E0000000000000,
    0xC3E0000000000000, 0x43F0000000000000, 0x47EFFFFFE0000000, 0x47EFFFFFF0000000, 0x3810000000000000,
    0x380FFFFFFFFFFFFF, 0x380FFFFFE0000000, 0x36A0000000000000, 0x3690000000000000, 0x3FF8000000000000,
    0x41DFFFFFFFE00000, 0x41EFFFFFFFF00000, 0x3FE0000000000000, 0x3CA0000000000000,
)  # fmt: skip


def integer_value(generator: random.Random) -> int:
    """64 bits: often near an edge, often short, else anything."""
    near = generator.choice((0, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1))
    short = generator.getrandbits(generator.randrange(1, 65))
    few = int.from_bytes(generator.choices((0, 0, 1, 127, 128, 255), k=8), "little")
    any_bits = generator.getrandbits(64)
    return generator.choice((near + generator.randrange(-2, 3), short, -short, few, any_bits)) & (1 << 64) - 1


def float_value(generator: random.Random, boxed: bool = False) -> int:
    """64 bits of a floating-point register: boxed singles, doubles, broken boxes; edges, near numbers, anything."""
    kind = generator.random() * (0.4 if boxed else 1)
    if kind < 0.2:
        return 0xFFFFFFFF << 32 | generator.choice(SINGLES)
    if kind < 0.4:
        exponent = generator.choice((127, 127, generator.randrange(256))) + generator.randrange(-3, 4)
        return 0xFFFFFFFF << 32 | generator.getrandbits(1) << 31 | (exponent & 255) << 23 | generator.getrandbits(23)
    if kind < 0.65:
        return generator.choice(DOUBLES)
    if kind < 0.9:
        exponent = generator.choice((1023, 1023, generator.randrange(2048))) + generator.randrange(-3, 4)
        return generator.getrandbits(1) << 63 | (exponent & 2047) << 52 | generator.getrandbits(52)
    return generator.getrandbits(64)


@dataclass(slots=True)
class Case:
    """Random instructions in the making: definitions with their operands; offsets are chosen last, in `words`."""

    generator: random.Random
    body: list[tuple[Instruction, dict[str, int]]] = field(default_factory=list[tuple[Instruction, dict[str, int]]])
    entries: list[int] = field(default_factory=list[int])  # indices in the body to which a branch may lead

    def add(self, one: Instruction) -> None:
        """Append `one` with random operands, and before it what makes its address valid."""
        self.entries.append(len(self.body))
        operands = self._operands(one)
        if one.has(*MEMORY):
            self._aim(one, operands)
        self.body.append((one, operands))

    def _operands(self, one: Instruction) -> dict[str, int]:
        while True:
            word = self.generator.getrandbits(8 * one.length) & ~one.mask | one.match
            operands = one.extract(word)
            if "rm" in operands and self.generator.random() < 0.5:
                operands["rm"] = 7
            if one.name == "csrrwi.frm":
                operands["imm"] %= 5
            if one.name == "fence":
                operands |= {"fm": 0, "rd": 0, "rs1": 0}
            spoils = one.operands.get("rd") is Kind.X and operands.get("rd") == GP
            based = one.has(*MEMORY) and operands.get("rs1") in (0, GP)
            if one.accepts(word) and not spoils and not based:
                return operands

    def _aim(self, one: Instruction, operands: dict[str, int]) -> None:
        """Set the base register so that the access falls into the window, aligned where it must be."""
        base, distance = operands.get("rs1", 2), operands.get("imm", 0)
        step = 8 if one.has(Op.ATOMIC, Op.RESERVE, Op.CONDITIONAL) else 1
        place = WINDOW + 32 + self.generator.randrange(0, 192) // step * step
        if one.has(Op.RESERVE, Op.CONDITIONAL):  # sizes apart: the manual lets a pair of two sizes succeed or fail
            place = WINDOW + 16 * one.name.endswith(".d") + 8 * self.generator.randrange(2)
        start = place - distance
        self.body.append((BY_NAME["addi"], {"rd": base, "rs1": GP, "imm": max(-2048, min(2047, start))}))
        if not -2048 <= start <= 2047:
            self.body.append((BY_NAME["addi"], {"rd": base, "rs1": base, "imm": start - max(-2048, min(2047, start))}))

    def jump_to_register(self) -> None:
        """An indirect jump to the instruction behind it."""
        self.entries.append(len(self.body))
        one = BY_NAME[self.generator.choice(("jalr", "c.jr", "c.jalr"))]
        base = self.generator.choice([n for n in range(1, 32) if n != GP])
        link = self.generator.choice([n for n in range(32) if n != GP])
        self.body.append((BY_NAME["auipc"], {"rd": base, "imm": 0}))
        self.body.append((BY_NAME["addi"], {"rd": base, "rs1": base, "imm": 8 + one.length}))
        given = {"rd": link, "rs1": base, "imm": self.generator.choice((0, 1))}
        self.body.append((one, {name: given[name] for name in one.operands}))

    def words(self) -> bytes:
        """The code; branches and jumps lead forward to some later instruction of the case or its end."""
        starts = [0]
        for one, _ in self.body:
            starts.append(starts[-1] + one.length)
        code = bytearray()
        for index, (one, operands) in enumerate(self.body):
            for name in (n for n, kind in one.operands.items() if kind is Kind.OFFSET):
                ahead = [starts[entry] for entry in (*self.entries, len(self.body)) if entry > index]
                operands[name] = self.generator.choice(ahead) - starts[index]
            code += encode(one, operands).to_bytes(one.length, "little")
        return bytes(code)


def frame(stride: int = BLOCK) -> tuple[bytes, bytes]:
    """What stands before and behind the random instructions of each case, whose blocks are `stride` bytes apart."""
    others = [n for n in range(1, 32) if n != GP]
    load = [f"fld f{n}, {F + 8 * n}(gp)" for n in range(32)]
    load += [f"ld t0, {FCSR}(gp)", "fscsr t0", *(f"ld x{n}, {X + 8 * n}(gp)" for n in others)]
    store = [f"sd x{n}, {X + 8 * n}(gp)" for n in others]
    store += ["frcsr t0", f"sd t0, {FCSR}(gp)", *(f"fsd f{n}, {F + 8 * n}(gp)" for n in range(32))]
    return assemble("\n".join(load)).text, assemble("\n".join([*store, f"addi gp, gp, {stride}"])).text


@dataclass(frozen=True, slots=True)
class Stream:
    """A whole program: an ELF file, where its blocks are, and the instructions of each case for messages."""

    elf: bytes
    start: int
    size: int
    cases: list[bytes]
    places: list[int]  # guest address of each case, and of the end of the last

    @property
    def private_size(self) -> int:
        """Bytes of memory that it needs."""
        return -(-self.size // PAGE) * PAGE + PAGE

    @property
    def image(self) -> Image:
        """The program as our machines run it."""
        return Image.from_elf(self.elf, "stream")

    def differences(self, mine: bytes, theirs: bytes) -> list[str]:
        """Where two machines' blocks differ, with the instructions that made them."""
        lines: list[str] = []
        for number in range(self.size // BLOCK):
            part = slice(number * BLOCK, (number + 1) * BLOCK)
            ours, others = struct.unpack("<98Q", mine[part]), struct.unpack("<98Q", theirs[part])
            wrong = [
                f"{place_name(i)} {a:#x} {b:#x}" for i, (a, b) in enumerate(zip(ours, others, strict=True)) if a != b
            ]
            if wrong:
                case = self.cases[number % len(self.cases)]
                texts = "; ".join(disassemble(word, address) for address, word in words(case, 0))
                lines.append(f"case {number}: {texts}\n   " + "\n   ".join(wrong))
        return lines


def place_name(index: int) -> str:
    """What the 64-bit word of a block holds."""
    if index < 64:
        return f"{'xf'[index // 32]}{index % 32}"
    return "fcsr" if index == FCSR // 8 else f"window+{8 * index - WINDOW}"


def make(seed: int, cases: int, length: int = 6, world: World = EVERYTHING) -> Stream:
    """A program of `cases` cases of up to `length` random instructions."""
    generator = random.Random(seed)
    groups = world.groups()
    bodies = [_body(generator, groups, generator.randrange(1, length + 1)) for _ in range(cases)]
    return link(bodies, b"".join(block(generator, world.boxed) for _ in bodies))


def each(members: Sequence[Instruction], times: int = 2, rounds: int = 8, boxed: bool = False) -> Stream:
    """A program in which each of `members` stands alone in `times` cases, which meet `rounds` states each."""
    generator = random.Random(0)
    bodies = [_alone(generator, one) for one in members for _ in range(times)]
    return link(bodies, b"".join(block(generator, boxed) for _ in range(rounds * len(bodies))))


def _alone(generator: random.Random, one: Instruction) -> bytes:
    """One instruction, and when it may jump two more, so that it is seen whether it does."""
    case = Case(generator)
    case.add(one)
    if Kind.OFFSET in one.operands.values():
        case.add(BY_NAME["addi"])
        case.add(BY_NAME["xor"])
        case.entries.clear()  # it jumps over both
    return case.words()


def _body(generator: random.Random, groups: Sequence[Sequence[Instruction]], count: int) -> bytes:
    case = Case(generator)
    for _ in range(count):
        if generator.random() < 0.03:
            case.jump_to_register()
        else:
            case.add(generator.choice(generator.choice(groups)))
    return case.words()


def block(generator: random.Random, boxed: bool = False) -> bytes:
    """What a case begins with: all registers, fcsr and the window."""
    integers = [0, *(integer_value(generator) for _ in range(31))]
    for _ in range(4):  # equal ones, which hardly come by chance
        integers[generator.randrange(1, 32)] = generator.choice(integers)
    floats = [float_value(generator, boxed) for _ in range(32)]
    fcsr = generator.randrange(5) << 5 | generator.choice((0, 0, generator.getrandbits(5)))
    return struct.pack("<66Q", *integers, *floats, fcsr, 0) + generator.randbytes(BLOCK - WINDOW)


ENTER = assemble("j . + 4").text  # a jump taken, so that native code is entered where a function begins
LEAVE = assemble("fence.i").text  # which native code leaves to the interpreter


def link(bodies: list[bytes], blocks: bytes) -> Stream:
    """The program of these cases, one after the other and again from the first, for as long as there are blocks.

    Each case is a function of its own, so that it is translated: a frame around it reads and writes fcsr, behind which
    the native interpreter goes on until a jump leads to translated code.
    """
    before, after = frame()
    before, after = before + ENTER, LEAVE + after
    parts = [before + body + after for body in bodies]
    middle = b"".join(parts)
    again = "la t0, behind; bgeu gp, t0, 1f; j first; 1:"
    tail = f"li a0, 1; la a1, blocks; li a2, {len(blocks)}; li a7, 64; ecall; li a0, 0; li a7, 93; ecall"
    source = f""".globl _start
        _start: la gp, blocks
        first: .zero {len(middle)}
        {again} {tail}
        .data
        blocks: .zero {len(blocks)}
        behind:"""
    program = assemble(source)
    first, data = program.symbols["first"] - TEXT, program.segments[-1]
    code = program.text[:first] + middle + program.text[first + len(middle) :]
    segments = [Segment(TEXT, len(code), code, False, True), Segment(data.start, len(blocks), blocks, True, False)]
    places = list(itertools.accumulate(map(len, parts), initial=TEXT + first))
    own = [Symbol(f"case{n}", place + len(before), len(bodies[n])) for n, place in enumerate(places[:-1])]
    elf = write_elf(segments, entry=TEXT, functions=[*program.functions, *own])
    return Stream(elf, data.start, len(blocks), bodies, places)
