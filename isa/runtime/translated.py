"""The translation of one image for one size and one mode of memory, as far as there is one.

It comes from the disk cache or from workers, part by part, and goes into a table of entries that native code reads.
"""

from __future__ import annotations

import ctypes
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from denali.isa.context import Mode
from denali.isa.image import Image
from denali.isa.runtime import cache as caching
from denali.isa.runtime.loader import Code, Unloadable, load
from denali.isa.runtime.worker import LEVEL, QUICK, Answer, Failed, Request, Workers

if TYPE_CHECKING:
    from concurrent.futures import Future

log = logging.getLogger("denali.engine")

EXTRA_ENTRIES = 4096  # that a space's guests may make hot; their translations are the host's time and memory
Progress = Callable[[int, int], None]


@dataclass(eq=False, slots=True)
class _Flight:
    """Entries that a worker translates."""

    batch: tuple[int, ...]
    future: Future[Answer]
    hot: bool = False  # not of the image's plan, but wanted by its guests
    level: int = LEVEL


@dataclass(frozen=True, slots=True)
class Means:
    """What of the engine a translation needs."""

    cache: caching.Cache
    workers: Workers
    runtime: Code
    masked: bool


class Translated:
    """Units of one image, found by the guest address where they begin."""

    def __init__(self, means: Means, image: Image, private_size: int, mode: Mode) -> None:
        """Nothing is translated; every slot of the table holds the runtime's stub."""
        self.means, self.image, self.private_size, self.mode = means, image, private_size, mode
        slots = (image.text_end - image.text_start + 1) // 2
        self.miss = means.runtime.symbols["denali_miss"]
        self.table = np.full(max(slots, 1), self.miss, np.uint64)
        self.heat = np.zeros(max(slots, 1), np.uint16)
        self.loaded: list[Code] = []
        self._hot: list[list[int]] = []  # entries that became hot, as they were translated together
        self._pending: list[int] = []
        self._asked: set[int] = set()
        self._planning: Future[Answer] | None = None
        self._flights: list[_Flight] = []
        self._quick: dict[tuple[int, ...], Code] = {}  # what serves until better code is there
        self._parts = 0  # of the plan
        self.begun = False

    def translate(self, progress: Progress | None = None, *, wait: bool = True) -> None:
        """Translate the whole image, from the cache or by the workers.

        A part that cannot be translated is noted in the log and interpreted, also at later starts.

        Args:
            progress: called with the number of finished and of all parts.
            wait: return when all is there; else at once, and what is missing comes with later calls of `poll`, first
                quickly made code, then better code.
        """
        self.begun = True
        for batch in self._remembered():
            if self._install_cached(batch):
                self._hot.append(list(batch))
        found = self.means.cache.get("plan", self._name("plan"))
        if found is not None:
            self._begin(json.loads(found), quick=not wait)
        elif not self._given_up("plan"):
            self._planning = self.means.workers.submit(self._request("plan"))
        while wait and self.translating:
            self._report(progress)
            self._step()
        self._report(progress)

    def _report(self, progress: Progress | None) -> None:
        if progress is not None and self._planning is None:
            progress(self._parts - sum(flight.level == LEVEL for flight in self._flights), self._parts)

    def _step(self, *, quick: bool = False) -> None:
        """Wait for the next thing that workers have been asked for, and use it."""
        if self._planning is None:
            self._land(self._flights.pop(0))
            return
        planning, self._planning = self._planning, None
        try:
            plan = planning.result().batches
        except Failed as reason:
            self._give_up("all functions", reason, "plan")
            return
        self.means.cache.put("plan", self._name("plan"), json.dumps(plan).encode())
        self._begin(plan, quick=quick)

    def _begin(self, plan: list[list[int]], *, quick: bool) -> None:
        """Install what the cache has of the plan, and have the rest translated: at once badly if need be, then well."""
        absent = [tuple(batch) for batch in plan if not self._install_cached(batch)]
        missing = [batch for batch in absent if not self._given_up("code", *batch)]
        for level in (QUICK, LEVEL) if quick else (LEVEL,):
            self._flights += [_Flight(batch, self._submit(batch, level), level=level) for batch in missing]
        self._parts = len(plan)

    @property
    def translating(self) -> int:
        """Requests that workers have been given and whose answers are not in use yet."""
        return len(self._flights) + (self._planning is not None)

    def want(self, pc: int) -> None:
        """Have this entry translated with the next `poll`, unless it is there or under way."""
        room = sum(map(len, self._hot)) + len(self._pending) < EXTRA_ENTRIES
        if pc not in self._asked and len(self._asked) < len(self.table) and room:
            self._asked.add(pc)
            self._pending.append(pc)

    def poll(self) -> bool:
        """Install what has finished, then have translated what is wanted; True when code was added. It never waits."""
        installed = False
        if self._planning is not None and self._planning.done():
            self._step(quick=True)
        for flight in [flight for flight in self._flights if flight.future.done()]:
            self._flights.remove(flight)
            installed |= self._land(flight)
            if not flight.hot and not self.translating:
                self._cool()
        if self._pending and not self.translating:
            batch, self._pending = tuple(sorted(pc for pc in self._pending if self._lacks(pc))), []
            if batch:
                self._flights.append(_Flight(batch, self._submit(batch), hot=True))
        return installed

    def _lacks(self, pc: int) -> bool:
        """Whether no unit begins there."""
        return bool(self.table[(pc - self.image.text_start) >> 1] == self.miss)

    def _cool(self) -> None:
        """Forget what became hot while the image's own units were missing: with them most of it stays cool."""
        self.heat.fill(0)
        self._asked.difference_update(self._pending)
        self._pending.clear()

    def close(self) -> None:
        """Unload its code; no guest may be running in it."""
        self.table.fill(self.miss)
        for code in self.loaded:
            code.close()
        self.loaded.clear()

    def _name(self, what: str, *entries: str | int) -> str:
        of = " ".join(map(str, entries))
        kind = f"{self.mode} masked" if self.means.masked else self.mode
        return caching.key(caching.code_version(), self.image.digest, self.private_size, kind, what, of)

    def _remembered(self) -> list[list[int]]:
        found = self.means.cache.get("hot", self._name("hot"))
        return [] if found is None else json.loads(found)

    def _submit(self, batch: Sequence[int], level: int = LEVEL) -> Future[Answer]:
        return self.means.workers.submit(self._request("translate", tuple(batch), level))

    def _request(self, kind: str, batch: tuple[int, ...] = (), level: int = LEVEL) -> Request:
        return Request(kind, self.image, self.private_size, batch, self.mode, level, self.means.masked)

    def _given_up(self, *what: str | int) -> bool:
        """Whether an earlier attempt has shown that it cannot be translated."""
        return self.means.cache.get("failed", self._name(*what)) is not None

    def _give_up(self, functions: str, reason: Failed, *what: str | int) -> None:
        log.warning("%s of %s will be interpreted: %s", functions, self.image.name, reason)
        if reason.lasting:
            self.means.cache.put("failed", self._name(*what), str(reason).encode())

    def _install_cached(self, batch: Sequence[int]) -> bool:
        found = self.means.cache.get("native", self._name("code", *batch))
        return found is not None and self.install(found) is not None

    def _land(self, flight: _Flight) -> bool:
        """Install and keep what a worker made, waiting for it if need be."""
        try:
            answer = flight.future.result()
        except Failed as reason:
            if flight.level == LEVEL:
                self._give_up(f"{len(flight.batch)} functions", reason, "code", *flight.batch)
            return False
        if flight.level == QUICK:
            return self._land_quick(flight.batch, answer.code)
        self.means.cache.put("native", self._name("code", *flight.batch), answer.code)
        if flight.hot:
            self._hot.append(list(flight.batch))
            self.means.cache.put("hot", self._name("hot"), json.dumps(self._hot).encode())
        installed = self.install(answer.code) is not None
        if installed and flight.batch in self._quick:
            self._unload(self._quick.pop(flight.batch))
        return installed

    def _land_quick(self, batch: tuple[int, ...], code: bytes) -> bool:
        """Install code that was made quickly, unless better code has come first."""
        if not any(flight.batch == batch and flight.level == LEVEL for flight in self._flights):
            return False
        loaded = self.install(code)
        if loaded is not None:
            self._quick[batch] = loaded
        return loaded is not None

    def _unload(self, code: Code) -> None:
        """Give back code that the table does not lead to any more; nothing runs in it between turns."""
        if not ((self.table >= code.address) & (self.table < code.address + code.size)).any():
            self.loaded.remove(code)
            code.close()

    def install(self, code: bytes) -> Code | None:
        """Load a translation and put its units into the table; None when it cannot be loaded."""
        try:
            loaded = load(code, library() | self.means.runtime.symbols, self._title)
        except Unloadable as reason:
            log.warning("a translation of %s cannot be loaded: %s", self.image.name, reason)
            return None
        self.loaded.append(loaded)
        for name, address in loaded.symbols.items():
            if name.startswith("pc_"):
                pc = int(name[3:], 16)
                if self.image.text_start <= pc < self.image.text_end:
                    self.table[(pc - self.image.text_start) >> 1] = address
                    self._asked.add(pc)
        return loaded

    def _title(self, name: str) -> str:
        """A unit by its guest's function, for those who look at the host from outside."""
        return f"{self.image.name}: {self.image.function_at(int(name[3:], 16))}" if name.startswith("pc_") else name


@lru_cache
def library() -> dict[str, int]:
    """Host addresses of the C functions that stand in for instructions which this processor does not have."""
    names = [
        name + kind
        for name in ("fma", "rint", "nearbyint", "trunc", "floor", "ceil", "roundeven")
        for kind in ("", "f")
    ]
    try:
        mathematics = ctypes.CDLL("libm.so.6")
        return {name: ctypes.cast(getattr(mathematics, name), ctypes.c_void_p).value or 0 for name in names}
    except (OSError, AttributeError):
        return {}
