# pyright: basic
"""Who holds which frame: asked for one at a time, shared by offer and acceptance, given up, taken.

A frame that a guest asked for has one `HOLD`; each guest that attaches it has one more, with the rights it was offered.
Every holder is charged for a whole frame, and the frame is free again when the last one has given it up. An offer
holds nothing: it is charged to the guest that made it, and goes when that guest gives the frame up.

    law: an allocation never fails for want of records: as many are kept free as there are free frames
"""

from __future__ import annotations

from typing import Any

from . import entries
from .frames import ACCOUNT, FRAME, HOLD, release, take_spare
from .native import carray, native, numbers_at, pointer_to
from .rights import ALL

ALLOWANCE = 256  # frames a guest may hold, unless it was told otherwise
MOST = 64  # holders and offers of one frame, so that looking for one takes a bounded time
OFFERS = 64  # of one guest
NOBODY = -1

_hold = pointer_to(HOLD)
_account = pointer_to(ACCOUNT)


@native
def hold_at(pool: Any, index: int) -> Any:
    """A record of who holds what."""
    return carray(_hold(pool.hold_items), (pool.hold_room,))[index]


@native
def account_at(pool: Any, guest: int) -> Any:
    """What a guest has besides its flat memory."""
    return carray(_account(pool.accounts), (pool.guests,))[guest]


@native
def room_of(account: Any) -> int:
    """How many frames more a guest may hold; none while some are asked back from it."""
    if account.asked:
        return 0
    return ALLOWANCE + account.bonus - account.held - account.tlb_frames


@native
def find(pool: Any, frame: int, guest: int, offered: bool) -> int:
    """A guest's hold (or the offer to it) of a frame, or NOBODY; any frame number is a fair argument."""
    if not 0 <= frame < pool.count:
        return NOBODY
    index = numbers_at(pool.holds, pool.count)[frame] - 1
    while index != NOBODY:
        hold = hold_at(pool, index)
        if hold.guest == guest and (hold.by > 0) == offered:
            break
        index = hold.next - 1
    return index


@native
def _count(pool: Any, frame: int, offers: bool) -> int:
    """How many hold a frame, or how many records it has in all."""
    count, index = 0, numbers_at(pool.holds, pool.count)[frame] - 1
    while index != NOBODY:
        hold = hold_at(pool, index)
        if offers or hold.by == 0:
            count += 1
        index = hold.next - 1
    return count


@native
def _new(pool: Any, frame: int, guest: int, rights: int, by: int) -> int:
    """Add a record to a frame's; there is one."""
    if pool.hold_free:
        index = pool.hold_free - 1
        pool.hold_free = hold_at(pool, index).next
    else:
        index = pool.hold_fresh
        pool.hold_fresh += 1
    pool.hold_used += 1
    hold, first = hold_at(pool, index), numbers_at(pool.holds, pool.count)
    hold.frame, hold.guest, hold.rights, hold.by = frame, guest, rights, by
    hold.next, first[frame] = first[frame], index + 1
    return index


@native
def _remove(pool: Any, index: int) -> None:
    """Take a record off its frame's and give it back."""
    hold, first = hold_at(pool, index), numbers_at(pool.holds, pool.count)
    if first[hold.frame] == index + 1:
        first[hold.frame] = hold.next
    else:
        before = first[hold.frame] - 1
        while hold_at(pool, before).next != index + 1:
            before = hold_at(pool, before).next - 1
        hold_at(pool, before).next = hold.next
    hold.next, pool.hold_free = pool.hold_free, index + 1
    pool.hold_used -= 1


@native
def _charge(pool: Any, index: int) -> None:
    """Put a hold at the end of its guest's list."""
    hold = hold_at(pool, index)
    account = account_at(pool, hold.guest)
    hold.older, hold.newer = account.newest, 0
    if account.newest:
        hold_at(pool, account.newest - 1).newer = index + 1
    account.newest = index + 1
    account.held += 1


