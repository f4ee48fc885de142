"""More memory than there are frames: pages that are not in use lie compressed in the guest's own memory.

denali-py run examples/pager.py

The guest has a fixed number of frames. When a page is missed and all are taken, the page that came first goes: its
bindings are dropped, its words are squeezed into a store. When the kernel wants frames back, the same pages go.
"""

import numpy as np

from denali.isa.definitions.record import Cause
from denali.libos import machine
from denali.libos.paging import frames
from denali.libos.paging.squeeze import expand, squeeze

HEAP = 1 << 30
PAGES, MOST, ROOM = 64, 8, 64  # of the heap; frames to use; words a squeezed page may take
BOTH = int(machine.Right.READ | machine.Right.WRITE)

frame_of = np.zeros(PAGES, np.int64)  # where a page is; 0: in the store, or never written
queue = np.zeros(PAGES, np.int64)  # pages that have a frame, oldest first
store = np.zeros((PAGES, ROOM), np.int64)
sizes = np.zeros(PAGES, np.int64)  # words in the store
counts = np.zeros(3, np.int64)  # pages in the queue, pages squeezed, pages expanded


def address(number: int) -> int:
    """Where a page of the heap begins."""
    return HEAP + number * machine.PAGE


def view(number: int):
    """The words of a page that has a frame."""
    machine.bind(address(number), BOTH, frame_of[number])
    return machine.words(address(number), 512)


def evict() -> int:
    """Squeeze the oldest page that can be; its frame, or 0 when none can."""
    for at in range(counts[0]):
        victim = queue[at]
        sizes[victim] = squeeze(view(victim), store[victim])
        if sizes[victim] > 0:
            machine.drop(address(victim), 1)
            frame, frame_of[victim] = frame_of[victim], 0
            for i in range(at, counts[0] - 1):
                queue[i] = queue[i + 1]
            counts[0] -= 1
            counts[1] += 1
            return frame
    return 0


def frame_for(number: int) -> int:
    """A frame for a page, at another's cost when it must be; what is in it may be old."""
    if counts[0] < MOST:
        frame = frames.take()
        if frame > 0:
            return frame
    return evict()


def bring(number: int) -> None:
    """Give a page a frame, and its words."""
    frame = frame_for(number)
    if frame == 0:
        machine.fail(b"no page can be squeezed")
    frame_of[number] = frame
    queue[counts[0]] = number
    counts[0] += 1
    page = view(number)
    if sizes[number]:
        expand(store[number], sizes[number], page)
        counts[2] += 1
    else:
        page[:] = 0


def give_back() -> None:
    """Release as many frames as the kernel wants."""
    while machine.revoked() > 0:
        frame = evict()
        if frame == 0:
            break
        frames.give(frame)


def event(cause: int, value: int) -> None:
    """A miss, or the kernel's wish to have frames back."""
    if cause >= machine.EVENTS:
        if cause & machine.Event.REVOKE:
            give_back()
    elif cause in (Cause.MISS_READ, Cause.MISS_WRITE) and HEAP <= value < address(PAGES):
        number = (value - HEAP) >> 12
        if frame_of[number] == 0:
            bring(number)
        else:
            machine.bind(address(number), BOTH, frame_of[number])
    else:
        machine.fail(b"an access that nobody expected")


def main() -> int:
    """Fill the heap twice over, and add up what is in it: the exit status, of which a shell shows 8 bits."""
    machine.handle(event)
    if machine.mmu(16) < 0:
        return -1
    heap = machine.words(HEAP, PAGES * 512)
    for i in range(PAGES * 512):
        heap[i] += i // 100
    total = 0
    for i in range(PAGES * 512):
        total += heap[i]
    print(counts[0], "pages have frames;", counts[1], "were squeezed and", counts[2], "expanded; the sum is", total)
    return total
