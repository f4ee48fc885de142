# pyright: basic
"""The console: bytes out, a bounded number a turn; the kernel keeps the last of them.

    write   takes what fits into this turn's room; the answer is how many

Text lies in chunks of a shared pool, so a silent guest costs nothing. A guest may hold `MOST` chunks, fewer when the
pool gets low; then its oldest text makes room. A console that somebody reads (piped) loses nothing: it takes no more
bytes until it has been read.

    law: a chunk is in exactly one guest's list, or free
"""

from __future__ import annotations

from typing import Any

from denali.tlb.native import copy, native, offset_of

from .pool import give, take
from .records import CHUNK, NOBODY, chunk_at, guest_at, pool_at

ROOM = 4096  # bytes a turn
MOST = 64  # chunks a guest
_DATA = offset_of(CHUNK, "data")
_WHOLE = CHUNK.itemsize
_SIZE = _WHOLE - _DATA
BYTES = MOST * _SIZE  # the most that is kept of one guest


@native
def _drop_first(kernel: Any, number: int) -> int:
    """Free a guest's oldest chunk; how many bytes it held."""
    guest = guest_at(kernel, number)
    index = guest.console_head
    chunk = chunk_at(kernel, index)
    held = chunk.end - chunk.start
    guest.console_head = chunk.next
    guest.console_chunks -= 1
    give(kernel.chunks, index)
    return held


@native
def _append(kernel: Any, number: int) -> bool:
    """Put an empty chunk at the end of a guest's list, at the cost of its oldest text when it must be."""
    guest = guest_at(kernel, number)
    if guest.console_chunks >= min(MOST, 1 + (pool_at(kernel.chunks).free >> 3)):
        if guest.piped or guest.console_head == NOBODY:
            return False
        guest.console_lost += _drop_first(kernel, number)
    index = take(kernel.chunks)
    if index < 0:
        return False
    chunk = chunk_at(kernel, index)
    chunk.next, chunk.start, chunk.end = NOBODY, 0, 0
    if guest.console_head == NOBODY:
        guest.console_head = index
    else:
        chunk_at(kernel, guest.console_tail).next = index
    guest.console_tail = index
    guest.console_chunks += 1
    return True


@native
def write(kernel: Any, number: int, address: int, count: int) -> int:
    """Take bytes that lie at a host address; how many were taken."""
    guest = guest_at(kernel, number)
    count = min(count, guest.console_room)
    taken = 0
    while taken < count:
        full = guest.console_head == NOBODY or chunk_at(kernel, guest.console_tail).end == _SIZE
        if full and not _append(kernel, number):
            break
        index = guest.console_tail
        chunk = chunk_at(kernel, index)
        some = min(count - taken, _SIZE - chunk.end)
        copy(pool_at(kernel.chunks).items + index * _WHOLE + _DATA + chunk.end, address + taken, some)
        chunk.end += some
        taken += some
    if guest.piped:
        kernel.attention = 1
    elif taken < count:
        guest.console_lost += count - taken
        taken = count
    guest.console_room -= taken
    guest.console_bytes += taken
    return taken


@native
def peek(kernel: Any, number: int, target: int, size: int) -> int:
    """Copy a guest's text to a host address, oldest first; how many bytes."""
    index, copied = guest_at(kernel, number).console_head, 0
    while index != NOBODY:
        chunk = chunk_at(kernel, index)
        some = min(chunk.end - chunk.start, size - copied)
        copy(target + copied, pool_at(kernel.chunks).items + index * _WHOLE + _DATA + chunk.start, some)
        copied += some
        index = chunk.next
    return copied


@native
def clear(kernel: Any, number: int) -> None:
    """Forget a guest's text."""
    while guest_at(kernel, number).console_head != NOBODY:
        _drop_first(kernel, number)
