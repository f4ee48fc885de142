"""Directives of the assembler: data, space, alignment, sections, names."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from .expressions import ESCAPES
from .syntax import AssemblyError, Operand, Statement

if TYPE_CHECKING:
    from .assembler import Assembler

SECTIONS = {".text": "text", ".rodata": "rodata", ".data": "data", ".bss": "bss"}


def _integers(size: int) -> Callable[[Assembler, Statement], None]:
    def handle(assembler: Assembler, statement: Statement) -> None:
        for operand in statement.operands:
            assembler.append(size, lambda address, o=operand: _integer(assembler, o, size, address))

    return handle


def _integer(assembler: Assembler, operand: Operand, size: int, address: int) -> bytes:
    value = assembler.evaluate(operand, address)
    if not -(1 << (8 * size - 1)) <= value < 1 << 8 * size:
        raise AssemblyError(f"{value} does not fit {size} bytes", operand.place)
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def _text(end: bytes) -> Callable[[Assembler, Statement], None]:
    def handle(assembler: Assembler, statement: Statement) -> None:
        for operand in statement.operands:
            content = _string(operand) + end
            assembler.append(len(content), lambda _, c=content: c)

    return handle


def _string(operand: Operand) -> bytes:
    text = operand.text
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        raise AssemblyError(f"{text} should be a string in double quotes", operand.place)
    plain = re.sub(
        r"\\(x[0-9a-fA-F]{2}|.)",
        lambda m: chr(int(m[1][1:], 16)) if len(m[1]) == 3 else ESCAPES.get(m[1], m[1]),
        text[1:-1],
    )
    return plain.encode()


def _zero(assembler: Assembler, statement: Statement) -> None:
    size = assembler.known(_only(statement))
    if not 0 <= size <= 1 << 28:
        raise AssemblyError(f"cannot reserve {size} bytes", statement.place)
    assembler.section.size += size


def _align(assembler: Assembler, statement: Statement) -> None:
    """To a power of two; text is filled with nops where they fit."""
    power = assembler.known(_only(statement))
    if not 0 <= power <= 12:
        raise AssemblyError(f"2 to the power of {power} is no alignment here: 0 to 12", statement.place)
    section = assembler.section
    gap = -section.size % (1 << power)
    if section.name == "text" and gap % 2 == 0:
        assembler.append(gap, lambda _: b"\x01\x00" * (gap // 2))
    else:
        section.size += gap


def _set(assembler: Assembler, statement: Statement) -> None:
    if len(statement.operands) != 2:
        raise AssemblyError(f"{statement.name} takes a name and a value", statement.place)
    name, value = statement.operands
    if name.text in assembler.labels:
        raise AssemblyError(f"{name.text!r} is a label", name.place)
    assembler.constants[name.text] = assembler.known(value)


def _export(assembler: Assembler, statement: Statement) -> None:
    assembler.exported.update(operand.text for operand in statement.operands)


def _section(assembler: Assembler, statement: Statement) -> None:
    name = statement.operands[0].text if statement.operands else ""
    known = next((s for s in SECTIONS if name == s or name.startswith(s + ".")), None)
    if known is None:
        raise AssemblyError(f"no section {name!r}; there are {' '.join(SECTIONS)}", statement.place)
    assembler.section = assembler.sections[SECTIONS[known]]


def _only(statement: Statement) -> Operand:
    if len(statement.operands) != 1:
        raise AssemblyError(f"{statement.name} takes one operand", statement.place)
    return statement.operands[0]


DIRECTIVES: dict[str, Callable[[Assembler, Statement], None]] = {
    ".byte": _integers(1), ".half": _integers(2), ".word": _integers(4), ".dword": _integers(8),
    ".ascii": _text(b""), ".asciz": _text(b"\0"), ".string": _text(b"\0"),
    ".zero": _zero, ".skip": _zero, ".align": _align, ".p2align": _align, ".equ": _set, ".set": _set,
    ".globl": _export, ".global": _export, ".section": _section,
}  # fmt: skip
