# pyright: basic
"""Birth and end of guests.

Spawning many is one native call: a run of frames each, the pieces of the template that differ from zero, an identity.
The end gives back at once what others could miss (timer, queue, streams); memory and text stay until Python has looked
at them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from denali.isa.virtual import address_of
from denali.tlb import bindings, holds
from denali.tlb import frames as pool
from denali.tlb.compiled import entry
from denali.tlb.flat import context_at, registers_address, registers_at, space_at
from denali.tlb.native import carray, copy, native, numbers_at, pointer_to

from . import console, revocation
from .crumbs import drop_crumbs
from .nic import alive, drop_queue
from .records import NOBODY, SCRATCH, State, guest_at, kernel_at
from .scheduler import ready
from .streams import break_streams
from .template import PIECE
from .timers import cancel_timer

# What all guests of one spawn have in common; kept as long as the kernel.
BIRTH = np.dtype(
    [
        ("space", "<i8"),
        ("frames", "<i8"),
        ("pieces", "<i8"),  # host address of the template's `PIECE`s
        ("piece_count", "<i8"),
        ("index", "<i8"),  # host addresses of the template's page numbers and pages
        ("pages", "<i8"),
        ("page_count", "<i8"),
        ("dense", "<i8"),  # most of the frames are touched at birth
        ("fuel", "<i8"),
        ("turn", "<i8"),
        ("watchdog", "<i8"),
        ("gateway", "<i8"),
        ("piped", "<i8"),
        ("held", "<i8"),  # do not start it yet
        ("bonus", "<i8"),  # frames it may ask for, more than usual
        ("warming", "<i8"),
    ]
)
_birth, _piece = pointer_to(BIRTH), pointer_to(PIECE)
_NETWORK = address_of(0)
BATCH = 64  # guests whose memory is asked for at once: it is still in the caches when it is written
STRETCHES = SCRATCH // 16


@native
def birth_at(address: int) -> Any:
    """The `BIRTH` at a host address."""
    return carray(_birth(address), (1,))[0]


@native
def identify(space: Any, number: int, address: int, seeds: int) -> None:
    """Tell the guest whose run is at a host address who it is; two words at `seeds` are its randomness."""
    context, page = context_at(address), registers_at(registers_address(address, space))
    words = numbers_at(seeds, 2)
    context.guest = number
    page.number, page.address = number, _NETWORK + number
    page.random[0], page.random[1] = words[0], words[1]


@native
def _fill_run(birth: Any, number: int, address: int, seeds: int) -> None:
    """Write what differs from zero into a new guest's frames."""
    pieces = carray(_piece(birth.pieces), (birth.piece_count,))
    for which in range(birth.piece_count):
        piece = pieces[which]
        copy(address + piece.offset, piece.source, piece.length)
    context_at(address).space = birth.space
    identify(space_at(birth.space), number, address, seeds)


@native
def _fill_guest(kernel: Any, birth: Any, number: int, address: int, first: int) -> None:
    """The kernel's record of a new guest."""
    guest = guest_at(kernel, number)
    guest.context, guest.registers = address, registers_address(address, space_at(birth.space))
    guest.first_frame, guest.frames = first, birth.frames
    guest.fuel, guest.turn, guest.watchdog = birth.fuel, birth.turn, birth.watchdog
    guest.gateway, guest.piped, guest.warming = birth.gateway, birth.piped, birth.warming
    if birth.bonus:
        holds.account_at(pool.pool_at(kernel.frames), number).bonus = birth.bonus
    guest.timer_slot = guest.queue_head = guest.queue_tail = NOBODY
    guest.console_head = guest.console_tail = guest.next_stopped = NOBODY


@native
def _make(kernel: Any, birth_address: int, count: int) -> int:
    """Take numbers and frames for at most `count` guests, and write their records; how many there are."""
    birth, frames = birth_at(birth_address), pool.pool_at(kernel.frames)
    for which in range(count):
        number = kernel.count
        if birth.dense:
            pool.populate(frames, birth.frames)
        first = pool.take(frames, birth.frames, number) if number < kernel.capacity else -1
        if first < 0:
            return which
        _fill_guest(kernel, birth, number, frames.base + first * pool.FRAME, first)
        kernel.count += 1
        kernel.alive += 1
        guest_at(kernel, number).birth = birth_address
        guest_at(kernel, number).state = State.HELD
    return count


