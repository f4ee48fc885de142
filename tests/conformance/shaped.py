"""Random programs with a shape: functions, loops and calls around the random instructions of `streams`.

The random instructions may change every register but gp, sp and ra included; what a loop or a return needs is kept in
memory behind the block that gp points to. Every program ends, then writes its block by Linux system calls (see
`streams`); machines without them stop there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from streams import BLOCK, GROUPS, POOL, Case, block, frame

from denali.isa.assembler import assemble
from denali.isa.decode import length_of
from denali.isa.image import Image

SLOTS = 64  # doublewords behind the block: loop counters and return addresses
SIZE = BLOCK + 8 * SLOTS
MEMBERS = [[one for one in POOL if one.extension == group] for group in GROUPS]


@dataclass(frozen=True, slots=True)
class Program:
    """A program as ELF file and as image; its block is the first `SIZE` bytes of private memory."""

    elf: bytes
    image: Image
    source: str


class Writer:
    """Assembly source in the making."""

    def __init__(self, generator: random.Random) -> None:
        """An empty source; all choices come from `generator`."""
        self.generator = generator
        self.lines: list[str] = []
        self.labels = 0
        self.slots = 0

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
            case.add(self.generator.choice(self.generator.choice(MEMBERS)))
        code = case.words()
        place = 0
        while place < len(code):
            size = length_of(code[place])
            word = int.from_bytes(code[place : place + size], "little")
            self.lines.append(f"{'.half' if size == 2 else '.word'} {word:#x}")
            place += size

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


def make(seed: int, functions: int = 4) -> Program:
    """The program of this seed."""
    generator = random.Random(f"program {seed}")
    names = [f"f{n}" for n in range(functions)]
    bodies = Writer(generator)
    while not bodies.lines or bodies.slots > SLOTS:
        bodies = Writer(generator)
        for index, name in enumerate(names):
            bodies.function(name, names[index + 1 :])
    load, store = (_words(code) for code in frame())
    rounds = [f"call {generator.choice(names[:2])}" for _ in range(generator.randrange(2, 5))]
    end = [
        "la gp, block",
        "li a0, 1",
        "la a1, block",
        f"li a2, {SIZE}",
        "li a7, 64",
        "ecall",
        "li a0, 0",
        "li a7, 93",
        "ecall",
    ]
    text = [".globl _start", "_start:", "la gp, block", *load, *rounds, *store, *end, *bodies.lines]
    data = [f".byte {', '.join(map(str, block(generator)))}", f".zero {8 * SLOTS}"]
    source = "\n".join([*text, ".data", "block:", *data])
    program = assemble(source, name=f"program-{seed}")
    return Program(program.elf(), program.image(), source)


def _words(code: bytes) -> list[str]:
    return [f".word {int.from_bytes(code[n : n + 4], 'little'):#x}" for n in range(0, len(code), 4)]
