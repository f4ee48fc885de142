"""Layouts as bit strings: encodes for the assembler, and decodes as the oracle for the derived shifts.

What `Instruction.extract` does with shifts, `fields` does by taking bit strings apart; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping

from bitstring import BitArray, Bits

from ..definitions.instruction import Instruction
from ..definitions.operands import DYNAMIC_ROUNDING, Kind


class Unencodable(ValueError):
    """An operand has a value for which the instruction has no bits; the message says which values it takes."""

    def __init__(self, operand: str, message: str) -> None:
        super().__init__(message)
        self.operand = operand


DEFAULTS = {Kind.ROUNDING: DYNAMIC_ROUNDING, Kind.ORDER: 0}


def encode(one: Instruction, operands: Mapping[str, int]) -> int:
    """The word of an instruction; rounding mode and ordering may be left out.

    Raises:
        Unencodable: an operand's value has no encoding.
        KeyError: an operand is missing.
    """
    values = {name: DEFAULTS[kind] for name, kind in one.operands.items() if kind in DEFAULTS} | dict(operands)
    strings = {name: operand_bits(one, name, values[name]) for name in one.operands}
    parts: list[Bits] = []
    for piece in one.pieces:
        if piece.name:
            whole = strings[piece.name]
            end = len(whole) - piece.low
            parts.append(whole[end - piece.width : end])
        else:
            parts.append(Bits(uint=piece.low, length=piece.width))
    word = Bits().join(parts).uint
    if not one.accepts(word):
        raise Unencodable("", f"{one.name} does not take these operands: {excluded(one, word)}")
    return word


def operand_bits(one: Instruction, name: str, value: int) -> Bits:
    """The value of an operand as the bit string from which the layout takes its pieces."""
    kind, width = one.operands[name], one.bits(name)
    low, high = limits(one, name)
    if not low <= value <= high:
        raise Unencodable(name, f"{name} = {value} is not within {low} to {high}")
    unit = unit_of(one, name)
    if value % unit:
        raise Unencodable(name, f"{name} = {value} is not a multiple of {unit}")
    number = value - kind.first
    return Bits(int=number, length=width) if kind.is_signed else Bits(uint=number, length=width)


def limits(one: Instruction, name: str) -> tuple[int, int]:
    """The smallest and the largest value of an operand."""
    kind, width, unit = one.operands[name], one.bits(name), unit_of(one, name)
    if kind.is_signed:
        return -(1 << (width - 1)), (1 << (width - 1)) - unit
    return kind.first, kind.first + (1 << width) - unit


def unit_of(one: Instruction, name: str) -> int:
    """What every value of an operand is a multiple of: its lowest bits that are not encoded are zero."""
    return 1 << min(piece.low for piece in one.pieces if piece.name == name)


def excluded(one: Instruction, word: int) -> str:
    """Which of the instruction's exclusions the word meets, in words."""
    values = one.extract(word)
    names = {p.name for mask, match in one.exclusions if word & mask == match for p in one.pieces if p.mask & mask}
    return ", ".join(f"{name} = {values[name]}" for name in sorted(names)) or "no exclusion"


def fields(one: Instruction, word: int) -> dict[str, int]:
    """The operands of `word`, taken apart as a bit string."""
    bits = Bits(uint=word, length=8 * one.length)
    strings = {name: BitArray(uint=0, length=one.bits(name)) for name in one.operands}
    position = 0
    for piece in one.pieces:
        if piece.name:
            whole = strings[piece.name]
            end = len(whole) - piece.low
            whole[end - piece.width : end] = bits[position : position + piece.width]
        position += piece.width
    return {
        name: (strings[name].int if kind.is_signed else strings[name].uint) + kind.first
        for name, kind in one.operands.items()
    }
