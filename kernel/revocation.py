# pyright: basic
"""Revocation: the kernel asks a guest for frames, the guest chooses which; after the deadline they are taken.

Only frames that a guest asked for can be revoked, never its flat memory: that is one run, and loses no part of it. The
registers page says how many frames are wanted and by when, and an event is raised; each frame that the guest releases
counts, and meanwhile it is given none. When the deadline has come, the latest of its frames are taken by force: their
bindings are broken, they are listed in the vector that `repossession` in the registers page points to, and another
event is raised. `GUARANTEED` frames stay with the guest, whatever it does.
After Engler, Kaashoek, O'Toole: "Exokernel", SOSP 1995 (visible revocation, abort protocol, repossession vector).

    law: a guest is in the kernel's list exactly while its account has a deadline
"""

from __future__ import annotations

from typing import Any

from denali.isa.virtual import REPOSSESSION, Event
from denali.tlb import flat, holds
from denali.tlb.compiled import entry
from denali.tlb.flat import context_at, registers_at, space_at
from denali.tlb.frames import pool_at
from denali.tlb.holds import account_at
from denali.tlb.native import carray, native, numbers_at, pointer_to, signed

from .clock import look
from .events import raise_event
from .nic import alive
from .records import guest_at, kernel_at
from .timers import FOREVER

GUARANTEED = 8  # frames
_REVOKE, _REPOSSESSED = int(Event.REVOKE), int(Event.REPOSSESSED)
_HEADER = REPOSSESSION.itemsize
_vector = pointer_to(signed(REPOSSESSION))


@native
def _tell(kernel: Any, number: int) -> None:
    """Write into the registers page what is asked."""
    account = account_at(pool_at(kernel.frames), number)
    registers = registers_at(guest_at(kernel, number).registers)
    registers.revoked, registers.revoke_by = account.asked, account.deadline


@native
def released(kernel: Any, number: int, count: int) -> None:
    """A guest has given frames up: so many fewer are asked."""
    account = account_at(pool_at(kernel.frames), number)
    if account.asked:
        account.asked = max(account.asked - count, 0)
        _tell(kernel, number)


@native
def forget(kernel: Any, number: int) -> None:
    """Take a guest off the list of those who are asked."""
    pool = pool_at(kernel.frames)
    account = account_at(pool, number)
    if account.deadline == 0:
        return
    if kernel.asked_head == number + 1:
        kernel.asked_head = account.next_asked
    else:
        before = account_at(pool, kernel.asked_head - 1)
        while before.next_asked != number + 1:
            before = account_at(pool, before.next_asked - 1)
        before.next_asked = account.next_asked
    account.next_asked = account.asked = account.deadline = 0


@native
def _earliest(kernel: Any) -> None:
    """Note the next deadline."""
    kernel.asked_by, number = FOREVER, kernel.asked_head - 1
    while number >= 0:
        account = account_at(pool_at(kernel.frames), number)
        kernel.asked_by = min(kernel.asked_by, account.deadline)
        number = account.next_asked - 1


@native
def _list(kernel: Any, number: int, physical: int) -> None:
    """Write a lost frame into the guest's vector, if what it says of one makes sense; it may be anything."""
    guest = guest_at(kernel, number)
    space, address = space_at(context_at(guest.context).space), registers_at(guest.registers).repossession
    head = flat.writable(guest.context, space, address, _HEADER)
    if address == 0 or not head:
        return
    vector = carray(_vector(head), (1,))[0]
    place = vector.count
    if 0 <= place < vector.room and place < space.private_size:
        slot = flat.writable(guest.context, space, address + _HEADER + 8 * place, 8)
        if slot:
            numbers_at(slot, 1)[0] = physical
    vector.count = place + 1


@native
def _take_by_force(kernel: Any, number: int) -> None:
    """Take what was asked and not released."""
    pool = pool_at(kernel.frames)
    account = account_at(pool, number)
    count = min(account.asked, account.held - GUARANTEED)
    for _ in range(count):
        index = account.newest - 1
        physical = holds.physical_of(holds.hold_at(pool, index).frame)
        holds.give_up(pool, index)
        _list(kernel, number, physical)
        account.repossessed += 1
    forget(kernel, number)
    _tell(kernel, number)
    if count > 0:
        raise_event(kernel, number, _REPOSSESSED)


@native
def expire(kernel: Any, now: int) -> None:
    """Deal with those whose deadline has come; between turns."""
    if now < kernel.asked_by:
        return
    number = kernel.asked_head - 1
    while number >= 0:
        account = account_at(pool_at(kernel.frames), number)
        following = account.next_asked - 1
        if account.deadline <= now:
            _take_by_force(kernel, number)
        number = following
    _earliest(kernel)


@entry
def ask(kernel_address: int, number: int, count: int, within: int) -> int:
    """Ask a living guest for `count` frames within so many ns, instead of what was asked before; how many are asked."""
    kernel = kernel_at(kernel_address)
    if not alive(kernel, number) or not guest_at(kernel, number).paging:
        return 0
    account = account_at(pool_at(kernel.frames), number)
    count = max(min(count, account.held - GUARANTEED), 0)
    forget(kernel, number)
    if count:
        account.asked, account.deadline = count, look(kernel) + max(within, 1)
        account.next_asked, kernel.asked_head = kernel.asked_head, number + 1
        raise_event(kernel, number, _REVOKE)
    _tell(kernel, number)
    _earliest(kernel)
    return count


@entry
def allow(kernel_address: int, number: int, frames: int) -> int:
    """Set how many frames a living guest may hold; by how many it holds too many."""
    kernel = kernel_at(kernel_address)
    if not alive(kernel, number):
        return 0
    account = account_at(pool_at(kernel.frames), number)
    account.bonus = frames - holds.ALLOWANCE
    return max(account.held + account.tlb_frames - frames, 0)
