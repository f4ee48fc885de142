"""What is left of guests that are over: their endings, and who waits to hear of them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future

from .guest import Ending, Guest


class Obituary:
    """Endings by number; written by the loop's thread, read by all."""

    def __init__(self) -> None:
        self.endings: dict[int, Ending] = {}
        self._watchers: list[tuple[set[int], Future[None]]] = []
        self._lock = threading.Lock()
        self._news: queue.SimpleQueue[Guest] = queue.SimpleQueue()

    def publish(self, over: list[tuple[Guest, Ending]]) -> None:
        """Note that these guests are over, and tell who waited for it."""
        with self._lock:
            for guest, ending in over:
                self.endings[guest.number] = ending
                self._news.put(guest)
            numbers = {guest.number for guest, _ in over}
            finished = [future for pending, future in self._watchers if _without(pending, numbers)]
            self._watchers = [w for w in self._watchers if w[0] and not w[1].cancelled()]
        for future in finished:
            if future.set_running_or_notify_cancel():
                future.set_result(None)

    def when_over(self, guests: Iterable[Guest]) -> Future[None]:
        """A future that is done when all of these are over."""
        future: Future[None] = Future()
        with self._lock:
            pending = {guest.number for guest in guests} - self.endings.keys()
            if pending:
                self._watchers.append((pending, future))
                return future
        future.set_result(None)
        return future

    def news(self, timeout: float | None) -> Iterator[Guest]:
        """The guests that are over and were not told here yet; waits up to `timeout` seconds for the first."""
        try:
            yield self._news.get(timeout=timeout)
            while True:
                yield self._news.get_nowait()
        except queue.Empty:
            return


def _without(pending: set[int], numbers: set[int]) -> bool:
    """Take numbers out; whether the last of them went now."""
    pending -= numbers
    return not pending
