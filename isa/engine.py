"""The native engine: the runtime every guest is entered through, and the address spaces of images.

    with Engine() as engine:
        space = engine.space(image, private_size, service)
        space.translate()
        ...  # engine.enter(context) with context.space == space.address; space.poll() between turns

What is translated once is on disk; with it there, a start takes milliseconds and LLVM is not even loaded.
"""

from __future__ import annotations

import ctypes
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Self

import numpy as np

from denali.isa import cache as caching
from denali.isa.context import SPACE
from denali.isa.image import Image
from denali.isa.loader import Code, Unloadable, load
from denali.isa.virtual import REGISTERS
from denali.isa.worker import Answer, Failed, Request, Workers

if TYPE_CHECKING:
    from concurrent.futures import Future

log = logging.getLogger("denali.engine")

RING = 256
EXTRA_ENTRIES = 4096  # that a space's guests may make hot; their translations are the host's time and memory
Progress = Callable[[int, int], None]


class Engine:
    """The native runtime of this process, and the workers that translate."""

    def __init__(self, cache: caching.Cache | None = None, workers: Workers | None = None) -> None:
        """Load the runtime, building it first where the cache has none.

        Raises:
            Failed: it could not be built.
            OSError: this host does not let generated code be executed.
        """
        self.cache = cache or caching.Cache()
        self.workers = workers or Workers()
        self.spaces: list[Space] = []
        self.runtime_name = caching.key("runtime", caching.code_version())
        self.runtime = self._runtime()
        self.enter = self.runtime.symbols["enter"]

    def space(self, image: Image, private_size: int, service: int) -> Space:
        """The address space of guests that run `image` in `private_size` bytes of private memory.

        Args:
            image: the program.
            private_size: bytes, a constant of the translation.
            service: host address of i64 service(CONTEXT*, i64 number, i64 a, i64 b).

        Raises:
            ValueError: the image does not fit.
        """
        space = Space(self, image, private_size, service)
        self.spaces.append(space)
        return space

    def close(self) -> None:
        """Give everything back; no guest may be running."""
        self.workers.close()
        for space in list(self.spaces):
            space.close()
        self.runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _runtime(self) -> Code:
        found = self.cache.get("native", self.runtime_name)
        if found is not None:
            try:
                return load(found, library())
            except Unloadable as reason:
                log.warning("ignored the cached runtime: %s", reason)
        return load(_build_runtime(self.cache, self.runtime_name, self.workers), library())


def prepare_runtime(building: Callable[[], object] = lambda: None) -> None:
    """Have the native runtime on disk, so that an `Engine` starts at once; `building` is called when it has to be made.

    Raises:
        Failed: it could not be built.
    """
    cache, name = caching.Cache(), caching.key("runtime", caching.code_version())
    if cache.get("native", name) is None:
        building()
        workers = Workers(1)
        try:
            _build_runtime(cache, name, workers)
        finally:
            workers.close()


def _build_runtime(cache: caching.Cache, name: str, workers: Workers) -> bytes:
    code = workers.submit(Request("runtime")).result().code
    cache.put("native", name, code)
    return code


@dataclass(eq=False, slots=True)
class _Flight:
    """Entries that a worker translates."""

    batch: tuple[int, ...]
    future: Future[Answer]
    hot: bool  # not of the image's plan, but wanted by its guests


