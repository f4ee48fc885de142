"""Floating-point steps as LLVM IR: the host's own arithmetic, flags and rounding, where they mean the same.

While a guest runs, MXCSR holds its rounding mode and, in its sticky flags, what its arithmetic raised since it was
entered; fcsr's flags are those of CONTEXT together with MXCSR's. x86 detects tininess after rounding, as RISC-V does.
What the host does not have goes another way: NaNs are made canonical, conversions saturate, and an operation whose
static rounding mode is not the one in frm is a call of `helper_name`'s function (rounding.py defines them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from denali.isa.context import CONTEXT
from denali.isa.definitions.machine import CANONICAL_NAN

if TYPE_CHECKING:
    from denali.isa.translator.emit import Body, Machine, Value

DYNAMIC = 7
NEAREST, TO_ZERO, DOWN, UP, NEAREST_AWAY = range(5)
INVALID, DIVIDE, OVERFLOW, UNDERFLOW, INEXACT = 16, 8, 4, 2, 1  # of fcsr
MXCSR_MASKED = 0x1F80  # every exception masked, no flag, round to nearest
MXCSR_FLAGS = 0x3F
MXCSR_BITS = {INVALID: 1, DIVIDE: 4, OVERFLOW: 8, UNDERFLOW: 16, INEXACT: 32}
ROUNDING_TO_MXCSR = 0b10_01_11_00  # two bits each, frm 0 lowest: nearest 0, to zero 3, down 1, up 2
TYPE = {32: "float", 64: "double"}
INFINITY = {32: 0x7F800000, 64: 0x7FF0000000000000}
NO_SIGN = {32: 0x7FFFFFFF, 64: 0x7FFFFFFFFFFFFFFF}
QUIET = {32: 0x00400000, 64: 0x0008000000000000}
ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "sqrt": "sqrt", "fma": "fma"}
COMPARE = {"eq": ("fcmp", "oeq"), "lt": ("fcmps", "olt"), "le": ("fcmps", "ole")}
INTEGERS = {"i32": (True, 32), "u32": (False, 32), "i64": (True, 64), "u64": (False, 64)}
ROUND = {NEAREST: "roundeven", TO_ZERO: "trunc", DOWN: "floor", UP: "ceil", DYNAMIC: "nearbyint"}
STRICT = 'metadata !"fpexcept.strict"'
DYNAMIC_STRICT = f'metadata !"round.dynamic", {STRICT}'
ROUNDED = frozenset({*ARITHMETIC, "convert", *(f"{way}_{kind}" for way in ("to", "from") for kind in INTEGERS)})

# Reading MXCSR is quick; writing it takes tens of nanoseconds on some hosts, so it is read first.
SUPPORT = {
    "i32 @denali_get_mxcsr()": """define internal i32 @denali_get_mxcsr() noinline optnone {
  %slot = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %slot)
  %value = load i32, ptr %slot
  ret i32 %value
}
""",
    "void @denali_set_mxcsr(i32)": """define internal void @denali_set_mxcsr(i32 %value) noinline optnone {
  %slot = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %slot)
  %now = load i32, ptr %slot
  %same = icmp eq i32 %now, %value
  br i1 %same, label %done, label %write
write:
  store i32 %value, ptr %slot
  call void @llvm.x86.sse.ldmxcsr(ptr %slot)
  br label %done
