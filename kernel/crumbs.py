# pyright: basic
"""What is kept of guests that are parked: a record for each, and their packed bytes in crumbs.

Law: a crumb is with one parked guest, or free.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from denali.isa.virtual import REGISTERS
from denali.tlb.compiled import entry
from denali.tlb.frames import pool_at as frame_pool_at
from denali.tlb.native import carray, copy, native, numbers_at, pointer_to

from .pool import give, take
from .records import NOBODY, guest_at, kernel_at, pool_at

PARKED = np.dtype(
    [
        ("registers", REGISTERS),  # the registers page while the guest is parked
        ("crumbs", "<i8"),  # the first of its crumbs; NOBODY: they are on disk
        ("packed", "<i8"),  # bytes as they are kept, after compression
        ("size", "<i8"),  # bytes before it
        ("offset", "<i8"),  # in the swap file, NOBODY: not there
        ("checksum", "<i8"),  # of the packed bytes
    ]
)
CRUMB = np.dtype([("next", "<i8"), ("data", "u1", 248)])
_CRUMB, _DATA = CRUMB.itemsize, CRUMB.itemsize - 8
_parked = pointer_to(PARKED)


@native
def parked_at(kernel: Any, number: int) -> Any:
    """What is known of a guest that is parked."""
    return carray(_parked(kernel.parked), (kernel.capacity,))[number]


@native
def keep(kernel: Any, source: int, count: int) -> int:
    """Put bytes into crumbs; the first, or NOBODY when there are too few."""
    needed = (count + _DATA - 1) // _DATA
    if pool_at(kernel.crumbs).free < needed:
        return NOBODY
    head = NOBODY
    for piece in range(needed - 1, -1, -1):
        index = take(kernel.crumbs)
        here = pool_at(kernel.crumbs).items + index * _CRUMB
        numbers_at(here, 1)[0] = head
        copy(here + 8, source + piece * _DATA, min(_DATA, count - piece * _DATA))
        head = index
    return head


@native
def drop_crumbs(kernel: Any, number: int) -> None:
    """Give back the crumbs of a parked guest."""
    parked = parked_at(kernel, number)
    index = parked.crumbs
    while index != NOBODY:
        following = numbers_at(pool_at(kernel.crumbs).items + index * _CRUMB, 1)[0]
        give(kernel.crumbs, index)
        index = following
    parked.crumbs = NOBODY


@native
def count_parked(kernel: Any, change: int, frames: int) -> None:
    """Count guests that are parked; while there are any, frames for the largest of them are kept from other guests."""
    pool = frame_pool_at(kernel.frames)
    kernel.parked_count += change
    pool.reserve = max(pool.reserve, frames) if kernel.parked_count else 0


@entry
def kept(kernel_address: int, number: int, target: int) -> int:
    """Copy the packed bytes of a parked guest out of its crumbs; how many."""
    kernel = kernel_at(kernel_address)
    parked = parked_at(kernel, number)
    index, done = parked.crumbs, 0
    while index != NOBODY and done < parked.packed:
        here = pool_at(kernel.crumbs).items + index * _CRUMB
        count = min(_DATA, parked.packed - done)
        copy(target + done, here + 8, count)
        index, done = numbers_at(here, 1)[0], done + count
    return done


@native
def want(kernel: Any, number: int) -> None:
    """A parked guest is to have its turn: Python brings it back."""
    guest_at(kernel, number).next, guest_at(kernel, number).queued = NOBODY, 1
    if kernel.wanted_head == NOBODY:
        kernel.wanted_head = number
    else:
        guest_at(kernel, kernel.wanted_tail).next = number
    kernel.wanted_tail = number
