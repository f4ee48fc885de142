"""Calls, fences, and the control registers that a guest has: fflags, frm, fcsr, cycle, time, instret.

Every other control register is an illegal instruction (Zicsr, Zifencei, Zicntr: unprivileged manual, chapters 6, 5, 7).
"""

from __future__ import annotations

from collections.abc import Callable

from ..virtual import Service
from .instruction import instruction
from .machine import Machine
from .operands import FenceSet, Immediate, Reg, Unsigned
from .record import Cause, Step


@instruction("000000000000 00000 000 00000 1110011")
def ecall(cpu: Machine) -> None:
    """Trap with "environment call"; the guest's own handler may serve it, the kernel never does."""
    cpu.trap(Cause.ENVIRONMENT_CALL, 0)


@instruction("000000000001 00000 000 00000 1110011")
def ebreak(cpu: Machine) -> None:
    """Trap with "breakpoint"; its value is this address."""
    cpu.trap(Cause.BREAKPOINT, cpu.pc)


@instruction("fm:4 pred:4 succ:4 rs1:5 000 rd:5 0001111", text="pred, succ")
def fence(cpu: Machine, fm: Unsigned, pred: FenceSet, succ: FenceSet, rs1: Reg, rd: Reg) -> None:
    """Order memory accesses; a guest has one thread, so they are in order. Reserved fields are ignored."""


@instruction("imm:12 rs1:5 001 rd:5 0001111", text="")
def fence_i(cpu: Machine, imm: Unsigned, rs1: Reg, rd: Reg) -> None:
    """Execute what was written to memory before. Reserved fields are ignored."""
    cpu.fence_i()


class Floating:
    """A part of fcsr, or all of it: how to read and to write it."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts

    def read(self, cpu: Machine) -> Step:
        """The register's value."""
        if len(self.parts) == 1:
            return cpu.status(self.parts[0])
        return cpu.status("fflags") | cpu.status("frm") << 5

    def write(self, cpu: Machine, value: Step) -> None:
        """Change the register; bits that it does not have are dropped."""
        cpu.set_status(self.parts[0], value)
        if len(self.parts) == 2:
            cpu.set_status(self.parts[1], value >> 5)


FLOATING = {
    "fflags": (0x001, Floating("fflags")),
    "frm": (0x002, Floating("frm")),
    "fcsr": (0x003, Floating("fflags", "frm")),
}
COUNTERS = {"cycle": 0xC00, "instret": 0xC02}
TIME = 0xC01


def swap(old: Step, source: Step) -> Step:
    """What csrrw leaves in the register: the source."""
    return source


def set_bits(old: Step, source: Step) -> Step:
    """What csrrs leaves in the register: the old value with the source's ones set."""
    return old | source


def clear_bits(old: Step, source: Step) -> Step:
    """What csrrc leaves in the register: the old value without the source's ones."""
    return old & ~source


Change = Callable[[Step, Step], Step]


def exchange(cpu: Machine, rd: Reg, rs1: Reg, *, register: Floating, change: Change) -> None:
    """Change the register by rs1; rd = what it was."""
    old, source = register.read(cpu), cpu[rs1]
    cpu[rd] = old
    register.write(cpu, change(old, source))


def exchange_immediate(cpu: Machine, rd: Reg, imm: Immediate, *, register: Floating, change: Change) -> None:
    """Change the register by an immediate; rd = what it was."""
    old = register.read(cpu)
    cpu[rd] = old
    register.write(cpu, change(old, imm))


def read_counter(cpu: Machine, rd: Reg, *, counter: str) -> None:
    """rd = instructions that this guest has retired before this one."""
    cpu[rd] = cpu.counter(counter)


def read_time(cpu: Machine, rd: Reg) -> None:
    """rd = the clock, ns."""
    nothing = cpu.constant(0)
    cpu[rd] = cpu.virtual(Service.CLOCK, nothing, nothing)


EXCHANGES: tuple[tuple[str, str, Change, str], ...] = (
    ("csrrw", "01", swap, "{csr} = {source}"),
    ("csrrs", "10", set_bits, "{csr} = {csr} | {source}"),
    ("csrrc", "11", clear_bits, "{csr} = {csr} & ~{source}"),
)

for _csr, (_number, _register) in FLOATING.items():
    for _name, _bits, _change, _effect in EXCHANGES:
        instruction(
            f"{_number:012b} rs1:5 0{_bits} rd:5 1110011",
            name=f"{_name}.{_csr}",
            mnemonic=_name,
            text=f"rd, {_csr}, rs1",
            description=f"{_effect.format(csr=_csr, source='rs1')}; rd = what {_csr} was.",
            register=_register,
            change=_change,
        )(exchange)
        instruction(
            f"{_number:012b} imm:5 1{_bits} rd:5 1110011",
            name=f"{_name}i.{_csr}",
            mnemonic=f"{_name}i",
            text=f"rd, {_csr}, imm",
            description=f"{_effect.format(csr=_csr, source='imm')}; rd = what {_csr} was.",
            register=_register,
            change=_change,
        )(exchange_immediate)

for _name, _bits, _source in (
    ("csrrs", "010", "zero"),
    ("csrrc", "011", "zero"),
    ("csrrsi", "110", "0"),
    ("csrrci", "111", "0"),
):
    instruction(
        f"{TIME:012b} 00000 {_bits} rd:5 1110011", name=f"{_name}.time", mnemonic=_name, text=f"rd, time, {_source}"
    )(read_time)
    for _csr, _number in COUNTERS.items():
        instruction(
            f"{_number:012b} 00000 {_bits} rd:5 1110011",
            name=f"{_name}.{_csr}",
            mnemonic=_name,
            text=f"rd, {_csr}, {_source}",
            counter=_csr,
        )(read_counter)
