# pyright: basic
"""The policy: round robin, and who idled goes next.

A guest that gave up its turn and was woken goes ahead of those that used theirs up, so that a server answers while its
neighbours compute. Those that go ahead may together use one turn's worth of instructions; then one of the others has
its turn, so that no band of guests that wake each other starves the rest.

    law: a guest is in one of the two queues exactly while its state is READY; one that was stopped there is skipped
"""

from __future__ import annotations

from typing import Any

from denali.tlb.native import native

from .records import NOBODY, State, guest_at

AHEAD = 1_000_000  # instructions that guests who idled may use before one of the others has its turn


@native
def ready(kernel: Any, number: int) -> None:
    """Put a guest at the end of the queue."""
    guest = guest_at(kernel, number)
    guest.state, guest.next, guest.idled, guest.queued = State.READY, NOBODY, 0, 1
    if kernel.ready_head == NOBODY:
        kernel.ready_head = number
    else:
        guest_at(kernel, kernel.ready_tail).next = number
    kernel.ready_tail = number


@native
def ready_ahead(kernel: Any, number: int) -> None:
    """Put a guest that idled at the end of the queue of those who go first."""
    guest = guest_at(kernel, number)
    guest.state, guest.next, guest.idled, guest.queued = State.READY, NOBODY, 1, 1
    if kernel.urgent_head == NOBODY:
        kernel.urgent_head = number
    else:
        guest_at(kernel, kernel.urgent_tail).next = number
    kernel.urgent_tail = number


@native
def _pop(kernel: Any) -> int:
    """Take the next guest off its queue, running or not; NOBODY when both are empty."""
    number = kernel.urgent_head
    if number != NOBODY and (kernel.urgent_spent < AHEAD or kernel.ready_head == NOBODY):
        kernel.urgent_head = guest_at(kernel, number).next
        guest_at(kernel, number).queued = 0
        return number
    number = kernel.ready_head
    if number != NOBODY:
        kernel.ready_head = guest_at(kernel, number).next
        guest_at(kernel, number).queued = 0
        kernel.urgent_spent = 0
    return number


@native
def _without_dead(kernel: Any, number: int) -> tuple[int, int]:
    """First and last of those of a queue that are ready."""
    head = tail = NOBODY
    while number != NOBODY:
        following = guest_at(kernel, number).next
        if guest_at(kernel, number).state != State.READY:
            guest_at(kernel, number).queued = 0
        else:
            guest_at(kernel, number).next = NOBODY
            if head == NOBODY:
                head = number
            else:
                guest_at(kernel, tail).next = number
            tail = number
        number = following
    return head, tail


@native
def purge(kernel: Any) -> None:
    """Take those who are over off the queues: their rows are wanted."""
    kernel.ready_head, kernel.ready_tail = _without_dead(kernel, kernel.ready_head)
    kernel.urgent_head, kernel.urgent_tail = _without_dead(kernel, kernel.urgent_head)


@native
def pick(kernel: Any) -> int:
    """The guest whose turn it is, now off its queue; NOBODY when none is ready."""
    number = _pop(kernel)
    while number != NOBODY and guest_at(kernel, number).state != State.READY:
        number = _pop(kernel)
    return number


@native
def charge(kernel: Any, number: int, used: int) -> None:
    """Note what a turn cost; every turn costs something."""
    if guest_at(kernel, number).idled:
        kernel.urgent_spent += used + 1000
