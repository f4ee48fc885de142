# pyright: basic
"""Guests that do not run, packed: native code takes a guest's memory apart and puts it together again.

What is packed is how the touched pages of a guest differ from its template; the rest is known. A parked guest has no
frames. Its registers page lives on in its `PARKED` record, where events go on being raised; the first turn that such an
event brings finds no context, and puts the guest on the list of those wanted.

    law: a living guest has its run of frames exactly while its context is not zero, else crumbs or a place on disk
"""

from __future__ import annotations

from typing import Any

from denali.isa.virtual import REGISTERS
from denali.tlb import frames as pool
from denali.tlb.compiled import entry
from denali.tlb.flat import context_at, registers_address, space_at
from denali.tlb.native import External, copy, native, numbers_at, zero

from . import console
from .crumbs import PARKED, drop_crumbs, keep, parked_at, want
from .life import birth_at, identify
from .nic import alive, drop_queue
from .records import NOBODY, SCRATCH, State, guest_at, kernel_at
from .scheduler import ready, ready_ahead
from .streams import break_streams
from .timers import cancel_timer

SEEN = SCRATCH // 8  # pages of which the host is asked at once whether they were touched
MOST = 256  # touched pages of a guest that may be parked
_PAGE = pool.FRAME + 8
PACKED_MOST = MOST * _PAGE
_REGISTERS, _PARKED = REGISTERS.itemsize, PARKED.itemsize
_TOUCHED = 62  # the bits of a word of the host's pagemap from here on: present, or in the host's own swap
_pread = External("pread", "int64", "int32", "int64", "int64", "int64")


@native
def _look(kernel: Any, address: int, pages: int) -> bool:
    """Have the host say which pages from an address on were touched, a word each in the scratch; whether it did."""
    if kernel.pagemap < 0:
        return False
    return _pread(kernel.pagemap, kernel.scratch, 8 * pages, address // pool.FRAME * 8) == 8 * pages


@native
def _next_touched(kernel: Any, guest: Any, page: int, known: bool) -> tuple[int, bool]:
    """The first page from one on that may differ from zero, `guest.frames` if none; whether the host is to be asked."""
    while page < guest.frames:
        if page % SEEN == 0:
            known = _look(kernel, guest.context + page * pool.FRAME, min(SEEN, guest.frames - page))
        if not known or numbers_at(kernel.scratch, SEEN)[page % SEEN] >> _TOUCHED != 0:
            return page, known
        page += 1
    return page, known


@native
def _template_page(birth: Any, page: int) -> int:
    """Host address of a page of the template; 0 when that is zero."""
    index = numbers_at(birth.index, birth.page_count)
    for row in range(birth.page_count):
        if index[row] == page:
            return birth.pages + row * pool.FRAME
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
    birth, size = birth_at(guest.birth), 0
    page, known = _next_touched(kernel, guest, 0, False)
    while page < guest.frames:
        if size + _PAGE > PACKED_MOST:
            return -1
        if _differ(target + size + 8, guest.context + page * pool.FRAME, _template_page(birth, page)):
            numbers_at(target + size, 1)[0] = page
            size += _PAGE
        page, known = _next_touched(kernel, guest, page + 1, known)
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
    where = kernel.parked + number * _PARKED
    copy(where, guest.registers, _REGISTERS)
    pool.release(pool.pool_at(kernel.frames), guest.first_frame, guest.frames)
    guest.context, guest.registers = 0, where
    kernel.parked_count += 1
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
def _rebuild(birth: Any, address: int, source: int, size: int) -> None:
    """Write template and differences into zeroed frames."""
    index = numbers_at(birth.index, birth.page_count)
    for row in range(birth.page_count):
        copy(address + index[row] * pool.FRAME, birth.pages + row * pool.FRAME, pool.FRAME)
    for at in range(0, size, _PAGE):
        here = numbers_at(address + numbers_at(source + at, 1)[0] * pool.FRAME, pool.FRAME // 8)
        changes = numbers_at(source + at + 8, pool.FRAME // 8)
        for word in range(pool.FRAME // 8):
            here[word] ^= changes[word]


@entry
def put_back(kernel_address: int, number: int, source: int, size: int) -> int:
    """Give a parked guest frames and its memory again; 0: done, 1: there are no frames, 2: the bytes make no sense."""
    kernel = kernel_at(kernel_address)
    guest, frames = guest_at(kernel, number), pool.pool_at(kernel.frames)
    birth = birth_at(guest.birth)
    if not _sound(source, size, guest.frames):
        return 2
    first = pool.take(frames, guest.frames, number)
    if first < 0:
        return 1
    address = frames.base + first * pool.FRAME
    _rebuild(birth, address, source, size)
    guest.first_frame, guest.context = first, address
    guest.registers = registers_address(address, space_at(birth.space))
    copy(guest.registers, kernel.parked + number * _PARKED, _REGISTERS)
    drop_crumbs(kernel, number)
    kernel.parked_count -= 1
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
    return rests and guest.context != 0 and not guest.gateway and not guest.paging and not guest.warming


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


@native
def _is_zero(page: int) -> bool:
    """Whether a page holds nothing."""
    words, some = numbers_at(page, pool.FRAME // 8), 0
    for word in range(pool.FRAME // 8):
        some |= words[word]
    return some == 0


@entry
def restore(kernel_address: int, number: int, seeds: int) -> bool:
    """Set a living guest, which has its frames, back to where it began; False when it is not one.

    Only pages that were ever touched are looked at. It keeps its number; `seeds` are its new random words.
    """
    kernel = kernel_at(kernel_address)
    guest = guest_at(kernel, number)
    if not alive(kernel, number) or guest.context == 0 or guest.paging:
        return False
    birth, began = birth_at(guest.birth), guest.state
    cancel_timer(kernel, number)
    drop_queue(kernel, number)
    break_streams(kernel, number)
    console.clear(kernel, number)
    page, known = _next_touched(kernel, guest, 0, False)
    while page < guest.frames:
        base, here = _template_page(birth, page), guest.context + page * pool.FRAME
        if base:
            copy(here, base, pool.FRAME)
        elif not _is_zero(here):
            zero(here, pool.FRAME)
        page, known = _next_touched(kernel, guest, page + 1, known)
    guest.registers = registers_address(guest.context, space_at(birth.space))
    context_at(guest.context).space = birth.space
    identify(kernel, number, seeds)
    guest.fuel, guest.handling, guest.silent, guest.wish = birth.fuel, 0, 0, 0
    if began == State.IDLE:
        ready(kernel, number)
    return True
