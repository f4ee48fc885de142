"""Layouts, shifts and bit strings say the same; no word is two instructions."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from denali.isa.definitions import decode as decoding
from denali.isa.definitions.decode import BY_NAME, DEFINITIONS, decode
from denali.isa.definitions.instruction import Instruction, overlap, parse_layout
from denali.isa.definitions.record import Refused
from denali.isa.tools.encoding import Unencodable, encode, fields, limits


def words_of(one: Instruction, count: int) -> list[int]:
    generator = random.Random(one.name)
    words = (generator.getrandbits(8 * one.length) & ~one.mask | one.match for _ in range(count))
    return [word for word in words if one.accepts(word)]


@pytest.mark.parametrize("one", DEFINITIONS, ids=lambda one: one.name)
def test_shifts_and_bit_strings_agree(one: Instruction) -> None:
    for word in words_of(one, 40):
        operands = one.extract(word)
        assert operands == fields(one, word)
        assert encode(one, operands) == word
        assert decode(word) == (one, operands)


@pytest.mark.full
@pytest.mark.parametrize("one", DEFINITIONS, ids=lambda one: one.name)
def test_shifts_and_bit_strings_agree_on_many_words(one: Instruction) -> None:
    for word in words_of(one, 20_000):
        operands = one.extract(word)
        assert operands == fields(one, word)
        assert encode(one, operands) == word


def test_no_word_is_two_instructions() -> None:
    for a, b in combinations(DEFINITIONS, 2):
        assert a.length != b.length or not overlap(a, b), (a, b)


def test_every_half_is_at_most_one_instruction_and_the_sorted_search_finds_it() -> None:
    for half in range(1 << 16):
        if half & 3 != 3:
            accepting = [one for one in DEFINITIONS if one.length == 2 and one.accepts(half)]
            assert [decoding.find(half)] == (accepting or [None])


def test_random_words_are_at_most_one_instruction() -> None:
    generator = random.Random(0)
    for word in (generator.getrandbits(30) << 2 | 3 for _ in range(3000)):
        accepting = [one for one in DEFINITIONS if one.length == 4 and one.accepts(word)]
        assert [decoding.find(word)] == (accepting or [None])


def test_what_stands_behind_a_half_does_not_matter() -> None:
    assert decode(0xFFFF_8082) == decode(0x8082)


@pytest.mark.parametrize(
    ("name", "operands", "message"),
    [
        ("addi", {"rd": 1, "rs1": 2, "imm": 2048}, "imm = 2048 is not within -2048 to 2047"),
        ("beq", {"rs1": 1, "rs2": 2, "imm": 7}, "imm = 7 is not a multiple of 2"),
        ("lui", {"rd": 1, "imm": 1}, "imm = 1 is not a multiple of 4096"),
        ("c.lw", {"rd": 7, "rs1": 8, "imm": 4}, "rd = 7 is not within 8 to 15"),
        ("c.lui", {"rd": 2, "imm": 4096}, "c.lui does not take these operands: rd = 2"),
        ("fadd.s", {"rd": 1, "rs1": 1, "rs2": 1, "rm": 5}, "fadd.s does not take these operands: rm = 5"),
    ],
)
def test_an_operand_without_bits_is_refused(name: str, operands: dict[str, int], message: str) -> None:
    with pytest.raises(Unencodable) as refusal:
        encode(BY_NAME[name], operands)
    assert str(refusal.value) == message


def test_limits_are_those_of_the_manual() -> None:
    assert limits(BY_NAME["jal"], "imm") == (-(1 << 20), (1 << 20) - 2)
    assert limits(BY_NAME["c.addi4spn"], "imm") == (0, 1020)
    assert limits(BY_NAME["c.addi16sp"], "imm") == (-512, 496)
    assert limits(BY_NAME["slli"], "shamt") == (0, 63)


@pytest.mark.parametrize("layout", ["0000001 rs2:5", "what? rd:5", "0000001 rs2:5 rs1:5 101 rd:5 01100110"])
def test_a_layout_that_cannot_be_is_refused(layout: str) -> None:
    with pytest.raises(Refused):
        parse_layout(layout)
