"""F and D: single and double precision (unprivileged manual, chapters 20 and 21), each definition for both.

A definition is called with the width of its format, 32 or 64. Singles live in the low half of a register, boxed:
`cpu.f[rs1, 32]` reads the canonical NaN where the box is broken, and a write makes the box.
"""

from __future__ import annotations

from collections.abc import Callable

from .instruction import Definition, instruction
from .machine import Machine
from .operands import FReg, Reg, Rounding, Signed
from .record import Step

EXPONENT_BITS = {32: 8, 64: 11}


FORMATS = (("s", "00", "w", "010", 32), ("d", "01", "d", "011", 64))


def formats(layout: str, name: str | None = None, text: str | None = None) -> Callable[[Definition], Definition]:
    """Define an instruction for single and for double: FF in the layout is the format, FFF the size of an access.

    In `name` {f} stands for the letter of the format and {a} for that of the access; without a name {f} follows the
    function's name.
    """

    def define(function: Definition) -> Definition:
        pattern = name or function.__name__.replace("_", ".") + ".{f}"
        for letter, code, access, size, width in FORMATS:
            bits = layout.replace("FFF", size).replace("FF", code)
            instruction(bits, name=pattern.format(f=letter, a=access), text=text, width=width)(function)
        return function

    return define


# Loads, stores and moves: bits, never changed


@formats("imm:12 rs1:5 FFF rd:5 0000111", name="fl{a}", text="rd, imm(rs1)")
def float_load(cpu: Machine, rd: FReg, rs1: Reg, imm: Signed, *, width: int) -> None:
    """rd = what is at rs1 + imm."""
    cpu.f[rd] = cpu.load(cpu[rs1] + imm, width)


@formats("imm[11:5] rs2:5 rs1:5 FFF imm[4:0] 0100111", name="fs{a}", text="rs2, imm(rs1)")
def float_store(cpu: Machine, rs1: Reg, rs2: FReg, imm: Signed, *, width: int) -> None:
    """Store the low bits of rs2 at rs1 + imm."""
    cpu.store(cpu[rs1] + imm, cpu.f[rs2].low(width))


@instruction("1110000 00000 rs1:5 000 rd:5 1010011")
def fmv_x_w(cpu: Machine, rd: Reg, rs1: FReg) -> None:
    """rd = the low 32 bits of rs1, sign-extended."""
    cpu[rd] = cpu.f[rs1].low(32).sext()


@instruction("1110001 00000 rs1:5 000 rd:5 1010011")
def fmv_x_d(cpu: Machine, rd: Reg, rs1: FReg) -> None:
    """rd = the bits of rs1."""
    cpu[rd] = cpu.f[rs1]


@instruction("1111000 00000 rs1:5 000 rd:5 1010011")
def fmv_w_x(cpu: Machine, rd: FReg, rs1: Reg) -> None:
    """rd = the low 32 bits of rs1, boxed."""
    cpu.f[rd] = cpu[rs1].low(32)


@instruction("1111001 00000 rs1:5 000 rd:5 1010011")
def fmv_d_x(cpu: Machine, rd: FReg, rs1: Reg) -> None:
    """rd = the bits of rs1."""
    cpu.f[rd] = cpu[rs1]


# Signs: bits too, so a NaN keeps its payload


def with_sign(value: Step, sign: Step) -> Step:
    """`value` with the highest bit of `sign`."""
    mask = 1 << (value.width - 1)
    return (value & (mask - 1)) | (sign & mask)


@formats("00100FF rs2:5 rs1:5 000 rd:5 1010011")
def fsgnj(cpu: Machine, rd: FReg, rs1: FReg, rs2: FReg, *, width: int) -> None:
    """rd = rs1 with the sign of rs2."""
    cpu.f[rd] = with_sign(cpu.f[rs1, width], cpu.f[rs2, width])


