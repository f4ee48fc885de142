"""Numbers in network byte order, and the Internet checksum (RFC 1071)."""

from __future__ import annotations

from typing import Any

import numpy as np

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

WORD = 0xFFFFFFFF
HALF = 0x80000000


def get16(data: Bytes, at: int) -> int:
    """The 16-bit number at `at`."""
    return int(data[at]) << 8 | int(data[at + 1])


def get32(data: Bytes, at: int) -> int:
    """The 32-bit number at `at`."""
    return get16(data, at) << 16 | get16(data, at + 2)


def put16(data: Bytes, at: int, value: int) -> None:
    """Write the low 16 bits of `value` at `at`."""
    data[at] = value >> 8 & 0xFF
    data[at + 1] = value & 0xFF


def put32(data: Bytes, at: int, value: int) -> None:
    """Write the low 32 bits of `value` at `at`."""
    put16(data, at, value >> 16)
    put16(data, at + 2, value)


def since(later: int, earlier: int) -> int:
    """How far `later` lies behind `earlier` in sequence space; negative when it comes before (RFC 9293, 3.4)."""
    return ((later - earlier + HALF) & WORD) - HALF


def total(data: Bytes, start: int, length: int) -> int:
    """The plain sum of the 16-bit words of `length` bytes; an odd last byte counts as if a zero followed."""
    value = 0
    stop = start + length - 1
    while start < stop:
        value += int(data[start]) << 8 | int(data[start + 1])
        start += 2
    if start == stop:
        value += int(data[start]) << 8
    return value


def checksum(value: int) -> int:
    """The checksum that belongs to a sum of words; zero when a valid checksum was part of the sum."""
    value = (value & 0xFFFF) + (value >> 16)
    value = (value & 0xFFFF) + (value >> 16)
    value = (value & 0xFFFF) + (value >> 16)
    return value ^ 0xFFFF
