# pyright: basic
"""Birth and end of guests.

Spawning many is one native call: a record and a run of frames each. Their memory is written when it is first needed,
before the first turn or a look at it, of many guests in one go: the pieces of the template that differ from zero, an
identity. Until then nobody has touched the frames.
The end gives back at once what others could miss (timer, queue, streams); memory and text stay until Python has looked
at them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from denali.isa.virtual import address_of
from denali.tlb import bindings, holds, stretches
from denali.tlb import frames as pool
from denali.tlb.compiled import entry
from denali.tlb.flat import context_at, registers_address, registers_at, space_at
from denali.tlb.native import carray, copy, native, numbers_at, pointer_to, zero

from . import console, host, revocation
from .crumbs import count_parked, drop_crumbs
from .events import FRAME
from .nic import alive, drop_queue
from .records import GUEST, NOBODY, SCRATCH, End, State, guest_at, kernel_at
from .scheduler import purge, ready
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
        ("stretch", "<i8"),  # the page from which on the run is mapped from a file, see `tlb.stretches`
        ("stretch_pages", "<i8"),  # how many are; 0: all are copied
        ("file", "<i8"),
        ("own", "<i8"),  # host address of the numbers of the pages that are copied all the same
        ("own_count", "<i8"),
        ("own_pieces", "<i8"),  # how many pieces lie in these; they come first
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
STRETCHES = (SCRATCH - 8 * BATCH) // 16  # of memory, in the scratch; behind them is room for numbers of guests
RESTING = 1 << 16  # rows of guests that are over which are not used while there are fresh ones: late packets die out
TRIES = 16  # rows that are looked at for a guest while there are fresh ones
LAST_NAME = (1 << 24) - (1 << 16) - 1  # its address is 10.255.255.255
ROW, ACCOUNT = GUEST.itemsize, pool.ACCOUNT.itemsize


@native
def birth_at(address: int) -> Any:
    """The `BIRTH` at a host address."""
    return carray(_birth(address), (1,))[0]


@native
def map_template(kernel: Any, guest: Any) -> None:
    """Map the template's stretch, if it has one, into a guest's run of new frames, unless it must be copied."""
    birth, frames = birth_at(guest.birth), pool.pool_at(kernel.frames)
    if birth.stretch_pages:
        stretches.map_stretch(frames, guest.first_frame, birth.stretch, birth.stretch_pages, birth.file)


@native
def is_parked(kernel: Any, number: int) -> bool:
    """Whether a guest that lives, or is over and not buried, has no frames."""
    return guest_at(kernel, number).first_frame == NOBODY


@native
def is_mapped(kernel: Any, guest: Any) -> bool:
    """Whether a guest has its template's stretch as a mapping."""
    if birth_at(guest.birth).stretch_pages == 0:
        return False
    return stretches.is_mapped(pool.pool_at(kernel.frames), guest.first_frame)


@native
def unmap_template(kernel: Any, guest: Any) -> bool:
    """Make a guest's run fit to be given back; whether it is."""
    birth = birth_at(guest.birth)
    if birth.stretch_pages == 0:
        return True
    frames = pool.pool_at(kernel.frames)
    return stretches.unmap_stretch(frames, guest.first_frame, guest.frames, birth.stretch, birth.stretch_pages)


@native
def give_run_back(kernel: Any, guest: Any) -> None:
    """Give a guest's run of frames back, emptied."""
    frames = pool.pool_at(kernel.frames)
    if guest.context == 0:
        pool.give_back(frames, guest.first_frame, guest.frames)
    elif unmap_template(kernel, guest):
        pool.release(frames, guest.first_frame, guest.frames)


@native
def lay_template(kernel: Any, guest: Any) -> None:
    """Write what differs from zero into a guest's new frames."""
    birth, address = birth_at(guest.birth), pool.pool_at(kernel.frames).base + guest.first_frame * pool.FRAME
    pieces = carray(_piece(birth.pieces), (birth.piece_count,))
    for which in range(birth.own_pieces if is_mapped(kernel, guest) else birth.piece_count):
        piece = pieces[which]
        copy(address + piece.offset, piece.source, piece.length)


@native
def settle_in(kernel: Any, number: int) -> None:
    """Note where a guest's memory is, and write whose it is into its context."""
    guest = guest_at(kernel, number)
    birth, address = birth_at(guest.birth), pool.pool_at(kernel.frames).base + guest.first_frame * pool.FRAME
    guest.context, guest.registers = address, registers_address(address, space_at(birth.space))
    context_at(address).space, context_at(address).guest = birth.space, number


@native
def identify(kernel: Any, number: int, seeds: int) -> None:
    """Tell a guest who it is; two words at `seeds` are its randomness."""
    guest, words = guest_at(kernel, number), numbers_at(seeds, 2)
    page = registers_at(guest.registers)
    page.number, page.address = guest.name, _NETWORK + guest.name
    page.random[0], page.random[1] = words[0], words[1]
    if guest.queue_length:
        page.pending |= FRAME


