"""Arithmetic in a rounding mode that MXCSR does not hold: the functions that `emit_float.helper_name` names.

The four modes that x86 has are put into MXCSR for the operation. Round-to-nearest, ties away from zero, is found from
two of them: truncation t and nearest-even n. Where they differ, n is the larger one and right for both ties. Where they
are equal, t is right unless the exact result is the midpoint above t; then it is t's neighbour. Whether it is the
midpoint is an equation of integers, X * Y + Z == W, each with an exponent of two, and is decided in 256 bits: stripped
of its trailing zeros no term has more than 107 bits, so where exponents are further apart, the terms cannot be equal.
Flags are those of nearest-even: both modes overflow and are tiny for the same results.
"""

from __future__ import annotations

from dataclasses import dataclass

from denali.isa.translator.emit import Body, Value
from denali.isa.translator.emit_float import (
    INEXACT,
    INTEGERS,
    MXCSR_BITS,
    MXCSR_FLAGS,
    MXCSR_MASKED,
    NEAREST_AWAY,
    NO_SIGN,
    ROUNDED,
    compute,
    control_for,
    exact,
    get_mxcsr,
    helper_name,
    set_mxcsr,
)

ROUNDING_CONTROL = 0x6000
TRUNCATING = MXCSR_MASKED | 0x6000
FAR = 120  # exponents further apart than this cannot add up
MANTISSA = {32: (23, 127), 64: (52, 1023)}  # bits, bias
ARITY = {"sqrt": 1, "convert": 1, "fma": 3}


@dataclass(slots=True)
class Number:
    """A term: an i64 mantissa, an i64 exponent of two, an i1 sign."""

    mantissa: Value
    exponent: Value
    negative: Value


ONE = Number("1", "0", "false")
ZERO = Number("0", "0", "false")


def forms() -> list[tuple[str, int, int]]:
    """Every rounded operation with its source and result width."""
    result: list[tuple[str, int, int]] = []
    for operation in sorted(ROUNDED):
        way, _, kind = operation.partition("_")
        for width in (32, 64):
            if way == "from":
                result.append((operation, INTEGERS[kind][1], width))
            elif way == "to":
                result.append((operation, width, INTEGERS[kind][1]))
            else:
                result.append((operation, 64 if operation == "convert" else width, width))
    return [form for form in result if not exact(*form) and form != ("convert", 64, 64)]


def helper_texts(declared: set[str]) -> list[str]:
    """The text of all helpers."""
    return [_helper(declared, *form) for form in forms()]


def _helper(declared: set[str], operation: str, source: int, width: int) -> str:
    body = Body(declared=declared)
    body.label("entry")
    arity = 1 if "_" in operation else ARITY.get(operation, 2)
    names = ["%a", "%b", "%c"][:arity]
    values = [body.value(f"trunc i64 {name} to i32") if source == 32 else name for name in names]
    (_convert_in if operation.startswith("to_") else _round_in)(body, operation, values, source, width)
    head = f"define i64 @{helper_name(operation, source, width)}(i64 %mode, i64 %a, i64 %b, i64 %c) #0 noinline {{"
    return "\n".join([head, *body.lines, "}"])


def _return(body: Body, value: Value, width: int) -> None:
    body.line(f"ret i64 {value if width == 64 else body.value(f'zext i{width} {value} to i64')}")


def _convert_in(body: Body, operation: str, values: list[Value], source: int, width: int) -> None:
    """A conversion to an integer: the mode is in the instruction that rounds, MXCSR's does not matter."""
    cases = " ".join(f"i64 {mode}, label %mode{mode}" for mode in range(NEAREST_AWAY))
    body.line(f"switch i64 %mode, label %mode{NEAREST_AWAY} [ {cases} ]")
    for mode in range(NEAREST_AWAY + 1):
        body.label(f"mode{mode}")
        _return(body, compute(body, operation, values, source, width, mode), width)


