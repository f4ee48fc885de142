"""From a word to its instruction and operands; also the place where all definitions come together.

>>> one, operands = decode(0x02C5D533)
>>> one.name, operands
('divu', {'rd': 10, 'rs1': 11, 'rs2': 12})
"""

from __future__ import annotations

from functools import cache

from . import atomic, bits, compressed, float, integer, multiply, services, system
from .instruction import DEFINITIONS, Instruction

EXTENSIONS = (integer, multiply, atomic, float, compressed, bits, system, services)
BY_NAME = {one.name: one for one in DEFINITIONS}


def length_of(word: int) -> int:
    """Bytes of the instruction that begins with these (at least 16) bits; the longer formats are never instructions."""
    return 4 if word & 3 == 3 else 2


def decode(word: int) -> tuple[Instruction, dict[str, int]] | None:
    """The instruction that `word` is, and its operands; None when it is illegal.

    A word whose two low bits are not both ones is a 16-bit instruction; what stands above those 16 bits is ignored.
    """
    if word & 3 != 3:
        word &= 0xFFFF
    one = find(word)
    return None if one is None else (one, one.extract(word))


def find(word: int) -> Instruction | None:
    """The instruction that `word` is, without its operands; of 16 or 32 bits, as its low bits say."""
    for one in candidates(word & KEY):
        if one.accepts(word):
            return one
    return None


KEY = 0x707F  # bits by which definitions are sorted: opcode and funct3


@cache
def candidates(key: int) -> tuple[Instruction, ...]:
    """The definitions that a word with these key bits may be."""
    length = length_of(key)
    return tuple(one for one in DEFINITIONS if one.length == length and not (one.match ^ key) & one.mask & KEY)
