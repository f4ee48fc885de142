# pyright: basic
"""Guests that do not run, packed: native code takes a guest's memory apart and puts it together again.

What is packed is how the pages that a guest wrote to differ from its template; the rest is known. A parked guest has no
frames. Its registers page lives on in its `PARKED` record, where events go on being raised; the first turn that such an
event brings finds no context, and puts the guest on the list of those wanted.

    law: a living guest has its run of frames unless it is parked: then `first_frame` is NOBODY, and what is kept of it
    is in crumbs or has a place on disk; one that was parked before it had a turn is all template, and has neither
"""

from __future__ import annotations

from typing import Any

from denali.isa.virtual import REGISTERS
from denali.tlb import frames as pool
from denali.tlb.compiled import entry
from denali.tlb.native import copy, native, numbers_at

from .crumbs import PARKED, count_parked, drop_crumbs, keep, parked_at, want
from .life import birth_at, give_run_back, lay_template, map_template, settle_in
from .records import NOBODY, State, guest_at, kernel_at
from .scheduler import ready_ahead
from .touched import first_touched, next_touched

MOST = 256  # pages that a guest which may be parked has written to
_PAGE = pool.FRAME + 8
PACKED_MOST = MOST * _PAGE
_REGISTERS, _PARKED = REGISTERS.itemsize, PARKED.itemsize


@native
def template_page(birth: Any, page: int) -> int:
    """Host address of a page of the template; 0 when that is zero."""
    index, low, high = numbers_at(birth.index, birth.page_count), 0, birth.page_count
    while low < high:
        middle = (low + high) // 2
        if index[middle] < page:
            low = middle + 1
        else:
            high = middle
    if low < birth.page_count and index[low] == page:
        return birth.pages + low * pool.FRAME
    return 0


