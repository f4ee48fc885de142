"""A queue of connections that needs no memory beyond one link each, and holds a connection at most once.

`queue[0]` is the first and `queue[1]` the last member plus one (zero: empty); `queue[2 + c]` is the successor of `c`
plus one, `LAST` for the last, zero when `c` is not in the queue.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LAST = -1

Queue = np.ndarray[Any, np.dtype[np.int32]]


def push(queue: Queue, c: int) -> None:
    """Append `c`, unless it is in the queue already."""
    if queue[2 + c] != 0:
        return
    queue[2 + c] = LAST
    if queue[0] == 0:
        queue[0] = c + 1
    else:
        queue[1 + queue[1]] = c + 1
    queue[1] = c + 1


def pop(queue: Queue) -> int:
    """Take the first; -1 when there is none."""
    first = int(queue[0])
    if first == 0:
        return -1
    successor = int(queue[1 + first])
    queue[0] = successor if successor != LAST else 0
    queue[1 + first] = 0
    return first - 1


def empty(queue: Queue) -> bool:
    """Whether nothing is in the queue."""
    return queue[0] == 0
