"""The relocations that occur in our object files, as the RISC-V ELF psABI defines them (chapter 8).

Linker relaxation is off, so none of them may change the size of code.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

R_32, R_64 = 1, 2
R_CALL_PLT, R_GOT_HI20, R_PCREL_HI20, R_PCREL_LO12_I, R_PCREL_LO12_S = 19, 20, 23, 24, 25
R_BRANCH, R_JAL, R_HI20, R_LO12_I, R_LO12_S = 16, 17, 26, 27, 28
R_RVC_BRANCH, R_RVC_JUMP, R_32_PCREL, R_PLT32, R_RELAX = 44, 45, 57, 59, 51
ADDS = {33: 1, 34: 2, 35: 4, 36: 8}
SUBS = {37: 1, 38: 2, 39: 4, 40: 8}
SET = {54: 1, 55: 2, 56: 4}
NOP, JAL = 0x13, 0x6F


class CannotLink(Exception):
    """The object file holds a relocation or a symbol that we do not place."""


def scatter(value: int, fields: list[tuple[int, int, int]]) -> int:
    """Put bit fields of an immediate where an instruction keeps them: (lowest bit, width, position)."""
    return sum((value >> low & (1 << width) - 1) << at for low, width, at in fields)


I_TYPE = [(0, 12, 20)]
S_TYPE = [(0, 5, 7), (5, 7, 25)]
U_TYPE = [(12, 20, 12)]
B_TYPE = [(11, 1, 7), (1, 4, 8), (5, 6, 25), (12, 1, 31)]
J_TYPE = [(12, 8, 12), (11, 1, 20), (1, 10, 21), (20, 1, 31)]
CB_TYPE = [(5, 1, 2), (1, 2, 3), (6, 2, 5), (3, 2, 10), (8, 1, 12)]
CJ_TYPE = [(5, 1, 2), (1, 3, 3), (7, 1, 6), (6, 1, 7), (10, 1, 8), (8, 2, 9), (4, 1, 11), (11, 1, 12)]


def fits(value: int, bits: int) -> int:
    """The value, if it is a signed number of that many bits."""
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise CannotLink(f"a distance of {value} bytes does not fit {bits} bits: the image is too large")
    return value


def patch(data: bytearray, offset: int, size: int, change: Callable[[int], int]) -> None:
    """Change a little-endian number in place."""
    old = int.from_bytes(data[offset : offset + size], "little")
    data[offset : offset + size] = (change(old) & (1 << size * 8) - 1).to_bytes(size, "little")


def insert(data: bytearray, offset: int, size: int, value: int, fields: list[tuple[int, int, int]]) -> None:
    """Set an instruction's immediate."""
    mask = scatter(-1, fields)
    patch(data, offset, size, lambda old: (old & ~mask) | scatter(value, fields))


def apply(data: bytearray, offset: int, kind: int, target: int, here: int) -> None:
    """Apply one relocation: `target` is S + A, `here` is P; for the low half of a pair, `target` is its distance.

    Raises:
        CannotLink: the kind is unknown, or the distance too far.
    """
    distance = target - here
    if kind == R_CALL_PLT:
        call(data, offset, distance)
    elif kind == R_PCREL_HI20:
        insert(data, offset, 4, fits(distance + 0x800, 32), U_TYPE)
    elif kind == R_HI20:
        insert(data, offset, 4, fits(target + 0x800, 32), U_TYPE)
    elif kind in (R_PCREL_LO12_I, R_LO12_I):
        insert(data, offset, 4, target, I_TYPE)
    elif kind in (R_PCREL_LO12_S, R_LO12_S):
        insert(data, offset, 4, target, S_TYPE)
    elif kind in BRANCHES:
        size, bits, fields = BRANCHES[kind]
        insert(data, offset, size, fits(distance, bits), fields)
    else:
        apply_data(data, offset, kind, target, distance)


def call(data: bytearray, offset: int, distance: int) -> None:
    """A call as `auipc, jalr`; as `nop, jal` where that reaches, so that its target is plain to a translator."""
    if -(1 << 20) + 4 <= distance < 1 << 20:
        link = int.from_bytes(data[offset + 4 : offset + 8], "little") & 0xF80
        struct.pack_into("<II", data, offset, NOP, JAL | link)
        insert(data, offset + 4, 4, distance - 4, J_TYPE)
        return
    insert(data, offset, 4, fits(distance + 0x800, 32), U_TYPE)
    insert(data, offset + 4, 4, distance, I_TYPE)


BRANCHES = {
    R_BRANCH: (4, 13, B_TYPE),
    R_JAL: (4, 21, J_TYPE),
    R_RVC_BRANCH: (2, 9, CB_TYPE),
    R_RVC_JUMP: (2, 12, CJ_TYPE),
}


def apply_data(data: bytearray, offset: int, kind: int, target: int, distance: int) -> None:
    """The relocations of data and debug information."""
    if kind in (R_32, R_64):
        patch(data, offset, 4 * kind, lambda _: target)
    elif kind in (R_32_PCREL, R_PLT32):
        struct.pack_into("<i", data, offset, fits(distance, 32))
    elif kind in ADDS:
        patch(data, offset, ADDS[kind], lambda old: old + target)
    elif kind in SUBS:
        patch(data, offset, SUBS[kind], lambda old: old - target)
    elif kind in SET:
        patch(data, offset, SET[kind], lambda _: target)
    elif kind != R_RELAX:
        raise CannotLink(f"relocation {kind} does not occur in what we compile")
