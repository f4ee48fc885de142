"""The reaper: looks at guests that have stopped, writes down how they ended, gives their frames back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from denali.isa.definitions.record import Cause
from denali.isa.image import Image
from denali.tlb.flat import CONTEXT_SIZE, context_record, locate, registers_record
from denali.tlb.frames import FRAME

from . import faults, life, verbs
from .births import Births
from .console import BYTES as _BYTES
from .guest import Birth, Ending
from .records import NOBODY, End
from .tables import Tables
from .template import Frozen, freeze

BYTES = int(_BYTES)


def text_of(tables: Tables, number: int, *, clear: bool) -> bytes:
    """What the kernel keeps of a guest's console; between turns only."""
    if tables.guests["console_chunks"][number] == 0:
        return b""
    text = np.empty(BYTES, np.uint8)
    return text[: verbs.console_text(tables.address, number, text.ctypes.data, BYTES, clear)].tobytes()


def bury_silent(tables: Tables) -> list[int]:
    """Bury the stopped guests that have left no more than their records; their numbers."""
    if int(tables.record["stopped_head"][0]) == NOBODY:
        return []
    names = np.empty(int(tables.record["count"][0]), np.int64)
    return names[: life.bury_silent(tables.address, names.ctypes.data, len(names))].tolist()


def reap(tables: Tables, births: Births, leave: Callable[[int], str | None]) -> list[tuple[int, Ending]]:
    """Bury every guest that has stopped; between turns only. `leave` is told of its row, and says why one was lost."""
    over: list[tuple[int, Ending]] = []
    while (number := int(life.next_stopped(tables.address))) != NOBODY:
        ending = _ending(tables, births, number)
        name = tables.name(number)
        ending.message = _lost(ending, births.of(number), name, leave(number))
        over.append((name, ending))
        life.bury(tables.address, number)
    return over


def _lost(ending: Ending, birth: Birth, number: int, reason: str | None) -> str | None:
    return f"guest {number} ({birth.image.name}): lost: {reason}" if ending.end is End.LOST else ending.message


def _ending(tables: Tables, births: Births, number: int) -> Ending:
    record = tables.guests[number]
    end = End(int(record["end"]))
    status = int(record["exit_status"]) if end is End.EXITED else None
    message, frozen = _message(tables, births, number, end), None
    if end is End.MARKED and message is None:
        frozen = _frozen(tables, births.of(number), number)
    return Ending(end, status, message, text_of(tables, number, clear=True), frozen)


def _frozen(tables: Tables, birth: Birth, number: int) -> Frozen:
    """The memory of a guest that stands at its mark, for others to start from."""
    first = int(tables.guests["first_frame"][number]) * FRAME
    run = tables.frames.memory[first : first + birth.frames * FRAME]
    pc = int(context_record(tables.frames.memory, first)["pc"]) - 4
    image = birth.image
    if image.ro_start <= pc < image.ro_end:
        text = image.read_only[pc - image.ro_start :][:4]
    else:
        text = locate(tables.frames.memory, first, image.private_start, pc, 4, birth.private_size).tobytes()
    return freeze(image, birth.private_size, run, text)


def _unfit(record: Any) -> str | None:
    """Why a guest that came to its mark cannot be an image for others; None: it can."""
    if record["frames_sent"] or record["frames_received"] or record["queue_length"] or record["streams"]:
        return "it has used the network before its mark, so that others would share its connections"
    if record["handling"]:
        return "its mark is inside its event handler"
    return None


def _message(tables: Tables, births: Births, number: int, end: End) -> str | None:
    birth, record = births.of(number), tables.guests[number]
    if int(record["first_frame"]) == NOBODY and record["registers"]:
        return f"guest {tables.name(number)} ({birth.image.name}): {end.name.lower()} while it was parked"
    if record["context"]:
        context = context_record(tables.frames.memory, int(record["first_frame"]) * FRAME)
    else:
        context = birth.template.context()
    name = f"guest {tables.name(number)} ({birth.image.name})"
    pc, caller = int(context["pc"]), int(context["x"][1])
    if end is not End.TRAPPED:
        reason = _reason(birth, record, end)
        return f"{name}{reason}: {faults.place(birth.image, pc, caller)}" if reason else None
    cause, value = int(context["cause"]), int(context["value"])
    said = ""
    if cause == Cause.FAILED:
        said = _said(tables, birth.image, int(record["first_frame"]), value, int(record["exit_status"]))
    return faults.describe(
        tables.name(number),
        birth.image,
        cause,
        value,
        pc,
        said,
        interrupted=_interrupted(tables, record),
        caller=caller,
        stack=int(context["x"][2]),
    )


def _reason(birth: Birth, record: Any, end: End) -> str | None:
    """Why a guest is over that did not trap; None where there is nothing to say, and its place need not be known."""
    if end is End.KILLED:
        return ": killed"
    if end is End.EXHAUSTED:
        return f": used up its {birth.fuel:,} instructions"
    if end is End.HUNG:
        return f": hung: {int(record['silent']):,} instructions without asking for anything"
    if end is End.MARKED and (reason := _unfit(record)):
        return f" cannot be frozen: {reason}"
    return None


def _interrupted(tables: Tables, record: Any) -> int | None:
    """Where a guest that is inside its event handler came from."""
    if not record["handling"]:
        return None
    offset = int(record["registers"]) - int(tables.frames.record["base"][0])
    page = registers_record(tables.frames.memory, offset)
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
