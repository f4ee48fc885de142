"""Random programs in the shape that compilers give: small functions with frames, recursion, loops at their beginning.

And in shapes that they never give: a function may come back with another stack pointer, to another place, with other
registers than it has to keep. Whatever happens, a program runs until its fuel ends or it traps.
"""

from __future__ import annotations

import random

from denali.isa.image import Image
from denali.isa.tools.assembler import assemble

INTEGERS = ("a0", "a1", "a2", "a3", "t0", "t1", "t2", "s0", "s1", "s2", "s5")
DOUBLES = ("fa0", "fa1", "fs0", "ft0")
SMALL = ("li {0}, {n}", "add {0}, {1}, {2}", "sub {0}, {1}, {2}", "xor {0}, {1}, {2}", "sltu {0}, {1}, {2}",
         "slli {0}, {1}, {k}", "srai {0}, {1}, {k}", "addiw {0}, {1}, {n}", "mv {0}, {1}", "rdinstret {0}")  # fmt: skip
FLOATS = ("fadd.d {f}, {g}, {h}", "fmul.d {f}, {g}, {h}", "fsub.d {f}, {g}, {h}", "fmv.d {f}, {g}",
          "fmv.d.x {f}, {0}", "fmv.x.d {0}, {f}", "fadd.s {f}, {g}, {h}", "fsqrt.d {f}, {g}")  # fmt: skip
FRAMES = ("sd {0}, {slot}(sp)", "ld {0}, {slot}(sp)", "lbu {0}, {slot}(sp)", "sw {0}, {slot}(sp)",
          "fsd {f}, {slot}(sp)", "fld {f}, {slot}(sp)", "addi {0}, sp, {slot}")  # fmt: skip
THROUGH = ("ld {0}, {near}({1})", "sd {0}, {near}({1})", "lhu {0}, {near}({1})", "la {0}, words", "la {0}, bytes")

NANS = (0x7FF8_0000_0000_1234, 0x7FF0_0000_0000_1234, 0xFFF8_0000_0000_0000)  # one with bits, a signalling, a negative


class Writer:
    """Assembly source in the making."""

    def __init__(self, generator: random.Random) -> None:
        """An empty source; all choices come from `generator`."""
        self.generator = generator
        self.lines: list[str] = []
        self.labels = 0

    def one(self, room: int) -> None:
        """One instruction; `room` is the size of the frame."""
        pick = self.generator.choice
        forms = pick((SMALL, SMALL, FLOATS, FRAMES if room else SMALL, THROUGH if pick((0, 0, 1)) else SMALL))
        text = pick(forms).format(
            *(pick(INTEGERS) for _ in range(3)),
            n=self.generator.randrange(-64, 64),
            k=self.generator.randrange(64),
            f=pick(DOUBLES),
            g=pick(DOUBLES),
            h=pick(DOUBLES),
            slot=8 * self.generator.randrange(max(1, room // 8)),
            near=8 * self.generator.randrange(-2, 3),
        )
        self.lines.append(text)

    def some(self, room: int, callees: list[str], depth: int) -> None:
        """A few instructions, loops, branches and calls."""
        for _ in range(self.generator.randrange(1, 5)):
            what = self.generator.random()
            if depth < 2 and what < 0.2:
                self.loop(room, callees, depth)
            elif depth < 2 and what < 0.3:
                self.branch(room, callees, depth)
            elif callees and what < 0.5:
                self.call(self.generator.choice(callees))
            else:
                self.one(room)

    def call(self, callee: str) -> None:
        """A call, near or by a register that it changes."""
        near = self.generator.random() < 0.6
        self.lines += [f"jal ra, {callee}"] if near else [f"la ra, {callee}", "jalr ra, 0(ra)"]

    def label(self) -> str:
        """A fresh label."""
        self.labels += 1
        return f".L{self.labels}"

    def loop(self, room: int, callees: list[str], depth: int) -> None:
        """A loop with a counter."""
        top, counter = self.label(), self.generator.choice(INTEGERS)
        if self.generator.random() < 0.4:  # a NaN that is not the canonical one comes into the loop
            self.lines.append(f"fmv.d.x {self.generator.choice(DOUBLES)}, s11")
        self.lines += [f"li {counter}, {self.generator.randrange(1, 6)}", f"{top}:"]
        self.some(room, callees, depth + 1)
        self.lines += [f"addi {counter}, {counter}, -1", f"bgtz {counter}, {top}"]

    def branch(self, room: int, callees: list[str], depth: int) -> None:
        """Something that may be passed over."""
        over = self.label()
        a, b = (self.generator.choice(INTEGERS) for _ in range(2))
        self.lines.append(f"{self.generator.choice(('beq', 'bne', 'blt', 'bgeu'))} {a}, {b}, {over}")
        self.some(room, callees, depth + 1)
        self.lines.append(f"{over}:")

    def function(self, name: str, callees: list[str]) -> None:
        """A function; one that calls keeps x1 and perhaps s0 in a frame."""
        chance = self.generator.random
        self.lines.append(f"{name}:")
        if not callees and chance() < 0.4:  # a loop is where the function begins
            self.one(0)
            self.lines += [f"addi s1, s1, {self.generator.choice((-1, -3, 5))}", f"bgtz s1, {name}", "ret"]
            return
        room = self.generator.choice((16, 32, 64)) if callees else self.generator.choice((0, 0, 16))
        if room:
            self.lines += [f"addi sp, sp, -{room}", f"sd s0, {room - 16}(sp)", f"sd ra, {room - 8}(sp)"]
        self.some(max(0, room - 16), callees, 0)
        if room:
            self.lines += [f"ld ra, {room - 8}(sp)", f"ld s0, {room - 16}(sp)"]
            self.lines.append(f"addi sp, sp, {room + (8 if chance() < 0.08 else 0)}")
        if chance() < 0.1:
            self.lines.append(f"addi ra, ra, {self.generator.choice((1, 2, 4))}")
        self.lines.append("ret")


def make(seed: int) -> Image:
    """The program of this seed."""
    generator = random.Random(f"leafy {seed}")
    writer = Writer(generator)
    names = [f"f{n}" for n in range(generator.randrange(2, 6))]
    values = ("words", NANS[seed % len(NANS)]), ("more", 3)
    starts = [f"{name}: .dword {value:#x}" for name, value in values]
    writer.lines += [".text", "_start:", "la t0, words", *(f"fld {f}, 0(t0)" for f in DOUBLES[:2])]
    writer.lines += ["ld s11, 0(t0)", "li s1, 9"]
    writer.some(0, names, 0)
    writer.lines.append("j _start")
    for index, name in enumerate(names):
        last = index == len(names) - 1
        callees = [] if last else names[index + 1 :] + ([name] if generator.random() < 0.4 else [])
        writer.function(name, callees)
    data = [".rodata", "bytes: .byte 1, 2, 3, 4, 5, 6, 7, 8", ".zero 32", ".data", *starts, ".zero 64"]
    return assemble("\n".join([*writer.lines, *data]) + "\n").image()
