"""The reaper: looks at guests that have stopped, writes down how they ended, gives their frames back."""

from __future__ import annotations

from typing import Any

import numpy as np

from denali.isa.image import Image
from denali.isa.record import Cause
from denali.tlb.flat import CONTEXT_SIZE, context_record, registers_record
from denali.tlb.frames import FRAME

from . import faults, life, verbs
from .births import Batches
from .console import BYTES as _BYTES
from .guest import Birth, Ending
from .records import NOBODY, End
from .tables import Tables

BYTES = int(_BYTES)


def text_of(tables: Tables, number: int, *, clear: bool) -> bytes:
    """What the kernel keeps of a guest's console; between turns only."""
    if tables.guests["console_chunks"][number] == 0:
        return b""
    text = np.empty(BYTES, np.uint8)
    return text[: verbs.console_text(tables.address, number, text.ctypes.data, BYTES, clear)].tobytes()


def reap(tables: Tables, batches: Batches) -> list[tuple[int, Ending]]:
    """Bury every guest that has stopped; between turns only."""
    over: list[tuple[int, Ending]] = []
    while (number := int(life.next_stopped(tables.address))) != NOBODY:
        over.append((number, _ending(tables, batches, number)))
        life.bury(tables.address, number)
    return over


def _ending(tables: Tables, batches: Batches, number: int) -> Ending:
    record = tables.guests[number]
    end = End(int(record["end"]))
    status = int(record["exit_status"]) if end is End.EXITED else None
    return Ending(end, status, _message(tables, batches, number, end), text_of(tables, number, clear=True))


def _message(tables: Tables, batches: Batches, number: int, end: End) -> str | None:
    birth, record = batches.birth(number), tables.guests[number]
    context = context_record(tables.frames.memory, int(record["first_frame"]) * FRAME)
    pc, name = int(context["pc"]), f"guest {number} ({birth.image.name})"
    if end is End.KILLED:
        return f"{name}: killed: {faults.place(birth.image, pc)}"
    if end is End.EXHAUSTED:
        return f"{name}: used up its {birth.fuel:,} instructions: {faults.place(birth.image, pc)}"
    if end is End.HUNG:
        silent = int(record["silent"])
        return f"{name}: hung: {silent:,} instructions without asking for anything: {faults.place(birth.image, pc)}"
    if end is not End.TRAPPED:
        return None
    cause, value = int(context["cause"]), int(context["value"])
    said = ""
    if cause == Cause.FAILED:
        said = _said(tables, birth.image, int(record["first_frame"]), value, int(record["exit_status"]))
    return faults.describe(
        number,
        birth.image,
        cause,
        value,
        pc,
        said,
        interrupted=_interrupted(tables, birth, record),
        caller=int(context["x"][1]),
    )


def _interrupted(tables: Tables, birth: Birth, record: Any) -> int | None:
    """Where a guest that is inside its event handler came from."""
    if not record["handling"]:
        return None
    page = registers_record(tables.frames.memory, int(record["first_frame"]) * FRAME, birth.private_size)
    return int(page["saved_pc"])


def _said(tables: Tables, image: Image, first_frame: int, address: int, count: int) -> str:
    """The message of a guest that failed; the service has checked where it lies."""
    if image.ro_start <= address <= image.ro_end - count:
        raw = image.read_only[address - image.ro_start :][:count]
    else:
        start = first_frame * FRAME + CONTEXT_SIZE + address - image.private_start
        raw = tables.frames.memory[start : start + count].tobytes()
    text = raw.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)
