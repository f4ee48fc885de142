"""How an instruction's operands stand in assembly text: matching what is written with the instruction's form.

A form is the instruction's `text`, like "rd, imm(rs1)" or "rd, fcsr, rs1". Words in it that are no operands of the
instruction (fcsr, sp, zero) are fixed and must stand there.
"""

from __future__ import annotations

import re

from ..definitions.decode import DEFINITIONS
from ..definitions.instruction import Instruction
from ..definitions.operands import Kind
from ..definitions.record import Op
from . import names
from .syntax import AssemblyError, Operand

BY_MNEMONIC: dict[str, list[Instruction]] = {}
for _one in DEFINITIONS:
    BY_MNEMONIC.setdefault(_one.mnemonic, []).append(_one)


def split_order(name: str) -> tuple[str, int]:
    """A mnemonic without its ordering suffix, and that suffix's bits."""
    for suffix, bits in names.ORDERS.items():
        stem = name.removesuffix(suffix)
        if suffix and stem != name and any(Kind.ORDER in one.operands.values() for one in BY_MNEMONIC.get(stem, [])):
            return stem, bits
    return name, 0


def literals_fit(one: Instruction, operands: tuple[Operand, ...]) -> bool:
    """Whether these are as many operands as the instruction has, and its fixed ones (like fcsr, sp) stand there."""
    forms = one.text.split(", ") if one.text else []
    optional = bool(forms) and one.operands.get(forms[-1]) is Kind.ROUNDING
    if len(operands) not in (len(forms), len(forms) - optional):
        return False
    return all(
        form in one.operands or "(" in form or same_literal(form, operand.text)
        for form, operand in zip(forms, operands, strict=False)
    )


def same_literal(form: str, text: str) -> bool:
    """Whether `text` is another way to write the fixed operand `form`."""
    number = names.X_NUMBERS.get(form)
    return form == text or (number is not None and names.X_NUMBERS.get(text) == number)


MEMORY = re.compile(r"(?P<offset>.*?)\s*\(\s*(?P<base>[\w.]+)\s*\)", re.DOTALL)


def operand_parts(one: Instruction, form: str, operand: Operand) -> list[tuple[str, Operand]]:
    """Operands of the instruction that one written operand gives: "imm(rs1)" gives two, a fixed one none."""
    form_match = MEMORY.fullmatch(form)
    if form_match is None:
        return [(form, operand)] if form in one.operands else []
    match = MEMORY.fullmatch(operand.text)
    if match is None:
        raise AssemblyError(f"{operand.text!r} should look like {form}", operand.place)
    parts: list[tuple[str, Operand]] = []
    offset, base = form_match["offset"], form_match["base"]
    if offset:
        parts.append((offset, Operand(match["offset"] or "0", operand.place)))
    elif match["offset"] not in ("", "0"):
        raise AssemblyError("this instruction takes no offset", operand.place)
    base_operand = Operand(match["base"], operand.place.moved(match.start("base")))
    if base in one.operands:
        parts.append((base, base_operand))
    elif not same_literal(base, match["base"]):
        raise AssemblyError(f"the base register is {base} here", base_operand.place)
    return parts


SYMBOLIC = re.compile(r"(?:[A-Za-z_.$]|\d+[fb]\b)[^()]*$")


def accessing_symbol(name: str, operands: tuple[Operand, ...]) -> Instruction | None:
    """The load or store of that name, if it is written with a symbol for an address: "ld a0, x" or "sd a0, x, t0"."""
    if len(operands) > 1 and operands[1].text in names.X_NUMBERS:
        return None
    for one in BY_MNEMONIC.get(name, []):
        register, _, memory = one.text.partition(", ")
        if memory == "imm(rs1)" and one.has(Op.LOAD, Op.STORE) and not name.startswith("c."):
            count = 2 if one.operands[register] is Kind.X and register == "rd" else 3
            return one if len(operands) == count and SYMBOLIC.match(operands[1].text) else None
    return None