@native
def _discharge(pool: Any, index: int) -> None:
    """Take a hold off its guest's list."""
    hold = hold_at(pool, index)
    account = account_at(pool, hold.guest)
    if hold.newer:
        hold_at(pool, hold.newer - 1).older = hold.older
    else:
        account.newest = hold.older
    if hold.older:
        hold_at(pool, hold.older - 1).newer = hold.newer
    account.held -= 1


@native
def _settle(pool: Any, frame: int) -> None:
    """Say in the frame's column who holds it: one guest, or how many."""
    count, holder = _count(pool, frame, False), numbers_at(pool.holder, pool.count)
    index = numbers_at(pool.holds, pool.count)[frame] - 1
    while hold_at(pool, index).by:
        index = hold_at(pool, index).next - 1
    holder[frame] = hold_at(pool, index).guest + 1 if count == 1 else -count


@native
def allocate(pool: Any, guest: int) -> int:
    """Give a guest a zeroed frame; NOBODY when it may hold no more, or none is free."""
    if room_of(account_at(pool, guest)) <= 0:
        return NOBODY
    frame = take_spare(pool, 1, guest)
    if frame >= 0:
        _charge(pool, _new(pool, frame, guest, ALL, 0))
    return frame


@native
def _withdraw(pool: Any, frame: int, by: int) -> None:
    """Take back what a guest offered of a frame; NOBODY: all offers of it."""
    index = numbers_at(pool.holds, pool.count)[frame] - 1
    while index != NOBODY:
        hold = hold_at(pool, index)
        following = hold.next - 1
        if hold.by and (by == NOBODY or hold.by == by + 1):
            account_at(pool, hold.by - 1).offers -= 1
            _remove(pool, index)
        index = following


@native
def give_up(pool: Any, index: int) -> None:
    """End a guest's hold of a frame, and with it every binding of that guest to it."""
    hold = hold_at(pool, index)
    frame, guest = hold.frame, hold.guest
    entries.drop_frame(pool, account_at(pool, guest), frame)
    _withdraw(pool, frame, guest)
    _discharge(pool, index)
    _remove(pool, index)
    if _count(pool, frame, False):
        _settle(pool, frame)
    else:
        _withdraw(pool, frame, NOBODY)
        release(pool, frame, 1)


@native
def offer(pool: Any, index: int, guest: int, rights: int) -> bool:
    """Offer the frame of a hold to another guest, in place of an earlier offer; False when there is no room.

    `guest` is the name of whoever may accept: an offer to a guest that is over must not reach the next of its row.
    """
    hold = hold_at(pool, index)
    frame, by = hold.frame, hold.guest
    account, earlier = account_at(pool, by), find(pool, frame, guest, True)
    if earlier != NOBODY:
        if hold_at(pool, earlier).by == by + 1:
            hold_at(pool, earlier).rights = rights
            return True
        return False
    spare = pool.hold_room - pool.hold_used > pool.free
    if not spare or account.offers >= OFFERS or _count(pool, frame, True) >= MOST:
        return False
    _new(pool, frame, guest, rights, by + 1)
    account.offers += 1
    return True


@native
def attach(pool: Any, index: int, guest: int) -> int:
    """Turn an offer into a hold of `guest`; its rights, or NOBODY when the guest may hold no more."""
    made = hold_at(pool, index)
    frame, rights = made.frame, made.rights
    held = find(pool, frame, guest, False)
    if held == NOBODY and room_of(account_at(pool, guest)) <= 0:
        return NOBODY
    account_at(pool, made.by - 1).offers -= 1
    made.by, made.guest = 0, guest
    if held == NOBODY:
        _charge(pool, index)
        _settle(pool, frame)
        return rights
    _remove(pool, index)
    hold_at(pool, held).rights |= rights
    return hold_at(pool, held).rights


@native
def physical_of(frame: int) -> int:
    """The address by which guests name a frame."""
    return (1 << 40) + frame * FRAME


@native
def frame_at(physical: int) -> int:
    """The frame that a guest names; NOBODY for what is no frame's address. Any 64 bits are fair."""
    if physical < 1 << 40 or physical & (FRAME - 1):
        return NOBODY
    return (physical - (1 << 40)) // FRAME