done:
  ret void
}
""",
}

SUPPORT_NEEDS = frozenset({"void @llvm.x86.sse.stmxcsr(ptr)", "void @llvm.x86.sse.ldmxcsr(ptr)"})


def helper_name(operation: str, source: int, width: int) -> str:
    """The function that performs `operation` in any rounding mode: i64 (i64 mode, i64 a, i64 b, i64 c)."""
    return f"denali_{operation}_{source}_{width}"


def get_mxcsr(body: Body) -> Value:
    """MXCSR, i32."""
    return body.call("i32 @denali_get_mxcsr()", "")


def set_mxcsr(body: Body, value: Value) -> None:
    """Write MXCSR."""
    body.call("void @denali_set_mxcsr(i32)", f"i32 {value}")


def raise_flags(body: Body, flags: int) -> None:
    """Set flags of fcsr, in MXCSR."""
    bits = sum(bit for flag, bit in MXCSR_BITS.items() if flag & flags)
    set_mxcsr(body, body.value(f"or i32 {get_mxcsr(body)}, {bits}"))


def flags_of(body: Body, mxcsr: Value) -> Value:
    """The flags of fcsr (i32) that MXCSR's flags mean."""
    result = "0"
    for flag, bit in MXCSR_BITS.items():
        shift = bit.bit_length() - flag.bit_length()
        moved = body.value(f"{'lshr' if shift > 0 else 'shl'} i32 {mxcsr}, {abs(shift)}")
        result = body.value(f"or i32 {result}, {body.value(f'and i32 {moved}, {flag}')}")
    return result


def control_for(body: Body, mode: Value) -> Value:
    """The rounding-control bits of MXCSR (i32) for a rounding mode 0..3 (i32); a reserved mode gives some mode."""
    twice = body.value(f"and i32 {body.value(f'shl i32 {mode}, 1')}, 6")
    control = body.value(f"and i32 {body.value(f'lshr i32 {ROUNDING_TO_MXCSR}, {twice}')}, 3")
    return body.value(f"shl i32 {control}, 13")


def fcsr_pointer(machine: Machine) -> Value:
    """A ptr to fcsr in CONTEXT, 32 bits."""
    offset = CONTEXT.fields["fcsr"][1]  # type: ignore[index]
    return machine.body.value(f"getelementptr i8, ptr {machine.context()}, i64 {offset}")


def frm(machine: Machine) -> Value:
    """The rounding mode in fcsr, i32."""
    body = machine.body
    return body.value(f"lshr i32 {body.value(f'load i32, ptr {fcsr_pointer(machine)}')}, 5")


def read_status(machine: Machine, part: str) -> Value:
    """`fflags` or `frm`, 64 bits."""
    body = machine.body
    if part == "frm":
        return body.value(f"zext i32 {frm(machine)} to i64")
    stored = body.value(f"and i32 {body.value(f'load i32, ptr {fcsr_pointer(machine)}')}, 31")
    return body.value(f"zext i32 {body.value(f'or i32 {stored}, {flags_of(body, get_mxcsr(body))}')} to i64")


def write_status(machine: Machine, part: str, value: Value) -> None:
    """Write `fflags` or `frm` (64 bits, already masked), and MXCSR with it."""
    body = machine.body
    pointer, mxcsr = fcsr_pointer(machine), get_mxcsr(body)
    old = body.value(f"load i32, ptr {pointer}")
    new = body.value(f"trunc i64 {value} to i32")
    if part == "frm":
        shifted = body.value(f"shl i32 {new}, 5")
        merged = body.value(f"or i32 {shifted}, {body.value(f'and i32 {old}, 31')}")
        body.line(f"store i32 {merged}, ptr {pointer}")
        base = body.value(f"and i32 {mxcsr}, {0xFFFF & ~0x6000}")
        set_mxcsr(body, body.value(f"or i32 {base}, {control_for(body, new)}"))
    else:
        kept = body.value(f"and i32 {old}, 224")
        body.line(f"store i32 {body.value(f'or i32 {kept}, {new}')}, ptr {pointer}")
        set_mxcsr(body, body.value(f"and i32 {mxcsr}, {0xFFFF & ~MXCSR_FLAGS}"))


def exact(operation: str, source: int, width: int) -> bool:
    """Whether the result never needs rounding, so that no rounding mode matters."""
    widened = (source, width) == (32, 64) and operation in ("convert", "from_i32", "from_u32")
    return widened or operation not in ROUNDED


