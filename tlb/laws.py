# pyright: basic
"""The laws of holds and bindings, asserted after tests by looking at everything; nothing else uses this file."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from denali.isa.context import CONTEXT, ENTRY, HOME_SLACK, SPACE, TLB
from denali.isa.virtual import REGISTERS

from .frames import FRAME

if TYPE_CHECKING:
    from .frames import Frames

_NONE = np.uint64((1 << 64) - 1)


def _records(frames: Frames, frame: int) -> list[Any]:
    """The holds and offers of a frame."""
    found, index = [], int(frames.holds[frame])
    while index:
        found.append(frames.hold_items[index - 1])
        assert found[-1]["frame"] == frame, f"frame {frame} has a record of frame {found[-1]['frame']}"
        index = int(found[-1]["next"])
    return found


def _listed(frames: Frames, guest: int) -> list[int]:
    """The frames in a guest's list."""
    found, index = [], int(frames.accounts["newest"][guest])
    while index:
        hold = frames.hold_items[index - 1]
        assert hold["guest"] == guest
        assert hold["by"] == 0
        found.append(int(hold["frame"]))
        index = int(hold["older"])
    return found


def check_stretches(frames: Frames) -> None:
    """Runs that are marked as mapped from a file have a holder, and are as many as are counted."""
    marked = np.flatnonzero(frames.mapped)
    assert len(marked) == frames.record["mapped_count"][0], "the count of runs with a mapped stretch is wrong"
    assert (frames.holder[marked] > 0).all(), "a free run is mapped from a file"


def check_holds(frames: Frames) -> None:
    """A frame with a name has one holder or a counted share; lists, counts and columns agree."""
    holders: dict[int, list[int]] = {}
    records = 0
    offers = np.zeros(len(frames.accounts), np.int64)
    for frame in np.flatnonzero(frames.holds).tolist():
        found = _records(frames, frame)
        records += len(found)
        held = [int(record["guest"]) for record in found if not record["by"]]
        for record in found:
            if record["by"]:
                offers[record["by"] - 1] += 1
                assert record["by"] - 1 in held, f"frame {frame} is offered by one who does not hold it"
        assert held, f"frame {frame} has offers and no holder"
        expected = held[0] + 1 if len(held) == 1 else -len(held)
        assert frames.holder[frame] == expected, f"frame {frame} is held by {held}, its column says otherwise"
        assert len(set(held)) == len(held), f"frame {frame} is held twice by one guest"
        for guest in held:
            holders.setdefault(guest, []).append(frame)
    assert records == int(frames.record["hold_used"][0]), "records of holds are lost"
    assert (offers == frames.accounts["offers"]).all(), "a guest's count of offers is wrong"
    assert (frames.holder[frames.holds == 0] >= 0).all(), "a frame without a name is shared"
    for guest in set(holders) | set(np.flatnonzero(frames.accounts["held"]).tolist()):
        listed = _listed(frames, guest)
        assert sorted(listed) == holders.get(guest, []), f"guest {guest} has a list of other frames than it holds"
        assert len(listed) == frames.accounts["held"][guest], f"the count of frames of guest {guest} is wrong"


def _rights(frames: Frames, frame: int, guest: int) -> int:
    """What a guest's hold of a frame allows; 0 when it has none."""
    return sum(int(r["rights"]) for r in _records(frames, frame) if r["guest"] == guest and not r["by"])


def check_bindings(frames: Frames) -> None:
    """No entry leads where its guest may not go; each frame's count of entries is right; windows are covered."""
    bound = np.zeros(frames.count, np.int64)
    base = int(frames.record["base"][0])
    for guest in np.flatnonzero(frames.accounts["tlb"]).tolist():
        at = int(frames.accounts["tlb"][guest]) - base
        header = frames.memory[at : at + TLB.itemsize].view(TLB)[0]
        count = int(header["mask"]) + 1
        entries = frames.memory[at + TLB.itemsize :][: count * ENTRY.itemsize].view(ENTRY)
        for index, entry in enumerate(entries):
            _check_entry(frames, guest, index, entry, bound)
        _check_shortcuts(frames, guest, header, entries)
    assert (bound == frames.bound).all(), "a frame's count of TLB entries is wrong"


def _check_entry(frames: Frames, guest: int, index: int, entry: Any, bound: Any) -> None:
    """One entry."""
    tags = [int(entry[name]) for name in ("read", "write", "execute")]
    pages = {tag for tag in tags if tag != int(_NONE)}
    if not pages:
        return
    (page,) = pages
    assert tags[1] in (int(_NONE), tags[0]), "an entry lets a guest write what it cannot read"
    host = (page + int(entry["addend"])) & int(_NONE)
    frame, inside = divmod(host - int(frames.record["base"][0]), FRAME)
    rights = sum(1 << n for n, tag in enumerate(tags) if tag == page)
    if inside == 0 and frames.holds[frame]:
        bound[frame] += 1
        assert rights & ~_rights(frames, frame, guest) == 0, f"guest {guest} has bound frame {frame} without the right"
    else:
        last = (host + FRAME - 1 - int(frames.record["base"][0])) // FRAME
        ends = {int(frames.holder[frame]), int(frames.holder[last])}
        assert ends == {guest + 1}, f"guest {guest} has bound memory that is not its own"
        assert not frames.holds[last], f"guest {guest} has bound a frame askew"


def _check_shortcuts(frames: Frames, guest: int, header: Any, entries: Any) -> None:
    """Home is private memory at its own place, wired or bound so for writing; so is the window, at its addend."""
    at = int(header["context"]) - int(frames.record["base"][0])
    context, flat = frames.memory[at : at + CONTEXT.itemsize].view(CONTEXT)[0], int(frames.accounts["flat"][guest])
    assert int(frames.holder[at // FRAME]) == guest + 1, f"guest {guest} has the home of another"
    wired = (int(header["wired_start"]), int(header["wired_size"]))
    space = (ctypes.c_uint8 * SPACE.itemsize).from_address(int(context["space"]))
    registers = (int(np.frombuffer(space, SPACE)[0]["registers"]), REGISTERS.itemsize)
    home, size = int(context["home_start"]), int(context["home_room"]) + HOME_SLACK
    _check_run(entries, home, size, flat, [wired, registers])
    _check_run(entries, int(header["window_start"]), int(header["window_size"]), int(header["window_addend"]), [])


def _check_run(entries: Any, start: int, size: int, addend: int, always: list[tuple[int, int]]) -> None:
    """Every page of a shortcut is bound for writing at its addend, or is in memory that needs no entry."""
    written = {int(e["write"]): int(e["addend"]) for e in entries}
    for page in range(start & ~(FRAME - 1), start + size, FRAME):
        low, high = max(page, start), min(page + FRAME, start + size)
        if not any(first <= low and high <= first + length for first, length in always):
            assert written.get(page) == addend & int(_NONE), f"a shortcut covers the unbound page {page:#x}"
