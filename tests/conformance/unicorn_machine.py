# pyright: basic
"""unicorn's RISC-V processor: a second machine of others, which hands out all of its state.

It descends from qemu 5.0, of 2020. What it does otherwise than a RISC-V processor should is in `IT_ERRS`; a test meets
each of these and says when one is no longer needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from denali.isa.image import PAGE, Image

ONES = 0xFFFFFFFF
FLOATING_POINT_ON = 3 << 13  # mstatus.FS
ILLEGAL, ENVIRONMENT_CALL = 2, 8  # numbers of exceptions

IT_ERRS: dict[str, Callable[[int, int], bool]] = {
    "it does not box singles: above one there is anything": lambda ours, theirs: (
        ours >> 32 == ONES and ours & ONES == theirs & ONES
    ),
}
IT_ERRS_WITH_NANS = {
    "fmin": "of a number and a signalling NaN it makes NaN, where RISC-V has the number since 2.2",
    "fmax": "likewise",
    "fmadd": "infinity times zero plus a quiet NaN is not invalid to it, where RISC-V says that it is",
    "fmsub": "likewise",
    "fnmadd": "likewise",
    "fnmsub": "likewise",
}
IT_LACKS = ("bits",)  # Zba, Zbb, Zbs: illegal instructions there


@dataclass(frozen=True, slots=True)
class State:
    """A machine where it stopped: by which exception, at a system call for a program that ended."""

    exception: int | str | None
    x: tuple[int, ...]
    f: tuple[int, ...]
    fcsr: int
    memory: bytes

    def apart(self, other: State) -> list[tuple[str, int, int]]:
        """Name and both values of each 64 bits that differ."""
        named = [("x", self.x, other.x), ("f", self.f, other.f), ("fcsr", (self.fcsr,), (other.fcsr,))]
        named += [("memory+8*", _words(self.memory), _words(other.memory))]
        pairs = ((name, enumerate(zip(mine, theirs, strict=True))) for name, mine, theirs in named)
        return [(f"{name}{n}", a, b) for name, pair in pairs for n, (a, b) in pair if a != b]


def _words(memory: bytes) -> Sequence[int]:
    return memoryview(memory[: len(memory) & -8]).cast("Q")


def finished(image: Image, private_size: int) -> State:
    """The state of a guest of `image` at its first system call on unicorn."""
    unicorn = pytest.importorskip("unicorn", reason="unicorn is not installed: pip install 'denali-py[test]'")
    from unicorn import riscv_const as names

    machine = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
    start, end = image.ro_start & -PAGE, -(-(image.private_start + private_size) // PAGE) * PAGE
    machine.mem_map(start, end - start)
    machine.mem_write(image.ro_start, bytes(image.read_only))
    machine.mem_write(image.private_start, bytes(image.data))
    machine.reg_write(names.UC_RISCV_REG_MSTATUS, FLOATING_POINT_ON)
    machine.reg_write(names.UC_RISCV_REG_TP, image.registers_in(private_size))
    machine.reg_write(names.UC_RISCV_REG_SP, image.registers_in(private_size) & ~15)
    exceptions: list[int | str] = []

    def stop(_: object, number: int, __: object) -> None:
        exceptions.append(number)
        machine.emu_stop()

    machine.hook_add(unicorn.UC_HOOK_INTR, stop)
    try:
        machine.emu_start(image.entry, 0)
    except unicorn.UcError as error:
        exceptions.append(str(error))
    return State(
        exceptions[0] if exceptions else None,
        tuple(machine.reg_read(names.UC_RISCV_REG_X0 + n) for n in range(32)),
        tuple(machine.reg_read(names.UC_RISCV_REG_F0 + n) for n in range(32)),
        machine.reg_read(names.UC_RISCV_REG_FCSR),
        bytes(machine.mem_read(image.private_start, private_size)),
    )
