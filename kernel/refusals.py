# pyright: basic
"""How a service says no: a trap, before anything has happened."""

from __future__ import annotations

from typing import Any

from denali.isa.context import Status
from denali.isa.definitions.record import Cause
from denali.tlb.access import missed
from denali.tlb.native import native


@native
def trap(context: Any, cause: int, value: int) -> int:
    """Stop the guest at the virtual instruction."""
    context.status, context.cause, context.value = Status.TRAP, cause, value
    return 0


@native
def refuse(context: Any, value: int) -> int:
    """The device refuses this argument."""
    return trap(context, Cause.DEVICE, value)


@native
def unreadable(address: int, context: Any, space: Any, buffer: int, count: int) -> int:
    """The guest may not read this buffer: a miss where its handler could help, else a refusal."""
    return trap(context, Cause.MISS_READ if missed(address, space, buffer, count) else Cause.DEVICE, buffer)


@native
def unwritable(address: int, context: Any, space: Any, buffer: int, count: int) -> int:
    """The guest may not write this buffer."""
    return trap(context, Cause.MISS_WRITE if missed(address, space, buffer, count) else Cause.DEVICE, buffer)
