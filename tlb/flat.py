# pyright: basic
"""The flat binding: one entry that covers a guest's whole private memory, and one for its image's read-only bytes.

A guest is one run of frames: its `CONTEXT` record, then private memory directly behind it. A device that is handed a
guest address asks here for the host address; it gets one only when every byte lies in a single region.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from denali.isa.context import CONTEXT, SPACE
from denali.isa.virtual import REGISTERS

from .frames import FRAME
from .native import carray, kept, native, pointer_to, signed

CONTEXT_SIZE = CONTEXT.itemsize
REGISTERS_SIZE = REGISTERS.itemsize
REFUSED = 0  # no host address: the range is not wholly in one region

_context = pointer_to(signed(CONTEXT))
_space = pointer_to(signed(SPACE))
_registers = pointer_to(signed(REGISTERS))


def frames_for(private_size: int) -> int:
    """How many frames hold a context and at least `private_size` bytes behind it."""
    return -(-(CONTEXT_SIZE + private_size) // FRAME)


def private_size_of(frames: int) -> int:
    """The private memory of a guest that holds a run of `frames`."""
    return frames * FRAME - CONTEXT_SIZE


@native
def context_at(address: int) -> Any:
    """The `CONTEXT` at a host address, 64-bit fields signed."""
    return carray(_context(address), (1,))[0]


@native
def space_at(address: int) -> Any:
    """The `SPACE` at a host address, 64-bit fields signed."""
    return carray(_space(address), (1,))[0]


@native
def registers_at(address: int) -> Any:
    """The registers page at a host address, 64-bit fields signed."""
    return carray(_registers(address), (1,))[0]


@native
def registers_address(context: int, space: Any) -> int:
    """Host address of the registers page of the guest whose context is at a host address."""
    return context + CONTEXT_SIZE + space.registers - space.private_start


@native
def within(address: int, count: int, start: int, size: int) -> bool:
    """Whether [address, address + count) lies in [start, start + size); any 64 bits are fair arguments."""
    return 0 <= count <= size and 0 <= address - start <= size - count


@native
def _placed(base: int, address: int, count: int, start: int, size: int) -> int:
    """The host address of a buffer that is `within`, `base` that of `start`; `REFUSED` if it was only guessed so."""
    return kept(address - start, kept(size - count + 1, size + 2, 0), base)


@native
def writable(context: int, space: Any, address: int, count: int) -> int:
    """Host address of `count` bytes of private memory, or `REFUSED`."""
    if within(address, count, space.private_start, space.private_size):
        return _placed(context + CONTEXT_SIZE, address, count, space.private_start, space.private_size)
    return REFUSED


@native
def readable(context: int, space: Any, address: int, count: int) -> int:
    """Host address of `count` bytes of private or read-only memory, or `REFUSED`."""
    if within(address, count, space.ro_start, space.ro_end - space.ro_start):
        return _placed(space.read_only, address, count, space.ro_start, space.ro_end - space.ro_start)
    return writable(context, space, address, count)


def context_record(memory: np.ndarray, offset: int) -> Any:
    """The context of the guest whose run starts at `offset` of the pool, for Python."""
    return memory[offset : offset + CONTEXT_SIZE].view(CONTEXT)[0]


def registers_record(memory: np.ndarray, offset: int) -> Any:
    """The registers page that lies at `offset` of the pool, for Python."""
    return memory[offset : offset + REGISTERS_SIZE].view(REGISTERS)[0]


def locate(memory: np.ndarray, offset: int, private_start: int, address: int, count: int, private_size: int) -> Any:
    """The host's view of `count` bytes of private memory of the guest whose run starts at `offset` of the pool.

    Raises:
        ValueError: the range is not wholly in the guest's private memory.
    """
    if not (0 <= count <= private_size and private_start <= address <= private_start + private_size - count):
        end = private_start + private_size
        raise ValueError(f"[{address:#x}, +{count}) is not inside private memory [{private_start:#x}, {end:#x})")
    start = offset + CONTEXT_SIZE + address - private_start
    return memory[start : start + count]
