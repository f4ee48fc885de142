"""IEEE 754 on exact fractions: what each floating-point operation of RISC-V gives, and the flags it raises.

Written for the tests alone and from the standard (IEEE 754-2019, unprivileged manual chapters 20 and 21), sharing
nothing with the machine: a value is a sign and a fraction, computed exactly and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

RNE, RTZ, RDN, RUP, RMM = range(5)
NX, UF, OF, DZ, NV = 1, 2, 4, 8, 16
Result = tuple[int, int]  # bits and flags


@dataclass(frozen=True, slots=True)
class Format:
    """A binary interchange format."""

    width: int
    precision: int  # significant bits, the hidden one included

    @property
    def bias(self) -> int:
        """What is added to an exponent; also the largest exponent."""
        return (1 << (self.width - self.precision - 1)) - 1

    @property
    def sign(self) -> int:
        """The sign bit."""
        return 1 << (self.width - 1)

    @property
    def infinity(self) -> int:
        """The bits of plus infinity."""
        return (2 * self.bias + 1) << (self.precision - 1)

    @property
    def nan(self) -> int:
        """The canonical NaN."""
        return self.infinity | 1 << (self.precision - 2)


SINGLE, DOUBLE = Format(32, 24), Format(64, 53)
FORMATS = {32: SINGLE, 64: DOUBLE}


def is_nan(form: Format, bits: int) -> bool:
    return bits & ~form.sign > form.infinity


def is_signalling(form: Format, bits: int) -> bool:
    return is_nan(form, bits) and not bits >> (form.precision - 2) & 1


def is_infinite(form: Format, bits: int) -> bool:
    return bits & ~form.sign == form.infinity


def is_negative(form: Format, bits: int) -> bool:
    return bool(bits & form.sign)


def value(form: Format, bits: int) -> Fraction:
    """The number that finite bits stand for."""
    exponent = bits >> (form.precision - 1) & (2 * form.bias + 1)
    significand = bits & ((1 << (form.precision - 1)) - 1)
    if exponent:
        significand |= 1 << (form.precision - 1)
    scaled = Fraction(significand) * Fraction(2) ** (max(exponent, 1) - form.bias - form.precision + 1)
    return -scaled if is_negative(form, bits) else scaled


def to_integer(number: Fraction, mode: int) -> int:
    """`number` rounded to an integer."""
    low = math.floor(number)
    rest = number - low
    if mode == RTZ:
        return low + (rest > 0 and number < 0)
    if mode in (RDN, RUP):
        return low + (mode == RUP and rest > 0)
    if rest == Fraction(1, 2):
        return low + (low % 2 if mode == RNE else number > 0)
    return low + (rest > Fraction(1, 2))


def exponent_of(number: Fraction) -> int:
    """The exponent e with 2**e <= number < 2**(e+1)."""
    guess = number.numerator.bit_length() - number.denominator.bit_length()
    return guess if Fraction(2) ** guess <= number else guess - 1


def rounded(form: Format, number: Fraction, mode: int, zero: int = 0) -> Result:
    """The bits nearest to `number` as `mode` says; `zero` are the bits to give for exactly zero."""
    if number == 0:
        return zero, 0
    sign = form.sign if number < 0 else 0
    lowest = 1 - form.bias
    exponent = exponent_of(abs(number))
    unit = Fraction(2) ** (max(exponent, lowest) - form.precision + 1)
    result = unit * to_integer(number / unit, mode)
    flags = 0 if result == number else NX
    largest = (2 - Fraction(2) ** (1 - form.precision)) * Fraction(2) ** form.bias
    if abs(result) > largest:
        away = mode in (RNE, RMM) or (mode == RUP and not sign) or (mode == RDN and sign)
        return sign | (form.infinity if away else form.infinity - 1), OF | NX
    unbounded = Fraction(2) ** (exponent - form.precision + 1)
    if flags and abs(unbounded * to_integer(number / unbounded, mode)) < Fraction(2) ** lowest:
        flags |= UF
    return sign | encoded(form, abs(result)), flags


def encoded(form: Format, magnitude: Fraction) -> int:
    """The bits of a number that the format has."""
    if magnitude == 0:
        return 0
    exponent = max(exponent_of(magnitude), 1 - form.bias)
    significand = int(magnitude / Fraction(2) ** (exponent - form.precision + 1))
    return significand + ((exponent + form.bias - 1) << (form.precision - 1))


def propagated(form: Format, *operands: int, invalid: bool = False) -> Result:
    """The result of an operation that has a NaN for an operand, or is invalid."""
    return form.nan, NV if invalid or any(is_signalling(form, one) for one in operands) else 0


def add(form: Format, a: int, b: int, mode: int) -> Result:
    """a + b."""
    if is_nan(form, a) or is_nan(form, b):
        return propagated(form, a, b)
    if is_infinite(form, a) or is_infinite(form, b):
        if is_infinite(form, a) and is_infinite(form, b) and a != b:
            return propagated(form, invalid=True)
        return (a if is_infinite(form, a) else b), 0
    return rounded(form, value(form, a) + value(form, b), mode, zero_of_sum(form, a, b, mode))


def zero_of_sum(form: Format, a: int, b: int, mode: int) -> int:
    """The zero that a sum is when it is exactly zero."""
    if value(form, a) == 0 and value(form, b) == 0 and a == b:
        return a
    return form.sign if mode == RDN else 0


def subtract(form: Format, a: int, b: int, mode: int) -> Result:
    """a - b."""
    return add(form, a, b if is_nan(form, b) else b ^ form.sign, mode)


def multiply(form: Format, a: int, b: int, mode: int) -> Result:
    """a * b."""
    if is_nan(form, a) or is_nan(form, b):
        return propagated(form, a, b)
    sign = (a ^ b) & form.sign
    if is_infinite(form, a) or is_infinite(form, b):
        nought = form.sign ^ ((1 << form.width) - 1)
        return propagated(form, invalid=True) if not a & nought or not b & nought else (sign | form.infinity, 0)
    return rounded(form, value(form, a) * value(form, b), mode, sign)


def divide(form: Format, a: int, b: int, mode: int) -> Result:
    """a / b."""
    if is_nan(form, a) or is_nan(form, b):
        return propagated(form, a, b)
    sign = (a ^ b) & form.sign
    if is_infinite(form, a):
        return propagated(form, invalid=True) if is_infinite(form, b) else (sign | form.infinity, 0)
    if is_infinite(form, b):
        return sign, 0
    if value(form, b) == 0:
        return propagated(form, invalid=True) if value(form, a) == 0 else (sign | form.infinity, DZ)
    return rounded(form, value(form, a) / value(form, b), mode, sign)


def square_root(form: Format, a: int, mode: int) -> Result:
    """The square root of a."""
    if is_nan(form, a):
        return propagated(form, a)
    if a in (0, form.sign, form.infinity):
        return a, 0
    if is_negative(form, a):
        return propagated(form, invalid=True)
    number, shift = value(form, a), 2 * (form.precision + form.bias)
    scaled = int(number * (1 << 2 * shift))
    root = math.isqrt(scaled)
    odd = Fraction(2 * root + (root * root != scaled), 2)  # between the neighbours where the root is not exact
    return rounded(form, odd / (1 << shift), mode)


def fused(form: Format, a: int, b: int, c: int, mode: int) -> Result:
    """a * b + c, rounded once."""
    product_invalid = {is_infinite(form, a), is_infinite(form, b)} == {True, False} and any(
        one & ~form.sign == 0 for one in (a, b)
    )
    if product_invalid or any(is_nan(form, one) for one in (a, b, c)):
        return propagated(form, a, b, c, invalid=product_invalid)
    sign = (a ^ b) & form.sign
    if is_infinite(form, a) or is_infinite(form, b):
        clash = is_infinite(form, c) and c & form.sign != sign
        return propagated(form, invalid=True) if clash else (sign | form.infinity, 0)
    if is_infinite(form, c):
        return c, 0
    product, addend = value(form, a) * value(form, b), value(form, c)
    both_zero = product == 0 and addend == 0 and c & form.sign == sign
    zero = c if both_zero else (form.sign if mode == RDN else 0)
    return rounded(form, product + addend, mode, zero)


def smaller(form: Format, a: int, b: int, sign: int) -> Result:
    """The smaller of a and b when `sign` is 1, the larger when it is -1; a number wins over NaN."""
    flags = NV if is_signalling(form, a) or is_signalling(form, b) else 0
    if is_nan(form, a) or is_nan(form, b):
        both = is_nan(form, a) and is_nan(form, b)
        return (form.nan if both else b if is_nan(form, a) else a), flags
    return min((a, b), key=lambda bits: sign * order(form, bits)), flags


def order(form: Format, bits: int) -> int:
    """Grows with the value of bits that are no NaN, -0 below +0."""
    return -(bits & ~form.sign) - 1 if is_negative(form, bits) else bits


def compare(form: Format, a: int, b: int, holds: Callable[[int, int], bool], quiet: bool) -> Result:
    """Whether a relation holds, as 1 or 0."""
    if is_nan(form, a) or is_nan(form, b):
        silent = quiet and not (is_signalling(form, a) or is_signalling(form, b))
        return 0, 0 if silent else NV
    a, b = (0 if bits == form.sign else order(form, bits) + is_negative(form, bits) for bits in (a, b))
    return int(holds(a, b)), 0


def to_int(form: Format, a: int, width: int, signed: bool, mode: int) -> Result:
    """a as integer of `width` bits, sign-extended to 64 as registers hold it."""
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    if is_nan(form, a):
        integer, flags = high, NV
    elif is_infinite(form, a):
        integer, flags = low if is_negative(form, a) else high, NV
    else:
        number = value(form, a)
        integer = to_integer(number, mode)
        flags = NX if integer != number else 0
        if not low <= integer <= high:
            integer, flags = low if integer < low else high, NV
    bits = integer & ((1 << width) - 1)
    return (bits | (-(bits >> (width - 1)) << width)) & ((1 << 64) - 1), flags


def from_int(form: Format, a: int, width: int, signed: bool, mode: int) -> Result:
    """The low `width` bits of a register as floating-point number."""
    number = a & ((1 << width) - 1)
    if signed and number >> (width - 1):
        number -= 1 << width
    return rounded(form, Fraction(number), mode)


def convert(source: Format, target: Format, a: int, mode: int) -> Result:
    """a in another format."""
    if is_nan(source, a):
        return target.nan, NV if is_signalling(source, a) else 0
    sign = target.sign if is_negative(source, a) else 0
    if is_infinite(source, a):
        return sign | target.infinity, 0
    return rounded(target, value(source, a), mode, sign)


def classify(form: Format, a: int) -> Result:
    """The bit of fclass."""
    if is_nan(form, a):
        return 1 << (8 if is_signalling(form, a) else 9), 0
    magnitude = a & ~form.sign
    kind = (magnitude > 0) + (magnitude >> (form.precision - 1) > 0) + (magnitude == form.infinity)
    return 1 << (3 - kind if is_negative(form, a) else 4 + kind), 0