@formats("00100FF rs2:5 rs1:5 001 rd:5 1010011")
def fsgnjn(cpu: Machine, rd: FReg, rs1: FReg, rs2: FReg, *, width: int) -> None:
    """rd = rs1 with the opposite of the sign of rs2."""
    cpu.f[rd] = with_sign(cpu.f[rs1, width], ~cpu.f[rs2, width])


@formats("00100FF rs2:5 rs1:5 010 rd:5 1010011")
def fsgnjx(cpu: Machine, rd: FReg, rs1: FReg, rs2: FReg, *, width: int) -> None:
    """rd = rs1 with the product of both signs."""
    a, b = cpu.f[rs1, width], cpu.f[rs2, width]
    cpu.f[rd] = with_sign(a, a ^ b)


# Arithmetic


@formats("00000FF rs2:5 rs1:5 rm:3 rd:5 1010011")
def fadd(cpu: Machine, rd: FReg, rs1: FReg, rs2: FReg, rm: Rounding, *, width: int) -> None:
    """rd = rs1 + rs2."""
    cpu.f[rd] = cpu.float("add", cpu.f[rs1, width], cpu.f[rs2, width], rm=rm)


@formats("00001FF rs2:5 rs1:5 rm:3 rd:5 1010011")
def fsub(cpu: Machine, rd: FReg, rs1: FReg, rs2: FReg, rm: Rounding, *, width: int) -> None:
    """rd = rs1 - rs2."""
    cpu.f[rd] = cpu.float("sub", cpu.f[rs1, width], cpu.f[rs2, width], rm=rm)


@formats("00010FF rs2:5 rs1:5 rm:3 rd:5 1010011")
def fmul(cpu: Machine, rd: FReg, rs1: FReg, rs2: FReg, rm: Rounding, *, width: int) -> None:
    """rd = rs1 * rs2."""
    cpu.f[rd] = cpu.float("mul", cpu.f[rs1, width], cpu.f[rs2, width], rm=rm)


@formats("00011FF rs2:5 rs1:5 rm:3 rd:5 1010011")
def fdiv(cpu: Machine, rd: FReg, rs1: FReg, rs2: FReg, rm: Rounding, *, width: int) -> None:
    """rd = rs1 / rs2."""
    cpu.f[rd] = cpu.float("div", cpu.f[rs1, width], cpu.f[rs2, width], rm=rm)


@formats("01011FF 00000 rs1:5 rm:3 rd:5 1010011")
def fsqrt(cpu: Machine, rd: FReg, rs1: FReg, rm: Rounding, *, width: int) -> None:
    """rd = the square root of rs1."""
    cpu.f[rd] = cpu.float("sqrt", cpu.f[rs1, width], rm=rm)


@formats("00101FF rs2:5 rs1:5 000 rd:5 1010011")
def fmin(cpu: Machine, rd: FReg, rs1: FReg, rs2: FReg, *, width: int) -> None:
    """rd = the smaller of rs1 and rs2; the number, if one of them is NaN."""
    cpu.f[rd] = cpu.float("min", cpu.f[rs1, width], cpu.f[rs2, width])


@formats("00101FF rs2:5 rs1:5 001 rd:5 1010011")
def fmax(cpu: Machine, rd: FReg, rs1: FReg, rs2: FReg, *, width: int) -> None:
    """rd = the larger of rs1 and rs2; the number, if one of them is NaN."""
    cpu.f[rd] = cpu.float("max", cpu.f[rs1, width], cpu.f[rs2, width])


def negated(value: Step) -> Step:
    """The same with the other sign."""
    return value ^ (1 << (value.width - 1))


@formats("rs3:5 FF rs2:5 rs1:5 rm:3 rd:5 1000011")
def fmadd(cpu: Machine, rd: FReg, rs1: FReg, rs2: FReg, rs3: FReg, rm: Rounding, *, width: int) -> None:
    """rd = rs1 * rs2 + rs3, rounded once."""
    a, b, c = cpu.f[rs1, width], cpu.f[rs2, width], cpu.f[rs3, width]
    cpu.f[rd] = cpu.float("fma", a, b, c, rm=rm)