def emit_float(machine: Machine, operation: str, rm: str | None, sources: list[tuple[Value, int]], width: int) -> Value:
    """Emit one FLOAT step on raw bits; `sources` are values with their widths."""
    body, source = machine.body, sources[0][1]
    values = [value for value, _ in sources]
    if rm is None or exact(operation, source, width):
        return compute(body, operation, values, source, width, DYNAMIC)
    mode = machine.rounding(rm)
    if mode == DYNAMIC or (isinstance(mode, int) and operation.startswith("to_")):
        return compute(body, operation, values, source, width, int(mode))
    return _either_way(machine, operation, mode, values, source, width)


def _either_way(
    machine: Machine, operation: str, mode: Value | int, values: list[Value], source: int, width: int
) -> Value:
    """The inline form where the mode is the one in frm (of a conversion to integer: towards zero), else the helper."""
    body = machine.body
    inline = DYNAMIC
    if operation.startswith("to_"):
        inline = TO_ZERO
        good = body.value(f"icmp eq i64 {mode}, {TO_ZERO}")
        effective = effective_mode(machine, mode)
    else:
        current = body.value(f"zext i32 {frm(machine)} to i64")
        effective = effective_mode(machine, mode, current)
        same = body.value(f"icmp eq i64 {effective}, {current}")
        good = body.value(f"and i1 {same}, {body.value(f'icmp ult i64 {current}, 4')}")
    fast, slow, done = body.name("inline"), body.name("helper"), body.name("rounded")
    body.branch(good, fast, slow, likely=True)
    body.label(slow)
    other = call_helper(body, operation, effective, values, source, width)
    slow = body.block
    body.line(f"br label %{done}")
    body.label(fast)
    usual = compute(body, operation, values, source, width, inline)
    fast = body.block
    body.line(f"br label %{done}")
    body.label(done)
    return body.value(f"phi i{width} [ {usual}, %{fast} ], [ {other}, %{slow} ]")


def effective_mode(machine: Machine, mode: Value | int, current: Value | None = None) -> Value:
    """The mode 0..4 that `mode` (maybe 7) stands for, i64."""
    if isinstance(mode, int) and mode != DYNAMIC:
        return str(mode)
    body = machine.body
    current = current or body.value(f"zext i32 {frm(machine)} to i64")
    return body.value(f"select i1 {body.value(f'icmp eq i64 {mode}, {DYNAMIC}')}, i64 {current}, i64 {mode}")


def call_helper(body: Body, operation: str, mode: Value, values: list[Value], source: int, width: int) -> Value:
    """Call the helper of an operation: raw bits in, raw bits out."""
    wide = [value if source == 64 else body.value(f"zext i{source} {value} to i64") for value in values]
    arguments = ", ".join(f"i64 {value}" for value in [mode, *wide, "0", "0"][:4])
    result = body.call(f"i64 @{helper_name(operation, source, width)}(i64, i64, i64, i64)", arguments)
    return result if width == 64 else body.value(f"trunc i64 {result} to i{width}")


def compute(body: Body, operation: str, values: list[Value], source: int, width: int, mode: int) -> Value:
    """The operation inline, rounding as MXCSR says; of a conversion to an integer, in `mode` (7: as MXCSR says)."""
    if operation in COMPARE:
        return _compare(body, *COMPARE[operation], values, source)
    if operation in ("min", "max"):
        return _extreme(body, operation, values, width)
    if operation.startswith("from_"):
        return from_integer(body, values[0], *INTEGERS[operation[5:]], width)
    if operation.startswith("to_"):
        return to_integer(body, values[0], source, *INTEGERS[operation[3:]], mode)
    if operation == "fma":
        _invalid_product(body, values, width)
    floats = [as_float(body, value, source) for value in values]
    if operation == "convert":
        return canonical(body, _convert(body, floats[0], source, width), width)
    arithmetic = plain if body.plain_floats else constrained
    return canonical(body, arithmetic(body, ARITHMETIC[operation], floats, width), width)


