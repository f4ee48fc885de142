# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""Functions of the C library that LLVM calls for arithmetic on floats, in a guest's Python.

They are linked into an image only where something needs them.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.core.target_extension import target_override
from numba.extending import intrinsic

FRACTION = (1 << 52) - 1
IMPLICIT = 1 << 52
INFINITY = 0x7FF << 52
MAGNITUDE = (1 << 63) - 1


def _reinterpret(name: str, source, result, llvm_type):
    """An intrinsic that keeps the bits and changes the type."""

    def cast(typing_context, value):
        def generate(context, builder, signature, values):
            return builder.bitcast(context.cast(builder, values[0], signature.args[0], source), llvm_type)

        return result(source), generate

    cast.__name__ = name
    return intrinsic(cast)


bits_of = _reinterpret("bits_of", types.float64, types.int64, ir.IntType(64))
float_of = _reinterpret("float_of", types.int64, types.float64, ir.DoubleType())


def fmod(x, y):
    """The remainder of x / y with the sign of x, exactly: long division in binary."""
    a, b = bits_of(x) & MAGNITUDE, bits_of(y) & MAGNITUDE
    if b == 0 or a >= INFINITY or b > INFINITY:
        return float_of(INFINITY | 1 << 51)
    if b == INFINITY or a < b:
        return x
    high, exponent = max(a >> 52, 1), max(b >> 52, 1)
    rest = (a & FRACTION) | (IMPLICIT if a >> 52 else 0)
    divisor = (b & FRACTION) | (IMPLICIT if b >> 52 else 0)
    rest %= divisor
    for _ in range(high - exponent):
        rest <<= 1
        rest -= divisor if rest >= divisor else 0
    while 0 < rest < IMPLICIT and exponent > 1:
        rest <<= 1
        exponent -= 1
    magnitude = float_of(rest if rest < IMPLICIT else exponent << 52 | rest & FRACTION)
    return -magnitude if bits_of(x) < 0 else magnitude


SUPPLIED = {"fmod": (fmod, (types.float64, types.float64))}


def supply(names: list[str]) -> list[str]:
    """Compile those of `names` that are here; gives LLVM text that defines them under their C names."""
    from denali.libos.compiler.dispatcher import GuestFunction

    text = []
    for name in names:
        if name in SUPPLIED:
            function, kinds = SUPPLIED[name]
            with target_override("denali"):
                mangled = GuestFunction.of(function).compile(kinds).fndesc.mangled_name
            text.append(
                f'declare double @"{mangled}"(double, double)\n'
                f"define double @{name}(double %x, double %y) nounwind {{\n"
                f'  %r = call double @"{mangled}"(double %x, double %y)\n  ret double %r\n}}\n'
            )
    return text
