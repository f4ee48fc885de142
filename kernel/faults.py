"""What follows a trap: a handler for every cause, and the message that says what happened.

The handler is chosen by table; the table is total, and so is the message: it names the guest, the cause and the place.
"""

from __future__ import annotations

import enum

import numpy as np

from denali.isa.definitions.record import Cause
from denali.isa.image import Image
from denali.isa.virtual import Service
from denali.tlb.frames import FRAME


class Verdict(enum.IntEnum):
    """What a handler decides."""

    STOP = 0
    UPCALL = 1  # the guest's own handler is entered; without one, or inside it, the guest is stopped


HANDLERS: dict[Cause, Verdict] = {
    Cause.MISALIGNED_FETCH: Verdict.UPCALL,
    Cause.FETCH: Verdict.UPCALL,
    Cause.ILLEGAL: Verdict.UPCALL,
    Cause.BREAKPOINT: Verdict.UPCALL,
    Cause.MISALIGNED_LOAD: Verdict.UPCALL,
    Cause.LOAD: Verdict.UPCALL,
    Cause.MISALIGNED_STORE: Verdict.UPCALL,
    Cause.STORE: Verdict.UPCALL,
    Cause.ENVIRONMENT_CALL: Verdict.UPCALL,
    Cause.MISS_READ: Verdict.UPCALL,
    Cause.MISS_WRITE: Verdict.UPCALL,
    Cause.MISS_EXECUTE: Verdict.UPCALL,
    Cause.DEVICE: Verdict.UPCALL,
    Cause.FAILED: Verdict.STOP,  # the guest itself said that it is over
}

# The table as native code reads it.
UPCALLS = np.array([HANDLERS.get(Cause(n), 0) if n in set(Cause) else 0 for n in range(32)], np.uint8)

_WORDS = {
    Cause.MISALIGNED_FETCH: "misaligned jump to {value:#x}",
    Cause.FETCH: "jump to {value:#x}, which is not executable",
    Cause.ILLEGAL: "illegal instruction {value:#010x}",
    Cause.BREAKPOINT: "breakpoint",
    Cause.MISALIGNED_LOAD: "misaligned atomic load at {value:#x}",
    Cause.LOAD: "load access fault at {value:#x}",
    Cause.MISALIGNED_STORE: "misaligned atomic store at {value:#x}",
    Cause.STORE: "store access fault at {value:#x}",
    Cause.ENVIRONMENT_CALL: "ecall without a handler",
    Cause.MISS_READ: "no TLB entry to read {value:#x}",
    Cause.MISS_WRITE: "no TLB entry to write {value:#x}",
    Cause.MISS_EXECUTE: "no TLB entry to execute {value:#x}",
    Cause.DEVICE: "a device refused the argument {value:#x}",
    Cause.FAILED: "failed",
}


# What would have been right, by service.
_RIGHT = {
    Service.SEND: "a frame is 14 to 1514 bytes of its memory, from its own address, an IPv4 packet whole inside",
    Service.GATHER: "as for send, and the first of the two parts holds all headers",
    Service.PEEK: "the buffer has to lie in its private memory",
    Service.RECEIVE: "the buffer has to lie in its private memory",
    Service.CONSOLE: "the text has to lie in its memory",
    Service.FAIL: "the message has to lie in its memory",
    Service.RETURN: "there is no event to return from",
}


def place(image: Image, pc: int, caller: int = 0) -> str:
    """`pc 0x10234 in hello.handler (hello.py:12)`, as far as known; `caller` (x1) helps where pc has no line."""
    line = image.line_at(pc)
    if line is None and caller and image.line_at(caller - 1) is not None:
        return f"{place(image, pc)}, called at {place(image, caller - 1)}"
    where = f" ({line[0].rsplit('/', 1)[-1]}:{line[1]})" if line else ""
    known = image.text_start <= pc < image.text_end and image.functions
    return f"pc {pc:#x}" + (f" in {image.function_at(pc)}" if known else "") + where


def _refused(word: int | None) -> str:
    """` (send: what a frame is)` when the instruction word asks for a service."""
    number = (word or 0) >> 25
    if not word or number not in set(Service):
        return ""
    service = Service(number)
    rule = f": {_RIGHT[service]}" if service in _RIGHT else ""
    return f" ({service.name.lower()}{rule})"


def describe(
    number: int,
    image: Image,
    cause: int,
    value: int,
    pc: int,
    text: str = "",
    *,
    interrupted: int | None = None,
    caller: int = 0,
    stack: int = 0,
) -> str:
    """One line for a guest that was stopped by a trap.

    Args:
        number: of the guest.
        image: its program.
        cause: a `Cause`; the guest can make this any number.
        value: the cause's value.
        pc: the instruction that trapped.
        text: what a failed guest said.
        interrupted: where it was when its event handler was entered; None when it is not inside.
        caller: its x1.
        stack: its x2.
    """
    if cause not in set(Cause):
        what = f"unknown trap {cause}, value {value:#x}"
    elif cause == Cause.FAILED and text:
        what = text
    else:
        what = _WORDS[Cause(cause)].format(value=value)
    if cause in (Cause.LOAD, Cause.STORE) and 0 <= value - stack < FRAME and stack < image.private_start:
        what += " (its stack is used up)"
    if cause == Cause.DEVICE:
        what += _refused(_word_at(image, pc))
    where = place(image, pc, caller)
    if interrupted is not None:
        where += f", inside its event handler, entered from {place(image, interrupted)}"
    return f"guest {number} ({image.name}): {what}: {where}"


def _word_at(image: Image, pc: int) -> int | None:
    """The instruction word at an address of text."""
    if not image.text_start <= pc <= image.text_end - 4:
        return None
    start = pc - image.ro_start
    return int.from_bytes(image.read_only[start : start + 4], "little")
