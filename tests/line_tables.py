"""Line tables in the making, for tests: units whose lengths are right whatever is in them."""

from __future__ import annotations

import struct

STANDARD = bytes((0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1))  # arguments of the standard operations


def leb(number: int) -> bytes:
    """An unsigned number in groups of seven bits."""
    groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes((*(group | 0x80 for group in groups[:-1]), groups[-1]))


def unit(version: int, names: bytes, program: bytes, line_range: int = 14) -> bytes:
    """A unit of a line table, its lengths right whatever is in it."""
    fields = bytes((1, *((1,) if version >= 4 else ()), 1, 251, line_range, 13)) + STANDARD + names
    head = struct.pack("<H", version) + (bytes((8, 0)) if version == 5 else b"") + struct.pack("<I", len(fields))
    content = head + fields + program
    return struct.pack("<I", len(content)) + content


def at(address: int) -> bytes:
    return bytes((0, 9, 2)) + address.to_bytes(8, "little")


END = bytes((0, 1, 1))
NAMES = {4: b"\0a.c\0\0\0\0b.c\0\0\0\0\0", 5: bytes((0, 0, 1, 1, 0x1F, 2)) + struct.pack("<II", 0, 4)}
