"""How other threads reach the loop: they post a function, the loop's thread calls it between turns."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Closed(RuntimeError):
    """The kernel is closed, or its loop has failed."""


class Mailbox:
    """Functions that wait to be called, and who is told of their results."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._waiting: deque[tuple[Callable[[], object], Future[object]]] = deque()
        self._lock = threading.Lock()
        self._reason: str | None = None
        self.thread: threading.Thread | None = None

    def post(self, function: Callable[[], T]) -> Future[T]:
        """Have the loop's thread call `function`; the future has its result.

        Raises:
            Closed: nobody will call it.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._reason is not None:
                raise Closed(self._reason)
            self._waiting.append((function, future))  # type: ignore[arg-type]
            self._ring()
        return future

    def call(self, function: Callable[[], T]) -> T:
        """Have the loop's thread call `function` and wait for its result."""
        if threading.current_thread() is self.thread:
            return function()
        return self.post(function).result()

    def serve(self) -> None:
        """Call what waits; the loop's thread only."""
        while self._waiting:
            function, future = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

    def shut(self, reason: str) -> None:
        """Refuse whatever is posted from now on, and what waits."""
        with self._lock:
            self._reason = reason
        while self._waiting:
            _, future = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                future.set_exception(Closed(reason))
