# pyright: basic
"""Secure bindings: whether a guest may have a TLB entry is decided here, once, when it asks; its use is unchecked.

An entry may lead to a page of the guest's own private memory, or to a frame that it holds, with no more rights than
its hold has. It may not stand where translated code looks first: page zero, read-only bytes, wired memory, the
registers page. What is refused has changed nothing.
"""

from __future__ import annotations

from typing import Any

from . import entries, holds
from .flat import CONTEXT_SIZE, REGISTERS_SIZE, registers_address, within, writable
from .frames import FRAME, release, take_spare
from .holds import NOBODY, account_at
from .native import native
from .rights import ALL, READ, WRITE

LEAST, MOST = 16, 4096  # entries
_INSIDE = FRAME - 1


@native
def touches(page: int, start: int, size: int) -> bool:
    """Whether a page has a byte of [start, start + size)."""
    first = start & ~_INSIDE
    return size > 0 and 0 <= page - first <= (start + size - 1 & ~_INSIDE) - first


@native
def _free_to_bind(account: Any, context: int, space: Any, page: int) -> bool:
    """Whether entries may be for this page at all."""
    tlb = entries.tlb_at(account.tlb)
    registers = registers_address(context, space) - account.flat
    return not (
        page == 0
        or touches(page, space.ro_start, space.ro_end - space.ro_start)
        or touches(page, tlb.wired_start, tlb.wired_size)
        or touches(page, registers, REGISTERS_SIZE)
    )


@native
def _host_of(pool: Any, context: int, space: Any, guest: int, rights: int, physical: int) -> int:
    """Host address of the page that a guest may bind with these rights; 0: it may not."""
    if physical & _INSIDE:
        return 0
    frame = holds.frame_at(physical)
    if frame == NOBODY:
        return writable(context, space, physical, FRAME)
    index = holds.find(pool, frame, guest, False)
    if index == NOBODY or rights & ~holds.hold_at(pool, index).rights:
        return 0
    return pool.base + frame * FRAME


@native
def well_formed(account: Any, context: int, space: Any, page: int) -> bool:
    """Whether the first word of a binding (page and rights) makes sense; any 64 bits are fair."""
    rights = page & _INSIDE
    if account.tlb == 0 or not 0 < rights <= ALL or (rights & WRITE and not rights & READ):
        return False
    return _free_to_bind(account, context, space, page & ~_INSIDE)


@native
def host_of(pool: Any, context: int, space: Any, guest: int, page: int, physical: int) -> int:
    """Where a well-formed binding would lead: a host address, or 0 when the guest may not have it."""
    return _host_of(pool, context, space, guest, page & _INSIDE, physical)


@native
def bind(pool: Any, account: Any, page: int, host: int) -> None:
    """Write the entry of a binding that was checked."""
    entries.write(pool, account, page & ~_INSIDE, page & _INSIDE, host)


@native
def probe(pool: Any, account: Any, context: int, space: Any, address: int) -> int:
    """Physical address and rights of the entry for an address; 0 when there is none."""
    page = address & ~_INSIDE
    entry = entries.entry_for(account.tlb, page)
    rights = entries.rights_of(entry, page)
    if not rights:
        return 0
    physical = page + entry.addend - account.flat
    if within(physical, FRAME, space.private_start, space.private_size):
        return physical | rights
    return holds.physical_of(entries.frame_of(pool, entry)) | rights


@native
def turn_on(pool: Any, context: int, space: Any, guest: int, count: int, start: int, size: int) -> bool:
    """Give a guest an empty TLB; False when it may hold no more frames, or none are free. Arguments were checked."""
    account = account_at(pool, guest)
    frames = (entries.HEADER + count * entries.SIZE + FRAME - 1) // FRAME
    first = take_spare(pool, frames, guest) if frames <= holds.room_of(account) else NOBODY
    if first < 0:
        return False
    account.tlb, account.tlb_frames = pool.base + first * FRAME, frames
    account.flat = context + CONTEXT_SIZE - space.private_start
    tlb = entries.tlb_at(account.tlb)
    tlb.mask, tlb.wired_start, tlb.wired_size, tlb.context = count - 1, start, size, context
    for index in range(count):
        entry = entries.entry_at(account.tlb, index)
        entry.read = entry.write = entry.execute = entries.NONE
    entries.wire(account)
    return True


@native
def turn_off(pool: Any, guest: int) -> None:
    """Take a guest's TLB away, if it has one."""
    account = account_at(pool, guest)
    if account.tlb == 0:
        return
    entries.drop_all(pool, account)
    first, frames = (account.tlb - pool.base) // FRAME, account.tlb_frames
    account.tlb, account.tlb_frames = 0, 0
    release(pool, first, frames)


@native
def give_up_everything(pool: Any, guest: int) -> None:
    """Take TLB and frames from a guest that is over."""
    turn_off(pool, guest)
    account = account_at(pool, guest)
    while account.newest:
        holds.give_up(pool, account.newest - 1)
    account.bonus = account.asked = account.repossessed = 0
