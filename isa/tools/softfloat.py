"""IEEE 754 arithmetic in exact numbers: the meaning of a FLOAT step (IEEE 754-2019; RISC-V manual, chapters 20, 21).

Every operation works on exact fractions and rounds once at the end, in `rounded`; that is the standard's own
definition, slow and obvious.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction


class Flag(enum.IntFlag):
    """The accrued exceptions, as they stand in fflags."""

    INEXACT = 1
    UNDERFLOW = 2
    OVERFLOW = 4
    DIVIDE_BY_ZERO = 8
    INVALID = 16


class Rounding(enum.IntEnum):
    """The rounding modes, as they stand in frm."""

    NEAREST_EVEN = 0
    TO_ZERO = 1
    DOWN = 2
    UP = 3
    NEAREST_AWAY = 4


@dataclass(frozen=True, slots=True)
class Format:
    """A binary interchange format."""

    width: int
    exponent_bits: int

    @property
    def fraction_bits(self) -> int:
        """Bits behind the binary point."""
        return self.width - 1 - self.exponent_bits

    @property
    def bias(self) -> int:
        """The exponent field of 1.0; also the largest exponent."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def smallest(self) -> int:
        """The exponent of the smallest normal number."""
        return 1 - self.bias

    @property
    def infinity(self) -> int:
        """Bits of plus infinity."""
        return ((1 << self.exponent_bits) - 1) << self.fraction_bits

    @property
    def nan(self) -> int:
        """Bits of the canonical NaN."""
        return self.infinity | 1 << (self.fraction_bits - 1)

    def sign(self, negative: bool) -> int:
        """The sign bit, in its place."""
        return negative << (self.width - 1)


FORMATS = {32: Format(32, 8), 64: Format(64, 11)}
Result = tuple[int, Flag]  # bits, exceptions
NONE = Flag(0)


@dataclass(frozen=True, slots=True)
class Number:
    """What bits of a format stand for; of a finite number `value` is exact."""

    format: Format
    bits: int

    @property
    def negative(self) -> bool:
        """The sign bit; zeros and NaNs have one too."""
        return bool(self.bits >> (self.format.width - 1))

    @property
    def magnitude(self) -> int:
        """The bits without the sign."""
        return self.bits & ~self.format.sign(True)

    @property
    def is_nan(self) -> bool:
        """Not a number."""
        return self.magnitude > self.format.infinity

    @property
    def is_signalling(self) -> bool:
        """A NaN whose use is invalid: its highest fraction bit is zero."""
        return self.is_nan and not self.bits >> (self.format.fraction_bits - 1) & 1

    @property
    def is_infinite(self) -> bool:
        """Plus or minus infinity."""
        return self.magnitude == self.format.infinity

    @property
    def is_zero(self) -> bool:
        """Plus or minus zero."""
        return self.magnitude == 0

    @property
    def value(self) -> Fraction:
        """The exact value of a finite number."""
        exponent, fraction = divmod(self.magnitude, 1 << self.format.fraction_bits)
        if exponent:
            fraction |= 1 << self.format.fraction_bits
        scale = max(exponent, 1) - self.format.bias - self.format.fraction_bits
        return (-1 if self.negative else 1) * Fraction(fraction) * power_of_two(scale)


def power_of_two(exponent: int) -> Fraction:
    """2 ** exponent, exactly."""
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def to_integer(value: Fraction, mode: Rounding) -> int:
    """`value` rounded to an integer."""
    below = math.floor(value)
    rest = value - below
    if rest == 0:
        return below
    half = Fraction(1, 2)
    up = {
        Rounding.NEAREST_EVEN: rest > half or (rest == half and below % 2 == 1),
        Rounding.TO_ZERO: value < 0,
        Rounding.DOWN: False,
        Rounding.UP: True,
        Rounding.NEAREST_AWAY: rest > half or (rest == half and value > 0),
    }[mode]
    return below + up


def exponent_of(value: Fraction) -> int:
    """The e for which 2**e <= |value| < 2**(e+1); the value is not zero."""
    guess = abs(value.numerator).bit_length() - value.denominator.bit_length()
    return guess if abs(value) >= power_of_two(guess) else guess - 1


