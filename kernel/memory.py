# pyright: basic
"""The services of the paged mode: the virtual MMU, TLB entries, frames, frames of others.

Whatever does not fit is refused before anything has happened; in a batch, before any of it has. Having no room is an
answer, not a trap.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from denali.isa.context import Status
from denali.isa.virtual import BINDING, WIRED, Service, Shared
from denali.tlb import bindings, entries, holds
from denali.tlb.access import readable, writable
from denali.tlb.flat import within
from denali.tlb.frames import FRAME, pool_at
from denali.tlb.holds import NOBODY, account_at
from denali.tlb.native import carray, native, numbers_at, pointer_to, signed
from denali.tlb.rights import ALL, READ, WRITE

from .records import Wish, guest_at, named
from .refusals import refuse, unreadable, unwritable
from .revocation import released

EFFORT_A_TURN = 1_000_000
MOST_BINDINGS, MOST_FRAMES = 256, 64  # in one batch
_BINDING = BINDING.itemsize
_binding = pointer_to(signed(BINDING))
_wired = pointer_to(signed(WIRED))
_WIRED = WIRED.itemsize
_INSIDE = FRAME - 1
_OFFERED, _NOBODY, _FULL = int(Shared.OFFERED), int(Shared.NOBODY), int(Shared.FULL)
_word = np.dtype("<i8").itemsize


@native
def _pool(kernel: Any) -> Any:
    return pool_at(kernel.frames)


@native
def _change_mode(kernel: Any, context: Any) -> int:
    """End the turn, so that native code never changes its mode midway."""
    account = account_at(_pool(kernel), context.guest)
    guest = guest_at(kernel, context.guest)
    context.tlb, context.status = account.tlb, Status.LEFT
    guest.wish, guest.paging = Wish.YIELD, 1
    return 0


@native
def _mmu(kernel: Any, address: int, context: Any, space: Any, a: int, b: int) -> int:
    if a == 0:
        bindings.turn_off(_pool(kernel), context.guest)
        return _change_mode(kernel, context)
    if not bindings.LEAST <= a <= bindings.MOST or a & (a - 1) or context.tlb:
        return refuse(context, a)
    source = readable(address, space, b, _WIRED)
    if not source:
        return refuse(context, b)
    wired = carray(_wired(source), (1,))[0]
    if not within(wired.start, wired.size, space.private_start, space.private_size):
        return refuse(context, wired.start)
    if not bindings.turn_on(_pool(kernel), address, space, context.guest, a, wired.start, wired.size):
        return -1
    return _change_mode(kernel, context)


@native
def _bind(kernel: Any, address: int, context: Any, space: Any, a: int, b: int) -> int:
    pool = _pool(kernel)
    account = account_at(pool, context.guest)
    if not bindings.well_formed(account, address, space, a):
        return refuse(context, a)
    host = bindings.host_of(pool, address, space, context.guest, a, b)
    if not host:
        return refuse(context, b)
    bindings.bind(pool, account, a, host)
    return 0


@native
def _binds(kernel: Any, address: int, context: Any, space: Any, a: int, b: int) -> int:
    if not 0 <= b <= MOST_BINDINGS:
        return refuse(context, b)
    source = readable(address, space, a, b * _BINDING)
    if not source:
        return unreadable(address, context, space, a, b * _BINDING)
    pool = _pool(kernel)
    account, batch = account_at(pool, context.guest), carray(_binding(source), (b,))
    for index in range(b):
        if not bindings.well_formed(account, address, space, batch[index].page):
            return refuse(context, batch[index].page)
        if not bindings.host_of(pool, address, space, context.guest, batch[index].page, batch[index].frame):
            return refuse(context, batch[index].frame)
    for index in range(b):
        host = bindings.host_of(pool, address, space, context.guest, batch[index].page, batch[index].frame)
        bindings.bind(pool, account, batch[index].page, host)
    return 0


@native
def _probe(kernel: Any, address: int, context: Any, space: Any, a: int) -> int:
    if context.tlb == 0:
        return refuse(context, a)
    pool = _pool(kernel)
    return bindings.probe(pool, account_at(pool, context.guest), address, space, a)


@native
def _drop(kernel: Any, context: Any, a: int, b: int) -> int:
    if context.tlb == 0 or a & _INSIDE:
        return refuse(context, a)
    if b < 0:
        return refuse(context, b)
    pool = _pool(kernel)
    account = account_at(pool, context.guest)
    if b == 0:
        entries.drop_all(pool, account)
    else:
        entries.drop(pool, account, a, b)
    return 0


@native
def _allocate(kernel: Any, address: int, context: Any, space: Any, a: int, b: int) -> int:
    if not 1 <= b <= MOST_FRAMES:
        return refuse(context, b)
    target = writable(address, space, a, b * _word)
    if not target:
        return unwritable(address, context, space, a, b * _word)
    guest_at(kernel, context.guest).paging = 1
    array = numbers_at(target, b)
    for index in range(b):
        frame = holds.allocate(_pool(kernel), context.guest)
        if frame < 0:
            return index
        array[index] = holds.physical_of(frame)
    return b


@native
def _held(kernel: Any, context: Any, physical: int) -> int:
    """The running guest's hold of a frame that it names, or NOBODY."""
    return holds.find(_pool(kernel), holds.frame_at(physical), context.guest, False)


