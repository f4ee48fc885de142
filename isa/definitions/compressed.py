"""C: 16-bit forms of common instructions; each calls the definition of what it abbreviates (manual, chapter 26).

`never` lists operands whose encodings mean something else or are reserved; what the manual calls a hint is defined,
and changes nothing.
"""

from __future__ import annotations

from . import float as floating
from . import integer, system
from .instruction import instruction
from .machine import Machine
from .operands import FReg, Offset, Reg, ShortFReg, ShortReg, Signed, Unsigned, Upper

ZERO, RA, SP = 0, 1, 2

# Quadrant 0


@instruction("000 imm[5:4|9:6|2|3] rd:3 00", text="rd, sp, imm", never={"imm": (0,)})
def c_addi4spn(cpu: Machine, rd: ShortReg, imm: Unsigned) -> None:
    """rd = sp + imm."""
    integer.addi(cpu, rd, SP, imm)


@instruction("001 imm[5:3] rs1:3 imm[7:6] rd:3 00", text="rd, imm(rs1)")
def c_fld(cpu: Machine, rd: ShortFReg, rs1: ShortReg, imm: Unsigned) -> None:
    """rd = the double at rs1 + imm."""
    floating.float_load(cpu, rd, rs1, imm, width=64)


@instruction("010 imm[5:3] rs1:3 imm[2|6] rd:3 00", text="rd, imm(rs1)")
def c_lw(cpu: Machine, rd: ShortReg, rs1: ShortReg, imm: Unsigned) -> None:
    """rd = the 32 bits at rs1 + imm, sign-extended."""
    integer.lw(cpu, rd, rs1, imm)


@instruction("011 imm[5:3] rs1:3 imm[7:6] rd:3 00", text="rd, imm(rs1)")
def c_ld(cpu: Machine, rd: ShortReg, rs1: ShortReg, imm: Unsigned) -> None:
    """rd = the 64 bits at rs1 + imm."""
    integer.ld(cpu, rd, rs1, imm)


@instruction("101 imm[5:3] rs1:3 imm[7:6] rs2:3 00", text="rs2, imm(rs1)")
def c_fsd(cpu: Machine, rs1: ShortReg, rs2: ShortFReg, imm: Unsigned) -> None:
    """Store the double rs2 at rs1 + imm."""
    floating.float_store(cpu, rs1, rs2, imm, width=64)


@instruction("110 imm[5:3] rs1:3 imm[2|6] rs2:3 00", text="rs2, imm(rs1)")
def c_sw(cpu: Machine, rs1: ShortReg, rs2: ShortReg, imm: Unsigned) -> None:
    """Store the low 32 bits of rs2 at rs1 + imm."""
    integer.sw(cpu, rs1, rs2, imm)


@instruction("111 imm[5:3] rs1:3 imm[7:6] rs2:3 00", text="rs2, imm(rs1)")
def c_sd(cpu: Machine, rs1: ShortReg, rs2: ShortReg, imm: Unsigned) -> None:
    """Store rs2 at rs1 + imm."""
    integer.sd(cpu, rs1, rs2, imm)


# Quadrant 1


@instruction("000 imm[5] 00000 imm[4:0] 01", text="")
def c_nop(cpu: Machine, imm: Signed) -> None:
    """Nothing; an immediate that is not zero is a hint."""


@instruction("000 imm[5] rd:5 imm[4:0] 01", never={"rd": (ZERO,)})
def c_addi(cpu: Machine, rd: Reg, imm: Signed) -> None:
    """rd = rd + imm."""
    integer.addi(cpu, rd, rd, imm)


@instruction("001 imm[5] rd:5 imm[4:0] 01", never={"rd": (ZERO,)})
def c_addiw(cpu: Machine, rd: Reg, imm: Signed) -> None:
    """rd = the low 32 bits of rd + imm, sign-extended."""
    integer.addiw(cpu, rd, rd, imm)


@instruction("010 imm[5] rd:5 imm[4:0] 01")
def c_li(cpu: Machine, rd: Reg, imm: Signed) -> None:
    """rd = imm."""
    integer.addi(cpu, rd, ZERO, imm)


@instruction("011 imm[9] 00010 imm[4|6|8:7|5] 01", text="sp, imm", never={"imm": (0,)})
def c_addi16sp(cpu: Machine, imm: Signed) -> None:
    """sp = sp + imm."""
    integer.addi(cpu, SP, SP, imm)


@instruction("011 imm[17] rd:5 imm[16:12] 01", never={"rd": (SP,), "imm": (0,)})
def c_lui(cpu: Machine, rd: Reg, imm: Upper) -> None:
    """rd = imm."""
    integer.lui(cpu, rd, imm)


@instruction("100 shamt[5] 00 rd:3 shamt[4:0] 01")
def c_srli(cpu: Machine, rd: ShortReg, shamt: Unsigned) -> None:
    """rd = rd shifted right by shamt, zeros from above."""
    integer.srli(cpu, rd, rd, shamt)


@instruction("100 shamt[5] 01 rd:3 shamt[4:0] 01")
def c_srai(cpu: Machine, rd: ShortReg, shamt: Unsigned) -> None:
    """rd = rd shifted right by shamt, copies of the sign from above."""
    integer.srai(cpu, rd, rd, shamt)


@instruction("100 imm[5] 10 rd:3 imm[4:0] 01")
def c_andi(cpu: Machine, rd: ShortReg, imm: Signed) -> None:
    """rd = rd & imm."""
    integer.andi(cpu, rd, rd, imm)


@instruction("100 0 11 rd:3 00 rs2:3 01")
def c_sub(cpu: Machine, rd: ShortReg, rs2: ShortReg) -> None:
    """rd = rd - rs2."""
    integer.sub(cpu, rd, rd, rs2)