@native
def _fill_guest(kernel: Any, birth: Any, number: int, first: int) -> None:
    """The kernel's record of a new guest."""
    guest = guest_at(kernel, number)
    guest.first_frame, guest.frames = first, birth.frames
    guest.fuel, guest.turn, guest.watchdog = birth.fuel, birth.turn, birth.watchdog
    guest.gateway, guest.piped, guest.warming = birth.gateway, birth.piped, birth.warming
    guest.kept = 1
    if birth.bonus:
        holds.account_at(pool.pool_at(kernel.frames), number).bonus = birth.bonus
    guest.timer_slot = guest.queue_head = guest.queue_tail = NOBODY
    guest.console_head = guest.console_tail = guest.next_stopped = NOBODY


@native
def _shelve(kernel: Any, number: int) -> None:
    """Put the row of a guest that is over at the end of the line of those to be used again."""
    guest_at(kernel, number).next_stopped = NOBODY
    if kernel.over_count:
        guest_at(kernel, kernel.over_tail).next_stopped = number
    else:
        kernel.over_head = number
    kernel.over_tail = number
    kernel.over_count += 1


@native
def _renew(kernel: Any, number: int) -> bool:
    """Empty a row for its next guest, under a new name; False while something knows of the last one."""
    guest = guest_at(kernel, number)
    if guest.kept or guest.outstanding or guest.queued:
        return False
    if guest.paging or holds.account_at(pool.pool_at(kernel.frames), number).bonus:
        zero(pool.pool_at(kernel.frames).accounts + number * ACCOUNT, ACCOUNT)
    name = guest.name + kernel.mask + 1
    zero(kernel.guests + number * ROW, ROW)
    guest.name = name if name <= LAST_NAME else number
    return True


@native
def _rested(kernel: Any, tries: int) -> int:
    """A row that had other guests, of the first so many in line; NOBODY when all of these must rest longer."""
    for _ in range(tries):
        number = kernel.over_head
        kernel.over_head = guest_at(kernel, number).next_stopped
        kernel.over_count -= 1
        if _renew(kernel, number):
            return number
        _shelve(kernel, number)
    return NOBODY


@entry
def take_back(kernel_address: int, number: int) -> bool:
    """Make the row given out last fresh again, if it alone rests and nobody knows of its guest; whether it is."""
    kernel = kernel_at(kernel_address)
    guest = guest_at(kernel, number)
    if kernel.over_count != 1 or kernel.over_head != number or kernel.count != number + 1:
        return False
    if guest.kept or guest.outstanding or guest.queued or guest.paging:
        return False
    zero(kernel.guests + number * ROW, ROW)
    kernel.over_count = 0
    kernel.count -= 1
    return True


@native
def _row(kernel: Any) -> int:
    """A row for a new guest; NOBODY when there is none. Fresh ones come first until many rest."""
    if kernel.count < kernel.capacity:
        number = _rested(kernel, TRIES) if kernel.over_count > RESTING else NOBODY
        if number == NOBODY:
            number = kernel.count
            kernel.count += 1
            guest_at(kernel, number).name = number
        return number
    number = _rested(kernel, kernel.over_count)
    if number == NOBODY:
        purge(kernel)
        number = _rested(kernel, kernel.over_count)
    return number


@native
def _make(kernel: Any, birth_address: int, numbers: Any, count: int) -> int:
    """Take rows and frames for at most `count` guests, and write their records; how many there are."""
    birth, frames = birth_at(birth_address), pool.pool_at(kernel.frames)
    for which in range(count):
        number = _row(kernel)
        if number == NOBODY:
            return which
        if birth.dense:
            pool.populate(frames, birth.frames)
        first = pool.take(frames, birth.frames, number)
        if first < 0:
            guest_at(kernel, number).birth = birth_address
            _shelve(kernel, number)
            return which
        _fill_guest(kernel, birth, number, first)
        kernel.alive += 1
        kernel.owed += birth.own_count
        guest_at(kernel, number).birth = birth_address
        guest_at(kernel, number).state = State.HELD
        numbers[which] = number
    return count


@native
def _back(kernel: Any, numbers: Any, count: int) -> None:
    """Have the host back the pages that templates write, of many guests at once."""
    filled = 0
    for which in range(count):
        guest = guest_at(kernel, numbers[which])
        birth = birth_at(guest.birth)
        index, pages = numbers_at(birth.index, birth.page_count), birth.page_count
        if is_mapped(kernel, guest):
            index, pages = numbers_at(birth.own, birth.own_count), birth.own_count
        address = pool.pool_at(kernel.frames).base + guest.first_frame * pool.FRAME
        for row in range(0 if birth.dense else pages):
            if filled == STRETCHES:
                pool.back(kernel.scratch, filled)
                filled = 0
            stretch = numbers_at(kernel.scratch + 16 * filled, 2)
            stretch[0], stretch[1] = address + index[row] * pool.FRAME, pool.FRAME
            filled += 1
    pool.back(kernel.scratch, filled)