@native
def _back(kernel: Any, birth: Any, begin: int, end: int) -> None:
    """Have the host back the pages that the template writes, of many guests at once."""
    index, count = numbers_at(birth.index, birth.page_count), 0
    for number in range(begin, end):
        for row in range(birth.page_count):
            if count == STRETCHES:
                pool.back(kernel.scratch, count)
                count = 0
            stretch = numbers_at(kernel.scratch + 16 * count, 2)
            stretch[0], stretch[1] = guest_at(kernel, number).context + index[row] * pool.FRAME, pool.FRAME
            count += 1
    pool.back(kernel.scratch, count)


@entry
def spawn(kernel_address: int, birth_address: int, seeds: int, count: int) -> int:
    """Make `count` guests, with two random words each at `seeds`; how many were made before something ran out."""
    kernel, birth = kernel_at(kernel_address), birth_at(birth_address)
    done = 0
    while done < count:
        wanted, begin = min(BATCH, count - done), kernel.count
        end = begin + _make(kernel, birth_address, wanted)
        if not birth.dense:
            _back(kernel, birth, begin, end)
        for number in range(begin, end):
            _fill_run(birth, number, guest_at(kernel, number).context, seeds + 16 * done)
            done += 1
            if not birth.held:
                ready(kernel, number)
        if end < begin + wanted:
            return done
    return done


@entry
def start(kernel_address: int, number: int) -> bool:
    """Start a guest that is held; whether it was."""
    kernel = kernel_at(kernel_address)
    if guest_at(kernel, number).state != State.HELD:
        return False
    ready(kernel, number)
    return True


@native
def stop(kernel: Any, number: int, end: int) -> None:
    """End a living guest's life; its memory and its text stay for Python to look at."""
    guest = guest_at(kernel, number)
    cancel_timer(kernel, number)
    guest.state, guest.end = State.STOPPED, end
    drop_queue(kernel, number)
    break_streams(kernel, number)
    guest.next_stopped, kernel.stopped_head = kernel.stopped_head, number
    kernel.alive -= 1
    kernel.attention = 1


@entry
def kill(kernel_address: int, number: int, end: int) -> bool:
    """Stop a guest between turns; whether it was alive."""
    kernel = kernel_at(kernel_address)
    if not alive(kernel, number):
        return False
    stop(kernel, number, end)
    return True


@entry
def stop_all(kernel_address: int, end: int) -> None:
    """Stop every living guest."""
    kernel = kernel_at(kernel_address)
    for number in range(kernel.count):
        if alive(kernel, number):
            stop(kernel, number, end)


@native
def _bury_parked(kernel: Any, number: int) -> None:
    """Give back what is kept of a parked guest that is over."""
    drop_crumbs(kernel, number)
    kernel.parked_count -= 1
    guest_at(kernel, number).state, guest_at(kernel, number).registers = State.GONE, 0


@entry
def bury_silent(kernel_address: int, end: int) -> None:
    """Bury those stopped guests that have come to this end and left nothing to be told; neighbours' frames at once."""
    kernel = kernel_at(kernel_address)
    frames = pool.pool_at(kernel.frames)
    number, kernel.stopped_head = kernel.stopped_head, NOBODY
    low = high = 0
    while number != NOBODY:
        guest = guest_at(kernel, number)
        following = guest.next_stopped
        if guest.context == 0 and guest.end == end and guest.console_chunks == 0:
            _bury_parked(kernel, number)
        elif guest.end == end and guest.console_chunks == 0 and not guest.paging:
            pool.give_back(frames, guest.first_frame, guest.frames)
            if guest.first_frame + guest.frames != low:
                pool.empty(frames, low, high - low)
                high = guest.first_frame + guest.frames
            low = guest.first_frame
            guest.state, guest.context, guest.registers = State.GONE, 0, 0
        else:
            guest.next_stopped, kernel.stopped_head = kernel.stopped_head, number
        number = following
    pool.empty(frames, low, high - low)


@entry
def next_stopped(kernel_address: int) -> int:
    """Take a stopped guest off the list; NOBODY when it is empty."""
    kernel = kernel_at(kernel_address)
    number = kernel.stopped_head
    if number != NOBODY:
        kernel.stopped_head = guest_at(kernel, number).next_stopped
    return number


@entry
def bury(kernel_address: int, number: int) -> None:
    """Give back a stopped guest's frames and text."""
    kernel = kernel_at(kernel_address)
    guest = guest_at(kernel, number)
    console.clear(kernel, number)
    if guest.context == 0:
        _bury_parked(kernel, number)
        return
    if guest.paging:
        revocation.forget(kernel, number)
        bindings.give_up_everything(pool.pool_at(kernel.frames), number)
    pool.release(pool.pool_at(kernel.frames), guest.first_frame, guest.frames)
    guest.state, guest.context, guest.registers = State.GONE, 0, 0
