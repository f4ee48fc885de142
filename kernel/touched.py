# pyright: basic
"""Which pages of a guest may differ from how they were mapped: asked of the host, which knows what was written to.

Linux answers for a whole run at once since 6.7 (PAGEMAP_SCAN), with the stretches that were touched, and passes over
what is not there. Before, it gives a word for each page. A host that answers neither has every page looked at.
"""

from __future__ import annotations

from typing import Any

from denali.tlb import frames as pool
from denali.tlb.native import External, native, numbers_at

from .records import SCRATCH

# In the kernel's scratch: what is known, the argument of the call, what it answers, and words of the older account.
_NEXT, _COUNT, _COVERED = 0, 1, 2
_ARGUMENT, _FOUND = 64, 192
REGIONS = 160  # stretches in one answer
_WORDS = _FOUND + 24 * REGIONS
PAGES = 320  # pages of which the older account is asked at once: no more than twice as many as there may be stretches
_SCAN = 0xC0606610  # PAGEMAP_SCAN
_FILE, _PRESENT, _SWAPPED, _ZERO_PAGE = 4, 8, 16, 32
_TOUCHED, _FROM_FILE = 62, 61  # bits of a word: from here on present or in the host's own swap; a page of a file

_ioctl = External("ioctl", "int32", "int32", "int64", "int64")
_pread = External("pread", "int64", "int32", "int64", "int64", "int64")
assert _WORDS + 8 * PAGES <= SCRATCH


@native
def _note(kernel: Any, start: int, stop: int) -> None:
    """Add a stretch of pages to the answer."""
    state = numbers_at(kernel.scratch, 3)
    region = numbers_at(kernel.scratch + _FOUND + 24 * state[_COUNT], 2)
    region[0], region[1] = start, stop
    state[_COUNT] += 1


@native
def _scan(kernel: Any, guest: Any, page: int) -> bool:
    """Have the host say which stretches of a run were touched, from a page on; whether it did."""
    argument = numbers_at(kernel.scratch + _ARGUMENT, 12)
    start, stop = guest.context + page * pool.FRAME, guest.context + guest.frames * pool.FRAME
    argument[0], argument[1], argument[2], argument[3], argument[4] = 96, 0, start, stop, 0
    argument[5], argument[6], argument[7] = kernel.scratch + _FOUND, REGIONS, 0
    argument[8], argument[9] = _FILE | _ZERO_PAGE, _FILE | _ZERO_PAGE  # neither of these
    argument[10], argument[11] = _PRESENT | _SWAPPED, _PRESENT  # any of these; stretches do not end between them
    count = _ioctl(kernel.pagemap, _SCAN, kernel.scratch + _ARGUMENT)
    if count < 0:
        return False
    state = numbers_at(kernel.scratch, 3)
    state[_COVERED] = (argument[4] - guest.context) // pool.FRAME
    for index in range(count):
        found = numbers_at(kernel.scratch + _FOUND + 24 * index, 2)
        _note(kernel, (found[0] - guest.context) // pool.FRAME, (found[1] - guest.context) // pool.FRAME)
    return True


@native
def _read(kernel: Any, guest: Any, page: int) -> bool:
    """The same from the host's words for each page, of the next `PAGES`."""
    pages, words = min(PAGES, guest.frames - page), numbers_at(kernel.scratch + _WORDS, PAGES)
    where = (guest.context // pool.FRAME + page) * 8
    if _pread(kernel.pagemap, kernel.scratch + _WORDS, 8 * pages, where) != 8 * pages:
        return False
    start = -1
    for index in range(pages + 1):
        touched = index < pages and words[index] >> _TOUCHED != 0 and (words[index] >> _FROM_FILE) & 1 == 0
        if touched and start < 0:
            start = index
        elif not touched and start >= 0:
            _note(kernel, page + start, page + index)
            start = -1
    numbers_at(kernel.scratch, 3)[_COVERED] = page + pages
    return True


@native
def _look(kernel: Any, guest: Any, page: int) -> None:
    """Learn which pages were touched, some or all from one page on."""
    state = numbers_at(kernel.scratch, 3)
    state[_NEXT] = state[_COUNT] = 0
    if kernel.scans and _scan(kernel, guest, page):
        return
    kernel.scans = 0
    if kernel.pagemap >= 0 and _read(kernel, guest, page):
        return
    state[_COUNT], state[_COVERED] = 0, guest.frames
    _note(kernel, page, guest.frames)


@native
def first_touched(kernel: Any, guest: Any) -> int:
    """The first page that a guest may have written to, its number of frames if none."""
    numbers_at(kernel.scratch, 3)[_COVERED] = 0
    return next_touched(kernel, guest, 0)


@native
def next_touched(kernel: Any, guest: Any, page: int) -> int:
    """The same from a page on; nothing else may use the kernel's scratch between."""
    state = numbers_at(kernel.scratch, 3)
    while page < guest.frames:
        if page >= state[_COVERED]:
            _look(kernel, guest, page)
        while state[_NEXT] < state[_COUNT]:
            region = numbers_at(kernel.scratch + _FOUND + 24 * state[_NEXT], 2)
            if page < region[1]:
                return max(page, region[0])
            state[_NEXT] += 1
        page = state[_COVERED]
    return guest.frames