def _round_in(body: Body, operation: str, values: list[Value], source: int, width: int) -> None:
    """Everything else: with the mode in MXCSR, or by `_away`."""
    saved = get_mxcsr(body)
    body.line(f"br i1 {body.value(f'icmp eq i64 %mode, {NEAREST_AWAY}')}, label %away, label %hosted")
    body.label("hosted")
    mode = body.value("trunc i64 %mode to i32")
    kept = body.value(f"and i32 {saved}, {0xFFFF & ~ROUNDING_CONTROL}")
    set_mxcsr(body, body.value(f"or i32 {kept}, {control_for(body, mode)}"))
    result = compute(body, operation, values, source, width, 7)
    set_mxcsr(body, body.value(f"or i32 {saved}, {body.value(f'and i32 {get_mxcsr(body)}, {MXCSR_FLAGS}')}"))
    _return(body, result, width)
    body.label("away")
    result, flags = _away(body, operation, values, source, width)
    set_mxcsr(body, body.value(f"or i32 {saved}, {body.value(f'and i32 {flags}, {MXCSR_FLAGS}')}"))
    _return(body, result, width)


def _away(body: Body, operation: str, values: list[Value], source: int, width: int) -> tuple[Value, Value]:
    """The result in round-to-nearest, ties away, and the MXCSR that has its flags."""
    set_mxcsr(body, str(TRUNCATING))
    truncated = compute(body, operation, values, source, width, 7)
    first = get_mxcsr(body)
    inexact = body.value(f"icmp ne i32 {body.value(f'and i32 {first}, {MXCSR_BITS[INEXACT]}')}, 0")
    begin = body.block
    body.line(f"br i1 {inexact}, label %round, label %rounded")
    body.label("round")
    set_mxcsr(body, str(MXCSR_MASKED))
    nearest = compute(body, operation, values, source, width, 7)
    second = get_mxcsr(body)
    midpoint = _is_midpoint(body, operation, values, source, truncated, width)
    further = body.value(f"add i{width} {truncated}, 1")
    chosen = body.value(f"select i1 {midpoint}, i{width} {further}, i{width} {truncated}")
    same = body.value(f"icmp eq i{width} {nearest}, {truncated}")
    decided = body.value(f"select i1 {same}, i{width} {chosen}, i{width} {nearest}")
    end = body.block
    body.line("br label %rounded")
    body.label("rounded")
    result = body.value(f"phi i{width} [ {truncated}, %{begin} ], [ {decided}, %{end} ]")
    return result, body.value(f"phi i32 [ {first}, %{begin} ], [ {second}, %{end} ]")


def _is_midpoint(body: Body, operation: str, values: list[Value], source: int, truncated: Value, width: int) -> Value:
    """Whether the exact result lies in the middle between `truncated` and its neighbour further from zero."""
    middle = _unpack(body, truncated, width)
    doubled = body.value(f"or i64 {body.value(f'shl i64 {middle.mantissa}, 1')}, 1")
    middle = Number(doubled, body.value(f"sub i64 {middle.exponent}, 1"), middle.negative)
    if operation.startswith("from_"):
        return _equation(body, _integer(body, values[0], *INTEGERS[operation[5:]]), ONE, ZERO, middle)
    terms = [_unpack(body, value, source) for value in values]
    if operation == "div":
        return _equation(body, terms[1], middle, ZERO, terms[0])
    if operation == "sqrt":
        return _equation(body, middle, middle, ZERO, terms[0])
    if operation == "sub":
        terms[1].negative = body.value(f"xor i1 {terms[1].negative}, true")
    if operation in ("add", "sub", "convert"):
        return _equation(body, terms[0], ONE, terms[1] if len(terms) == 2 else ZERO, middle)
    return _equation(body, terms[0], terms[1], terms[2] if operation == "fma" else ZERO, middle)


