"""M: integer multiplication and division, which never traps (unprivileged manual, chapter 12)."""

from __future__ import annotations

from .instruction import instruction
from .machine import Machine
from .operands import Reg
from .record import ALL_ONES, Step


def signed_quotient(a: Step, b: Step) -> Step:
    """a / b towards zero; all ones for b = 0, and a when the quotient does not fit."""
    zero, safe = b == 0, safe_divisor(a, b)
    return zero.select(ALL_ONES, a.sdiv(safe))


def signed_remainder(a: Step, b: Step) -> Step:
    """a - b * (a / b); a for b = 0, and zero when the quotient does not fit."""
    zero, safe = b == 0, safe_divisor(a, b)
    return zero.select(a, a.srem(safe))


def unsigned_quotient(a: Step, b: Step) -> Step:
    """a / b; all ones for b = 0."""
    zero = b == 0
    return zero.select(ALL_ONES, a.udiv(zero.select(1, b)))


def unsigned_remainder(a: Step, b: Step) -> Step:
    """a - b * (a / b); a for b = 0."""
    zero = b == 0
    return zero.select(a, a.urem(zero.select(1, b)))


def safe_divisor(a: Step, b: Step) -> Step:
    """b, or 1 where a / b has no answer or one that does not fit (the most negative number by -1)."""
    overflow = (a == 1 << (a.width - 1)) & (b == -1)
    return ((b == 0) | overflow).select(1, b)


@instruction("0000001 rs2:5 rs1:5 000 rd:5 0110011")
def mul(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the low 64 bits of rs1 * rs2."""
    cpu[rd] = cpu[rs1] * cpu[rs2]


@instruction("0000001 rs2:5 rs1:5 001 rd:5 0110011")
def mulh(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the high 64 bits of rs1 * rs2, both signed."""
    cpu[rd] = ((cpu[rs1].sext(128) * cpu[rs2].sext(128)) >> 64).low(64)


@instruction("0000001 rs2:5 rs1:5 010 rd:5 0110011")
def mulhsu(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the high 64 bits of rs1 * rs2, rs1 signed, rs2 unsigned."""
    cpu[rd] = ((cpu[rs1].sext(128) * cpu[rs2].zext(128)) >> 64).low(64)


@instruction("0000001 rs2:5 rs1:5 011 rd:5 0110011")
def mulhu(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the high 64 bits of rs1 * rs2, both unsigned."""
    cpu[rd] = ((cpu[rs1].zext(128) * cpu[rs2].zext(128)) >> 64).low(64)


@instruction("0000001 rs2:5 rs1:5 100 rd:5 0110011")
def div(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 / rs2, signed, towards zero; a zero divisor gives -1, an overflow rs1."""
    cpu[rd] = signed_quotient(cpu[rs1], cpu[rs2])


@instruction("0000001 rs2:5 rs1:5 101 rd:5 0110011")
def divu(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 / rs2, unsigned; a zero divisor gives all ones."""
    cpu[rd] = unsigned_quotient(cpu[rs1], cpu[rs2])


@instruction("0000001 rs2:5 rs1:5 110 rd:5 0110011")
def rem(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = remainder of rs1 / rs2, with the sign of rs1; a zero divisor gives rs1, an overflow 0."""
    cpu[rd] = signed_remainder(cpu[rs1], cpu[rs2])


@instruction("0000001 rs2:5 rs1:5 111 rd:5 0110011")
def remu(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = remainder of rs1 / rs2, unsigned; a zero divisor gives rs1."""
    cpu[rd] = unsigned_remainder(cpu[rs1], cpu[rs2])


@instruction("0000001 rs2:5 rs1:5 000 rd:5 0111011")
def mulw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the low 32 bits of rs1 * rs2, sign-extended."""
    cpu[rd] = (cpu[rs1] * cpu[rs2]).low(32).sext()


@instruction("0000001 rs2:5 rs1:5 100 rd:5 0111011")
def divw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 / rs2 of their low 32 bits, signed, towards zero; a zero divisor gives -1, an overflow rs1."""
    cpu[rd] = signed_quotient(cpu[rs1].low(32), cpu[rs2].low(32)).sext()


@instruction("0000001 rs2:5 rs1:5 101 rd:5 0111011")
def divuw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 / rs2 of their low 32 bits, unsigned, sign-extended; a zero divisor gives all ones."""
    cpu[rd] = unsigned_quotient(cpu[rs1].low(32), cpu[rs2].low(32)).sext()


@instruction("0000001 rs2:5 rs1:5 110 rd:5 0111011")
def remw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = remainder of rs1 / rs2 of their low 32 bits, with the sign of rs1; a zero divisor gives rs1, overflow 0."""
    cpu[rd] = signed_remainder(cpu[rs1].low(32), cpu[rs2].low(32)).sext()


@instruction("0000001 rs2:5 rs1:5 111 rd:5 0111011")
def remuw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = remainder of rs1 / rs2 of their low 32 bits, unsigned, sign-extended; a zero divisor gives rs1."""
    cpu[rd] = unsigned_remainder(cpu[rs1].low(32), cpu[rs2].low(32)).sext()
