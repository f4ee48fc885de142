"""Deadlines: a heap over the connections that have one, so that an idle connection costs nothing."""
# pyright: basic

from __future__ import annotations

from . import table


def arm(c: int, when: int) -> None:
    """Have the timer of `c` go off at `when`, and not when it would have before."""
    one = table.connection[c]
    if one.place == 0:
        table.stack[0].armed += 1
        _put(c, int(table.stack[0].armed) - 1)
    one.deadline = when
    _rise(c)
    _sink(c)


def disarm(c: int) -> None:
    """Let the timer of `c` not go off."""
    one = table.connection[c]
    if one.place == 0:
        return
    hole = int(one.place) - 1
    one.place = one.deadline = 0
    table.stack[0].armed -= 1
    last = int(table.stack[0].armed)
    if hole != last:
        moved = int(table.heap[last])
        _put(moved, hole)
        _rise(moved)
        _sink(moved)


def first() -> int:
    """The connection whose timer goes off first; -1 when none is armed."""
    return int(table.heap[0]) if table.stack[0].armed > 0 else -1


def _put(c: int, at: int) -> None:
    table.heap[at] = c
    table.connection[c].place = at + 1


def _rise(c: int) -> None:
    """Move `c` towards the first place while its parent is later."""
    deadline = table.connection[c].deadline
    at = int(table.connection[c].place) - 1
    while at > 0:
        above = int(table.heap[(at - 1) >> 1])
        if table.connection[above].deadline <= deadline:
            break
        _put(above, at)
        at = (at - 1) >> 1
    _put(c, at)


def _sink(c: int) -> None:
    """Move `c` away from the first place while a child is earlier."""
    deadline = table.connection[c].deadline
    at = int(table.connection[c].place) - 1
    armed = int(table.stack[0].armed)
    while 2 * at + 1 < armed:
        child = 2 * at + 1
        if child + 1 < armed and _deadline(child + 1) < _deadline(child):
            child += 1
        if _deadline(child) >= deadline:
            break
        _put(int(table.heap[child]), at)
        at = child
    _put(c, at)


def _deadline(at: int) -> int:
    return int(table.connection[table.heap[at]].deadline)
