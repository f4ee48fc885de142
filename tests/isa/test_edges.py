"""Integer instructions at their edges, against what the manual says in words, on every engine."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from engines import ENGINES, Start
from test_control import RD, RS1, RS2, after_each, word_of

from denali.isa.definitions.decode import BY_NAME
from denali.isa.definitions.record import ALL_ONES, Cause

VALUES = (0, 1, 2, 7, -1, -2, -7, 1 << 31, -1 << 31, (1 << 31) - 1, (1 << 32) - 1, -1 << 63, (1 << 63) - 1, 0x80)
BYTES = (0, 0x01, 0x0100, 0x8000_0000_0000_0000, 0x0080_0001_1000_0200, -1, 0x1020_4080_0102_0408)
AMOUNTS = (0, 1, 31)


def signed(value: int, width: int = 64) -> int:
    value &= (1 << width) - 1
    return value - (value >> (width - 1) << width)


def quotient(a: int, b: int) -> int:
    return -1 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def remainder(a: int, b: int) -> int:
    return a if b == 0 else a - b * quotient(a, b)


DIVISIONS: dict[str, tuple[Callable[[int, int], int], bool, int]] = {
    "div": (quotient, True, 64),
    "divu": (quotient, False, 64),
    "rem": (remainder, True, 64),
    "remu": (remainder, False, 64),
    "divw": (quotient, True, 32),
    "divuw": (quotient, False, 32),
    "remw": (remainder, True, 32),
    "remuw": (remainder, False, 32),
}


def read(value: int, width: int, is_signed: bool) -> int:
    return signed(value, width) if is_signed else value & (1 << width) - 1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", DIVISIONS)
def test_division_never_traps_and_has_an_answer_for_zero_and_overflow(name: str, engine: str) -> None:
    operation, is_signed, width = DIVISIONS[name]
    pairs = list(itertools.product(VALUES, repeat=2))
    starts = [Start(x={RS1: a, RS2: b}) for a, b in pairs]
    outcomes, _ = after_each(engine, [word_of(BY_NAME[name])] * len(pairs), starts)
    for (a, b), outcome in zip(pairs, outcomes, strict=True):
        answer = signed(operation(read(a, width, is_signed), read(b, width, is_signed)), width)
        assert outcome.x[RD] == answer & ALL_ONES, (a, b)


def rotated(value: int, amount: int, width: int) -> int:
    return (value & (1 << width) - 1) * ((1 << width) + 1) >> amount & (1 << width) - 1


SHIFTS: dict[str, Callable[[int, int], int]] = {
    "slli": lambda a, n: a << n,
    "srli": lambda a, n: (a & ALL_ONES) >> n,
    "srai": lambda a, n: signed(a) >> n,
    "slliw": lambda a, n: signed(a << n, 32),
    "srliw": lambda a, n: signed((a & 0xFFFF_FFFF) >> n, 32),
    "sraiw": lambda a, n: signed(a, 32) >> n,
    "slli.uw": lambda a, n: (a & 0xFFFF_FFFF) << n,
    "rori": lambda a, n: rotated(a, n, 64),
    "roriw": lambda a, n: signed(rotated(a, n, 32), 32),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_shifts_by_nothing_by_one_and_by_much(engine: str) -> None:
    cases = list(itertools.product(SHIFTS, VALUES, AMOUNTS))
    words = [word_of(BY_NAME[name], imm=amount, shamt=amount) for name, _, amount in cases]
    outcomes, _ = after_each(engine, words, [Start(x={RS1: value}) for _, value, _ in cases])
    for (name, value, amount), outcome in zip(cases, outcomes, strict=True):
        assert outcome.x[RD] == SHIFTS[name](value, amount) & ALL_ONES, (name, value, amount)


def by_bytes(value: int) -> int:
    return int.from_bytes(bytes(255 if byte else 0 for byte in (value & ALL_ONES).to_bytes(8, "little")), "little")


@pytest.mark.parametrize("engine", ENGINES)
def test_orc_b_fills_every_byte_that_has_a_bit(engine: str) -> None:
    values = [*BYTES, *(1 << bit for bit in range(64))]
    outcomes, _ = after_each(engine, [word_of(BY_NAME["orc.b"])] * len(values), [Start(x={RS1: n}) for n in values])
    assert [outcome.x[RD] for outcome in outcomes] == [by_bytes(value) for value in values]


@pytest.mark.parametrize("engine", ENGINES)
def test_ctzw_looks_at_32_bits(engine: str) -> None:
    values = {0: 32, 1 << 40: 32, -1: 0, -1 << 31: 31, 0xFF0: 4, 6 << 32: 32, 12: 2}
    outcomes, _ = after_each(engine, [word_of(BY_NAME["ctzw"])] * len(values), [Start(x={RS1: n}) for n in values])
    assert [outcome.x[RD] for outcome in outcomes] == list(values.values())


BRANCHES: dict[str, Callable[[int, int], bool]] = {
    "beq": lambda a, b: a == b,
    "bne": lambda a, b: a != b,
    "blt": lambda a, b: a < b,
    "bge": lambda a, b: a >= b,
    "bltu": lambda a, b: a & ALL_ONES < b & ALL_ONES,
    "bgeu": lambda a, b: a & ALL_ONES >= b & ALL_ONES,
}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_branch_is_taken_when_it_holds(engine: str) -> None:
    cases = list(itertools.product(BRANCHES, VALUES[::2], VALUES[::2]))
    words = [word_of(BY_NAME[name], imm=12) for name, _, _ in cases]
    words += [word_of(BY_NAME["addi"])] * 2  # the last ones' way
    starts = [Start(x={RS1: a, RS2: b}) for _, a, b in cases]
    outcomes, _ = after_each(engine, words, [*starts, Start(), Start()])
    for number, ((name, a, b), outcome) in enumerate(zip(cases, outcomes[:-2], strict=True)):
        expected = 12 if BRANCHES[name](a, b) else 4  # bytes from the branch to the ebreak
        assert outcome.pc == 0x10000 + 8 * number + expected, (name, a, b)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("distance", [0, 1, 4, 5, -4, 2047, -2048])
def test_an_indirect_jump_goes_to_an_even_address_and_leaves_the_link(engine: str, distance: int) -> None:
    target = 0x5_0000
    (outcome,), _ = after_each(engine, [word_of(BY_NAME["jalr"], imm=distance)], [Start(x={RS1: target})])
    assert (outcome.cause, outcome.value) == (Cause.FETCH, target + distance & ~1)
    assert outcome.x[RD] == 0x10004
    for name, link in (("c.jr", 0), ("c.jalr", 0x10002)):
        (outcome,), _ = after_each(engine, [word_of(BY_NAME[name])], [Start(x={RS1: target + distance})])
        assert (outcome.cause, outcome.value, outcome.x[1]) == (Cause.FETCH, target + distance & ~1, link), name


@pytest.mark.parametrize("engine", ENGINES)
def test_calls_and_breakpoints_say_where_they_are(engine: str) -> None:
    words = [word_of(BY_NAME[name]) for name in ("ecall", "ebreak", "c.ebreak")]
    outcomes, _ = after_each(engine, words, [Start()] * 3)
    traps = [(outcome.cause, outcome.value, outcome.pc) for outcome in outcomes]
    expected = [(Cause.ENVIRONMENT_CALL, 0), (Cause.BREAKPOINT, 0x10008), (Cause.BREAKPOINT, 0x10010)]
    assert traps == [(*trap, 0x10000 + 8 * n) for n, trap in enumerate(expected)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "holds"), [("c.beqz", True), ("c.bnez", False)])
def test_a_short_branch_looks_at_its_register_only(name: str, holds: bool, engine: str) -> None:
    words = [word_of(BY_NAME[name], imm=12)] * len(VALUES) + [word_of(BY_NAME["addi"])] * 2
    starts = [Start(x={RS1: value, 1: 5 * (value == 0)}) for value in VALUES]
    outcomes, _ = after_each(engine, words, [*starts, Start(), Start()])
    for number, (value, outcome) in enumerate(zip(VALUES, outcomes, strict=False)):
        assert outcome.pc == 0x10000 + 8 * number + (12 if (value == 0) is holds else 2), value
