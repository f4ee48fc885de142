"""Who has handles of a guest: its number is not used again while anybody has, and how it ended stays readable."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from .tables import Tables


@dataclass(slots=True, eq=False)
class Lease:
    """Keeps the numbers of some guests; all handles of a spawn share it, and it ends with the last of them."""

    numbers: Sequence[int]
    ended: deque[Sequence[int]]

    def __del__(self) -> None:
        """Only noted here: this may happen in any thread, in the midst of anything."""
        self.ended.append(self.numbers)


class Leases:
    """Counts the leases of each guest, in its record. Any thread."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._lock = threading.Lock()
        self.ended: deque[Sequence[int]] = deque()

    def rows(self, numbers: Sequence[int]) -> slice | np.ndarray:
        """Where guests stand in the tables, to index them with."""
        mask = self._tables.mask
        if isinstance(numbers, range) and numbers.step == 1 and len(numbers) and numbers[-1] & mask >= len(numbers) - 1:
            return slice(numbers[0] & mask, (numbers[-1] & mask) + 1)
        return np.asarray(numbers, np.int64) & mask

    def of(self, numbers: Sequence[int]) -> Lease:
        """The first lease of new guests: their spawn has counted it."""
        return Lease(numbers, self.ended)

    def more(self, numbers: Sequence[int]) -> Lease:
        """One more lease of guests.

        Raises:
            KeyError: one of them is over, and its row is another's by now.
        """
        with self.settled():
            rows = self.rows(numbers)
            if (self._tables.guests["name"][rows] != np.asarray(numbers)).any():
                raise KeyError(f"there is no guest {numbers[0]}" + f" to {numbers[-1]}" * (len(numbers) > 1))
            self._tables.guests["kept"][rows] += 1
        return self.of(numbers)

    @contextmanager
    def settled(self) -> Iterator[None]:
        """What has ended is counted, and nothing is leased meanwhile."""
        with self._lock:
            while self.ended:
                self._tables.guests["kept"][self.rows(self.ended.popleft())] -= 1
            yield
