# pyright: basic
"""The entries of a guest's TLB: written, looked up, dropped. Nothing is checked here; `bindings` does that.

The TLB lies in frames that no guest can name. Each entry that leads to a frame with a name is counted with that frame,
so that giving a frame up need not search TLBs that have no entry for it.

The header's window is a shortcut for translated code: addresses that can all be read and written at one addend. It
begins as the wired memory, grows with entries that continue it, and shrinks back when one of these goes.
"""

from __future__ import annotations

from typing import Any

from denali.isa.context import ENTRY, TLB

from .frames import FRAME
from .native import carray, native, numbers_at, pointer_to, signed
from .rights import EXECUTE, READ, WRITE

NONE = -1  # a tag without a page
HEADER, SIZE = TLB.itemsize, ENTRY.itemsize
_header = pointer_to(signed(TLB))
_entry = pointer_to(signed(ENTRY))


@native
def tlb_at(address: int) -> Any:
    """The header of the TLB at a host address."""
    return carray(_header(address), (1,))[0]


@native
def entry_at(address: int, index: int) -> Any:
    """An entry of the TLB at a host address."""
    return carray(_entry(address + HEADER + index * SIZE), (1,))[0]


@native
def entry_for(address: int, page: int) -> Any:
    """The only entry that can be the one of a guest address."""
    return entry_at(address, (page >> 12) & tlb_at(address).mask)


@native
def page_of(entry: Any) -> int:
    """The page that an entry is for, or `NONE`."""
    return entry.read if entry.read != NONE else entry.execute


@native
def frame_of(pool: Any, entry: Any) -> int:
    """The frame that an entry in use leads to."""
    return (entry.addend + page_of(entry) - pool.base) // FRAME


@native
def _count(pool: Any, entry: Any, difference: int) -> None:
    """Note with the frame that an entry leads to it, or no longer."""
    frame = frame_of(pool, entry)
    if numbers_at(pool.holds, pool.count)[frame]:
        numbers_at(pool.bound, pool.count)[frame] += difference


@native
def wire(account: Any) -> None:
    """Let the window be the wired memory and no more."""
    tlb = tlb_at(account.tlb)
    tlb.window_start, tlb.window_size, tlb.window_addend = tlb.wired_start, tlb.wired_size, account.flat


@native
def _grow(tlb: Any, page: int, addend: int) -> None:
    """Let the window have a page that can be read and written, if it continues it."""
    if tlb.window_size == 0:
        tlb.window_start, tlb.window_size, tlb.window_addend = page, FRAME, addend
    elif addend == tlb.window_addend and page == tlb.window_start + tlb.window_size:
        tlb.window_size += FRAME
    elif addend == tlb.window_addend and page + FRAME == tlb.window_start:
        tlb.window_start, tlb.window_size = page, tlb.window_size + FRAME


@native
def clear(pool: Any, account: Any, entry: Any) -> None:
    """Empty an entry."""
    page = page_of(entry)
    if page == NONE:
        return
    _count(pool, entry, -1)
    entry.read = entry.write = entry.execute = NONE
    tlb = tlb_at(account.tlb)
    tlb.changes += 1
    if 0 <= page - tlb.window_start < tlb.window_size:
        wire(account)


@native
def write(pool: Any, account: Any, page: int, rights: int, host: int) -> None:
    """Write the entry of a page, in place of whatever is there."""
    entry = entry_for(account.tlb, page)
    clear(pool, account, entry)
    entry.addend = host - page
    entry.read = page if rights & READ else NONE
    entry.write = page if rights & WRITE else NONE
    entry.execute = page if rights & EXECUTE else NONE
    _count(pool, entry, 1)
    tlb = tlb_at(account.tlb)
    tlb.changes += 1
    if rights & WRITE:
        _grow(tlb, page, entry.addend)


@native
def rights_of(entry: Any, page: int) -> int:
    """What an entry allows for a page; 0 when it is not for that page."""
    readable = READ if entry.read == page else 0
    writable = WRITE if entry.write == page else 0
    return readable | writable | (EXECUTE if entry.execute == page else 0)


@native
def drop(pool: Any, account: Any, page: int, count: int) -> None:
    """Empty the entries of `count` pages from one on."""
    if count > tlb_at(account.tlb).mask:
        for index in range(tlb_at(account.tlb).mask + 1):
            entry = entry_at(account.tlb, index)
            if 0 <= (page_of(entry) - page) >> 12 < count:
                clear(pool, account, entry)
        return
    for number in range(count):
        entry = entry_for(account.tlb, page + number * FRAME)
        if page_of(entry) == page + number * FRAME:
            clear(pool, account, entry)


@native
def drop_all(pool: Any, account: Any) -> None:
    """Empty every entry."""
    for index in range(tlb_at(account.tlb).mask + 1):
        clear(pool, account, entry_at(account.tlb, index))


@native
def drop_frame(pool: Any, account: Any, frame: int) -> None:
    """Empty the entries that lead to a frame."""
    if account.tlb == 0 or numbers_at(pool.bound, pool.count)[frame] == 0:
        return
    for index in range(tlb_at(account.tlb).mask + 1):
        entry = entry_at(account.tlb, index)
        if page_of(entry) != NONE and frame_of(pool, entry) == frame:
            clear(pool, account, entry)