def plain(body: Body, name: str, values: list[Value], width: int) -> Value:
    """An operation that LLVM may move and vectorise, but neither drop (its result counts as seen) nor fold."""
    kind = TYPE[width]
    if name == "sqrt":
        result = body.call(f"{kind} @llvm.sqrt.f{width}({kind})", f"{kind} {values[0]}")
    else:
        result = body.value(f"{name} {kind} {', '.join(values)}")
    bits = body.value(f"bitcast {kind} {result} to i{width}")
    wide = bits if width == 64 else body.value(f"zext i32 {bits} to i64")
    seen = body.value(f"or i64 {body.value('load i64, ptr %seen')}, {wide}")
    body.line(f"store i64 {seen}, ptr %seen")
    return result


def constrained(body: Body, name: str, values: list[Value], width: int) -> Value:
    """A constrained intrinsic on and to one floating-point type, rounding as MXCSR says."""
    kind = TYPE[width]
    rounding = DYNAMIC_STRICT if name not in ("trunc", "floor", "ceil", "roundeven") else STRICT
    types = ", ".join([kind] * len(values) + ["metadata"] * rounding.count("metadata"))
    declaration = f"{kind} @llvm.experimental.constrained.{name}.f{width}({types})"
    return body.call(declaration, ", ".join(f"{kind} {value}" for value in values) + ", " + rounding, "strictfp")


def compare(body: Body, quiet: str, predicate: str, a: Value, b: Value, width: int) -> Value:
    """A comparison, i1; `fcmps` raises invalid for any NaN, `fcmp` for a signalling one."""
    kind = TYPE[width]
    declaration = f"i1 @llvm.experimental.constrained.{quiet}.f{width}({kind}, {kind}, metadata, metadata)"
    return body.call(declaration, f'{kind} {a}, {kind} {b}, metadata !"{predicate}", {STRICT}', "strictfp")


def as_float(body: Body, bits: Value, width: int) -> Value:
    """Raw bits as a floating-point value."""
    return body.value(f"bitcast i{width} {bits} to {TYPE[width]}")


def is_nan(body: Body, bits: Value, width: int) -> Value:
    """Whether raw bits are a NaN; raises nothing."""
    return body.value(f"icmp ugt i{width} {body.value(f'and i{width} {bits}, {NO_SIGN[width]}')}, {INFINITY[width]}")


def canonical(body: Body, value: Value, width: int) -> Value:
    """The raw bits of a result; of any NaN the canonical one's."""
    number = value if body.postpones_nans and width == 64 else mended(body, value, width)
    return body.value(f"bitcast {TYPE[width]} {number} to i{width}")


def mended(body: Body, value: Value, width: int) -> Value:
    """A result, or the canonical NaN for any: none signals, so the comparison raises nothing and LLVM may move it."""
    kind, nan = TYPE[width], body.value(f"fcmp uno {TYPE[width]} {value}, {value}")
    return body.value(f"select i1 {nan}, {kind} {as_float(body, str(CANONICAL_NAN[width]), width)}, {kind} {value}")


def _compare(body: Body, quiet: str, predicate: str, values: list[Value], source: int) -> Value:
    a, b = (as_float(body, value, source) for value in values)
    return compare(body, quiet, predicate, a, b, source)


def _extreme(body: Body, operation: str, values: list[Value], width: int) -> Value:
    """Minimum or maximum; equal numbers differ at most in the sign of a zero, so or/and of their bits is right."""
    a, b = values
    kind = f"i{width}"
    first, second = ("olt", "ogt") if operation == "min" else ("ogt", "olt")
    x, y = as_float(body, a, width), as_float(body, b, width)
    result = body.value(f"{'or' if operation == 'min' else 'and'} {kind} {a}, {b}")
    for condition, value in (
        (compare(body, "fcmp", first, x, y, width), a),
        (compare(body, "fcmp", second, x, y, width), b),
    ):
        result = body.value(f"select i1 {condition}, {kind} {value}, {kind} {result}")
    only = body.value(f"select i1 {is_nan(body, b, width)}, {kind} {a}, {kind} {result}")
    other = body.value(f"select i1 {is_nan(body, b, width)}, {kind} {CANONICAL_NAN[width]}, {kind} {b}")
    return body.value(f"select i1 {is_nan(body, a, width)}, {kind} {other}, {kind} {only}")


