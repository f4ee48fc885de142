"""Guest programs that apply one floating-point instruction to many operands, and what exact arithmetic says of it.

One image holds a function for each instruction and rounding mode. A function reads `COUNT` records of four words at
the start of private memory, and writes over each the result (as it stands in the register) and the flags it raised.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import exact
import numpy as np
from engines import Start, guests

from denali.isa.assembler import assemble
from denali.isa.context import Status
from denali.isa.image import Image
from denali.isa.record import Cause

MODES = ("rne", "rtz", "rdn", "rup", "rmm")
DYNAMIC = "dyn"
A0, A1 = 10, 11
BATCH = 1 << 15
RECORD = 32
ONES = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: `operands` and `result` say of each register "s", "d" (floating point) or "x" (integer)."""

    name: str
    operands: str
    result: str
    rounds: bool
    exact: Callable[..., exact.Result]  # operands as the instruction sees them, then the rounding mode if it rounds


def unboxed(kind: str, bits: int) -> int:
    """An operand as the instruction sees it: a single whose box is broken is the canonical NaN."""
    if kind != "s":
        return bits
    return bits & 0xFFFFFFFF if bits >> 32 == 0xFFFFFFFF else exact.SINGLE.nan


def expected(one: Instruction, operands: Sequence[int], mode: int) -> exact.Result:
    """The register and the flags that exact arithmetic gives."""
    seen = [unboxed(kind, bits) for kind, bits in zip(one.operands, operands, strict=True)]
    bits, flags = one.exact(*seen, mode) if one.rounds else one.exact(*seen)
    return (bits | 0xFFFFFFFF << 32 if one.result == "s" else bits), flags


def _of_format(letter: str, form: exact.Format) -> list[Instruction]:
    def negated(bits: int) -> int:
        return bits ^ form.sign

    def signed_like(sign: Callable[[int, int], int], a: int, b: int) -> exact.Result:
        return a & ~form.sign | sign(a, b) & form.sign, 0

    rounding: list[tuple[str, int, Callable[..., exact.Result]]] = [
        ("fadd", 2, exact.add),
        ("fsub", 2, exact.subtract),
        ("fmul", 2, exact.multiply),
        ("fdiv", 2, exact.divide),
        ("fsqrt", 1, exact.square_root),
        ("fmadd", 3, exact.fused),
        ("fmsub", 3, lambda f, a, b, c, m: exact.fused(f, a, b, negated(c), m)),
        ("fnmsub", 3, lambda f, a, b, c, m: exact.fused(f, negated(a), b, c, m)),
        ("fnmadd", 3, lambda f, a, b, c, m: exact.fused(f, negated(a), b, negated(c), m)),
    ]
    quiet: list[tuple[str, str, str, Callable[..., exact.Result]]] = [
        ("fmin", "ff", "f", lambda f, a, b: exact.smaller(f, a, b, 1)),
        ("fmax", "ff", "f", lambda f, a, b: exact.smaller(f, a, b, -1)),
        ("feq", "ff", "x", lambda f, a, b: exact.compare(f, a, b, operator.eq, True)),
        ("flt", "ff", "x", lambda f, a, b: exact.compare(f, a, b, operator.lt, False)),
        ("fle", "ff", "x", lambda f, a, b: exact.compare(f, a, b, operator.le, False)),
        ("fclass", "f", "x", exact.classify),
        ("fsgnj", "ff", "f", lambda f, a, b: signed_like(lambda a, b: b, a, b)),
        ("fsgnjn", "ff", "f", lambda f, a, b: signed_like(lambda a, b: ~b, a, b)),
        ("fsgnjx", "ff", "f", lambda f, a, b: signed_like(operator.xor, a, b)),
    ]
    found = [Instruction(f"{n}.{letter}", letter * count, letter, True, partial(f, form)) for n, count, f in rounding]
    for name, operands, result, function in quiet:
        kinds, kind = operands.replace("f", letter), result.replace("f", letter)
        found.append(Instruction(f"{name}.{letter}", kinds, kind, False, partial(function, form)))
    for suffix, width, signed in (("w", 32, True), ("wu", 32, False), ("l", 64, True), ("lu", 64, False)):
        to = partial(_to_int, form, width, signed)
        found.append(Instruction(f"fcvt.{suffix}.{letter}", letter, "x", True, to))
        of = partial(_from_int, form, width, signed)
        found.append(Instruction(f"fcvt.{letter}.{suffix}", "x", letter, True, of))
    return found