@native
def _differ(target: int, page: int, base: int) -> bool:
    """Write how a page differs from its template; whether it does."""
    out, here = numbers_at(target, pool.FRAME // 8), numbers_at(page, pool.FRAME // 8)
    some = 0
    if base:
        before = numbers_at(base, pool.FRAME // 8)
        for word in range(pool.FRAME // 8):
            out[word] = here[word] ^ before[word]
            some |= out[word]
    else:
        for word in range(pool.FRAME // 8):
            out[word] = here[word]
            some |= out[word]
    return some != 0


@entry
def pack(kernel_address: int, number: int, target: int) -> int:
    """Write how a guest differs from its template to `PACKED_MOST` bytes at `target`; how many, -1: too many."""
    kernel = kernel_at(kernel_address)
    guest = guest_at(kernel, number)
    if guest.context == 0:
        return 0
    birth, size = birth_at(guest.birth), 0
    page = first_touched(kernel, guest)
    while page < guest.frames:
        if size + _PAGE > PACKED_MOST:
            return -1
        if _differ(target + size + 8, guest.context + page * pool.FRAME, template_page(birth, page)):
            numbers_at(target + size, 1)[0] = page
            size += _PAGE
        page = next_touched(kernel, guest, page + 1)
    return size


@entry
def put_away(kernel_address: int, number: int, source: int, packed: int, size: int, offset: int, checksum: int) -> bool:
    """Park a guest: keep its packed bytes, in crumbs unless they are at `offset` of the file; give its frames back."""
    kernel = kernel_at(kernel_address)
    guest, parked = guest_at(kernel, number), parked_at(kernel, number)
    head = NOBODY
    if offset == NOBODY and packed:
        head = keep(kernel, source, packed)
        if head == NOBODY:
            return False
    parked.crumbs, parked.packed, parked.size = head, packed, size
    parked.offset, parked.checksum = offset, checksum
    if guest.registers:
        where = kernel.parked + number * _PARKED
        copy(where, guest.registers, _REGISTERS)
        guest.registers = where
    give_run_back(kernel, guest)
    guest.context, guest.first_frame = 0, NOBODY
    count_parked(kernel, 1, guest.frames)
    return True


@entry
def moved(kernel_address: int, number: int, offset: int, checksum: int) -> None:
    """Note that a parked guest's bytes are on disk now, and give its crumbs back."""
    kernel = kernel_at(kernel_address)
    parked = parked_at(kernel, number)
    drop_crumbs(kernel, number)
    parked.offset, parked.checksum = offset, checksum


@native
def _sound(source: int, size: int, frames: int) -> bool:
    """Whether unpacked bytes name pages of the run."""
    if size % _PAGE:
        return False
    strange = 0
    for at in range(0, size, _PAGE):
        page = numbers_at(source + at, 1)[0]
        strange += page < 0 or page >= frames
    return strange == 0


@native
def _apply(address: int, source: int, size: int) -> None:
    """Write differences into memory that is as the template says."""
    for at in range(0, size, _PAGE):
        here = numbers_at(address + numbers_at(source + at, 1)[0] * pool.FRAME, pool.FRAME // 8)
        changes = numbers_at(source + at + 8, pool.FRAME // 8)
        for word in range(pool.FRAME // 8):
            here[word] ^= changes[word]


@entry
def put_back(kernel_address: int, number: int, source: int, size: int) -> int:
    """Give a parked guest frames and its memory again; 0: done, 1: there are no frames, 2: the bytes make no sense."""
    kernel = kernel_at(kernel_address)
    guest = guest_at(kernel, number)
    if not _sound(source, size, guest.frames):
        return 2
    first = pool.take(pool.pool_at(kernel.frames), guest.frames, number)
    if first < 0:
        return 1
    guest.first_frame = first
    drop_crumbs(kernel, number)
    count_parked(kernel, -1, 0)
    if guest.registers == 0:
        return 0  # it was parked before its first turn, which will write its memory
    map_template(kernel, guest)
    lay_template(kernel, guest)
    _apply(pool.pool_at(kernel.frames).base + first * pool.FRAME, source, size)
    settle_in(kernel, number)
    copy(guest.registers, kernel.parked + number * _PARKED, _REGISTERS)
    return 0


@entry
def next_wanted(kernel_address: int) -> int:
    """Take the first wanted guest that still lives off the list; NOBODY when there is none."""
    kernel = kernel_at(kernel_address)
    number = kernel.wanted_head
    while number != NOBODY:
        kernel.wanted_head = guest_at(kernel, number).next
        guest_at(kernel, number).queued = 0
        if guest_at(kernel, number).state == State.READY:
            return number
        number = kernel.wanted_head
    return NOBODY


@entry
def want_again(kernel_address: int, number: int) -> None:
    """Put a guest that could not be brought back at the end of the list."""
    want(kernel_at(kernel_address), number)


@entry
def go_on(kernel_address: int, number: int) -> None:
    """Let a guest that is back have its turn, ahead of those that used theirs up."""
    ready_ahead(kernel_at(kernel_address), number)


@native
def _may_park(kernel: Any, number: int, lowest: int) -> bool:
    """Whether a guest can do without its frames: idle (READY as well when `lowest` says so), nothing special."""
    guest = guest_at(kernel, number)
    rests = guest.state == State.IDLE or (guest.state == State.READY and lowest == State.READY)
    return rests and guest.first_frame != NOBODY and not guest.gateway and not guest.paging and not guest.warming


@entry
def idle(kernel_address: int, number: int) -> bool:
    """Whether a guest may be parked now."""
    return _may_park(kernel_at(kernel_address), number, State.IDLE)


@entry
def idlest(kernel_address: int, lowest: int) -> int:
    """The clock's hand: the next guest that may be parked and had no turn since the hand last came by; or NOBODY.

    After Corbato's multics clock, 1968. A whole round and nobody: NOBODY.
    """
    kernel = kernel_at(kernel_address)
    for _ in range(2 * kernel.count):
        number = kernel.hand
        kernel.hand = number + 1 if number + 1 < kernel.count else 0
        if _may_park(kernel, number, lowest):
            if guest_at(kernel, number).visited == 0:
                return number
            guest_at(kernel, number).visited = 0
    return NOBODY