def _invalid_product(body: Body, values: list[Value], width: int) -> None:
    """Infinity times zero is invalid also when a quiet NaN is added, where hosts differ."""
    check, done = body.name("nan_added"), body.name("multiply")
    added = as_float(body, values[2], width)  # of a signalling NaN the comparison raises what the addition would
    body.branch(body.value(f"fcmp uno {TYPE[width]} {added}, {added}"), check, done, likely=False)
    body.label(check)
    pure = [body.value(f"and i{width} {value}, {NO_SIGN[width]}") for value in values[:2]]
    zero = [body.value(f"icmp eq i{width} {value}, 0") for value in pure]
    infinite = [body.value(f"icmp eq i{width} {value}, {INFINITY[width]}") for value in pure]
    either = [body.value(f"and i1 {zero[i]}, {infinite[1 - i]}") for i in (0, 1)]
    invalid = body.name("invalid")
    body.line(f"br i1 {body.value(f'or i1 {either[0]}, {either[1]}')}, label %{invalid}, label %{done}")
    body.label(invalid)
    raise_flags(body, INVALID)
    body.line(f"br label %{done}")
    body.label(done)


def _convert(body: Body, value: Value, source: int, width: int) -> Value:
    name = f"f{width}.f{source}"
    if width > source:
        declaration = f"{TYPE[width]} @llvm.experimental.constrained.fpext.{name}({TYPE[source]}, metadata)"
        return body.call(declaration, f"{TYPE[source]} {value}, {STRICT}", "strictfp")
    declaration = f"{TYPE[width]} @llvm.experimental.constrained.fptrunc.{name}({TYPE[source]}, metadata, metadata)"
    return body.call(declaration, f"{TYPE[source]} {value}, {DYNAMIC_STRICT}", "strictfp")


def from_integer(body: Body, value: Value, signed: bool, bits: int, width: int) -> Value:
    """An integer as raw floating-point bits. One that exceeds i64 is halved first, its lowest bit kept sticky."""
    kind = TYPE[width]
    declaration = f"{kind} @llvm.experimental.constrained.sitofp.f{width}.i64(i64, metadata, metadata)"
    if bits == 32:
        value = body.value(f"{'sext' if signed else 'zext'} i32 {value} to i64")
    if signed or bits == 32:
        result = body.call(declaration, f"i64 {value}, {DYNAMIC_STRICT}", "strictfp")
        return body.value(f"bitcast {kind} {result} to i{width}")
    large = body.value(f"icmp slt i64 {value}, 0")
    half = body.value(f"or i64 {body.value(f'lshr i64 {value}, 1')}, {body.value(f'and i64 {value}, 1')}")
    chosen = body.value(f"select i1 {large}, i64 {half}, i64 {value}")
    small = body.call(declaration, f"i64 {chosen}, {DYNAMIC_STRICT}", "strictfp")
    zero = body.value(f"bitcast i{width} 0 to {kind}")
    added = body.value(f"select i1 {large}, {kind} {small}, {kind} {zero}")
    return body.value(f"bitcast {kind} {constrained(body, 'fadd', [small, added], width)} to i{width}")


