"""A: load-reserved, store-conditional and read-modify-write on aligned memory (unprivileged manual, chapter 13).

A guest has one thread of execution, so the ordering bits are decoded and change nothing.
"""

from __future__ import annotations

from .instruction import instruction
from .machine import Machine
from .operands import Order, Reg


@instruction("00010 order:2 00000 rs1:5 010 rd:5 0101111", text="rd, (rs1)")
def lr_w(cpu: Machine, rd: Reg, rs1: Reg, order: Order) -> None:
    """rd = the 32 bits at rs1, sign-extended; reserves them for sc.w."""
    cpu[rd] = cpu.reserve(cpu[rs1], 32).sext()


@instruction("00010 order:2 00000 rs1:5 011 rd:5 0101111", text="rd, (rs1)")
def lr_d(cpu: Machine, rd: Reg, rs1: Reg, order: Order) -> None:
    """rd = the 64 bits at rs1; reserves them for sc.d."""
    cpu[rd] = cpu.reserve(cpu[rs1], 64)


@instruction("00011 order:2 rs2:5 rs1:5 010 rd:5 0101111", text="rd, rs2, (rs1)")
def sc_w(cpu: Machine, rd: Reg, rs2: Reg, rs1: Reg, order: Order) -> None:
    """Store the low 32 bits of rs2 at rs1 if the reservation holds; rd = 0, or 1 when it did not."""
    cpu[rd] = cpu.conditional(cpu[rs1], cpu[rs2].low(32)).zext()


@instruction("00011 order:2 rs2:5 rs1:5 011 rd:5 0101111", text="rd, rs2, (rs1)")
def sc_d(cpu: Machine, rd: Reg, rs2: Reg, rs1: Reg, order: Order) -> None:
    """Store rs2 at rs1 if the reservation holds; rd = 0, or 1 when it did not."""
    cpu[rd] = cpu.conditional(cpu[rs1], cpu[rs2]).zext()


def amo(cpu: Machine, rd: Reg, rs2: Reg, rs1: Reg, order: Order, *, operation: str, width: int) -> None:
    """Change memory in one indivisible step; rd = what was there before, sign-extended."""
    cpu[rd] = cpu.atomic(operation, cpu[rs1], cpu[rs2].low(width)).sext()


OPERATIONS = {
    "swap": ("00001", "rs2"),
    "add": ("00000", "their sum"),
    "xor": ("00100", "their exclusive or"),
    "and": ("01100", "their and"),
    "or": ("01000", "their or"),
    "min": ("10000", "the smaller, signed"),
    "max": ("10100", "the larger, signed"),
    "minu": ("11000", "the smaller, unsigned"),
    "maxu": ("11100", "the larger, unsigned"),
}
STEP_OPERATION = {"min": "smin", "max": "smax", "minu": "umin", "maxu": "umax"}

for _name, (_bits, _result) in OPERATIONS.items():
    for _suffix, _width, _size in (("w", "010", 32), ("d", "011", 64)):
        instruction(
            f"{_bits} order:2 rs2:5 rs1:5 {_width} rd:5 0101111",
            name=f"amo{_name}.{_suffix}",
            text="rd, rs2, (rs1)",
            description=f"rd = the {_size} bits at rs1, sign-extended; they become, of them and rs2: {_result}.",
            operation=STEP_OPERATION.get(_name, _name),
            width=_size,
        )(amo)
