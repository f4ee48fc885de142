"""The gatekeeper: who waits for frames waits in line, and is let in while a minimum of frames stays free.

After Denali's gatekeeper, which admits whoever waits longest as soon as there is room. Nobody waits for ever: without
any progress for as long as they said, those at the head of the line give up, and what they had is given back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from denali.tlb.frames import Overdrawn

MINIMUM = 64  # frames that stay free for those who are parked and wanted
AT_ONCE = 8192  # guests made before the others have their turns
STEP_S = 0.005  # between two looks at what is free

Numbers = np.ndarray[Any, Any]
Making = Callable[[int], Numbers]  # makes at most so many guests; the numbers of those that it made
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Request:
    """How many guests somebody wants, and how patient they are."""

    count: int
    patience_s: float  # without any progress
    progress: Progress | None = None


class Gatekeeper:
    """Lets one request in at a time, in the order in which they came. Any thread."""

    def __init__(self) -> None:
        self._line: deque[object] = deque()
        self._moved = threading.Condition()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until everybody who came earlier has been let in or has given up."""
        ticket = object()
        with self._moved:
            self._line.append(ticket)
        try:
            with self._moved:
                self._moved.wait_for(lambda: self._line[0] is ticket)
            yield
        finally:
            with self._moved:
                self._line.remove(ticket)
                self._moved.notify_all()

    def admit(
        self, request: Request, make: Making, undo: Callable[[Numbers], object], why: Callable[[], str]
    ) -> Numbers:
        """Make all guests of a request, as frames come free; their numbers.

        Raises:
            Overdrawn: nothing came free for too long; no guest was made.
        """
        made = [np.zeros(0, np.int64)]
        with self._turn():
            try:
                self._fill(request, make, made, why)
            except BaseException:  # a Ctrl-C too: nobody knows of those that were made
                undo(np.concatenate(made))
                raise
        return np.concatenate(made)

    def _fill(self, request: Request, make: Making, made: list[Numbers], why: Callable[[], str]) -> None:
        since, done = time.monotonic(), 0
        while done < request.count:
            made.append(make(min(request.count - done, AT_ONCE)))
            if len(made[-1]):
                since, done = time.monotonic(), done + len(made[-1])
                if request.progress:
                    request.progress(done, request.count)
            elif time.monotonic() - since > request.patience_s:
                raise Overdrawn(f"{done} of {request.count} guests; no room for {request.patience_s:g} s: {why()}")
            else:
                made.pop()
                time.sleep(STEP_S)