@formats("rs3:5 FF rs2:5 rs1:5 rm:3 rd:5 1000111")
def fmsub(cpu: Machine, rd: FReg, rs1: FReg, rs2: FReg, rs3: FReg, rm: Rounding, *, width: int) -> None:
    """rd = rs1 * rs2 - rs3, rounded once."""
    a, b, c = cpu.f[rs1, width], cpu.f[rs2, width], cpu.f[rs3, width]
    cpu.f[rd] = cpu.float("fma", a, b, negated(c), rm=rm)


@formats("rs3:5 FF rs2:5 rs1:5 rm:3 rd:5 1001011")
def fnmsub(cpu: Machine, rd: FReg, rs1: FReg, rs2: FReg, rs3: FReg, rm: Rounding, *, width: int) -> None:
    """rd = -(rs1 * rs2) + rs3, rounded once."""
    a, b, c = cpu.f[rs1, width], cpu.f[rs2, width], cpu.f[rs3, width]
    cpu.f[rd] = cpu.float("fma", negated(a), b, c, rm=rm)


@formats("rs3:5 FF rs2:5 rs1:5 rm:3 rd:5 1001111")
def fnmadd(cpu: Machine, rd: FReg, rs1: FReg, rs2: FReg, rs3: FReg, rm: Rounding, *, width: int) -> None:
    """rd = -(rs1 * rs2) - rs3, rounded once."""
    a, b, c = cpu.f[rs1, width], cpu.f[rs2, width], cpu.f[rs3, width]
    cpu.f[rd] = cpu.float("fma", negated(a), b, negated(c), rm=rm)


# Comparisons and classification


@formats("10100FF rs2:5 rs1:5 010 rd:5 1010011")
def feq(cpu: Machine, rd: Reg, rs1: FReg, rs2: FReg, *, width: int) -> None:
    """rd = 1 if rs1 = rs2, else 0; 0 when one is NaN."""
    cpu[rd] = cpu.float("eq", cpu.f[rs1, width], cpu.f[rs2, width], width=1).zext()


@formats("10100FF rs2:5 rs1:5 001 rd:5 1010011")
def flt(cpu: Machine, rd: Reg, rs1: FReg, rs2: FReg, *, width: int) -> None:
    """rd = 1 if rs1 < rs2, else 0; 0 when one is NaN, which is invalid."""
    cpu[rd] = cpu.float("lt", cpu.f[rs1, width], cpu.f[rs2, width], width=1).zext()


@formats("10100FF rs2:5 rs1:5 000 rd:5 1010011")
def fle(cpu: Machine, rd: Reg, rs1: FReg, rs2: FReg, *, width: int) -> None:
    """rd = 1 if rs1 <= rs2, else 0; 0 when one is NaN, which is invalid."""
    cpu[rd] = cpu.float("le", cpu.f[rs1, width], cpu.f[rs2, width], width=1).zext()


@formats("11100FF 00000 rs1:5 001 rd:5 1010011")
def fclass(cpu: Machine, rd: Reg, rs1: FReg, *, width: int) -> None:
    """rd = one bit that says what rs1 is: from bit 0, -inf, normal, subnormal, -0, then +0 up to inf, sNaN, qNaN."""
    value = cpu.f[rs1, width]
    sign = width - 1
    magnitude, negative = value & ((1 << sign) - 1), (value >> sign).low(1)
    smallest_normal = 1 << (sign - EXPONENT_BITS[width])
    infinite = (1 << sign) - smallest_normal

    def at_least(bits: int) -> Step:
        return (~magnitude.ult(bits)).zext()

    size = at_least(1) + at_least(smallest_normal) + at_least(infinite)
    number = negative.select(-size + 3, size + 4)
    nan = at_least(infinite | smallest_normal >> 1) + 8
    cpu[rd] = cpu.constant(1) << at_least(infinite + 1).low(1).select(nan, number)


# Conversions


