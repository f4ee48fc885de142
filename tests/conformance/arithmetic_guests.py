"""Guest programs that apply one floating-point instruction to many operands, and what exact arithmetic says of it.

One image holds a function for each instruction and rounding mode. A function reads `COUNT` records of four words at
the start of private memory, and writes over each the result (as it stands in the register) and the flags it raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import exact
import numpy as np
from engines import Start, guests

from denali.isa.context import Status
from denali.isa.definitions.record import Cause
from denali.isa.image import Image
from denali.isa.tools.assembler import assemble

MODES = ("rne", "rtz", "rdn", "rup", "rmm")
DYNAMIC = "dyn"
A0, A1 = 10, 11
BATCH = 1 << 15
RECORD = 32
FORMATS = (("s", exact.SINGLE), ("d", exact.DOUBLE))


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


def _fused(form: exact.Format, product: int, addend: int) -> Callable[..., exact.Result]:
    """A multiplication and addition, with the signs of product and addend changed by these bits."""

    def result(a: int, b: int, c: int, mode: int) -> exact.Result:
        return exact.fused(form, a ^ product, b, c ^ addend, mode)

    return result


def _signed(form: exact.Format, sign: Callable[[int, int], int]) -> Callable[..., exact.Result]:
    """The first operand with a sign made of both."""

    def result(a: int, b: int) -> exact.Result:
        return a & ~form.sign | sign(a, b) & form.sign, 0

    return result


def _second(_: int, b: int) -> int:
    return b


def _not_second(_: int, b: int) -> int:
    return ~b


def _either(a: int, b: int) -> int:
    return a ^ b


def _arithmetic(letter: str, form: exact.Format) -> list[Instruction]:
    rounding: list[tuple[str, int, Callable[..., exact.Result]]] = [
        ("fadd", 2, partial(exact.add, form)),
        ("fsub", 2, partial(exact.subtract, form)),
        ("fmul", 2, partial(exact.multiply, form)),
        ("fdiv", 2, partial(exact.divide, form)),
        ("fsqrt", 1, partial(exact.square_root, form)),
        ("fmadd", 3, _fused(form, 0, 0)),
        ("fmsub", 3, _fused(form, 0, form.sign)),
        ("fnmsub", 3, _fused(form, form.sign, 0)),
        ("fnmadd", 3, _fused(form, form.sign, form.sign)),
    ]
    return [Instruction(f"{name}.{letter}", letter * count, letter, True, f) for name, count, f in rounding]


def _without_rounding(letter: str, form: exact.Format) -> list[Instruction]:
    both: list[tuple[str, str, Callable[..., exact.Result]]] = [
        ("fmin", letter, partial(exact.smaller, form, sign=1)),
        ("fmax", letter, partial(exact.smaller, form, sign=-1)),
        ("feq", "x", partial(exact.compare, form, holds=int.__eq__, quiet=True)),
        ("flt", "x", partial(exact.compare, form, holds=int.__lt__, quiet=False)),
        ("fle", "x", partial(exact.compare, form, holds=int.__le__, quiet=False)),
        ("fsgnj", letter, _signed(form, _second)),
        ("fsgnjn", letter, _signed(form, _not_second)),
        ("fsgnjx", letter, _signed(form, _either)),
    ]
    found = [Instruction(f"{name}.{letter}", letter * 2, result, False, f) for name, result, f in both]
    return [*found, Instruction(f"fclass.{letter}", letter, "x", False, partial(exact.classify, form))]


def _conversions(letter: str, form: exact.Format) -> list[Instruction]:
    found: list[Instruction] = []
    for suffix, width, signed in (("w", 32, True), ("wu", 32, False), ("l", 64, True), ("lu", 64, False)):
        found.append(Instruction(f"fcvt.{suffix}.{letter}", letter, "x", True, _to_int(form, width, signed)))
        found.append(Instruction(f"fcvt.{letter}.{suffix}", "x", letter, True, _from_int(form, width, signed)))
    return found


def _to_int(form: exact.Format, width: int, signed: bool) -> Callable[..., exact.Result]:
    def result(a: int, mode: int) -> exact.Result:
        return exact.to_int(form, a, width, signed, mode)

    return result


def _from_int(form: exact.Format, width: int, signed: bool) -> Callable[..., exact.Result]:
    def result(a: int, mode: int) -> exact.Result:
        return exact.from_int(form, a, width, signed, mode)

    return result


INSTRUCTIONS = {
    one.name: one
    for one in (
        *(one for form in FORMATS for make in (_arithmetic, _without_rounding, _conversions) for one in make(*form)),
        Instruction("fcvt.s.d", "d", "s", True, partial(exact.convert, exact.DOUBLE, exact.SINGLE)),
        Instruction("fcvt.d.s", "s", "d", True, partial(exact.convert, exact.SINGLE, exact.DOUBLE)),
    )
}


AT_WORK = "_at_work"  # behind a function's name: the function that has the instruction, and a unit of its own


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
            f"j {name}{AT_WORK}",  # units leave for the interpreter before they write fcsr, and a jump leads back
            f"{name}{AT_WORK}:",
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
    names = [function_name(*f) + end for f in functions for end in ("", AT_WORK)]
    source = "\n".join([*(f".globl {name}" for name in names), *(_source(*f) for f in functions)])
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