def rounded(value: Fraction, form: Format, mode: Rounding, zero_negative: bool = False) -> Result:
    """The bits of `value` in a format, and the exceptions of rounding; an exact zero has the sign `zero_negative`."""
    if value == 0:
        return form.sign(zero_negative), NONE
    negative, exponent = value < 0, exponent_of(value)
    quantum = power_of_two(max(exponent, form.smallest) - form.fraction_bits)
    steps = to_integer(value / quantum, mode)
    inexact = steps * quantum != value
    if abs(steps * quantum) >= power_of_two(form.bias + 1):
        away = mode in (Rounding.NEAREST_EVEN, Rounding.NEAREST_AWAY, Rounding.DOWN if negative else Rounding.UP)
        return form.sign(negative) | (form.infinity if away else form.infinity - 1), Flag.OVERFLOW | Flag.INEXACT
    bits = abs(steps) + (max(exponent - form.smallest, 0) << form.fraction_bits)
    flags = Flag.INEXACT if inexact else NONE
    if inexact and is_tiny(value, exponent, form, mode):
        flags |= Flag.UNDERFLOW
    return form.sign(negative) | bits, flags


def is_tiny(value: Fraction, exponent: int, form: Format, mode: Rounding) -> bool:
    """Whether rounding as if exponents had no lower limit leaves less than the smallest normal number."""
    quantum = power_of_two(exponent - form.fraction_bits)
    return abs(to_integer(value / quantum, mode) * quantum) < power_of_two(form.smallest)


def not_a_number(form: Format, *operands: Number) -> Result:
    """The result of an operation on NaNs: the canonical one; invalid if one signals."""
    return form.nan, Flag.INVALID if any(n.is_signalling for n in operands) else NONE


def sum_of(a: Fraction, b: Fraction, signs: tuple[bool, bool], form: Format, mode: Rounding) -> Result:
    """a + b; an exact zero is negative if both terms are, or in mode DOWN if one is."""
    both, one = all(signs), any(signs)
    return rounded(a + b, form, mode, both or (one and mode is Rounding.DOWN))


def add(mode: Rounding, a: Number, b: Number) -> Result:
    """a + b."""
    form = a.format
    if a.is_nan or b.is_nan:
        return not_a_number(form, a, b)
    if a.is_infinite and b.is_infinite and a.negative != b.negative:
        return form.nan, Flag.INVALID
    if a.is_infinite or b.is_infinite:
        return (a if a.is_infinite else b).bits, NONE
    return sum_of(a.value, b.value, (a.negative, b.negative), form, mode)


def sub(mode: Rounding, a: Number, b: Number) -> Result:
    """a - b."""
    return add(mode, a, b if b.is_nan else Number(b.format, b.bits ^ b.format.sign(True)))


def mul(mode: Rounding, a: Number, b: Number) -> Result:
    """a * b."""
    form, negative = a.format, a.negative != b.negative
    if a.is_nan or b.is_nan:
        return not_a_number(form, a, b)
    if (a.is_infinite and b.is_zero) or (a.is_zero and b.is_infinite):
        return form.nan, Flag.INVALID
    if a.is_infinite or b.is_infinite:
        return form.sign(negative) | form.infinity, NONE
    return rounded(a.value * b.value, form, mode, negative)


def div(mode: Rounding, a: Number, b: Number) -> Result:
    """a / b."""
    form, negative = a.format, a.negative != b.negative
    if a.is_nan or b.is_nan:
        return not_a_number(form, a, b)
    if (a.is_infinite and b.is_infinite) or (a.is_zero and b.is_zero):
        return form.nan, Flag.INVALID
    if a.is_infinite:
        return form.sign(negative) | form.infinity, NONE
    if b.is_zero:
        return form.sign(negative) | form.infinity, Flag.DIVIDE_BY_ZERO
    if b.is_infinite:
        return form.sign(negative), NONE
    return rounded(a.value / b.value, form, mode, negative)