def rounded(body: Body, value: Value, width: int, mode: int) -> Value:
    """The integral value that `value` rounds to in `mode`; raises nothing but invalid for a signalling NaN."""
    if mode != NEAREST_AWAY:
        return constrained(body, ROUND[mode], [value], width)
    whole = constrained(body, "trunc", [value], width)
    rest = constrained(body, "fsub", [value, whole], width)
    bits = body.value(f"and i{width} {body.value(f'bitcast {TYPE[width]} {rest} to i{width}')}, {NO_SIGN[width]}")
    half, one = ({32: 0x3F000000, 64: 0x3FE0 << 48}[width], {32: 0x3F800000, 64: 0x3FF0 << 48}[width])
    away = body.value(f"icmp uge i{width} {bits}, {half}")
    finite = body.value(f"and i1 {away}, {body.value(f'icmp ult i{width} {bits}, {INFINITY[width]}')}")
    sign = body.value(f"and i{width} {body.value(f'bitcast {TYPE[width]} {value} to i{width}')}, {1 << (width - 1)}")
    unit = body.value(f"or i{width} {sign}, {one}")
    step = body.value(f"select i1 {finite}, i{width} {unit}, i{width} 0")
    return constrained(body, "fadd", [whole, as_float(body, step, width)], width)


def power_of_two(exponent: int, width: int, negative: bool = False) -> int:
    """Raw bits of ± 2 ** exponent."""
    mantissa, bias = {32: (23, 127), 64: (52, 1023)}[width]
    return (exponent + bias) << mantissa | negative << (width - 1)


def to_integer(body: Body, bits: Value, source: int, signed: bool, width: int, mode: int) -> Value:
    """An integer from raw floating-point bits: rounded, then clamped, with invalid where it was out of range."""
    value = as_float(body, bits, source)
    whole = rounded(body, value, source, mode)
    least = as_float(body, str(power_of_two(width - 1, source, negative=True) if signed else 0), source)
    bound = as_float(body, str(power_of_two(width - 1 if signed else width, source)), source)
    low, high = compare(body, "fcmp", "oge", whole, least, source), compare(body, "fcmp", "olt", whole, bound, source)
    good, bad, done = body.name("in_range"), body.name("out_of_range"), body.name("converted")
    body.branch(body.value(f"and i1 {low}, {high}"), good, bad, likely=True)
    body.label(bad)
    raise_flags(body, INVALID)
    clamped = _clamped(body, bits, source, signed, width)
    body.line(f"br label %{done}")
    body.label(good)
    constrained(body, "rint", [value], source)  # raises inexact where there is a fraction
    converted = _whole_to_integer(body, whole, source, width, signed)
    good = body.block
    body.line(f"br label %{done}")
    body.label(done)
    return body.value(f"phi i{width} [ {clamped}, %{bad} ], [ {converted}, %{good} ]")


def _clamped(body: Body, bits: Value, source: int, signed: bool, width: int) -> Value:
    """The nearest integer there is to what is out of range; for a NaN the largest."""
    ones = (1 << width) - 1
    smallest, largest = (1 << (width - 1), ones >> 1) if signed else (0, ones)
    negative = body.value(f"icmp slt i{source} {bits}, 0")
    nan = is_nan(body, bits, source)
    low = body.value(f"and i1 {negative}, {body.value(f'xor i1 {nan}, true')}")
    return body.value(f"select i1 {low}, i{width} {smallest}, i{width} {largest}")


def _whole_to_integer(body: Body, whole: Value, source: int, width: int, signed: bool) -> Value:
    """An integral value in range as an integer; through i64, from which only u64 differs."""
    kind = TYPE[source]
    declaration = f"i64 @llvm.experimental.constrained.fptosi.i64.f{source}({kind}, metadata)"
    if width == 32:
        wide = body.call(declaration, f"{kind} {whole}, {STRICT}", "strictfp")
        return body.value(f"trunc i64 {wide} to i32")
    if signed:
        return body.call(declaration, f"{kind} {whole}, {STRICT}", "strictfp")
    limit = as_float(body, str(power_of_two(63, source)), source)
    large = compare(body, "fcmp", "oge", whole, limit, source)
    zero = as_float(body, "0", source)
    taken = body.value(f"select i1 {large}, {kind} {limit}, {kind} {zero}")
    low = constrained(body, "fsub", [whole, taken], source)
    integer = body.call(declaration, f"{kind} {low}, {STRICT}", "strictfp")
    top = body.value(f"select i1 {large}, i64 {1 << 63}, i64 0")
    return body.value(f"xor i64 {integer}, {top}")