def _to_int(form: exact.Format, width: int, signed: bool, a: int, mode: int) -> exact.Result:
    return exact.to_int(form, a, width, signed, mode)


def _from_int(form: exact.Format, width: int, signed: bool, a: int, mode: int) -> exact.Result:
    return exact.from_int(form, a, width, signed, mode)


INSTRUCTIONS = {
    one.name: one
    for one in (
        *_of_format("s", exact.SINGLE),
        *_of_format("d", exact.DOUBLE),
        Instruction("fcvt.s.d", "d", "s", True, partial(exact.convert, exact.DOUBLE, exact.SINGLE)),
        Instruction("fcvt.d.s", "s", "d", True, partial(exact.convert, exact.SINGLE, exact.DOUBLE)),
    )
}


def function_name(one: Instruction, mode: str) -> str:
    """The function that applies `one` with the rounding mode written into it, "dyn", or none."""
    return f"{one.name}_{mode if one.rounds else 'none'}".replace(".", "_")


def _source(one: Instruction, mode: str) -> str:
    registers = [("a" if kind == "x" else "fa") + str(n + 2) for n, kind in enumerate(one.operands)]
    loads = [f"{'ld' if r.startswith('a') else 'fld'} {r}, {8 * n}(a0)" for n, r in enumerate(registers)]
    result, store = ("a6", "sd") if one.result == "x" else ("fa6", "fsd")
    rounding = f", {mode}" if one.rounds and one.name != "fcvt.d.s" else ""
    name = function_name(one, mode)
    return "\n".join(
        [
            f"{name}:",
            "fsflags zero",
            *loads,
            f"{one.name} {result}, {', '.join(registers)}{rounding}",
            "frflags a7",
            f"{store} {result}, 0(a0)",
            "sd a7, 8(a0)",
            f"addi a0, a0, {RECORD}",
            "addi a1, a1, -1",
            f"bnez a1, {name}",
            "ecall",
        ]
    )


@cache
def image() -> Image:
    """All functions."""
    functions = [(one, mode) for one in INSTRUCTIONS.values() for mode in ((*MODES, DYNAMIC) if one.rounds else ("",))]
    source = "\n".join(f".globl {function_name(*f)}\n{_source(*f)}" for f in functions)
    program = assemble(source)
    return replace(Image.raw(program.text, name="floats"), functions=program.functions)


def apply(engine: str, one: Instruction, mode: str, operands: np.ndarray, frm: int = 0) -> np.ndarray:
    """Results and flags of `one` for rows of operands, as rows of two words.

    Args:
        engine: of `engines.ENGINES`.
        one: the instruction.
        mode: the rounding mode it names, or "dyn".
        operands: 64-bit registers, a row for each application.
        frm: the rounding mode in fcsr.
    """
    symbol = next(s for s in image().functions if s.name == function_name(one, mode))
    results: list[np.ndarray] = []
    with guests(engine, image(), private_size=BATCH * RECORD + 4096) as start:
        for first in range(0, len(operands), BATCH):
            part = operands[first : first + BATCH]
            records = np.zeros((len(part), 4), np.uint64)
            records[:, : part.shape[1]] = part
            begin = Start(symbol.start, {A0: image().private_start, A1: len(part)}, {}, frm << 5, records.tobytes())
            outcome = start(begin, 20 * len(part) + 10)
            assert (outcome.status, outcome.cause) == (Status.TRAP, Cause.ENVIRONMENT_CALL), (
                outcome.status,
                outcome.cause,
            )
            memory = np.frombuffer(outcome.memory, np.uint64, len(part) * 4).reshape(-1, 4)
            results.append(memory[:, :2].copy())
    return np.concatenate(results)