@native
def _begin_all(kernel: Any, numbers: Any, count: int) -> None:
    """Write the memory of at most `BATCH` guests that have frames and have had no turn."""
    for which in range(count):
        map_template(kernel, guest_at(kernel, numbers[which]))
    _back(kernel, numbers, count)
    host.draw(kernel.scratch, 16 * count)
    for which in range(count):
        lay_template(kernel, guest_at(kernel, numbers[which]))
        settle_in(kernel, numbers[which])
        identify(kernel, numbers[which], kernel.scratch + 16 * which)
        kernel.owed -= birth_at(guest_at(kernel, numbers[which]).birth).own_count


@native
def _is_unwritten(kernel: Any, number: int) -> bool:
    """Whether a living guest has frames and has had no turn."""
    return alive(kernel, number) and guest_at(kernel, number).registers == 0 and not is_parked(kernel, number)


@native
def begin_queued(kernel: Any, number: int) -> None:
    """Write the memory of a guest just off its queue, and of those like it that come soon: cheaper than one by one."""
    numbers, count, pages = numbers_at(kernel.scratch + 16 * STRETCHES, BATCH), 0, 0
    for _ in range(BATCH):
        if _is_unwritten(kernel, number):
            numbers[count] = number
            count += 1
            pages += birth_at(guest_at(kernel, number).birth).page_count
        number = guest_at(kernel, number).next
        if number == NOBODY or pages >= STRETCHES:
            break
    _begin_all(kernel, numbers, count)


@entry
def begin(kernel_address: int, rows: int, count: int) -> None:
    """Write the memory of at most `BATCH` guests that have frames and have had no turn; their rows are at `rows`."""
    _begin_all(kernel_at(kernel_address), numbers_at(rows, count), count)


@entry
def spawn(kernel_address: int, birth_address: int, names: int, count: int) -> int:
    """Make `count` guests; how many were made before something ran out. Their names are written to `names`.

    Their memory is written before their first turn; at once where that is cheaper, as most of their frames have it.
    """
    kernel, birth = kernel_at(kernel_address), birth_at(birth_address)
    done = 0
    while done < count:
        wanted, numbers = min(BATCH, count - done), numbers_at(names + 8 * done, BATCH)
        made = _make(kernel, birth_address, numbers, wanted)
        if birth.dense or birth.gateway:
            _begin_all(kernel, numbers, made)
        for which in range(made):
            number = numbers[which]
            numbers[which] = guest_at(kernel, number).name
            if not birth.held:
                ready(kernel, number)
        done += made
        if made < wanted:
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
def _forget(kernel: Any, number: int) -> None:
    """Leave nothing of a guest but how it ended."""
    guest = guest_at(kernel, number)
    if guest.registers == 0:
        kernel.owed -= birth_at(guest.birth).own_count
    guest.state, guest.context, guest.registers = State.GONE, 0, 0
    _shelve(kernel, number)


@native
def _bury_parked(kernel: Any, number: int) -> None:
    """Give back what is kept of a parked guest that is over."""
    drop_crumbs(kernel, number)
    count_parked(kernel, -1, 0)
    _forget(kernel, number)


@native
def _is_silent(guest: Any) -> bool:
    """Whether a guest that is over has left nothing to be told but its record."""
    plain = not (guest.console_chunks or guest.paging or guest.piped or guest.gateway)
    return plain and (guest.end == End.CLOSED or (guest.end == End.EXITED and guest.context != 0))


@entry
def bury_silent(kernel_address: int, names: int, room: int) -> int:
    """Bury at most `room` stopped guests that have left nothing to be told; their names. Neighbours' frames at once."""
    kernel = kernel_at(kernel_address)
    frames, buried = pool.pool_at(kernel.frames), numbers_at(names, room)
    number, kernel.stopped_head = kernel.stopped_head, NOBODY
    low = high = count = 0
    while number != NOBODY:
        guest = guest_at(kernel, number)
        following = guest.next_stopped
        if count == room or not _is_silent(guest):
            guest.next_stopped, kernel.stopped_head = kernel.stopped_head, number
            number = following
            continue
        buried[count], guest.plain = guest.name, 1
        count += 1
        if is_parked(kernel, number):
            _bury_parked(kernel, number)
        elif not unmap_template(kernel, guest):
            _forget(kernel, number)
        else:
            pool.give_back(frames, guest.first_frame, guest.frames)
            if guest.first_frame + guest.frames != low:
                pool.empty(frames, low, high - low)
                high = guest.first_frame + guest.frames
            low = guest.first_frame
            _forget(kernel, number)
        number = following
    pool.empty(frames, low, high - low)
    return count


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
    if is_parked(kernel, number):
        _bury_parked(kernel, number)
        return
    if guest.paging:
        revocation.forget(kernel, number)
        bindings.give_up_everything(pool.pool_at(kernel.frames), number)
    give_run_back(kernel, guest)
    _forget(kernel, number)
