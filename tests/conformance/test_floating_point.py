"""Floating point on every engine against exact fractions: edges, every rounding mode, results and flags."""

from __future__ import annotations

import itertools
import random

import arithmetic_guests as guests
import exact
import numpy as np
import pytest
from engines import ENGINES

from denali.isa.translator.units import Program

INTEGERS = (
    *(0, 1, 2, (1 << 24) + 1, (1 << 25) + 3, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 53) + 1),
    *((1 << 54) + 3, (1 << 63) - 513, (1 << 63) - 512, (1 << 63) - 1, 1 << 63, (1 << 64) - 1025, (1 << 64) - 1024),
    *((1 << 64) - (1 << 38), (1 << 64) - (1 << 31), (1 << 64) - 3, (1 << 64) - 1, 0x0123456789ABCDEF),
)
BROKEN_BOXES = (0x3F800000, 0xFFFFFFFE_3F800000, 0x7FFFFFFF_80000001, 0x3FF00000_00000000)
MOST = {"reference": 150, "interpreter": 1500, "translated": 1500}  # operands for each instruction and mode


def edges(form: exact.Format) -> list[int]:
    """Where something changes: zeros, subnormals, powers of two, halves, the ends of the integers, infinities, NaNs."""
    top = 1 << (form.precision - 1)
    one = form.bias << (form.precision - 1)
    numbers = [0, 1, 2, top - 1, top, top + 1, one - 1, one, one + 1, one + top // 2, form.infinity - 1]
    numbers += [one - top, one - top + 1, one + top]  # a half, a little more, two
    for bits in (31, 32, 63, 64):
        power = (form.bias + bits) << (form.precision - 1)
        numbers += [power - 1, power]
    numbers += [(form.bias - form.precision) << (form.precision - 1), 2 * top - 1, (form.bias // 2) * top + 5]
    numbers += [form.infinity, form.nan, form.nan + 5, form.infinity + 1, form.infinity + top // 4]
    return [sign | bits for bits in numbers for sign in (0, form.sign)]


def singles_in_doubles() -> list[int]:
    """Doubles at the edges of single."""
    single = exact.SINGLE
    at = [exact.value(single, bits) for bits in edges(single) if bits & ~single.sign < single.infinity]
    near = [exact.rounded(exact.DOUBLE, number, 0)[0] for number in at]
    return [bits + step for bits in near for step in (-1, 0, 1) if bits & ~exact.DOUBLE.sign]


def operands_of(kind: str) -> list[int]:
    if kind == "x":
        return list(INTEGERS)
    if kind == "s":
        return [0xFFFFFFFF << 32 | bits for bits in edges(exact.SINGLE)] + list(BROKEN_BOXES)
    return edges(exact.DOUBLE)


def rows(one: guests.Instruction, most: int) -> list[tuple[int, ...]]:
    """All combinations of edges, or as many of them as `most`, always the same."""
    columns = [operands_of(kind) for kind in one.operands]
    if one.name == "fcvt.s.d":
        columns = [columns[0] + singles_in_doubles()]
    combinations = list(itertools.product(*columns)) if len(columns) < 3 else None
    if combinations is not None and len(combinations) <= most:
        return combinations
    generator = random.Random(one.name)
    if combinations is not None:
        equal = [pair for pair in combinations if len(set(pair)) == 1]
        return [*generator.sample(combinations, most - most // 3), *generator.sample(equal, min(len(equal), most // 3))]
    return [tuple(generator.choice(column) for column in columns) for _ in range(most)]


def check(engine: str, one: guests.Instruction, named: str, mode: int, most: int) -> list[str]:
    """Complaints about `one` with the rounding mode `mode`, named by the instruction or (named "dyn") in frm."""
    given = rows(one, most)
    frm = mode if named == guests.DYNAMIC else (mode + 1) % 5  # what the instruction names overrules frm
    table = guests.apply(engine, one, named, np.array(given, np.uint64).reshape(len(given), -1), frm)
    wrong: list[str] = []
    for operands, (bits, flags) in zip(given, table.tolist(), strict=True):
        answer = guests.expected(one, operands, mode)
        if (bits, flags) != answer:
            shown = ", ".join(f"{bits:#018x}" for bits in operands)
            wrong.append(f"{one.name}({shown}) {named} {mode}: {bits:#x} {flags:#x}, not {answer[0]:#x} {answer[1]:#x}")
    return wrong


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", guests.INSTRUCTIONS)
def test_edges_are_as_exact_arithmetic_has_them(name: str, engine: str) -> None:
    one = guests.INSTRUCTIONS[name]
    most = MOST[engine] // (5 if one.rounds else 1)
    named = [(mode, number) for number, mode in enumerate(guests.MODES)] + [(guests.DYNAMIC, n) for n in range(5)]
    wrong: list[str] = []
    for mode, number in named if one.rounds else [("", 0)]:
        wrong += check(engine, one, mode, number, most)
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong[:8])


@pytest.mark.parametrize("name", guests.INSTRUCTIONS)
def test_translated_code_has_the_instruction_and_does_not_leave_it_to_the_interpreter(name: str) -> None:
    one = guests.INSTRUCTIONS[name]
    at_work = guests.function_name(one, guests.DYNAMIC) + guests.AT_WORK
    start = next(symbol.start for symbol in guests.image().functions if symbol.name == at_work)
    first = Program(guests.image()).functions[start].blocks[start]
    assert name in {located.instruction.name for located in first.code}
