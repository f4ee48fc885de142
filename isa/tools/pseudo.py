"""Pseudo-instructions: names for other instructions with some operands fixed (assembly programmer's manual)."""

from __future__ import annotations

import re
from dataclasses import dataclass

TABLE = """
nop                  addi zero, zero, 0
mv rd, rs            addi rd, rs, 0
not rd, rs           xori rd, rs, -1
neg rd, rs           sub rd, zero, rs
negw rd, rs          subw rd, zero, rs
sext.w rd, rs        addiw rd, rs, 0
zext.b rd, rs        andi rd, rs, 255
zext.w rd, rs        add.uw rd, rs, zero
seqz rd, rs          sltiu rd, rs, 1
snez rd, rs          sltu rd, zero, rs
sltz rd, rs          slt rd, rs, zero
sgtz rd, rs          slt rd, zero, rs
sgt rd, rs, rt       slt rd, rt, rs
sgtu rd, rs, rt      sltu rd, rt, rs
beqz rs, to          beq rs, zero, to
bnez rs, to          bne rs, zero, to
blez rs, to          bge zero, rs, to
bgez rs, to          bge rs, zero, to
bltz rs, to          blt rs, zero, to
bgtz rs, to          blt zero, rs, to
bgt rs, rt, to       blt rt, rs, to
ble rs, rt, to       bge rt, rs, to
bgtu rs, rt, to      bltu rt, rs, to
bleu rs, rt, to      bgeu rt, rs, to
j to                 jal zero, to
jal to               jal ra, to
jr rs                jalr zero, 0(rs)
jalr rs              jalr ra, 0(rs)
jalr rd, rs, imm     jalr rd, imm(rs)
ret                  jalr zero, 0(ra)
call to              jal ra, to
tail to              jal zero, to
fence                fence iorw, iorw
fence.tso            .word 0x8330000f
pause                fence w, 0
unimp                .word 0xc0001073
csrr rd, csr         csrrs rd, csr, zero
csrw csr, rs         csrrw zero, csr, rs
csrs csr, rs         csrrs zero, csr, rs
csrc csr, rs         csrrc zero, csr, rs
csrwi csr, imm       csrrwi zero, csr, imm
csrsi csr, imm       csrrsi zero, csr, imm
csrci csr, imm       csrrci zero, csr, imm
frcsr rd             csrrs rd, fcsr, zero
fscsr rd, rs         csrrw rd, fcsr, rs
fscsr rs             csrrw zero, fcsr, rs
frrm rd              csrrs rd, frm, zero
fsrm rd, rs          csrrw rd, frm, rs
fsrm rs              csrrw zero, frm, rs
fsrmi rd, imm        csrrwi rd, frm, imm
fsrmi imm            csrrwi zero, frm, imm
frflags rd           csrrs rd, fflags, zero
fsflags rd, rs       csrrw rd, fflags, rs
fsflags rs           csrrw zero, fflags, rs
fsflagsi rd, imm     csrrwi rd, fflags, imm
fsflagsi imm         csrrwi zero, fflags, imm
rdcycle rd           csrrs rd, cycle, zero
rdtime rd            csrrs rd, time, zero
rdinstret rd         csrrs rd, instret, zero
fmv.s rd, rs         fsgnj.s rd, rs, rs
fabs.s rd, rs        fsgnjx.s rd, rs, rs
fneg.s rd, rs        fsgnjn.s rd, rs, rs
fmv.d rd, rs         fsgnj.d rd, rs, rs
fabs.d rd, rs        fsgnjx.d rd, rs, rs
fneg.d rd, rs        fsgnjn.d rd, rs, rs
fgt.s rd, rs, rt     flt.s rd, rt, rs
fge.s rd, rs, rt     fle.s rd, rt, rs
fgt.d rd, rs, rt     flt.d rd, rt, rs
fge.d rd, rs, rt     fle.d rd, rt, rs
"""


BUILT = {  # what the assembler makes of as many instructions as it takes
    "li": ("li rd, number", "lui, addi, addiw, slli: as many as the number takes, at most eight"),
    "la": ("la rd, symbol", "auipc rd, %pcrel_hi(symbol); addi rd, rd, %pcrel_lo(symbol)"),
    "lla": ("lla rd, symbol", "as la"),
}


@dataclass(frozen=True, slots=True)
class Pseudo:
    """A name with parameters, and the instruction that it stands for."""

    name: str
    parameters: tuple[str, ...]
    target: str
    operands: tuple[str, ...]

    @property
    def usage(self) -> str:
        """How it is written."""
        return f"{self.name} {', '.join(self.parameters)}".rstrip()

    @property
    def meaning(self) -> str:
        """What it is written for, in its own parameters."""
        return f"{self.target} {', '.join(self.operands)}".rstrip()

    def expand(self, arguments: list[str]) -> list[str]:
        """The target's operands with the arguments in the parameters' places."""
        given = dict(zip(self.parameters, arguments, strict=True))
        return [re.sub(r"\w+", lambda m: given.get(m[0], m[0]), operand) for operand in self.operands]


def _split(text: str) -> tuple[str, tuple[str, ...]]:
    name, _, rest = text.partition(" ")
    return name, tuple(part.strip() for part in rest.split(",")) if rest.strip() else ()


def _read(line: str) -> Pseudo:
    left, right = re.split(r"\s{2,}", line, maxsplit=1)
    name, parameters = _split(left)
    return Pseudo(name, parameters, *_split(right))


PSEUDOS = {(p.name, len(p.parameters)): p for p in map(_read, TABLE.strip().splitlines())}


def signed(value: int) -> int:
    """A number modulo 2**64 as a signed one."""
    return (value & (1 << 64) - 1 ^ 1 << 63) - (1 << 63)


def constant_steps(value: int) -> list[tuple[str, int]]:
    """How li makes a 64-bit number: steps of lui, addi, addiw and slli, each on the result of the one before."""
    value = signed(value)
    low = (value & 0xFFF ^ 0x800) - 0x800
    if value == low:
        return [("addi", value)]
    if -(1 << 31) <= value < 1 << 31:
        upper = ("lui", (value - low) >> 12 & 0xFFFFF)
        return [upper, ("addiw", low)] if low else [upper]
    high = (value - low) >> 12
    zeros = (high & -high).bit_length() - 1
    steps = [*constant_steps(high >> zeros), ("slli", 12 + zeros)]
    return [*steps, ("addi", low)] if low else steps
