"""The native engine: the runtime every guest is entered through, and the address spaces of images.

    with Engine() as engine:
        space = engine.space(image, private_size, service)
        space.translate()
        ...  # engine.enter(context) with context.space == space.address; space.poll() between turns

What is translated once is on disk; with it there, a start takes milliseconds and LLVM is not even loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Self

import numpy as np

from denali.isa.context import SPACE, Mode
from denali.isa.image import Image
from denali.isa.runtime import cache as caching
from denali.isa.runtime.loader import Code, Unloadable, load
from denali.isa.runtime.translated import Means, Progress, Translated, library
from denali.isa.runtime.worker import Request, Workers
from denali.isa.virtual import REGISTERS

log = logging.getLogger("denali.engine")

RING = 256


class Engine:
    """The native runtime of this process, and the workers that translate."""

    def __init__(
        self, cache: caching.Cache | None = None, workers: Workers | None = None, *, masked: bool = False
    ) -> None:
        """Load the runtime, building it first where the cache has none.

        Args:
            cache: where native code is kept; None: the user's.
            workers: who translates; None: some of its own.
            masked: native code makes no access out of bounds speculatively either.

        Raises:
            Failed: it could not be built.
            OSError: this host does not let generated code be executed.
        """
        self.cache = cache or caching.Cache()
        self.workers = workers or Workers()
        self.masked = masked
        self.spaces: list[Space] = []
        self.runtime_name = _runtime_name(masked)
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
        return load(_build_runtime(self.cache, self.runtime_name, self.workers, self.masked), library())


def prepare_runtime(building: Callable[[], object] = lambda: None, *, masked: bool = False) -> None:
    """Have the native runtime on disk, so that an `Engine` starts at once; `building` is called when it has to be made.

    Raises:
        Failed: it could not be built.
    """
    cache, name = caching.Cache(), _runtime_name(masked)
    if cache.get("native", name) is None:
        building()
        workers = Workers(1)
        try:
            _build_runtime(cache, name, workers, masked)
        finally:
            workers.close()


def _runtime_name(masked: bool) -> str:
    return caching.key("runtime", caching.code_version(), "masked" if masked else "")


def _build_runtime(cache: caching.Cache, name: str, workers: Workers, masked: bool) -> bytes:
    code = workers.submit(Request("runtime", masked=masked)).result().code
    cache.put("native", name, code)
    return code


class Space:
    """One image at one size of private memory: what its guests share, and its translations."""

    def __init__(self, engine: Engine, image: Image, private_size: int, service: int) -> None:
        """See `Engine.space`."""
        _check(image, private_size)
        self.engine, self.image, self.private_size = engine, image, private_size
        self._read_only = np.frombuffer(image.read_only or bytes(8), np.uint8)
        means = Means(engine.cache, engine.workers, engine.runtime, engine.masked)
        self.flat, self.paged = (Translated(means, image, private_size, mode) for mode in (Mode.FLAT, Mode.PAGED))
        self.ring = np.zeros(RING, np.uint64)
        self.record = np.zeros(1, SPACE)
        self._fill(service)
        self.address = address_of(self.record)
        self._seen = 0  # of the ring

    def _fill(self, service: int) -> None:
        record, image = self.record[0], self.image
        record["read_only"] = address_of(self._read_only)
        record["ro_start"], record["ro_end"] = image.ro_start, image.ro_end
        record["text_start"], record["text_end"] = image.text_start, image.text_end
        record["private_start"], record["private_size"] = image.private_start, self.private_size
        record["registers"] = image.registers_in(self.private_size)
        record["table"], record["heat"] = address_of(self.flat.table), address_of(self.flat.heat)
        record["paged_table"], record["paged_heat"] = address_of(self.paged.table), address_of(self.paged.heat)
        record["wanted"], record["service"], record["miss"] = address_of(self.ring), service, self.flat.miss

    def translate(self, progress: Progress | None = None, *, wait: bool = True) -> None:
        """Translate the whole image for flat memory, from the cache or by the workers.

        A part that cannot be translated is noted in the log and interpreted, also at later starts. Code for
        guests that turn their virtual MMU on is made when the first of them has become hot somewhere.

        Args:
            progress: called with the number of finished and of all parts.
            wait: return when all is there; else at once, and what is missing comes with later calls of `poll`, first
                quickly made code, then better code.
        """
        self.flat.translate(progress, wait=wait)

    @property
    def translating(self) -> int:
        """Requests that workers have been given and whose answers are not in use yet."""
        return self.flat.translating + self.paged.translating

    def poll(self) -> bool:
        """Install translations that have finished, and have hot entries translated next; True when code was added.

        To be called between turns; it never waits.
        """
        if int(self.record["wanted_count"][0]) != self._seen:
            self._collect()
        flat, paged = self.flat.poll(), self.paged.poll()
        return flat or paged

    def close(self) -> None:
        """Unload its code; no guest may be running in it."""
        if self in self.engine.spaces:
            self.engine.spaces.remove(self)
        self.flat.close()
        self.paged.close()

    def _collect(self) -> None:
        """Take what has become hot from the ring. A pc that was overwritten there comes when it is asked for again."""
        count = int(self.record["wanted_count"][0])
        for index in range(max(self._seen, count - RING), count):
            wanted = int(self.ring[index % RING])
            if not wanted & 1:
                self.flat.want(wanted)
            elif self.paged.begun:
                self.paged.want(wanted - 1)
            else:
                self.paged.translate(wait=False)
        self._seen = count


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