def sqrt(mode: Rounding, a: Number) -> Result:
    """The square root of a; of -0 it is -0."""
    form = a.format
    if a.is_nan:
        return not_a_number(form, a)
    if a.is_zero:
        return a.bits, NONE
    if a.negative:
        return form.nan, Flag.INVALID
    if a.is_infinite:
        return a.bits, NONE
    scale = 2 * form.width + 2 * abs(exponent_of(a.value))  # an even power: more bits of the root than are kept
    scaled = a.value * power_of_two(scale)
    root = math.isqrt(scaled.numerator)
    exact = Fraction(root) if root * root == scaled else Fraction(2 * root + 1, 2)  # between two neighbours: inexact
    return rounded(exact / power_of_two(scale // 2), form, mode)


def fma(mode: Rounding, a: Number, b: Number, c: Number) -> Result:
    """a * b + c, rounded once; infinity times zero is invalid even if c is NaN."""
    form, negative = a.format, a.negative != b.negative
    impossible = (a.is_infinite and b.is_zero) or (a.is_zero and b.is_infinite)
    if impossible:
        return form.nan, Flag.INVALID
    if a.is_nan or b.is_nan or c.is_nan:
        return not_a_number(form, a, b, c)
    if a.is_infinite or b.is_infinite:
        if c.is_infinite and c.negative != negative:
            return form.nan, Flag.INVALID
        return form.sign(negative) | form.infinity, NONE
    if c.is_infinite:
        return c.bits, NONE
    return sum_of(a.value * b.value, c.value, (negative, c.negative), form, mode)


def order(number: Number) -> tuple[Fraction, bool] | tuple[float, bool]:
    """A key that sorts numbers, with -0 below +0."""
    if number.is_infinite:
        return (-math.inf if number.negative else math.inf), True
    return number.value, not number.negative


def extreme(choose: Callable[..., Number], a: Number, b: Number) -> Result:
    """The smaller or the larger; the number if only one is."""
    flags = Flag.INVALID if a.is_signalling or b.is_signalling else NONE
    if a.is_nan and b.is_nan:
        return a.format.nan, flags
    if a.is_nan or b.is_nan:
        return (b if a.is_nan else a).bits, flags
    return choose(a, b, key=order).bits, flags


def minimum(mode: Rounding, a: Number, b: Number) -> Result:
    """minimumNumber of IEEE 754-2019."""
    return extreme(min, a, b)


def maximum(mode: Rounding, a: Number, b: Number) -> Result:
    """maximumNumber of IEEE 754-2019."""
    return extreme(max, a, b)


def eq(mode: Rounding, a: Number, b: Number) -> Result:
    """a = b, quiet."""
    if a.is_nan or b.is_nan:
        return 0, not_a_number(a.format, a, b)[1]
    return int(order(a)[0] == order(b)[0]), NONE


def lt(mode: Rounding, a: Number, b: Number) -> Result:
    """a < b, signalling."""
    if a.is_nan or b.is_nan:
        return 0, Flag.INVALID
    return int(order(a)[0] < order(b)[0]), NONE


def le(mode: Rounding, a: Number, b: Number) -> Result:
    """a <= b, signalling."""
    if a.is_nan or b.is_nan:
        return 0, Flag.INVALID
    return int(order(a)[0] <= order(b)[0]), NONE


def to_int(mode: Rounding, a: Number, width: int, is_signed: bool) -> Result:
    """a as an integer; out of range: invalid, and the nearest there is; of NaN the largest."""
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if is_signed else (0, (1 << width) - 1)
    ones = (1 << width) - 1
    if a.is_nan or a.is_infinite:
        return (low if a.negative and not a.is_nan else high) & ones, Flag.INVALID
    whole = to_integer(a.value, mode)
    if not low <= whole <= high:
        return (low if whole < low else high) & ones, Flag.INVALID
    return whole & ones, Flag.INEXACT if whole != a.value else NONE


def from_int(mode: Rounding, bits: int, width: int, is_signed: bool, form: Format) -> Result:
    """An integer as a number."""
    value = bits - (1 << width) if is_signed and bits >> (width - 1) else bits
    return rounded(Fraction(value), form, mode)


def convert(mode: Rounding, a: Number, form: Format) -> Result:
    """a in another format."""
    if a.is_nan:
        return not_a_number(form, a)
    if a.is_infinite:
        return form.sign(a.negative) | form.infinity, NONE
    return rounded(a.value, form, mode, a.negative)


ARITHMETIC: dict[str, Callable[..., Result]] = {
    "add": add, "sub": sub, "mul": mul, "div": div, "sqrt": sqrt, "fma": fma,
    "min": minimum, "max": maximum, "eq": eq, "lt": lt, "le": le,
}  # fmt: skip


def operate(operation: str, mode: int, arguments: list[int], width: int, result: int) -> Result:
    """Result bits and exceptions of a FLOAT step whose arguments have `width` bits and whose result has `result`."""
    rounding = Rounding(mode)
    kind, _, integer = operation.rpartition("_")
    if kind == "from":
        return from_int(rounding, arguments[0], width, integer[0] == "i", FORMATS[result])
    numbers = [Number(FORMATS[width], bits) for bits in arguments]
    if kind == "to":
        return to_int(rounding, numbers[0], int(integer[1:]), integer[0] == "i")
    if operation == "convert":
        return convert(rounding, numbers[0], FORMATS[result])
    return ARITHMETIC[operation](rounding, *numbers)