@instruction("100 0 11 rd:3 01 rs2:3 01")
def c_xor(cpu: Machine, rd: ShortReg, rs2: ShortReg) -> None:
    """rd = rd ^ rs2."""
    integer.xor(cpu, rd, rd, rs2)


@instruction("100 0 11 rd:3 10 rs2:3 01")
def c_or(cpu: Machine, rd: ShortReg, rs2: ShortReg) -> None:
    """rd = rd | rs2."""
    integer.or_(cpu, rd, rd, rs2)


@instruction("100 0 11 rd:3 11 rs2:3 01")
def c_and(cpu: Machine, rd: ShortReg, rs2: ShortReg) -> None:
    """rd = rd & rs2."""
    integer.and_(cpu, rd, rd, rs2)


@instruction("100 1 11 rd:3 00 rs2:3 01")
def c_subw(cpu: Machine, rd: ShortReg, rs2: ShortReg) -> None:
    """rd = the low 32 bits of rd - rs2, sign-extended."""
    integer.subw(cpu, rd, rd, rs2)


@instruction("100 1 11 rd:3 01 rs2:3 01")
def c_addw(cpu: Machine, rd: ShortReg, rs2: ShortReg) -> None:
    """rd = the low 32 bits of rd + rs2, sign-extended."""
    integer.addw(cpu, rd, rd, rs2)


@instruction("101 imm[11|4|9:8|10|6|7|3:1|5] 01")
def c_j(cpu: Machine, imm: Offset) -> None:
    """Jump to pc + imm."""
    integer.jal(cpu, ZERO, imm)


@instruction("110 imm[8|4:3] rs1:3 imm[7:6|2:1|5] 01")
def c_beqz(cpu: Machine, rs1: ShortReg, imm: Offset) -> None:
    """Jump to pc + imm if rs1 is zero."""
    integer.beq(cpu, rs1, ZERO, imm)


@instruction("111 imm[8|4:3] rs1:3 imm[7:6|2:1|5] 01")
def c_bnez(cpu: Machine, rs1: ShortReg, imm: Offset) -> None:
    """Jump to pc + imm if rs1 is not zero."""
    integer.bne(cpu, rs1, ZERO, imm)


# Quadrant 2


@instruction("000 shamt[5] rd:5 shamt[4:0] 10")
def c_slli(cpu: Machine, rd: Reg, shamt: Unsigned) -> None:
    """rd = rd shifted left by shamt."""
    integer.slli(cpu, rd, rd, shamt)


@instruction("001 imm[5] rd:5 imm[4:3|8:6] 10", text="rd, imm(sp)")
def c_fldsp(cpu: Machine, rd: FReg, imm: Unsigned) -> None:
    """rd = the double at sp + imm."""
    floating.float_load(cpu, rd, SP, imm, width=64)


@instruction("010 imm[5] rd:5 imm[4:2|7:6] 10", text="rd, imm(sp)", never={"rd": (ZERO,)})
def c_lwsp(cpu: Machine, rd: Reg, imm: Unsigned) -> None:
    """rd = the 32 bits at sp + imm, sign-extended."""
    integer.lw(cpu, rd, SP, imm)


@instruction("011 imm[5] rd:5 imm[4:3|8:6] 10", text="rd, imm(sp)", never={"rd": (ZERO,)})
def c_ldsp(cpu: Machine, rd: Reg, imm: Unsigned) -> None:
    """rd = the 64 bits at sp + imm."""
    integer.ld(cpu, rd, SP, imm)


@instruction("100 0 rs1:5 00000 10", never={"rs1": (ZERO,)})
def c_jr(cpu: Machine, rs1: Reg) -> None:
    """Jump to rs1, made even."""
    integer.jalr(cpu, ZERO, rs1, 0)


@instruction("100 0 rd:5 rs2:5 10", never={"rs2": (ZERO,)})
def c_mv(cpu: Machine, rd: Reg, rs2: Reg) -> None:
    """rd = rs2."""
    integer.add(cpu, rd, ZERO, rs2)


@instruction("100 1 00000 00000 10")
def c_ebreak(cpu: Machine) -> None:
    """Trap with "breakpoint"; its value is this address."""
    system.ebreak(cpu)


@instruction("100 1 rs1:5 00000 10", never={"rs1": (ZERO,)})
def c_jalr(cpu: Machine, rs1: Reg) -> None:
    """Jump to rs1, made even; ra = address of the next instruction."""
    integer.jalr(cpu, RA, rs1, 0)


@instruction("100 1 rd:5 rs2:5 10", never={"rs2": (ZERO,)})
def c_add(cpu: Machine, rd: Reg, rs2: Reg) -> None:
    """rd = rd + rs2."""
    integer.add(cpu, rd, rd, rs2)


@instruction("101 imm[5:3|8:6] rs2:5 10", text="rs2, imm(sp)")
def c_fsdsp(cpu: Machine, rs2: FReg, imm: Unsigned) -> None:
    """Store the double rs2 at sp + imm."""
    floating.float_store(cpu, SP, rs2, imm, width=64)


@instruction("110 imm[5:2|7:6] rs2:5 10", text="rs2, imm(sp)")
def c_swsp(cpu: Machine, rs2: Reg, imm: Unsigned) -> None:
    """Store the low 32 bits of rs2 at sp + imm."""
    integer.sw(cpu, SP, rs2, imm)


@instruction("111 imm[5:3|8:6] rs2:5 10", text="rs2, imm(sp)")
def c_sdsp(cpu: Machine, rs2: Reg, imm: Unsigned) -> None:
    """Store rs2 at sp + imm."""
    integer.sd(cpu, SP, rs2, imm)
