# pyright: basic
"""Events: bits that the kernel raises in a guest's registers page, and their delivery to its handler.

A raised bit stays until the guest clears it or it is delivered. Delivery is a jump: the old pc is saved in the page,
`cause` and `value` say why, and until RETURN no other delivery is made; a guest that traps meanwhile is stopped.
"""

from __future__ import annotations

from typing import Any

from denali.isa.virtual import Event
from denali.tlb.flat import registers_at
from denali.tlb.native import native

from .records import State, guest_at
from .scheduler import ready_ahead
from .timers import cancel_timer

FRAME, TIMER, STREAM = int(Event.FRAME), int(Event.TIMER), int(Event.STREAM)  # numba knows no flag enums
EVENTS = 64  # a cause above the traps': the rest are the event bits


@native
def wake(kernel: Any, number: int) -> None:
    """Let an idle guest go next."""
    if guest_at(kernel, number).state == State.IDLE:
        cancel_timer(kernel, number)
        ready_ahead(kernel, number)


@native
def raise_event(kernel: Any, number: int, bits: int) -> None:
    """Raise bits for a living guest; wake it when one of them is enabled."""
    if guest_at(kernel, number).registers == 0:
        return  # it has had no turn: a frame that waits is found when its memory is written, and nothing else can
    registers = registers_at(guest_at(kernel, number).registers)
    registers.pending |= bits
    if registers.pending & registers.mask:
        wake(kernel, number)


@native
def enabled(kernel: Any, number: int) -> int:
    """The pending bits that end an idle; a frame that waits is always pending."""
    guest = guest_at(kernel, number)
    registers = registers_at(guest.registers)
    if guest.queue_length:
        registers.pending |= FRAME
    return registers.pending & registers.mask


@native
def upcall(kernel: Any, number: int, context: Any, cause: int, value: int) -> bool:
    """Enter a guest's handler, if it has one and is not in it."""
    guest = guest_at(kernel, number)
    registers = registers_at(guest.registers)
    if registers.handler == 0 or guest.handling:
        return False
    registers.saved_pc, registers.cause, registers.value = context.pc, cause, value
    context.pc, context.reservation = registers.handler, -1
    guest.handling = 1
    guest.events += 1
    return True


@native
def deliver(kernel: Any, number: int, context: Any) -> None:
    """Before a turn: hand the enabled events to the guest's handler, all at once."""
    registers = registers_at(guest_at(kernel, number).registers)
    bits = registers.pending & registers.mask
    if registers.handler != 0 and bits and upcall(kernel, number, context, EVENTS + bits, 0):
        registers.pending &= ~bits


@native
def return_from_handler(kernel: Any, number: int, context: Any) -> None:
    """Go on at the saved pc."""
    context.pc = registers_at(guest_at(kernel, number).registers).saved_pc
    context.reservation = -1
    guest_at(kernel, number).handling = 0