@native
def _release(kernel: Any, address: int, context: Any, space: Any, a: int, b: int) -> int:
    """A frame that stands twice in the array is given back once."""
    if not 1 <= b <= MOST_FRAMES:
        return refuse(context, b)
    source = readable(address, space, a, b * _word)
    if not source:
        return unreadable(address, context, space, a, b * _word)
    array, count = numbers_at(source, b), 0
    for index in range(b):
        if _held(kernel, context, array[index]) == NOBODY:
            return refuse(context, array[index])
    for index in range(b):  # the array may lie in a frame that goes: then the rest of it reads as zero
        hold = _held(kernel, context, array[index])
        if hold != NOBODY:
            holds.give_up(_pool(kernel), hold)
            count += 1
    released(kernel, context.guest, count)
    return count


@native
def _share(kernel: Any, context: Any, a: int, b: int) -> int:
    rights = a & _INSIDE
    hold = _held(kernel, context, a & ~_INSIDE)
    if hold == NOBODY or not 0 < rights <= ALL or (rights & WRITE and not rights & READ):
        return refuse(context, a)
    if rights & ~holds.hold_at(_pool(kernel), hold).rights:
        return refuse(context, a)
    if named(kernel, b) == NOBODY or named(kernel, b) == context.guest:
        return _NOBODY
    return _OFFERED if holds.offer(_pool(kernel), hold, b, rights) else _FULL


@native
def _attach(kernel: Any, context: Any, a: int) -> int:
    pool, frame = _pool(kernel), holds.frame_at(a)
    if frame == NOBODY:
        return refuse(context, a)
    made = holds.find(pool, frame, guest_at(kernel, context.guest).name, True)
    if made == NOBODY:
        return 0
    guest_at(kernel, context.guest).paging = 1
    return holds.attach(pool, made, context.guest)


@native
def _effort(context: Any, number: int, b: int) -> int:
    """About how many ns a service costs the kernel, for arguments that are not refused."""
    entries_there = entries.tlb_at(context.tlb).mask + 1 if context.tlb else 0
    if number == Service.BINDS:
        return 20 + 20 * b
    if number == Service.DROP:
        return 20 + (min(b, entries_there) if b else entries_there)
    if number == Service.ALLOCATE:
        return 500 * b
    if number == Service.RELEASE:
        return (1000 + entries_there) * b
    if number == Service.MMU:
        return 10_000 + 4 * entries_there
    return 20


@native
def serve(kernel: Any, address: int, context: Any, space: Any, number: int, a: int, b: int) -> int:
    """Serve one virtual instruction from `MMU` to `ATTACH`; who made the kernel work enough has had its turn."""
    effort = _effort(context, number, b)
    result = _serve(kernel, address, context, space, number, a, b)
    if context.status == Status.FUEL:
        kernel.effort += effort
        if kernel.effort > EFFORT_A_TURN:
            context.status = Status.LEFT
            guest_at(kernel, context.guest).wish = Wish.YIELD
    return result


@native
def _serve(kernel: Any, address: int, context: Any, space: Any, number: int, a: int, b: int) -> int:
    if number == Service.BIND:
        return _bind(kernel, address, context, space, a, b)
    if number == Service.BINDS:
        return _binds(kernel, address, context, space, a, b)
    if number == Service.PROBE:
        return _probe(kernel, address, context, space, a)
    if number == Service.DROP:
        return _drop(kernel, context, a, b)
    if number == Service.ALLOCATE:
        return _allocate(kernel, address, context, space, a, b)
    if number == Service.RELEASE:
        return _release(kernel, address, context, space, a, b)
    if number == Service.SHARE:
        return _share(kernel, context, a, b)
    if number == Service.ATTACH:
        return _attach(kernel, context, a)
    return _mmu(kernel, address, context, space, a, b)
