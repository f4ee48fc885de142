"""What a guest's run of frames holds when the guest begins: the image's start, or the state in which it was frozen.

A template keeps only the pages that differ from zero, and of those the pieces that do: a spawn copies the pieces, so
that frames which a guest does not need stay untouched and cost the host nothing. A reset copies whole pages back.

Where many of its pages lie together, its longest stretch is in a file too, which runs map instead of having copies.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from denali.isa.context import CONTEXT
from denali.isa.image import Image
from denali.isa.virtual import CUSTOM_0, REGISTERS, Service
from denali.tlb.frames import FRAME

LINE = 64  # bytes looked at together: zero lines are not copied
SHORTEST, GAP = 32, 16  # pages of a stretch that are worth a mapping; zero pages that may be in a row in it
PIECE = np.dtype([("offset", "<i8"), ("source", "<i8"), ("length", "<i8")])
_EVERYTHING = 0xFFFFFFFF
_FIXED = 0xFE00707F  # the bits of a virtual instruction that are not register numbers
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_C, _R = CONTEXT.itemsize, REGISTERS.itemsize


@dataclass(slots=True, weakref_slot=True, eq=False)
class Template:
    """The pages of a run that are not zero: `pages[i]` is the run's page `index[i]`; `pieces` lie in them.

    `stretch` is where the run may be mapped from the file: page, and how many; the pieces in it come last.
    """

    frames: int
    index: np.ndarray[Any, Any]
    pages: np.ndarray[Any, Any]
    pieces: np.ndarray[Any, Any]
    stretch: tuple[int, int] = (0, 0)
    _file: int | None = None
    own: np.ndarray[Any, Any] = field(init=False)  # pages outside the stretch that are not zero

    def __post_init__(self) -> None:
        page, pages = self.stretch
        self.own = np.ascontiguousarray(self.index[(self.index < page) | (self.index >= page + pages)])

    @property
    def own_pieces(self) -> int:
        """How many pieces lie outside the stretch; they come first."""
        page, pages = self.stretch
        inside = (self.pieces["offset"] >= page * FRAME) & (self.pieces["offset"] < (page + pages) * FRAME)
        return int((~inside).sum())

    @property
    def size(self) -> int:
        """Bytes that differ from zero, in whole lines."""
        return int(self.pieces["length"].sum())

    @property
    def dense(self) -> bool:
        """Whether guests touch most of their frames as they begin."""
        return 2 * len(self.own) >= self.frames

    def file(self) -> int:
        """The descriptor of a file in memory that holds the stretch and never changes; -1 where there is none."""
        if self._file is None:
            self._file = _written(self) if self.stretch[1] else -1
            if self._file >= 0:
                weakref.finalize(self, os.close, self._file)
        return self._file

    def context(self) -> Any:
        """The context that guests begin with; the kernel fills in number and space."""
        return self.pages[0][:_C].view(CONTEXT)[0]


def taken(run: np.ndarray[Any, Any]) -> Template:
    """The template that a run of frames is an example of; the run is only read."""
    pages = run.reshape(-1, FRAME)
    index = np.flatnonzero(pages.any(axis=1))
    return _made(len(pages), index, pages[index])


def _written(made: Template) -> int:
    """A sealed file with a template's stretch; -1 when the host gives none."""
    page, pages = made.stretch
    try:
        file = os.memfd_create("denali template", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError:
        return -1
    try:
        os.ftruncate(file, pages * FRAME)
        for number, content in zip(made.index.tolist(), made.pages, strict=True):
            if page <= number < page + pages and os.pwrite(file, content, (number - page) * FRAME) != FRAME:
                raise OSError("no room")
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(file)
        return -1
    return file


def _stretch(index: np.ndarray[Any, Any]) -> tuple[int, int]:
    """The longest stretch of these pages, as page and length, with no long gaps; the context's page is in none."""
    numbers = index[index > 0]
    groups = np.split(numbers, np.flatnonzero(np.diff(numbers) > GAP) + 1)
    longest = max(groups, key=len)
    return (int(longest[0]), int(longest[-1] - longest[0]) + 1) if len(longest) >= SHORTEST else (0, 0)


def _made(frames: int, index: np.ndarray[Any, Any], pages: np.ndarray[Any, Any]) -> Template:
    """A template of these pages, which are copied."""
    pages = np.ascontiguousarray(pages).copy()
    full = np.concatenate(([False], pages.reshape(-1, LINE).any(axis=1), [False]))
    edges = np.flatnonzero(full[1:] != full[:-1]) * LINE
    pieces = np.zeros(0, PIECE)
    if len(edges):
        pieces = np.array(_cut(edges[0::2].tolist(), edges[1::2].tolist(), index), PIECE)
        pieces["source"] += pages.ctypes.data
    page, count = stretch = _stretch(index)
    inside = (pieces["offset"] >= page * FRAME) & (pieces["offset"] < (page + count) * FRAME)
    pieces = np.concatenate((pieces[~inside], pieces[inside]))
    return Template(frames, index.astype(np.int64), pages, pieces, stretch)


def _cut(starts: list[int], ends: list[int], index: np.ndarray[Any, Any]) -> list[tuple[int, int, int]]:
    """Stretches of the kept pages as (offset in the run, offset in the pages, length), none across two pages."""
    pieces: list[tuple[int, int, int]] = []
    for start, end in zip(starts, ends, strict=True):
        while start < end:
            stop = min(end, (start // FRAME + 1) * FRAME)
            pieces.append((int(index[start // FRAME]) * FRAME + start % FRAME, start, stop - start))
            start = stop
    return pieces


def _put(made: Template, offset: int, data: bytes) -> None:
    """Write bytes into the kept pages; those of them that lie on pages which are not kept must be zero."""
    run = np.frombuffer(data, np.uint8)
    for at in range(offset // FRAME * FRAME, offset + len(run), FRAME):
        low, high = max(at, offset), min(at + FRAME, offset + len(run))
        row = np.flatnonzero(made.index == at // FRAME)
        if len(row):
            made.pages[row[0], low - at : high - at] = run[low - offset : high - offset]


def _kept(made: Template) -> Template:
    """The template again, its pieces found anew."""
    kept = made.pages.any(axis=1)
    return _made(made.frames, made.index[kept], made.pages[kept])


def booted(image: Image, frames: int) -> Template:
    """The template of guests that begin at the image's entry, in a run of so many frames."""
    size = frames * FRAME - _C
    start = image.registers_in(size)
    place = _C + start - image.private_start
    low = -(-(_C + len(image.data)) // FRAME)
    index = np.array(sorted({*range(low), place // FRAME, (place + _R - 1) // FRAME}))
    made = Template(frames, index, np.zeros((len(index), FRAME), np.uint8), np.zeros(0, PIECE))
    registers: Any = np.zeros(1, REGISTERS)
    registers["memory"], registers["start"], registers["mask"] = size, image.private_start, _EVERYTHING
    _put(made, 0, _first_context(image, start).tobytes())
    _put(made, _C, image.data)
    _put(made, place, registers.tobytes())
    return _kept(made)


def _first_context(image: Image, registers: int) -> Any:
    """The registers a guest begins with: see `CONTEXT`; all others are zero."""
    context: Any = np.zeros(1, CONTEXT)
    context["pc"], context["reservation"] = image.entry, _EVERYTHING << 32 | _EVERYTHING
    context["x"][0, 2], context["x"][0, 4] = registers & ~15, registers
    return context


def has_mark(image: Image) -> bool:
    """Whether there is a mark among the words of an image; whether a guest comes to it shows when it is warmed."""
    text = np.frombuffer(image.read_only[: len(image.read_only) & ~1], "<u2").astype(np.uint32)
    words = text[:-1] | text[1:] << 16
    return bool((words & _FIXED == Service.MARK << 25 | CUSTOM_0).any())


class NotFrozen(Exception):
    """A guest could not be frozen; the message says why."""


@dataclass(slots=True, eq=False)
class Frozen:
    """A warmed image: a guest of it was booted to its mark, and others begin there. `Kernel.warm` makes it."""

    image: Image
    memory: int  # bytes of private memory
    template: Template


def freeze(image: Image, memory: int, run: np.ndarray[Any, Any], text: bytes) -> Frozen:
    """What guests that begin where the guest of this run was marked start from.

    Identity, events and randomness are left out. `text` is the instruction at which it stands: the mark; in the
    guests that begin there it answers 1.
    """
    made = taken(run)
    context = made.context()
    context["guest"] = context["space"] = context["limit"] = context["fuel"] = context["tlb"] = 0
    context["reservation"] = _EVERYTHING << 32 | _EVERYTHING
    answer = int.from_bytes(text, "little") >> 7 & 31
    if answer:
        context["x"][answer] = 1
    place = _C + image.registers_in(memory) - image.private_start
    registers: Any = run[place : place + _R].copy().view(REGISTERS)
    for name in ("clock", "number", "address", "random", "pending", "saved_pc", "cause", "value"):
        registers[name] = 0
    _put(made, place, registers.tobytes())
    return Frozen(image, memory, _kept(made))
