# pyright: basic
"""What time it is: nanoseconds since the kernel began, real or virtual.

The virtual clock counts retired instructions, one nanosecond each, and jumps to the next timer when every guest waits,
so that the same input gives the same run.
"""

from __future__ import annotations

from typing import Any

from denali.tlb.native import native

from .host import monotonic


@native
def look(kernel: Any) -> int:
    """Bring the kernel's clock up to date between turns, and tell it."""
    if kernel.virtual == 0:
        kernel.clock = monotonic(kernel.scratch) - kernel.epoch
    return kernel.clock


@native
def within_turn(kernel: Any, context: Any) -> int:
    """The clock as the running guest sees it."""
    if kernel.virtual == 0:
        return look(kernel)
    return kernel.clock + (kernel.turn_fuel - context.fuel)
