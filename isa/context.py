"""What native code and kernel share of a guest: one record, from which every other view of it is derived.

A guest that is stopped is this record and its private memory, nothing else. The memory follows the record directly, so
one pointer serves both.
"""

from __future__ import annotations

import enum

import numpy as np

CONTEXT = np.dtype(
    [
        ("pc", "<u8"),  # next instruction; of a trap: the instruction that trapped
        ("fuel", "<i8"),  # instructions left in this turn; never below zero at a stop
        ("limit", "<u8"),  # retired instructions at which fuel is zero: retired = limit - fuel
        ("space", "<u8"),  # host address of the guest's `SPACE`
        ("stack_limit", "<u8"),  # host stack pointer below which native frames are unwound
        ("status", "<u4"),  # a `Status`
        ("cause", "<u4"),  # a `Cause`, when status is TRAP
        ("value", "<u8"),  # the cause's value
        ("reservation", "<u8"),  # address of the load-reserved, all ones when there is none
        ("reserved_value", "<u8"),
        ("unwound", "<u8"),  # one from the moment native code unwinds until `enter` has seen it, else zero
        ("guest", "<u4"),  # number of this guest
        ("fcsr", "<u4"),
        ("tlb", "<u8"),  # host address of the guest's `TLB` while its virtual MMU is on, else zero
        ("home_start", "<u8"),  # ... and then guest addresses [start, start + room + HOME_SLACK): private memory at its
        ("home_room", "<u8"),  # ... own place that can be read and written: wired, or bound so; the registers at least
        ("rest_of_line", "<u8", 2),  # so that what guests align to a cache line is so in the host
        ("x", "<u8", 32),  # x[0] stays zero
        ("f", "<u8", 32),
    ],
    align=True,
)
HOME_SLACK = 127  # so that one comparison with the room does for all accesses of up to 128 bytes
assert CONTEXT.itemsize <= 650
assert CONTEXT.itemsize % 64 == 0

# What the virtual MMU of a guest knows, when it is on: this header, and `ENTRY` records directly behind it.
TLB = np.dtype(
    [
        ("mask", "<u8"),  # entries - 1; their number is a power of two, at least two
        ("wired_start", "<u8"),  # guest addresses [start, start + size) of private memory that need no entry and stay
        ("wired_size", "<u8"),  # ... what they are without the virtual MMU: readable, writable, executable
        ("window_start", "<u8"),  # guest addresses [start, start + size), all of them bound for reading and writing at
        ("window_size", "<u8"),  # ... this addend: one check for loops over many pages
        ("window_addend", "<u8"),
        ("window_worth", "<u8"),  # pages bound beside it before another window is begun
        ("context", "<u8"),  # host address of the guest's `CONTEXT`
    ],
    align=True,
)
assert TLB.itemsize == 64

# A secure binding of one page, at index (address >> 12) & mask. A tag is the page's guest address where that right is
# given, else all ones. Who may write may read. No page of the image's read-only bytes or of wired memory is bound.
ENTRY = np.dtype(
    [
        ("read", "<u8"),
        ("write", "<u8"),
        ("execute", "<u8"),
        ("addend", "<u8"),  # host address - guest address, modulo 2**64
    ],
    align=True,
)
assert ENTRY.itemsize == 32

# One per (image, memory size): the address space that its guests share, and its translation.
SPACE = np.dtype(
    [
        ("read_only", "<u8"),  # host address of the byte at guest address ro_start
        ("ro_start", "<u8"),  # guest addresses [ro_start, ro_end): readable, executable where [text_start, text_end)
        ("ro_end", "<u8"),
        ("text_start", "<u8"),
        ("text_end", "<u8"),
        ("private_start", "<u8"),  # guest addresses [private_start, private_start + private_size): read, write, execute
        ("private_size", "<u8"),
        ("table", "<u8"),  # host address of the entry table: one code pointer per 2 bytes of text
        ("heat", "<u8"),  # host address of one u2 per 2 bytes of text: times dispatched there without an entry
        ("paged_table", "<u8"),  # the same two for guests whose virtual MMU is on
        ("paged_heat", "<u8"),
        ("wanted", "<u8"),  # host address of a ring of 256 u8: pcs that became hot, with 1 added if under a virtual MMU
        ("wanted_count", "<u8"),  # written by native code; ring index is this modulo 256
        ("service", "<u8"),  # host address of i64 service(CONTEXT*, i64 number, i64 a, i64 b)
        ("miss", "<u8"),  # what empty slots of the table point to
        ("kernel", "<u8"),  # the kernel's own, for its service; native code of guests does not look at it
        ("registers", "<u8"),  # guest address of the registers page, in private memory
    ],
    align=True,
)


class Status(enum.IntEnum):
    """Why native code came back to the kernel."""

    FUEL = 0  # fuel is zero; pc is the next instruction
    TRAP = 1  # cause and value say why; pc is the instruction that trapped, nothing of it has taken effect
    LEFT = 2  # a service ended the turn; pc is the next instruction


class Mode(enum.StrEnum):
    """What a translation takes a guest's memory for."""

    FLAT = "flat"  # the virtual MMU is off
    PAGED = "paged"  # it is on: addresses are looked up in the TLB
