# pyright: basic
"""Memory as devices see it: a guest address and a count become a host address, by whichever binding the guest uses.

Without the virtual MMU that is the flat binding. With it, addresses mean what they mean to the guest's own loads and
stores: wired memory and read-only bytes first, else the TLB, where a buffer must lie in one page.
"""

from __future__ import annotations

from typing import Any

from . import entries, flat
from .flat import REFUSED, REGISTERS_SIZE, context_at, registers_address, within
from .frames import FRAME
from .native import kept, native, opaque
from .rights import READ, WRITE


@native
def _wired(context: int, space: Any, address: int, count: int) -> bool:
    """Whether a buffer lies in private memory that needs no entry."""
    tlb = entries.tlb_at(context_at(context).tlb)
    registers = registers_address(context, space) - (context + flat.CONTEXT_SIZE - space.private_start)
    wired = within(address, count, tlb.wired_start, tlb.wired_size)
    return wired or within(address, count, registers, REGISTERS_SIZE)


@native
def in_one_page(address: int, count: int) -> bool:
    """Whether a buffer is one that a single entry could be for."""
    return 0 < count <= FRAME and (address & (FRAME - 1)) + count <= FRAME


@native
def _bound(context: int, address: int, count: int, right: int) -> int:
    """Host address of a buffer that an entry gives this right to, or `REFUSED`."""
    page = address & ~(FRAME - 1)
    entry = entries.entry_for(context_at(context).tlb, page)
    if in_one_page(address, count) and entries.rights_of(entry, page) & right:
        tag = opaque(entry.write if right == WRITE else entry.read)
        offset, limit = (address - tag) | -(tag & 1), kept(FRAME + 1 - count, FRAME + 1, 0)
        return kept(offset, limit, entry.addend + tag)  # as `_placed`; the tag of no page is odd
    return REFUSED


@native
def writable(context: int, space: Any, address: int, count: int) -> int:
    """Host address of `count` bytes that the guest may write, or `REFUSED`."""
    if context_at(context).tlb == 0 or _wired(context, space, address, count):
        return flat.writable(context, space, address, count)
    return _bound(context, address, count, WRITE)


@native
def readable(context: int, space: Any, address: int, count: int) -> int:
    """Host address of `count` bytes that the guest may read, or `REFUSED`."""
    if context_at(context).tlb == 0 or _wired(context, space, address, count):
        return flat.readable(context, space, address, count)
    if within(address, count, space.ro_start, space.ro_end - space.ro_start):
        return flat.readable(context, space, address, count)
    return _bound(context, address, count, READ)


@native
def missed(context: int, space: Any, address: int, count: int) -> bool:
    """Whether a refused buffer is one that the guest's miss handler could make good."""
    if context_at(context).tlb == 0 or not in_one_page(address, count):
        return False
    page = address & ~(FRAME - 1)
    return page != 0 and not within(address, count, space.ro_start, space.ro_end - space.ro_start)
