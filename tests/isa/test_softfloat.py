"""Exact arithmetic agrees with the host's, and with the standard where the host cannot be asked."""

from __future__ import annotations

import math
import random
import struct

import pytest

from denali.isa.tools.softfloat import Flag, operate

ONE, TWO, HUGE, TINY = 0x3FF << 52, 0x400 << 52, 0x7FEF_FFFF_FFFF_FFFF, 1
NEGATIVE, INFINITY, NAN, SIGNALLING = 1 << 63, 0x7FF << 52, 0x7FF8 << 48, 0x7FF0_0000_0000_0001
RNE, RTZ, RDN, RUP, RMM = range(5)


def bits(value: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def number(pattern: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", pattern))[0]


def test_nearest_is_what_the_host_computes() -> None:
    generator = random.Random(3)
    for _ in range(3000):
        a, b = (number(generator.getrandbits(64) & ~(1 << 62) | generator.getrandbits(1) << 61) for _ in range(2))
        for operation, result in (("add", a + b), ("sub", a - b), ("mul", a * b), ("div", a / b if b else math.nan)):
            if not math.isnan(result):
                assert operate(operation, RNE, [bits(a), bits(b)], 64, 64)[0] == bits(result)
        assert operate("sqrt", RNE, [bits(abs(a))], 64, 64)[0] == bits(math.sqrt(abs(a)))
        if abs(a) < 2.0**62:
            assert operate("to_i64", RTZ, [bits(a)], 64, 64)[0] == int(a) & (1 << 64) - 1


@pytest.mark.parametrize(
    ("operation", "mode", "arguments", "result", "flags"),
    [
        ("div", RNE, [ONE, 0], INFINITY, Flag.DIVIDE_BY_ZERO),
        ("div", RNE, [0, 0], NAN, Flag.INVALID),
        ("mul", RNE, [HUGE, TWO], INFINITY, Flag.OVERFLOW | Flag.INEXACT),
        ("mul", RTZ, [HUGE, TWO], HUGE, Flag.OVERFLOW | Flag.INEXACT),
        ("mul", RDN, [HUGE | NEGATIVE, TWO], INFINITY | NEGATIVE, Flag.OVERFLOW | Flag.INEXACT),
        ("mul", RUP, [HUGE | NEGATIVE, TWO], HUGE | NEGATIVE, Flag.OVERFLOW | Flag.INEXACT),
        ("mul", RUP, [TINY, TINY], TINY, Flag.UNDERFLOW | Flag.INEXACT),
        ("mul", RNE, [TINY, TINY], 0, Flag.UNDERFLOW | Flag.INEXACT),
        ("sub", RNE, [ONE, ONE], 0, Flag(0)),
        ("sub", RDN, [ONE, ONE], NEGATIVE, Flag(0)),
        ("add", RDN, [0, 0], 0, Flag(0)),
        ("add", RNE, [NEGATIVE, NEGATIVE], NEGATIVE, Flag(0)),
        ("add", RNE, [SIGNALLING, ONE], NAN, Flag.INVALID),
        ("add", RNE, [NAN | 5, ONE], NAN, Flag(0)),
        ("fma", RNE, [INFINITY, 0, NAN], NAN, Flag.INVALID),
        ("sqrt", RNE, [NEGATIVE], NEGATIVE, Flag(0)),
        ("sqrt", RNE, [ONE | NEGATIVE], NAN, Flag.INVALID),
        ("min", RNE, [0, NEGATIVE], NEGATIVE, Flag(0)),
        ("max", RNE, [NEGATIVE, 0], 0, Flag(0)),
        ("min", RNE, [NAN, ONE], ONE, Flag(0)),
        ("max", RNE, [SIGNALLING, ONE], ONE, Flag.INVALID),
        ("min", RNE, [NAN | 1, NAN | NEGATIVE], NAN, Flag(0)),
        ("eq", RNE, [NAN, ONE], 0, Flag(0)),
        ("eq", RNE, [SIGNALLING, ONE], 0, Flag.INVALID),
        ("lt", RNE, [NAN, ONE], 0, Flag.INVALID),
        ("eq", RNE, [0, NEGATIVE], 1, Flag(0)),
    ],
)
def test_special_cases_of_the_standard(
    operation: str, mode: int, arguments: list[int], result: int, flags: Flag
) -> None:
    assert operate(operation, mode, arguments, 64, 64) == (result, flags)


@pytest.mark.parametrize(
    ("mode", "integers"),
    [(RNE, (2, -2, 4)), (RTZ, (2, -2, 3)), (RDN, (2, -3, 3)), (RUP, (3, -2, 4)), (RMM, (3, -3, 4))],
)
def test_halves_round_as_the_mode_says(mode: int, integers: tuple[int, int, int]) -> None:
    for value, expected in zip((2.5, -2.5, 3.5), integers, strict=True):
        assert operate("to_i64", mode, [bits(value)], 64, 64) == (expected & (1 << 64) - 1, Flag.INEXACT)


@pytest.mark.parametrize(
    ("operation", "value", "result", "flags"),
    [
        ("to_i32", -1.0, 0xFFFF_FFFF, Flag(0)),
        ("to_u32", -1.0, 0, Flag.INVALID),
        ("to_u32", -0.5, 0, Flag.INEXACT),
        ("to_i32", 2147483648.0, 0x7FFF_FFFF, Flag.INVALID),
        ("to_i32", -2147483649.0, 0x8000_0000, Flag.INVALID),
        ("to_u32", 4294967295.0, 0xFFFF_FFFF, Flag(0)),
        ("to_i32", math.nan, 0x7FFF_FFFF, Flag.INVALID),
        ("to_u32", -math.inf, 0, Flag.INVALID),
    ],
)
def test_integers_out_of_range_are_the_nearest(operation: str, value: float, result: int, flags: Flag) -> None:
    assert operate(operation, RTZ, [bits(value)], 64, 32) == (result, flags)


def test_tininess_is_detected_after_rounding() -> None:
    largest_subnormal = 0x000F_FFFF_FFFF_FFFF
    almost_one = bits(1 - 2.0**-53)
    smallest_normal = 0x0010_0000_0000_0000
    assert operate("mul", RNE, [smallest_normal, almost_one], 64, 64) == (
        smallest_normal,
        Flag.INEXACT | Flag.UNDERFLOW,
    )
    assert operate("mul", RUP, [smallest_normal, almost_one], 64, 64) == (
        smallest_normal,
        Flag.INEXACT | Flag.UNDERFLOW,
    )
    nearly = [smallest_normal + 1, bits(1 - 2.0**-52)]
    assert operate("mul", RUP, nearly, 64, 64) == (smallest_normal, Flag.INEXACT)
    assert operate("add", RNE, [largest_subnormal, TINY], 64, 64) == (smallest_normal, Flag(0))
