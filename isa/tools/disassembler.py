"""Machine words as text: what the assembler reads, and what binutils' objdump -M no-aliases prints."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..definitions.decode import decode, length_of
from ..definitions.instruction import Instruction
from ..definitions.operands import DYNAMIC_ROUNDING, Kind
from ..image import Image
from . import names

WORDS = re.compile(r"\w+")


def disassemble(word: int, pc: int = 0) -> str:
    """The text of an instruction at address `pc`; a word that is none becomes data, `.word` or `.half`."""
    found = decode(word)
    if found is None:
        return f".word {word:#010x}" if length_of(word) == 4 else f".half {word & 0xFFFF:#06x}"
    one, operands = found
    form = one.text
    if operands.get("rm") == DYNAMIC_ROUNDING:
        form = form.removesuffix(", rm")
    order = next((names.ORDER_NAMES[operands[n]] for n, kind in one.operands.items() if kind is Kind.ORDER), "")
    text = WORDS.sub(lambda m: operand_text(one, m[0], operands, pc), form)
    return f"{one.mnemonic}{order} {text}".rstrip().replace(", ", ",")


def operand_text(one: Instruction, name: str, operands: dict[str, int], pc: int) -> str:
    """How a word of an instruction's form is written: an operand's value; what is no operand stays as it is."""
    if name not in one.operands:
        return name
    kind, value = one.operands[name], operands[name]
    if kind.is_register:
        return names.register_name(value, kind)
    if kind is Kind.ROUNDING:
        return names.ROUNDING_NAMES[value]
    if kind is Kind.FENCE:
        return names.fence_set(value) or "0"
    if kind is Kind.OFFSET:
        return hex((pc + value) & (1 << 64) - 1)
    if kind is Kind.UPPER:
        return hex(value >> 12 & 0xFFFFF)
    return str(value)


def words(code: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Addresses and words of the instructions in `code`, one after the other; a half that is left over is one too."""
    position = 0
    while position + 2 <= len(code):
        word = int.from_bytes(code[position : position + 2], "little")
        if length_of(word) == 4 and position + 4 <= len(code):
            word = int.from_bytes(code[position : position + 4], "little")
        yield start + position, word
        position += length_of(word) if position + length_of(word) <= len(code) else 2


def listing(image: Image) -> Iterator[str]:
    """An image line by line: functions, source lines where they are known, addresses, words and instructions."""
    functions = {symbol.start: symbol.name for symbol in image.functions}
    code = image.read_only[image.text_start - image.ro_start : image.text_end - image.ro_start]
    source: tuple[str, int] | None = None
    for address, word in words(code, image.text_start):
        if address in functions:
            yield f"\n{address:x} <{functions[address]}>:"
        place = image.line_at(address)
        if place is not None and place != source:
            yield f"; {place[0]}:{place[1]}"
        source = place
        if address + length_of(word) > image.text_end:
            yield f"  {address:8x}: {word:04x}      .half {word:#06x}"
            continue
        digits = f"{word:08x}" if length_of(word) == 4 else f"{word:04x}    "
        yield f"  {address:8x}: {digits}  {disassemble(word, address)}{target(image, word, address)}"


def target(image: Image, word: int, address: int) -> str:
    """Behind a jump or branch the function it leads to, in angle brackets."""
    found = decode(word)
    offsets = [n for n, kind in found[0].operands.items() if kind is Kind.OFFSET] if found is not None else []
    return f" <{image.function_at(address + found[1][offsets[0]])}>" if found is not None and offsets else ""
