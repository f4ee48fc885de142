"""Zba, Zbb, Zbs: address generation, basic and single-bit manipulation (unprivileged manual, chapter 28)."""

from __future__ import annotations

from .instruction import instruction
from .machine import Machine
from .operands import Immediate, Reg, Unsigned
from .record import Step

# Zba


def low_word(value: Step) -> Step:
    """The low 32 bits, zero-extended."""
    return value.low(32).zext()


@instruction("0000100 rs2:5 rs1:5 000 rd:5 0111011")
def add_uw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the low 32 bits of rs1, zero-extended, + rs2."""
    cpu[rd] = low_word(cpu[rs1]) + cpu[rs2]


@instruction("0010000 rs2:5 rs1:5 010 rd:5 0110011")
def sh1add(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = 2 * rs1 + rs2."""
    cpu[rd] = (cpu[rs1] << 1) + cpu[rs2]


@instruction("0010000 rs2:5 rs1:5 100 rd:5 0110011")
def sh2add(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = 4 * rs1 + rs2."""
    cpu[rd] = (cpu[rs1] << 2) + cpu[rs2]


@instruction("0010000 rs2:5 rs1:5 110 rd:5 0110011")
def sh3add(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = 8 * rs1 + rs2."""
    cpu[rd] = (cpu[rs1] << 3) + cpu[rs2]


@instruction("0010000 rs2:5 rs1:5 010 rd:5 0111011")
def sh1add_uw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = 2 * the low 32 bits of rs1, zero-extended, + rs2."""
    cpu[rd] = (low_word(cpu[rs1]) << 1) + cpu[rs2]


@instruction("0010000 rs2:5 rs1:5 100 rd:5 0111011")
def sh2add_uw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = 4 * the low 32 bits of rs1, zero-extended, + rs2."""
    cpu[rd] = (low_word(cpu[rs1]) << 2) + cpu[rs2]


@instruction("0010000 rs2:5 rs1:5 110 rd:5 0111011")
def sh3add_uw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = 8 * the low 32 bits of rs1, zero-extended, + rs2."""
    cpu[rd] = (low_word(cpu[rs1]) << 3) + cpu[rs2]


@instruction("000010 shamt:6 rs1:5 001 rd:5 0011011")
def slli_uw(cpu: Machine, rd: Reg, rs1: Reg, shamt: Unsigned) -> None:
    """rd = the low 32 bits of rs1, zero-extended, shifted left by shamt."""
    cpu[rd] = low_word(cpu[rs1]) << shamt


# Zbb


@instruction("0100000 rs2:5 rs1:5 111 rd:5 0110011")
def andn(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 & ~rs2."""
    cpu[rd] = cpu[rs1] & ~cpu[rs2]


@instruction("0100000 rs2:5 rs1:5 110 rd:5 0110011")
def orn(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 | ~rs2."""
    cpu[rd] = cpu[rs1] | ~cpu[rs2]


@instruction("0100000 rs2:5 rs1:5 100 rd:5 0110011")
def xnor(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = ~(rs1 ^ rs2)."""
    cpu[rd] = ~(cpu[rs1] ^ cpu[rs2])


@instruction("011000000000 rs1:5 001 rd:5 0010011")
def clz(cpu: Machine, rd: Reg, rs1: Reg) -> None:
    """rd = zeros above the highest one of rs1; 64 for zero."""
    cpu[rd] = cpu[rs1].clz()


@instruction("011000000001 rs1:5 001 rd:5 0010011")
def ctz(cpu: Machine, rd: Reg, rs1: Reg) -> None:
    """rd = zeros below the lowest one of rs1; 64 for zero."""
    cpu[rd] = cpu[rs1].ctz()


@instruction("011000000010 rs1:5 001 rd:5 0010011")
def cpop(cpu: Machine, rd: Reg, rs1: Reg) -> None:
    """rd = ones in rs1."""
    cpu[rd] = cpu[rs1].popcount()


@instruction("011000000000 rs1:5 001 rd:5 0011011")
def clzw(cpu: Machine, rd: Reg, rs1: Reg) -> None:
    """rd = zeros above the highest one of the low 32 bits of rs1; 32 for zero."""
    cpu[rd] = cpu[rs1].low(32).clz().zext()


@instruction("011000000001 rs1:5 001 rd:5 0011011")
def ctzw(cpu: Machine, rd: Reg, rs1: Reg) -> None:
    """rd = zeros below the lowest one of the low 32 bits of rs1; 32 for zero."""
    cpu[rd] = cpu[rs1].low(32).ctz().zext()


@instruction("011000000010 rs1:5 001 rd:5 0011011")
def cpopw(cpu: Machine, rd: Reg, rs1: Reg) -> None:
    """rd = ones in the low 32 bits of rs1."""
    cpu[rd] = cpu[rs1].low(32).popcount().zext()


@instruction("0000101 rs2:5 rs1:5 110 rd:5 0110011")
def max(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the larger of rs1 and rs2, signed."""
    cpu[rd] = cpu[rs1].slt(cpu[rs2]).select(cpu[rs2], cpu[rs1])


@instruction("0000101 rs2:5 rs1:5 111 rd:5 0110011")
def maxu(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the larger of rs1 and rs2, unsigned."""
    cpu[rd] = cpu[rs1].ult(cpu[rs2]).select(cpu[rs2], cpu[rs1])


@instruction("0000101 rs2:5 rs1:5 100 rd:5 0110011")
def min(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the smaller of rs1 and rs2, signed."""
    cpu[rd] = cpu[rs1].slt(cpu[rs2]).select(cpu[rs1], cpu[rs2])


@instruction("0000101 rs2:5 rs1:5 101 rd:5 0110011")
def minu(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the smaller of rs1 and rs2, unsigned."""
    cpu[rd] = cpu[rs1].ult(cpu[rs2]).select(cpu[rs1], cpu[rs2])


@instruction("011000000100 rs1:5 001 rd:5 0010011")
def sext_b(cpu: Machine, rd: Reg, rs1: Reg) -> None:
    """rd = the low byte of rs1, sign-extended."""
    cpu[rd] = cpu[rs1].low(8).sext()


@instruction("011000000101 rs1:5 001 rd:5 0010011")
def sext_h(cpu: Machine, rd: Reg, rs1: Reg) -> None:
    """rd = the low 16 bits of rs1, sign-extended."""
    cpu[rd] = cpu[rs1].low(16).sext()


@instruction("000010000000 rs1:5 100 rd:5 0111011")
def zext_h(cpu: Machine, rd: Reg, rs1: Reg) -> None:
    """rd = the low 16 bits of rs1, zero-extended."""
    cpu[rd] = cpu[rs1].low(16).zext()


def rotated_right(value: Step, amount: Step) -> Step:
    """Bits shifted out below come in above; the amount counts modulo the width."""
    return (value >> amount) | (value << -amount)


@instruction("0110000 rs2:5 rs1:5 001 rd:5 0110011")
def rol(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 rotated left by the low 6 bits of rs2."""
    cpu[rd] = rotated_right(cpu[rs1], -cpu[rs2])


@instruction("0110000 rs2:5 rs1:5 101 rd:5 0110011")
def ror(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 rotated right by the low 6 bits of rs2."""
    cpu[rd] = rotated_right(cpu[rs1], cpu[rs2])


@instruction("011000 shamt:6 rs1:5 101 rd:5 0010011")
def rori(cpu: Machine, rd: Reg, rs1: Reg, shamt: Immediate) -> None:
    """rd = rs1 rotated right by shamt."""
    cpu[rd] = rotated_right(cpu[rs1], shamt)


@instruction("0110000 rs2:5 rs1:5 001 rd:5 0111011")
def rolw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the low 32 bits of rs1 rotated left by the low 5 bits of rs2, sign-extended."""
    cpu[rd] = rotated_right(cpu[rs1].low(32), -cpu[rs2].low(32)).sext()


@instruction("0110000 rs2:5 rs1:5 101 rd:5 0111011")
def rorw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the low 32 bits of rs1 rotated right by the low 5 bits of rs2, sign-extended."""
    cpu[rd] = rotated_right(cpu[rs1].low(32), cpu[rs2].low(32)).sext()


@instruction("0110000 shamt:5 rs1:5 101 rd:5 0011011")
def roriw(cpu: Machine, rd: Reg, rs1: Reg, shamt: Immediate) -> None:
    """rd = the low 32 bits of rs1 rotated right by shamt, sign-extended."""
    cpu[rd] = rotated_right(cpu[rs1].low(32), shamt.low(32)).sext()


EVERY_BYTE = 0x0101_0101_0101_0101


@instruction("001010000111 rs1:5 101 rd:5 0010011")
def orc_b(cpu: Machine, rd: Reg, rs1: Reg) -> None:
    """rd = for each byte of rs1: ones when any of its bits is one, else zeros."""
    value = cpu[rs1]
    value = value | ((value >> 4) & (EVERY_BYTE * 0x0F))
    value = value | ((value >> 2) & (EVERY_BYTE * 0x03))
    value = value | (value >> 1)
    cpu[rd] = (value & EVERY_BYTE) * 0xFF


@instruction("011010111000 rs1:5 101 rd:5 0010011")
def rev8(cpu: Machine, rd: Reg, rs1: Reg) -> None:
    """rd = the bytes of rs1 in reverse order."""
    cpu[rd] = cpu[rs1].bswap()


# Zbs


def single_bit(cpu: Machine, index: Step | int) -> Step:
    """A one at `index` modulo 64, zeros elsewhere."""
    return cpu.constant(1) << index


@instruction("0100100 rs2:5 rs1:5 001 rd:5 0110011")
def bclr(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 with the bit cleared whose number is the low 6 bits of rs2."""
    cpu[rd] = cpu[rs1] & ~single_bit(cpu, cpu[rs2])


@instruction("010010 shamt:6 rs1:5 001 rd:5 0010011")
def bclri(cpu: Machine, rd: Reg, rs1: Reg, shamt: Unsigned) -> None:
    """rd = rs1 with bit shamt cleared."""
    cpu[rd] = cpu[rs1] & ~single_bit(cpu, shamt)


@instruction("0100100 rs2:5 rs1:5 101 rd:5 0110011")
def bext(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the bit of rs1 whose number is the low 6 bits of rs2."""
    cpu[rd] = (cpu[rs1] >> cpu[rs2]) & 1


@instruction("010010 shamt:6 rs1:5 101 rd:5 0010011")
def bexti(cpu: Machine, rd: Reg, rs1: Reg, shamt: Unsigned) -> None:
    """rd = bit shamt of rs1."""
    cpu[rd] = (cpu[rs1] >> shamt) & 1


@instruction("0110100 rs2:5 rs1:5 001 rd:5 0110011")
def binv(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 with the bit inverted whose number is the low 6 bits of rs2."""
    cpu[rd] = cpu[rs1] ^ single_bit(cpu, cpu[rs2])


@instruction("011010 shamt:6 rs1:5 001 rd:5 0010011")
def binvi(cpu: Machine, rd: Reg, rs1: Reg, shamt: Unsigned) -> None:
    """rd = rs1 with bit shamt inverted."""
    cpu[rd] = cpu[rs1] ^ single_bit(cpu, shamt)


@instruction("0010100 rs2:5 rs1:5 001 rd:5 0110011")
def bset(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 with the bit set whose number is the low 6 bits of rs2."""
    cpu[rd] = cpu[rs1] | single_bit(cpu, cpu[rs2])


@instruction("001010 shamt:6 rs1:5 001 rd:5 0010011")
def bseti(cpu: Machine, rd: Reg, rs1: Reg, shamt: Unsigned) -> None:
    """rd = rs1 with bit shamt set."""
    cpu[rd] = cpu[rs1] | single_bit(cpu, shamt)
