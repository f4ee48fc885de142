"""RV64I: integer arithmetic, loads, stores, branches (RISC-V unprivileged manual, chapters 2 and 4)."""

from __future__ import annotations

from .instruction import instruction
from .machine import Machine
from .operands import Offset, Reg, Signed, Unsigned, Upper

# Constants and jumps


@instruction("imm[31:12] rd:5 0110111")
def lui(cpu: Machine, rd: Reg, imm: Upper) -> None:
    """rd = imm."""
    cpu[rd] = imm


@instruction("imm[31:12] rd:5 0010111")
def auipc(cpu: Machine, rd: Reg, imm: Upper) -> None:
    """rd = pc + imm."""
    cpu[rd] = cpu.pc + imm


@instruction("imm[20|10:1|11|19:12] rd:5 1101111")
def jal(cpu: Machine, rd: Reg, imm: Offset) -> None:
    """Jump to pc + imm; rd = address of the next instruction."""
    target = cpu.pc + imm
    cpu[rd] = cpu.next_pc
    cpu.jump(target)


@instruction("imm:12 rs1:5 000 rd:5 1100111", text="rd, imm(rs1)")
def jalr(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """Jump to rs1 + imm, made even; rd = address of the next instruction."""
    target = (cpu[rs1] + imm) & ~1
    cpu[rd] = cpu.next_pc
    cpu.jump(target)


# Branches


@instruction("imm[12|10:5] rs2:5 rs1:5 000 imm[4:1|11] 1100011")
def beq(cpu: Machine, rs1: Reg, rs2: Reg, imm: Offset) -> None:
    """Jump to pc + imm if rs1 and rs2 are equal."""
    cpu.jump(cpu.pc + imm, when=cpu[rs1] == cpu[rs2])


@instruction("imm[12|10:5] rs2:5 rs1:5 001 imm[4:1|11] 1100011")
def bne(cpu: Machine, rs1: Reg, rs2: Reg, imm: Offset) -> None:
    """Jump to pc + imm if rs1 and rs2 differ."""
    cpu.jump(cpu.pc + imm, when=cpu[rs1] != cpu[rs2])


@instruction("imm[12|10:5] rs2:5 rs1:5 100 imm[4:1|11] 1100011")
def blt(cpu: Machine, rs1: Reg, rs2: Reg, imm: Offset) -> None:
    """Jump to pc + imm if rs1 < rs2, signed."""
    cpu.jump(cpu.pc + imm, when=cpu[rs1].slt(cpu[rs2]))


@instruction("imm[12|10:5] rs2:5 rs1:5 101 imm[4:1|11] 1100011")
def bge(cpu: Machine, rs1: Reg, rs2: Reg, imm: Offset) -> None:
    """Jump to pc + imm if rs1 >= rs2, signed."""
    cpu.jump(cpu.pc + imm, when=~cpu[rs1].slt(cpu[rs2]))


@instruction("imm[12|10:5] rs2:5 rs1:5 110 imm[4:1|11] 1100011")
def bltu(cpu: Machine, rs1: Reg, rs2: Reg, imm: Offset) -> None:
    """Jump to pc + imm if rs1 < rs2, unsigned."""
    cpu.jump(cpu.pc + imm, when=cpu[rs1].ult(cpu[rs2]))


@instruction("imm[12|10:5] rs2:5 rs1:5 111 imm[4:1|11] 1100011")
def bgeu(cpu: Machine, rs1: Reg, rs2: Reg, imm: Offset) -> None:
    """Jump to pc + imm if rs1 >= rs2, unsigned."""
    cpu.jump(cpu.pc + imm, when=~cpu[rs1].ult(cpu[rs2]))


# Loads and stores


@instruction("imm:12 rs1:5 000 rd:5 0000011", text="rd, imm(rs1)")
def lb(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = the byte at rs1 + imm, sign-extended."""
    cpu[rd] = cpu.load(cpu[rs1] + imm, 8).sext()


@instruction("imm:12 rs1:5 001 rd:5 0000011", text="rd, imm(rs1)")
def lh(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = the 16 bits at rs1 + imm, sign-extended."""
    cpu[rd] = cpu.load(cpu[rs1] + imm, 16).sext()


@instruction("imm:12 rs1:5 010 rd:5 0000011", text="rd, imm(rs1)")
def lw(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = the 32 bits at rs1 + imm, sign-extended."""
    cpu[rd] = cpu.load(cpu[rs1] + imm, 32).sext()


@instruction("imm:12 rs1:5 011 rd:5 0000011", text="rd, imm(rs1)")
def ld(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = the 64 bits at rs1 + imm."""
    cpu[rd] = cpu.load(cpu[rs1] + imm, 64)


@instruction("imm:12 rs1:5 100 rd:5 0000011", text="rd, imm(rs1)")
def lbu(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = the byte at rs1 + imm, zero-extended."""
    cpu[rd] = cpu.load(cpu[rs1] + imm, 8).zext()


@instruction("imm:12 rs1:5 101 rd:5 0000011", text="rd, imm(rs1)")
def lhu(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = the 16 bits at rs1 + imm, zero-extended."""
    cpu[rd] = cpu.load(cpu[rs1] + imm, 16).zext()


@instruction("imm:12 rs1:5 110 rd:5 0000011", text="rd, imm(rs1)")
def lwu(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = the 32 bits at rs1 + imm, zero-extended."""
    cpu[rd] = cpu.load(cpu[rs1] + imm, 32).zext()


@instruction("imm[11:5] rs2:5 rs1:5 000 imm[4:0] 0100011", text="rs2, imm(rs1)")
def sb(cpu: Machine, rs1: Reg, rs2: Reg, imm: Signed) -> None:
    """Store the low byte of rs2 at rs1 + imm."""
    cpu.store(cpu[rs1] + imm, cpu[rs2].low(8))


@instruction("imm[11:5] rs2:5 rs1:5 001 imm[4:0] 0100011", text="rs2, imm(rs1)")
def sh(cpu: Machine, rs1: Reg, rs2: Reg, imm: Signed) -> None:
    """Store the low 16 bits of rs2 at rs1 + imm."""
    cpu.store(cpu[rs1] + imm, cpu[rs2].low(16))


@instruction("imm[11:5] rs2:5 rs1:5 010 imm[4:0] 0100011", text="rs2, imm(rs1)")
def sw(cpu: Machine, rs1: Reg, rs2: Reg, imm: Signed) -> None:
    """Store the low 32 bits of rs2 at rs1 + imm."""
    cpu.store(cpu[rs1] + imm, cpu[rs2].low(32))


@instruction("imm[11:5] rs2:5 rs1:5 011 imm[4:0] 0100011", text="rs2, imm(rs1)")
def sd(cpu: Machine, rs1: Reg, rs2: Reg, imm: Signed) -> None:
    """Store rs2 at rs1 + imm."""
    cpu.store(cpu[rs1] + imm, cpu[rs2])


# Register and immediate


@instruction("imm:12 rs1:5 000 rd:5 0010011")
def addi(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = rs1 + imm."""
    cpu[rd] = cpu[rs1] + imm


@instruction("imm:12 rs1:5 010 rd:5 0010011")
def slti(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = 1 if rs1 < imm, signed, else 0."""
    cpu[rd] = cpu[rs1].slt(imm).zext()


@instruction("imm:12 rs1:5 011 rd:5 0010011")
def sltiu(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = 1 if rs1 < imm, the sign-extended immediate taken as unsigned, else 0."""
    cpu[rd] = cpu[rs1].ult(imm).zext()


@instruction("imm:12 rs1:5 100 rd:5 0010011")
def xori(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = rs1 ^ imm."""
    cpu[rd] = cpu[rs1] ^ imm


@instruction("imm:12 rs1:5 110 rd:5 0010011")
def ori(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = rs1 | imm."""
    cpu[rd] = cpu[rs1] | imm


@instruction("imm:12 rs1:5 111 rd:5 0010011")
def andi(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = rs1 & imm."""
    cpu[rd] = cpu[rs1] & imm


@instruction("000000 shamt:6 rs1:5 001 rd:5 0010011")
def slli(cpu: Machine, rd: Reg, rs1: Reg, shamt: Unsigned) -> None:
    """rd = rs1 shifted left by shamt."""
    cpu[rd] = cpu[rs1] << shamt


@instruction("000000 shamt:6 rs1:5 101 rd:5 0010011")
def srli(cpu: Machine, rd: Reg, rs1: Reg, shamt: Unsigned) -> None:
    """rd = rs1 shifted right by shamt, zeros from above."""
    cpu[rd] = cpu[rs1] >> shamt


@instruction("010000 shamt:6 rs1:5 101 rd:5 0010011")
def srai(cpu: Machine, rd: Reg, rs1: Reg, shamt: Unsigned) -> None:
    """rd = rs1 shifted right by shamt, copies of the sign from above."""
    cpu[rd] = cpu[rs1].sar(shamt)


# Register and register


@instruction("0000000 rs2:5 rs1:5 000 rd:5 0110011")
def add(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 + rs2."""
    cpu[rd] = cpu[rs1] + cpu[rs2]


@instruction("0100000 rs2:5 rs1:5 000 rd:5 0110011")
def sub(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 - rs2."""
    cpu[rd] = cpu[rs1] - cpu[rs2]


@instruction("0000000 rs2:5 rs1:5 001 rd:5 0110011")
def sll(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 shifted left by the low 6 bits of rs2."""
    cpu[rd] = cpu[rs1] << cpu[rs2]


@instruction("0000000 rs2:5 rs1:5 010 rd:5 0110011")
def slt(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = 1 if rs1 < rs2, signed, else 0."""
    cpu[rd] = cpu[rs1].slt(cpu[rs2]).zext()


@instruction("0000000 rs2:5 rs1:5 011 rd:5 0110011")
def sltu(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = 1 if rs1 < rs2, unsigned, else 0."""
    cpu[rd] = cpu[rs1].ult(cpu[rs2]).zext()


@instruction("0000000 rs2:5 rs1:5 100 rd:5 0110011")
def xor(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 ^ rs2."""
    cpu[rd] = cpu[rs1] ^ cpu[rs2]


@instruction("0000000 rs2:5 rs1:5 101 rd:5 0110011")
def srl(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 shifted right by the low 6 bits of rs2, zeros from above."""
    cpu[rd] = cpu[rs1] >> cpu[rs2]


@instruction("0100000 rs2:5 rs1:5 101 rd:5 0110011")
def sra(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 shifted right by the low 6 bits of rs2, copies of the sign from above."""
    cpu[rd] = cpu[rs1].sar(cpu[rs2])


@instruction("0000000 rs2:5 rs1:5 110 rd:5 0110011")
def or_(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 | rs2."""
    cpu[rd] = cpu[rs1] | cpu[rs2]


@instruction("0000000 rs2:5 rs1:5 111 rd:5 0110011")
def and_(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = rs1 & rs2."""
    cpu[rd] = cpu[rs1] & cpu[rs2]


# The same on the low 32 bits, result sign-extended


@instruction("imm:12 rs1:5 000 rd:5 0011011")
def addiw(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = the low 32 bits of rs1 + imm, sign-extended."""
    cpu[rd] = (cpu[rs1] + imm).low(32).sext()


@instruction("0000000 shamt:5 rs1:5 001 rd:5 0011011")
def slliw(cpu: Machine, rd: Reg, rs1: Reg, shamt: Unsigned) -> None:
    """rd = the low 32 bits of rs1 shifted left by shamt, sign-extended."""
    cpu[rd] = (cpu[rs1] << shamt).low(32).sext()


@instruction("0000000 shamt:5 rs1:5 101 rd:5 0011011")
def srliw(cpu: Machine, rd: Reg, rs1: Reg, shamt: Unsigned) -> None:
    """rd = the low 32 bits of rs1 shifted right by shamt, zeros from above, sign-extended."""
    cpu[rd] = (cpu[rs1].low(32).zext() >> shamt).low(32).sext()


@instruction("0100000 shamt:5 rs1:5 101 rd:5 0011011")
def sraiw(cpu: Machine, rd: Reg, rs1: Reg, shamt: Unsigned) -> None:
    """rd = the low 32 bits of rs1 shifted right by shamt, copies of their sign from above."""
    cpu[rd] = cpu[rs1].low(32).sext().sar(shamt)


@instruction("0000000 rs2:5 rs1:5 000 rd:5 0111011")
def addw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the low 32 bits of rs1 + rs2, sign-extended."""
    cpu[rd] = (cpu[rs1] + cpu[rs2]).low(32).sext()


@instruction("0100000 rs2:5 rs1:5 000 rd:5 0111011")
def subw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the low 32 bits of rs1 - rs2, sign-extended."""
    cpu[rd] = (cpu[rs1] - cpu[rs2]).low(32).sext()


@instruction("0000000 rs2:5 rs1:5 001 rd:5 0111011")
def sllw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the low 32 bits of rs1 shifted left by the low 5 bits of rs2, sign-extended."""
    cpu[rd] = (cpu[rs1].low(32) << cpu[rs2].low(32)).sext()


@instruction("0000000 rs2:5 rs1:5 101 rd:5 0111011")
def srlw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the low 32 bits of rs1 shifted right by the low 5 bits of rs2, zeros from above, sign-extended."""
    cpu[rd] = (cpu[rs1].low(32) >> cpu[rs2].low(32)).sext()


@instruction("0100000 rs2:5 rs1:5 101 rd:5 0111011")
def sraw(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
    """rd = the low 32 bits of rs1 shifted right by the low 5 bits of rs2, copies of their sign from above."""
    cpu[rd] = cpu[rs1].low(32).sar(cpu[rs2].low(32)).sext()
