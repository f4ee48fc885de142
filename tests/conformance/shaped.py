"""Random programs with a shape: functions, loops and calls around the random instructions of `streams`.

A program goes through any number of rounds. Each round has a block of memory of its own, to which gp points: it loads
all registers from there, calls the functions, and stores all registers there. So many instructions are executed for few
that have to be translated, every round begins afresh at the edges, and what each round left is seen in the end.

The random instructions may change every register but gp, sp and ra included; what a loop or a return needs is kept in
memory behind the block. Every program ends, then writes its blocks by Linux system calls (see `streams`); machines
without them stop there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from streams import BLOCK, EVERYTHING, FCSR, GP, Case, F, World, block, frame

from denali.isa.definitions.decode import length_of
from denali.isa.image import PAGE, Image, Segment
from denali.isa.tools.assembler import assemble
from denali.isa.tools.disassembler import words
from denali.isa.tools.elf import write_elf

SLOTS = 64  # doublewords behind the block: loop counters and return addresses
SIZE = BLOCK + 8 * SLOTS
OTHERS = [n for n in range(1, 32) if n != GP]


@dataclass(frozen=True, slots=True)
class Program:
    """A program as ELF file and as image; private memory begins with its blocks, `SIZE` bytes for each round."""

    elf: bytes
    image: Image
    rounds: int
    cases: tuple[tuple[int, int], ...]  # guest addresses from and to which there are random instructions

    @property
    def written(self) -> int:
        """Bytes of its blocks."""
        return self.rounds * SIZE

    def random_words(self) -> list[tuple[int, int]]:
        """Addresses and words of the random instructions; what makes an address valid is among them."""
        code, base = self.image.read_only, self.image.ro_start
        return [one for start, end in self.cases for one in words(code[start - base : end - base], start)]

    @property
    def private_size(self) -> int:
        """Bytes of memory that it needs."""
        return -(-self.written // PAGE) * PAGE + PAGE


class Writer:
    """Assembly source in the making."""

    def __init__(self, generator: random.Random, world: World) -> None:
        """An empty source; all choices come from `generator`, the random instructions from `world`."""
        self.generator = generator
        self.members = world.groups()
        self.lines: list[str] = []
        self.labels = 0
        self.slots = 0
        self.cases = 0

    def slot(self) -> str:
        """A fresh doubleword behind the block, as operand."""
        self.slots += 1
        return f"{BLOCK + 8 * (self.slots - 1)}(gp)"

    def label(self) -> str:
        """A fresh label."""
        self.labels += 1
        return f".L{self.labels}"

    def straight(self) -> None:
        """Some random instructions, with branches ahead among themselves."""
        case = Case(self.generator)
        for _ in range(self.generator.randrange(1, 9)):
            case.add(self.generator.choice(self.generator.choice(self.members)))
        self.lines += [self.refresh() for _ in range(self.generator.randrange(3))]
        self.lines += [f".Lcase{self.cases}:", *_words(case.words()), f".Lend{self.cases}:"]
        self.cases += 1

    def refresh(self) -> str:
        """A register gets what some register had when the round began: else all becomes NaN and zero in time."""
        if self.generator.random() < 0.5:
            return f"fld f{self.generator.randrange(32)}, {F + 8 * self.generator.randrange(32)}(gp)"
        return f"ld x{self.generator.choice(OTHERS)}, {8 * self.generator.randrange(FCSR // 8)}(gp)"

    def loop(self, callees: list[str], depth: int) -> None:
        """A few rounds of something."""
        slot, top = self.slot(), self.label()
        self.lines += [f"li t0, {self.generator.randrange(1, 5)}", f"sd t0, {slot}", f"{top}:"]
        self.block(callees, depth + 1)
        register = self.generator.choice(("t0", "a0", "s1", "a5", "ra"))
        self.lines += [f"ld {register}, {slot}", f"addi {register}, {register}, -1", f"sd {register}, {slot}"]
        self.lines += [f"bnez {register}, {top}"]

    def branch(self, callees: list[str], depth: int) -> None:
        """One of two ways, by what registers hold."""
        other, end = self.label(), self.label()
        a, b = (self.generator.choice(("a0", "a1", "s2", "t3", "sp", "s11")) for _ in range(2))
        kind = self.generator.choice(("beq", "bne", "blt", "bge", "bltu", "bgeu"))
        self.lines += [f"{kind} {a}, {b}, {other}"]
        self.block(callees, depth + 1)
        self.lines += [f"j {end}", f"{other}:"]
        self.block(callees, depth + 1)
        self.lines += [f"{end}:"]

    def call(self, callees: list[str]) -> None:
        """Call a later function, by name or by address."""
        callee = self.generator.choice(callees)
        register = self.generator.choice(("t0", "a3", "s5"))
        direct = self.generator.random() < 0.6
        self.lines += [f"call {callee}"] if direct else [f"la {register}, {callee}", f"jalr ra, 0({register})"]

    def block(self, callees: list[str], depth: int) -> None:
        """A sequence of all that."""
        for _ in range(self.generator.randrange(1, 4)):
            what = self.generator.random()
            if depth < 3 and what < 0.25:
                self.loop(callees, depth)
            elif depth < 3 and what < 0.45:
                self.branch(callees, depth)
            elif callees and depth < 2 and what < 0.65:
                self.call(callees)
            else:
                self.straight()

    def function(self, name: str, callees: list[str]) -> None:
        """A function that may call `callees`."""
        slot = self.slot()
        self.lines += [f".globl {name}", f"{name}:", f"sd ra, {slot}"]
        self.block(callees, 0)
        if callees and self.generator.random() < 0.3:
            callee = self.generator.choice(callees)
            self.lines += [f"ld ra, {slot}", f"tail {callee}"]
        else:
            register = self.generator.choice(("ra", "ra", "ra", "t0"))
            self.lines += [f"ld {register}, {slot}", f"jr {register}"]


def make(seed: int, functions: int = 4, rounds: int = 1, world: World = EVERYTHING) -> Program:
    """The program of this seed."""
    generator = random.Random(f"program {seed}")
    names = [f"f{n}" for n in range(functions)]
    bodies = Writer(generator, world)
    while not bodies.lines or bodies.slots > SLOTS:
        bodies = Writer(generator, world)
        for index, name in enumerate(names):
            bodies.function(name, names[index + 1 :])
    calls = [f"call {generator.choice(names[:2])}" for _ in range(generator.randrange(2, 5))]
    program = assemble(_source([*calls], bodies.lines, rounds), name=f"program-{seed}")
    blocks = b"".join(block(generator, world.boxed) + bytes(8 * SLOTS) for _ in range(rounds))
    text, data = program.segments
    segments = [text, Segment(data.start, len(blocks), blocks, True, False)]
    elf = write_elf(segments, entry=program.entry, functions=program.functions)
    cases = tuple((program.symbols[f".Lcase{n}"], program.symbols[f".Lend{n}"]) for n in range(bodies.cases))
    return Program(elf, Image.from_elf(elf, program.name), rounds, cases)


def _source(calls: list[str], functions: list[str], rounds: int) -> str:
    """The source around the calls of one round and the functions."""
    load, store = map(_words, frame(SIZE))
    whole = ["la gp, blocks", "round:", *load, *calls, *store, "la t0, behind", "bltu gp, t0, round"]
    write = f"li a0, 1; la a1, blocks; li a2, {rounds * SIZE}; li a7, 64; ecall; li a0, 0; li a7, 93; ecall"
    data = [".data", "blocks:", f".zero {rounds * SIZE}", "behind:"]
    return "\n".join([".globl _start", "_start:", *whole, write, *functions, *data])


def _words(code: bytes) -> list[str]:
    """Machine code as directives of the assembler."""
    lines: list[str] = []
    place = 0
    while place < len(code):
        size = length_of(code[place])
        word = int.from_bytes(code[place : place + size], "little")
        lines.append(f"{'.half' if size == 2 else '.word'} {word:#x}")
        place += size
    return lines
