# pyright: basic
"""Pages that many guests have in common until they write to them: a stretch of a run, mapped from a template's file.

A run may have one such stretch: a private mapping of a file in memory. The host keeps one copy of it for all, and gives
a guest a page of its own when that guest writes to it. A mapping costs about what ten copied pages cost, and a process
may have some 65,000: so it is for long stretches, and for as many runs as `MOST` says; others have copies.

    law: a run is marked exactly while its stretch is mapped from a file; a free frame never is
"""

from __future__ import annotations

from typing import Any

from .frames import FRAME, NO_HUGE_PAGES, NO_RESERVE
from .native import External, bytes_at, native, numbers_at

MOST = 16_000  # runs of one pool that have a stretch, two mappings each: half of what Linux allows a process
_READ_WRITE, _PRIVATE, _FIXED, _ANONYMOUS = 3, 0x02, 0x10, 0x20

_mmap = External("mmap", "int64", "int64", "int64", "int32", "int32", "int32", "int64")
_madvise = External("madvise", "int32", "int64", "int64", "int32")


@native
def is_mapped(pool: Any, first: int) -> bool:
    """Whether the run that begins at a frame has a stretch that is mapped from a file."""
    return bytes_at(pool.mapped, pool.count)[first] != 0


@native
def map_stretch(pool: Any, first: int, page: int, pages: int, file: int) -> bool:
    """Map `pages` of a run, from `page` on, from a file; False: copy them, there are too many or the host refuses."""
    address, flags = pool.base + (first + page) * FRAME, _PRIVATE | _FIXED | NO_RESERVE
    if pool.mapped_count >= MOST or _mmap(address, pages * FRAME, _READ_WRITE, flags, file, 0) != address:
        return False
    bytes_at(pool.mapped, pool.count)[first] = 1
    pool.mapped_count += 1
    return True


@native
def unmap_stretch(pool: Any, first: int, length: int, page: int, pages: int) -> bool:
    """Have zeros where a run of `length` was mapped from a file, so that it can be given back; whether it can.

    When the host refuses it cannot: what lies there is not zero. The run is then nobody's until the pool is closed.
    """
    if not is_mapped(pool, first):
        return True
    address, flags = pool.base + (first + page) * FRAME, _PRIVATE | _FIXED | _ANONYMOUS | NO_RESERVE
    if _mmap(address, pages * FRAME, _READ_WRITE, flags, -1, 0) != address:
        numbers_at(pool.holder, pool.count)[first : first + length] = pool.guests + 1
        return False
    _madvise(address, pages * FRAME, NO_HUGE_PAGES)  # as around it, so that the host makes one mapping of all again
    bytes_at(pool.mapped, pool.count)[first] = 0
    pool.mapped_count -= 1
    return True