class Space:
    """One image at one size of private memory: what its guests share, and the translation as far as there is one."""

    def __init__(self, engine: Engine, image: Image, private_size: int, service: int) -> None:
        """See `Engine.space`."""
        _check(image, private_size)
        self.engine, self.image, self.private_size = engine, image, private_size
        self._read_only = np.frombuffer(image.read_only or b"\0", np.uint8)
        slots = (image.text_end - image.text_start + 1) // 2
        self.miss = engine.runtime.symbols["denali_miss"]
        self.table = np.full(max(slots, 1), self.miss, np.uint64)
        self.heat = np.zeros(max(slots, 1), np.uint16)
        self.ring = np.zeros(RING, np.uint64)
        self.record = np.zeros(1, SPACE)
        self._fill(service)
        self.address = address_of(self.record)
        self.loaded: list[Code] = []
        self._hot: list[list[int]] = []  # entries that became hot, as they were translated together
        self._seen = 0  # of the ring
        self._pending: list[int] = []
        self._asked: set[int] = set()
        self._planning: Future[Answer] | None = None
        self._flights: list[_Flight] = []
        self._parts = 0  # of the plan

    def _fill(self, service: int) -> None:
        record, image = self.record[0], self.image
        record["read_only"] = address_of(self._read_only)
        record["ro_start"], record["ro_end"] = image.ro_start, image.ro_end
        record["text_start"], record["text_end"] = image.text_start, image.text_end
        record["private_start"], record["private_size"] = image.private_start, self.private_size
        record["registers"] = image.registers_in(self.private_size)
        record["table"], record["heat"] = address_of(self.table), address_of(self.heat)
        record["wanted"], record["service"], record["miss"] = address_of(self.ring), service, self.miss

    def translate(self, progress: Progress | None = None, *, wait: bool = True) -> None:
        """Translate the whole image, from the cache or by the workers.

        A part that cannot be translated is noted in the log and interpreted.

        Args:
            progress: called with the number of finished and of all parts.
            wait: return when all is there; else at once, and what is missing comes with later calls of `poll`.
        """
        for batch in self._remembered():
            if self._install_cached(batch):
                self._hot.append(list(batch))
        found = self.engine.cache.get("plan", self._name("plan"))
        if found is not None:
            self._begin(json.loads(found))
        else:
            self._planning = self.engine.workers.submit(Request("plan", self.image, self.private_size))
        while wait and self.translating:
            self._report(progress)
            self._step()
        self._report(progress)

    def _report(self, progress: Progress | None) -> None:
        if progress is not None and self._planning is None:
            progress(self._parts - len(self._flights), self._parts)

    def _step(self) -> None:
        """Wait for the next thing that workers have been asked for, and use it."""
        if self._planning is None:
            self._land(self._flights.pop(0))
            return
        planning, self._planning = self._planning, None
        try:
            plan = planning.result().batches
        except Failed as reason:
            log.warning("%s will be interpreted: %s", self.image.name, reason)
            return
        self.engine.cache.put("plan", self._name("plan"), json.dumps(plan).encode())
        self._begin(plan)

    def _begin(self, plan: list[list[int]]) -> None:
        """Install what the cache has of the plan, and have the rest translated."""
        missing = [tuple(batch) for batch in plan if not self._install_cached(batch)]
        self._flights += [_Flight(batch, self._submit(batch), hot=False) for batch in missing]
        self._parts = len(plan)

    @property
    def translating(self) -> int:
        """Requests that workers have been given and whose answers are not in use yet."""
        return len(self._flights) + (self._planning is not None)

    def poll(self) -> bool:
        """Install translations that have finished, and have hot entries translated next; True when code was added.

        To be called between turns; it never waits.
        """
        installed = False
        if self._planning is not None and self._planning.done():
            self._step()
        for flight in [flight for flight in self._flights if flight.future.done()]:
            self._flights.remove(flight)
            installed |= self._land(flight)
            if not flight.hot and not self.translating:
                self._cool()
        if int(self.record["wanted_count"][0]) != self._seen:
            self._collect()
        if self._pending and not self.translating:
            batch, self._pending = tuple(sorted(self._pending)), []
            self._flights.append(_Flight(batch, self._submit(batch), hot=True))
        return installed

    def _cool(self) -> None:
        """Forget what became hot while the image's own units were missing: with them most of it stays cool."""
        self.heat.fill(0)
        self._collect()
        self._asked.difference_update(self._pending)
        self._pending.clear()

    def close(self) -> None:
        """Unload its code; no guest may be running in it."""
        if self in self.engine.spaces:
            self.engine.spaces.remove(self)
        self.table.fill(self.miss)
        for code in self.loaded:
            code.close()
        self.loaded.clear()

    def _name(self, *parts: str | int | bytes) -> str:
        return caching.key(caching.code_version(), self.image.digest, self.private_size, *parts)

    def _remembered(self) -> list[list[int]]:
        found = self.engine.cache.get("hot", self._name("hot"))
        return [] if found is None else json.loads(found)

    def _submit(self, batch: Sequence[int]) -> Future[Answer]:
        request = Request("translate", self.image, self.private_size, tuple(batch))
        return self.engine.workers.submit(request)

    def _install_cached(self, batch: Sequence[int]) -> bool:
        found = self.engine.cache.get("native", self._name("code", *batch))
        return found is not None and self._install(found)

    def _land(self, flight: _Flight) -> bool:
        """Install and keep what a worker made, waiting for it if need be."""
        try:
            answer = flight.future.result()
        except Failed as reason:
            log.warning("%d functions of %s will be interpreted: %s", len(flight.batch), self.image.name, reason)
            return False
        self.engine.cache.put("native", self._name("code", *flight.batch), answer.code)
        if flight.hot:
            self._hot.append(list(flight.batch))
            self.engine.cache.put("hot", self._name("hot"), json.dumps(self._hot).encode())
        return self._install(answer.code)

    def _install(self, code: bytes) -> bool:
        """Load a translation and put its units into the table."""
        try:
            loaded = load(code, library() | self.engine.runtime.symbols)
        except Unloadable as reason:
            log.warning("a translation of %s cannot be loaded: %s", self.image.name, reason)
            return False
        self.loaded.append(loaded)
        for name, address in loaded.symbols.items():
            if name.startswith("pc_"):
                pc = int(name[3:], 16)
                if self.image.text_start <= pc < self.image.text_end:
                    self.table[(pc - self.image.text_start) >> 1] = address
                    self._asked.add(pc)
        return True

    def _collect(self) -> None:
        """Take what has become hot from the ring. A pc that was overwritten there comes when it is asked for again."""
        count = int(self.record["wanted_count"][0])
        for index in range(max(self._seen, count - RING), count):
            pc = int(self.ring[index % RING])
            if pc not in self._asked and len(self._asked) < len(self.table) and self._room():
                self._asked.add(pc)
                self._pending.append(pc)
        self._seen = count

    def _room(self) -> bool:
        return sum(map(len, self._hot)) + len(self._pending) < EXTRA_ENTRIES


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


def address_of(array: np.ndarray) -> int:
    """The host address of an array's first byte."""
    return int(array.__array_interface__["data"][0])


def _check(image: Image, private_size: int) -> None:
    """What native code relies on.

    Raises:
        ValueError: which of it does not hold.
    """
    if not image.ro_start <= image.text_start <= image.text_end <= image.ro_end:
        raise ValueError(f"{image.name}: text lies outside the read-only bytes")
    if image.text_start % 2:
        raise ValueError(f"{image.name}: text begins at the odd address {image.text_start:#x}")
    if image.ro_start < 4096 or not image.ro_end <= image.private_start or image.private_start % 4096:
        raise ValueError(f"{image.name}: private memory has to begin at a page behind the read-only bytes")
    if private_size % 8 or private_size < image.least:
        raise ValueError(f"{image.name} needs {image.least} bytes of private memory")
    place = image.registers_in(private_size) - image.private_start
    if place % 8 or not 0 <= place <= private_size - REGISTERS.itemsize:
        raise ValueError(f"{image.name}: its registers page is not inside private memory")