def _unpack(body: Body, bits: Value, width: int) -> Number:
    """A finite floating-point number's term."""
    length, bias = MANTISSA[width]
    wide = bits if width == 64 else body.value(f"zext i32 {bits} to i64")
    magnitude = body.value(f"and i64 {wide}, {NO_SIGN[width]}")
    power = body.value(f"lshr i64 {magnitude}, {length}")
    fraction = body.value(f"and i64 {magnitude}, {(1 << length) - 1}")
    small = body.value(f"icmp eq i64 {power}, 0")
    hidden = body.value(f"select i1 {small}, i64 0, i64 {1 << length}")
    shown = body.value(f"select i1 {small}, i64 1, i64 {power}")
    exponent = body.value(f"sub i64 {shown}, {bias + length}")
    return Number(body.value(f"or i64 {fraction}, {hidden}"), exponent, body.value(f"icmp slt i{width} {bits}, 0"))


def _integer(body: Body, value: Value, signed: bool, width: int) -> Number:
    """An integer's term."""
    wide = value
    if width == 32:
        wide = body.value(f"{'sext' if signed else 'zext'} i32 {value} to i64")
    if not signed:
        return Number(wide, "0", "false")
    negative = body.value(f"icmp slt i64 {wide}, 0")
    opposite = body.value(f"sub i64 0, {wide}")
    return Number(body.value(f"select i1 {negative}, i64 {opposite}, i64 {wide}"), "0", negative)


def _equation(body: Body, x: Number, y: Number, z: Number, w: Number) -> Value:
    """Whether x * y + z == w exactly; x, y and w are not zero."""
    wide = [body.value(f"zext i64 {number.mantissa} to i256") for number in (x, y, z, w)]
    product = body.value(f"mul i256 {wide[0]}, {wide[1]}")
    power = body.value(f"add i64 {x.exponent}, {y.exponent}")
    sign = body.value(f"xor i1 {x.negative}, {y.negative}")
    terms = [(product, power, sign), (wide[2], z.exponent, z.negative), (wide[3], w.exponent, w.negative)]
    stripped = [_strip(body, mantissa, exponent) for mantissa, exponent, _ in terms]
    none = body.value(f"icmp eq i64 {z.mantissa}, 0")
    stripped[1] = (stripped[1][0], body.value(f"select i1 {none}, i64 {stripped[0][1]}, i64 {stripped[1][1]}"))
    lowest = stripped[0][1]
    for _, exponent in stripped[1:]:
        lowest = body.call("i64 @llvm.smin.i64(i64, i64)", f"i64 {lowest}, i64 {exponent}")
    near, values = "true", list[Value]()
    for (mantissa, exponent), (_, _, negative) in zip(stripped, terms, strict=True):
        distance = body.value(f"sub i64 {exponent}, {lowest}")
        near = body.value(f"and i1 {near}, {body.value(f'icmp ult i64 {distance}, {FAR}')}")
        bounded = body.call("i64 @llvm.umin.i64(i64, i64)", f"i64 {distance}, i64 {FAR}")
        shifted = body.value(f"shl i256 {mantissa}, {body.value(f'zext i64 {bounded} to i256')}")
        opposite = body.value(f"sub i256 0, {shifted}")
        values.append(body.value(f"select i1 {negative}, i256 {opposite}, i256 {shifted}"))
    equal = body.value(f"icmp eq i256 {body.value(f'add i256 {values[0]}, {values[1]}')}, {values[2]}")
    return body.value(f"and i1 {near}, {equal}")


def _strip(body: Body, mantissa: Value, exponent: Value) -> tuple[Value, Value]:
    """Without trailing zeros; zero stays zero."""
    zeros = body.call("i256 @llvm.cttz.i256(i256, i1)", f"i256 {mantissa}, i1 false")
    bounded = body.call("i256 @llvm.umin.i256(i256, i256)", f"i256 {zeros}, i256 255")
    lifted = body.value(f"add i64 {exponent}, {body.value(f'trunc i256 {bounded} to i64')}")
    return body.value(f"lshr i256 {mantissa}, {bounded}"), lifted
