"""Every encoding means what binutils says it means."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

import oracles
import pytest

from denali.isa.definitions.decode import DEFINITIONS, find, length_of
from denali.isa.definitions.instruction import Instruction
from denali.isa.tools.disassembler import disassemble

OUR_REGISTERS = {0x001, 0x002, 0x003, 0xC00, 0xC01, 0xC02}


def is_control(word: int) -> bool:
    return word & 0x7F == 0b1110011 and word >> 12 & 3 != 0


def is_exact_conversion(word: int) -> bool:
    return word & 0xFFF0_007F == 0x4200_0053 or word & 0xFFE0_007F == 0xD200_0053


# Where we and binutils 2.40 differ, and why; the sweep must meet each, else it has to go.
WE_ACCEPT: dict[str, Callable[[int], bool]] = {
    "fence and fence.i with reserved fields: the manual says, ignore these fields": lambda w: w & 0x607F == 0x000F,
    "our virtual instructions": lambda w: w & 0x707F == 0x000B,
    "exact conversions have a rounding mode like the others": is_exact_conversion,
}
THEY_ACCEPT: dict[str, Callable[[int], bool]] = {
    "control registers that a guest does not have, or cannot write": is_control,
    "reserved rounding modes, printed as unknown": lambda w: w >> 12 & 7 in (5, 6) and w & 0x60 == 0x40,
    "privileged returns and waits": lambda w: w & 0x707F == 0b1110011 and w not in (0x73, 0x100073),
    "c.addi16sp of zero: reserved": lambda w: w == 0x6101,
}
OTHER_TEXT: dict[str, Callable[[int], bool]] = {
    "c.nop with an immediate, printed as c.addi zero": lambda w: w & 0xEF83 == 0x0001,
    "shifts by zero, printed as c.slli64, c.srli64, c.srai64": lambda w: (
        w & 0xF07F == 0x0002 or w & 0xF87F in (0x8001, 0x8401)
    ),
    "exact conversions, whose rounding mode they leave out": is_exact_conversion,
    "fence with an empty set, printed as unknown": lambda w: w & 0x707F == 0x000F and 0 in (w >> 20 & 15, w >> 24 & 15),
    "fence.tso: to us a fence rw,rw, which orders more": lambda w: w == 0x8330_000F,
}
FIELDS = (0x0000_0F80, 0x0000_7000, 0x000F_8000, 0x01F0_0000, 0x0E00_0000, 0xF000_0000)  # of 32-bit instructions


def with_some_fields_zero(generator: random.Random, word: int) -> int:
    """A word of 32 bits with some of its fields cleared, which hardly come so by chance."""
    return word & ~sum(field for field in FIELDS if generator.random() < 0.3)


def words_of(one: Instruction, generator: random.Random, count: int) -> Iterator[int]:
    """Words that are `one`, and words that differ from one in a single bit."""
    for turn in range(count):
        word = generator.getrandbits(8 * one.length)
        if one.length == 4 and turn % 2:
            word = with_some_fields_zero(generator, word)
        word = word & ~one.mask | one.match
        yield word
        if turn % 3 == 0:
            yield word ^ 1 << generator.randrange(2, 8 * one.length)


def sweep(seed: int, each: int, free: int) -> list[int]:
    """Words from every definition, all 16-bit ones, and `free` random ones; none of the longer formats."""
    generator = random.Random(seed)
    words = [w for one in DEFINITIONS for w in words_of(one, generator, each)]
    words += [half for half in range(1 << 16) if half & 3 != 3]
    words += [0x0020_0073, 0x1020_0073, 0x1050_0073, 0x3020_0073, 0x8330_000F]  # uret, sret, wfi, mret, fence.tso
    words += [generator.getrandbits(30) << 2 | 3 for _ in range(free // 2)]
    words += [with_some_fields_zero(generator, generator.getrandbits(30) << 2 | 3) for _ in range(free // 2)]
    return [w for w in words if w & 0x1F != 0x1F]


def disagreement(word: int, theirs: str, pc: int) -> tuple[dict[str, Callable[[int], bool]], str] | None:
    """The list of exceptions that a difference belongs to, and the difference; None where both agree."""
    ours = disassemble(word, pc)
    accepted = not theirs.startswith((".", "unimp", "c.unimp"))
    if find(word) is None:
        return (THEY_ACCEPT, f"they accept {word:#x}: {theirs}") if accepted else None
    if not accepted:
        return WE_ACCEPT, f"only we accept {word:#x}: {ours}"
    if oracles.normal(ours) != oracles.normal(theirs):
        return OTHER_TEXT, f"{word:#x}: we say {ours!r}, they {theirs!r}"
    return None


def check(words: list[int]) -> Counter[str]:
    """Compare all; how often each exception was needed."""
    needed, wrong, pc = Counter[str](), list[str](), oracles.START
    for word, theirs in zip(words, oracles.objdump(words), strict=True):
        difference = disagreement(word, theirs, pc)
        pc += length_of(word)
        if difference is None:
            continue
        reason = next((reason for reason, covers in difference[0].items() if covers(word)), None)
        needed[reason or ""] += 1
        if reason is None:
            wrong.append(difference[1])
    assert not wrong, f"{len(wrong)} differ, among them:\n" + "\n".join(wrong[:20])
    return needed


@oracles.needs(oracles.OBJDUMP)
def test_decoder_and_disassembler_agree_with_binutils() -> None:
    needed = check(sweep(seed=1, each=24, free=20_000))
    assert set(needed) == {*WE_ACCEPT, *THEY_ACCEPT, *OTHER_TEXT}, "an exception that is not needed must go"


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2, 12))
@oracles.needs(oracles.OBJDUMP)
def test_decoder_and_disassembler_agree_with_binutils_on_a_million_words(seed: int) -> None:
    check(sweep(seed, each=200, free=1_000_000))
