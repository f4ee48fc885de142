"""What is left of guests that are over: their endings, and who waits to hear of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future

import numpy as np

from .guest import Ending, Guest
from .records import End, State
from .tables import Tables

BAD = (End.TRAPPED, End.EXHAUSTED, End.HUNG, End.LOST)
NEWS = 1000  # bad ends that are remembered until somebody asks


class Obituary:
    """Endings by row of the tables, until the row is another guest's; written by the loop's thread, read by all.

    Of a guest that left no more than its record nothing is kept: its ending is made when somebody asks.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._endings: dict[int, Ending] = {}
        self._watchers: list[tuple[set[int], Future[None]]] = []
        self._lock = threading.Condition()
        self._news: deque[int] = deque(maxlen=NEWS)

    def get(self, number: int) -> Ending | None:
        """How a guest ended; None while it lives."""
        row, record = number & self._tables.mask, self._tables.guests
        ending = self._endings.get(row)
        if ending is None and record["plain"][row] and record["state"][row] == State.GONE:
            end = End(int(record["end"][row]))
            return Ending(end, int(record["exit_status"][row]) if end is End.EXITED else None, None, b"")
        return ending

    def finish(self) -> None:
        """Every guest is over: tell all who wait."""
        with self._lock:
            watchers, self._watchers = self._watchers, []
        for _, future in watchers:
            if future.set_running_or_notify_cancel():
                future.set_result(None)

    def publish(self, over: list[tuple[int, Ending]], silent: Iterable[int] = ()) -> None:
        """Note that these guests are over, and others that left no more than their records; tell who waited for it."""
        with self._lock:
            for number, ending in over:
                self._endings[number & self._tables.mask] = ending
                if ending.end in BAD:
                    self._news.append(number)
            self._lock.notify_all()
            numbers = {number for number, _ in over}.union(silent)
            finished = [future for pending, future in self._watchers if _without(pending, numbers)]
            self._watchers = [w for w in self._watchers if w[0] and not w[1].cancelled()]
        for future in finished:
            if future.set_running_or_notify_cancel():
                future.set_result(None)

    def when_over(self, guests: Iterable[Guest]) -> Future[None]:
        """A future that is done when all of these are over."""
        future: Future[None] = Future()
        with self._lock:
            pending = {guest.number for guest in guests if self.get(guest.number) is None}
            if pending:
                self._watchers.append((pending, future))
                return future
        future.set_result(None)
        return future

    def news(self, timeout: float | None) -> list[int]:
        """The bad ends not told here yet, by number; waits up to `timeout` seconds for the first."""
        with self._lock:
            self._lock.wait_for(lambda: self._news, timeout)
            told = [number for number in self._news if self._tables.name(number & self._tables.mask) == number]
            self._news.clear()
        return told

    def forget(self, numbers: np.ndarray) -> None:
        """Nobody asks any more how those ended whose rows these new guests have."""
        for row in (numbers[numbers > self._tables.mask] & self._tables.mask).tolist():
            self.drop(row)

    def drop(self, row: int) -> None:
        """Nobody asks any more how the guest of this row ended."""
        self._endings.pop(row, None)


def _without(pending: set[int], numbers: set[int]) -> bool:
    """Take numbers out; whether the last of them went now."""
    pending -= numbers
    return not pending
