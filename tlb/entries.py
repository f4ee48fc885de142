# pyright: basic
"""The entries of a guest's TLB: written, looked up, dropped. Nothing is checked here; `bindings` does that.

The TLB lies in frames that no guest can name. Each entry that leads to a frame with a name is counted with that frame,
so that giving a frame up need not search TLBs that have no entry for it.

Two shortcuts for translated code are kept here: addresses that can all be read and written at one addend. The `home`
in CONTEXT begins as the wired memory, grows with pages of private memory bound next to it at their own place, and is
cut where one of these goes. The window in the header is the latest long run of other pages.
"""

from __future__ import annotations

from typing import Any

from denali.isa.context import ENTRY, HOME_SLACK, TLB

from .flat import REGISTERS_SIZE, context_at, registers_address, space_at
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
def _wired_start(account: Any) -> int:
    """Where the memory begins that home never loses."""
    tlb = tlb_at(account.tlb)
    if tlb.wired_size > REGISTERS_SIZE:
        return tlb.wired_start
    return registers_address(tlb.context, space_at(context_at(tlb.context).space)) - account.flat


@native
def wire(account: Any) -> None:
    """Let home be the wired memory, or the registers page where that is little, and the window nothing."""
    tlb = tlb_at(account.tlb)
    context, size = context_at(tlb.context), max(tlb.wired_size, REGISTERS_SIZE)
    context.home_start, context.home_room = _wired_start(account), size - HOME_SLACK
    tlb.window_size = tlb.window_worth = 0


@native
def _grow_home(account: Any, page: int, size: int) -> bool:
    """Let home have pages at their own place; False when they do not continue it."""
    context = context_at(tlb_at(account.tlb).context)
    below = page + size == context.home_start
    if not below and page != context.home_start + context.home_room + HOME_SLACK:
        return False
    context.home_start = page if below else context.home_start
    context.home_room += size
    return True


@native
def _grow(account: Any, page: int, addend: int) -> None:
    """Let home or the window have a page that can be read and written, if it continues one of them.

    A page that continues neither costs the window some of its worth; one without any makes place for a new one.
    """
    tlb = tlb_at(account.tlb)
    if addend == account.flat and _grow_home(account, page, FRAME):
        pass
    elif addend == tlb.window_addend and page == tlb.window_start + tlb.window_size:
        tlb.window_size, tlb.window_worth = tlb.window_size + FRAME, tlb.window_worth + 1
    elif addend == tlb.window_addend and page + FRAME == tlb.window_start:
        tlb.window_start, tlb.window_size, tlb.window_worth = page, tlb.window_size + FRAME, tlb.window_worth + 1
    elif tlb.window_worth > 0:
        tlb.window_worth -= 1
    else:
        tlb.window_start, tlb.window_size, tlb.window_addend, tlb.window_worth = page, FRAME, addend, 1
    own_place = tlb.window_size > 0 and tlb.window_addend == account.flat
    if own_place and _grow_home(account, tlb.window_start, tlb.window_size):
        tlb.window_size = tlb.window_worth = 0


@native
def _shrink(account: Any, page: int) -> None:
    """Cut home and the window before a page that they may have goes; the window keeps its longer part."""
    tlb = tlb_at(account.tlb)
    context = context_at(tlb.context)
    distance = page - context.home_start
    if 0 <= distance < context.home_room + HOME_SLACK:
        if page >= _wired_start(account):
            context.home_room = distance - HOME_SLACK
        else:
            context.home_start, context.home_room = page + FRAME, context.home_room - distance - FRAME
    before = page - tlb.window_start
    behind = tlb.window_size - before - FRAME
    if before >= 0 and behind >= 0:
        tlb.window_start = tlb.window_start if before >= behind else page + FRAME
        tlb.window_size = max(before, behind)


@native
def clear(pool: Any, account: Any, entry: Any) -> None:
    """Empty an entry."""
    page = page_of(entry)
    if page == NONE:
        return
    _count(pool, entry, -1)
    entry.read = entry.write = entry.execute = NONE
    _shrink(account, page)


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
    if rights & WRITE:
        _grow(account, page, entry.addend)


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