@formats("11000FF 00000 rs1:5 rm:3 rd:5 1010011")
def fcvt_w(cpu: Machine, rd: Reg, rs1: FReg, rm: Rounding, *, width: int) -> None:
    """rd = rs1 as signed 32-bit integer, sign-extended; out of range: the nearest one, NaN: the largest."""
    cpu[rd] = cpu.float("to_i32", cpu.f[rs1, width], rm=rm, width=32).sext()


@formats("11000FF 00001 rs1:5 rm:3 rd:5 1010011")
def fcvt_wu(cpu: Machine, rd: Reg, rs1: FReg, rm: Rounding, *, width: int) -> None:
    """rd = rs1 as unsigned 32-bit integer, sign-extended; out of range: the nearest one, NaN: the largest."""
    cpu[rd] = cpu.float("to_u32", cpu.f[rs1, width], rm=rm, width=32).sext()


@formats("11000FF 00010 rs1:5 rm:3 rd:5 1010011")
def fcvt_l(cpu: Machine, rd: Reg, rs1: FReg, rm: Rounding, *, width: int) -> None:
    """rd = rs1 as signed 64-bit integer; out of range: the nearest one, NaN: the largest."""
    cpu[rd] = cpu.float("to_i64", cpu.f[rs1, width], rm=rm, width=64)


@formats("11000FF 00011 rs1:5 rm:3 rd:5 1010011")
def fcvt_lu(cpu: Machine, rd: Reg, rs1: FReg, rm: Rounding, *, width: int) -> None:
    """rd = rs1 as unsigned 64-bit integer; out of range: the nearest one, NaN: the largest."""
    cpu[rd] = cpu.float("to_u64", cpu.f[rs1, width], rm=rm, width=64)


@formats("11010FF 00000 rs1:5 rm:3 rd:5 1010011", name="fcvt.{f}.w")
def fcvt_from_w(cpu: Machine, rd: FReg, rs1: Reg, rm: Rounding, *, width: int) -> None:
    """rd = the low 32 bits of rs1, signed."""
    cpu.f[rd] = cpu.float("from_i32", cpu[rs1].low(32), rm=rm, width=width)


@formats("11010FF 00001 rs1:5 rm:3 rd:5 1010011", name="fcvt.{f}.wu")
def fcvt_from_wu(cpu: Machine, rd: FReg, rs1: Reg, rm: Rounding, *, width: int) -> None:
    """rd = the low 32 bits of rs1, unsigned."""
    cpu.f[rd] = cpu.float("from_u32", cpu[rs1].low(32), rm=rm, width=width)


@formats("11010FF 00010 rs1:5 rm:3 rd:5 1010011", name="fcvt.{f}.l")
def fcvt_from_l(cpu: Machine, rd: FReg, rs1: Reg, rm: Rounding, *, width: int) -> None:
    """rd = rs1, signed."""
    cpu.f[rd] = cpu.float("from_i64", cpu[rs1], rm=rm, width=width)


@formats("11010FF 00011 rs1:5 rm:3 rd:5 1010011", name="fcvt.{f}.lu")
def fcvt_from_lu(cpu: Machine, rd: FReg, rs1: Reg, rm: Rounding, *, width: int) -> None:
    """rd = rs1, unsigned."""
    cpu.f[rd] = cpu.float("from_u64", cpu[rs1], rm=rm, width=width)


@instruction("0100000 00001 rs1:5 rm:3 rd:5 1010011")
def fcvt_s_d(cpu: Machine, rd: FReg, rs1: FReg, rm: Rounding) -> None:
    """rd = rs1 rounded to single."""
    cpu.f[rd] = cpu.float("convert", cpu.f[rs1], rm=rm, width=32)


@instruction("0100001 00000 rs1:5 rm:3 rd:5 1010011")
def fcvt_d_s(cpu: Machine, rd: FReg, rs1: FReg, rm: Rounding) -> None:
    """rd = rs1 as double, which is exact."""
    cpu.f[rd] = cpu.float("convert", cpu.f[rs1, 32], rm=rm, width=64)
