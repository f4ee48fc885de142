# pyright: basic
"""Setting a guest back to where it began, at the price of the pages that it wrote to.

The host says which these are. A page of the template's mapped stretch is given back to the host, so that the guest sees
the file's again; one of which the guest has a copy is copied anew, one of neither is made zero. A page that is found
zero already, as the last reset left it, is given back: the next reset does not see it.
"""

from __future__ import annotations

from typing import Any

from denali.tlb import bindings
from denali.tlb import frames as pool
from denali.tlb.compiled import entry
from denali.tlb.holds import account_at
from denali.tlb.native import copy, native, numbers_at, zero

from . import console, host, revocation
from .life import birth_at, identify, is_mapped, settle_in
from .nic import alive, drop_queue
from .parking import template_page
from .records import State, guest_at, kernel_at
from .scheduler import ready
from .streams import break_streams
from .timers import cancel_timer
from .touched import first_touched, next_touched


@native
def _is_zero(page: int) -> bool:
    """Whether a page holds nothing."""
    words, some = numbers_at(page, pool.FRAME // 8), 0
    for word in range(pool.FRAME // 8):
        some |= words[word]
    return some == 0


@native
def _rewrite(birth: Any, guest: Any, page: int) -> None:
    """Write into a page what it held when its guest began."""
    base, here = template_page(birth, page), guest.context + page * pool.FRAME
    if base:
        copy(here, base, pool.FRAME)
    else:
        zero(here, pool.FRAME)


@native
def _is_dropped(birth: Any, guest: Any, page: int, mapped: bool) -> bool:
    """Whether the host gives a page back as it began, once it has taken it."""
    if mapped and birth.stretch <= page < birth.stretch + birth.stretch_pages:
        return True
    return template_page(birth, page) == 0 and _is_zero(guest.context + page * pool.FRAME)


@native
def _drop(kernel: Any, birth: Any, guest: Any, low: int, high: int) -> None:
    """Give pages back to the host; write them where it does not take them."""
    if low < high and not pool.drop(pool.pool_at(kernel.frames), guest.first_frame + low, high - low):
        for page in range(low, high):
            _rewrite(birth, guest, page)


@native
def _restore_memory(kernel: Any, birth: Any, guest: Any) -> None:
    """Set those pages back that the guest wrote to; neighbours go to the host in one call."""
    mapped, low, high = is_mapped(kernel, guest), 0, 0
    page = first_touched(kernel, guest)
    while page < guest.frames:
        if not _is_dropped(birth, guest, page, mapped):
            _rewrite(birth, guest, page)
        else:
            if page != high:
                _drop(kernel, birth, guest, low, high)
                low = page
            high = page + 1
        page = next_touched(kernel, guest, page + 1)
    _drop(kernel, birth, guest, low, high)


@native
def _give_up_frames(kernel: Any, guest: Any, number: int) -> None:
    """Take its TLB and the frames that it asked for from a guest; what it may ask for stays as it is."""
    frames = pool.pool_at(kernel.frames)
    account = account_at(frames, number)
    bonus = account.bonus
    revocation.forget(kernel, number)
    bindings.give_up_everything(frames, number)
    account.bonus, guest.paging = bonus, 0


@entry
def restore(kernel_address: int, number: int) -> bool:
    """Set a living guest, which has its frames, back to where it began; False when it is not one.

    It keeps its number, and has new randomness.
    """
    kernel = kernel_at(kernel_address)
    guest = guest_at(kernel, number)
    if not alive(kernel, number) or guest.context == 0:
        return False
    birth, began = birth_at(guest.birth), guest.state
    cancel_timer(kernel, number)
    drop_queue(kernel, number)
    break_streams(kernel, number)
    console.clear(kernel, number)
    if guest.paging:
        _give_up_frames(kernel, guest, number)
    _restore_memory(kernel, birth, guest)
    settle_in(kernel, number)
    host.draw(kernel.scratch, 16)
    identify(kernel, number, kernel.scratch)
    guest.fuel, guest.handling, guest.silent, guest.wish = birth.fuel, 0, 0, 0
    if began == State.IDLE:
        ready(kernel, number)
    return True
