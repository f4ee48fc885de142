# pyright: basic
"""The timer wheel: who sleeps until when.

Six levels of 256 slots; a slot of level n spans 256**n ticks of 65 us. A sleeper lies on the level of the highest byte
in which its tick differs from the wheel's, and moves down when the wheel gets there: setting and cancelling cost the
same whatever the number of sleepers. Within a tick the exact times decide.
After Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987.

    law: a guest is in the wheel exactly while its `timer_slot` is not NOBODY
"""

from __future__ import annotations

from typing import Any

import numpy as np

from denali.tlb.native import carray, native, pointer_to

from .records import NOBODY, guest_at

SHIFT, SLOTS, LEVELS = 16, 256, 6
FOREVER = (1 << 63) - 1

WHEEL = np.dtype([("tick", "<i8"), ("sleepers", "<i8", LEVELS), ("heads", "<i4", LEVELS * SLOTS)])
_wheel = pointer_to(WHEEL)


def new_wheel() -> np.ndarray:
    """A wheel at time zero with nobody in it."""
    wheel = np.zeros(1, WHEEL)
    wheel["heads"] = NOBODY
    return wheel


@native
def wheel_of(kernel: Any) -> Any:
    """The kernel's wheel."""
    return carray(_wheel(kernel.wheel), (1,))[0]


@native
def _slot(wheel: Any, wake: int) -> int:
    """Where a time belongs, seen from the wheel's tick; the past belongs to the present."""
    tick = max(wake >> SHIFT, wheel.tick)
    level, rest = 0, (tick ^ wheel.tick) >> 8
    while rest:
        level, rest = level + 1, rest >> 8
    return level * SLOTS + ((tick >> (8 * level)) & (SLOTS - 1))


@native
def set_timer(kernel: Any, number: int, wake: int) -> None:
    """Wake a guest at a time; it must not be in the wheel."""
    wheel, guest = wheel_of(kernel), guest_at(kernel, number)
    slot = _slot(wheel, wake)
    head = wheel.heads[slot]
    guest.wake, guest.timer_slot, guest.timer_next, guest.timer_previous = wake, slot, head, NOBODY
    if head != NOBODY:
        guest_at(kernel, head).timer_previous = number
    wheel.heads[slot] = number
    wheel.sleepers[slot // SLOTS] += 1


@native
def cancel_timer(kernel: Any, number: int) -> None:
    """Take a guest out of the wheel, if it is there."""
    wheel, guest = wheel_of(kernel), guest_at(kernel, number)
    if guest.timer_slot == NOBODY:
        return
    if guest.timer_previous == NOBODY:
        wheel.heads[guest.timer_slot] = guest.timer_next
    else:
        guest_at(kernel, guest.timer_previous).timer_next = guest.timer_next
    if guest.timer_next != NOBODY:
        guest_at(kernel, guest.timer_next).timer_previous = guest.timer_previous
    wheel.sleepers[guest.timer_slot // SLOTS] -= 1
    guest.timer_slot = NOBODY


@native
def _first(wheel: Any, level: int) -> int:
    """The first slot of a level that has sleepers; -1 when there is none."""
    if wheel.sleepers[level] == 0:
        return -1
    start = (wheel.tick >> (8 * level)) & (SLOTS - 1)
    for slot in range(level * SLOTS + start, (level + 1) * SLOTS):
        if wheel.heads[slot] != NOBODY:
            return slot
    return -1


@native
def _begin(wheel: Any, slot: int) -> int:
    """The tick at which a slot's span begins."""
    level = slot // SLOTS
    above = wheel.tick >> (8 * (level + 1)) << (8 * (level + 1)) if level < LEVELS - 1 else 0
    return above | ((slot % SLOTS) << (8 * level))


@native
def _next_slot(wheel: Any) -> int:
    """The slot with the earliest sleepers; -1 when nobody sleeps."""
    for level in range(LEVELS):
        slot = _first(wheel, level)
        if slot >= 0:
            return slot
    return -1


@native
def next_wake(kernel: Any) -> int:
    """A time not later than the earliest sleeper's, and equal to it when that is less than 16 ms away."""
    wheel = wheel_of(kernel)
    slot = _next_slot(wheel)
    if slot < 0:
        return FOREVER
    if slot >= SLOTS:
        return _begin(wheel, slot) << SHIFT
    earliest, number = FOREVER, wheel.heads[slot]
    while number != NOBODY:
        guest = guest_at(kernel, number)
        earliest, number = min(earliest, guest.wake), guest.timer_next
    return earliest


@native
def _move_down(kernel: Any, slot: int) -> None:
    """Distribute the sleepers of a slot whose span has begun."""
    wheel = wheel_of(kernel)
    number = wheel.heads[slot]
    while number != NOBODY:
        following, wake = guest_at(kernel, number).timer_next, guest_at(kernel, number).wake
        cancel_timer(kernel, number)
        set_timer(kernel, number, wake)
        number = following


@native
def due(kernel: Any, now: int) -> int:
    """Take one guest whose time has come out of the wheel; NOBODY when there is none."""
    wheel = wheel_of(kernel)
    target = now >> SHIFT
    while True:
        slot = _next_slot(wheel)
        begin = _begin(wheel, slot) if slot >= 0 else 0
        if slot < 0 or begin > target:
            wheel.tick = max(wheel.tick, target)
            return NOBODY
        wheel.tick = max(wheel.tick, begin)
        if slot >= SLOTS:
            _move_down(kernel, slot)
            continue
        number = wheel.heads[slot]
        while number != NOBODY and guest_at(kernel, number).wake > now:
            number = guest_at(kernel, number).timer_next
        if number != NOBODY:
            cancel_timer(kernel, number)
        return number
