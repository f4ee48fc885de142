"""What is known of guests by the spawn they came from: image, memory, fuel; and the address spaces of images."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from denali.isa.engine import Engine, Space
from denali.isa.image import Image
from denali.tlb import flat
from denali.tlb.frames import FRAME
from denali.tlb.holds import ALLOWANCE

from . import life
from .guest import Birth
from .services import service_address

STACK = 64 << 10  # bytes for stack and heap where neither the image brings its own nor anybody said how much
LEAST_STACK = 1024
MOST = 1 << 31  # bytes of private memory

Progress = Callable[[int, int], None]


def private_size(image: Image, memory: int | None) -> int:
    """Bytes of private memory for guests that want `memory` of it: whole frames, the context taken off.

    Raises:
        ValueError: it is too small for the image, or too large for the machine.
    """
    least = image.least + (0 if image.registers else LEAST_STACK)
    usual = image.footprint + (0 if image.registers else STACK)
    wanted = usual if memory is None else memory
    if not least <= wanted <= MOST:
        raise ValueError(f"{image.name}: {wanted} bytes of memory; it takes {least} to {MOST}")
    return flat.private_size_of(flat.frames_for(wanted))


@dataclass(slots=True)
class Plan:
    """How many guests to make, and how they start."""

    count: int
    fuel: int
    turn: int
    watchdog: int
    start: bool = True
    piped: bool = False
    extra: int = ALLOWANCE
    gateway: bool = False

    def __post_init__(self) -> None:
        for name in ("count", "fuel", "turn", "watchdog"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.extra <= MOST // FRAME:
            raise ValueError(f"extra is {self.extra}; it must be 0 to {MOST // FRAME} frames")


def spawn(kernel: int, birth: Birth, space: int, plan: Plan) -> int:
    """Make the guests in one native call; how many were made before frames or numbers ran out."""
    seeds = np.frombuffer(os.urandom(16 * plan.count), np.uint64)
    data = np.frombuffer(birth.image.data or b"\0", np.uint8)
    record = np.zeros(1, life.BIRTH)
    record["space"], record["entry"] = space, birth.image.entry
    record["data"], record["data_size"] = data.ctypes.data, len(birth.image.data)
    record["frames"], record["fuel"], record["turn"] = birth.frames, plan.fuel, plan.turn
    record["watchdog"] = plan.watchdog
    record["gateway"], record["piped"], record["held"] = plan.gateway, plan.piped, not plan.start
    record["bonus"] = plan.extra - ALLOWANCE
    record["seeds"] = seeds.ctypes.data
    return int(life.spawn(kernel, record.ctypes.data, plan.count))


class Batches:
    """Which spawn a guest's number came from."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        self._births: list[Birth] = []

    def add(self, first: int, count: int, birth: Birth) -> None:
        """Note that guests `first`, `first + 1`, … have this birth."""
        if count:
            self._births.append(birth)
            self._firsts.append(first)
            self._ends.append(first + count)  # last, since other threads read: `end` covers only what is complete

    @property
    def end(self) -> int:
        """The number after the last that is noted here; what native code has just made may not be yet."""
        return self._ends[-1] if self._ends else 0

    def birth(self, number: int) -> Birth:
        """The birth of a guest.

        Raises:
            KeyError: no guest has had this number.
        """
        index = bisect_right(self._firsts, number) - 1
        if index < 0 or number >= self._ends[index]:
            raise KeyError(f"there is no guest {number}")
        return self._births[index]


class Spaces:
    """The address spaces of this kernel: one for each image and size of memory."""

    def __init__(self, engine: Engine, kernel: int) -> None:
        self._engine, self._kernel = engine, kernel
        self._lock = threading.Lock()
        self._made: dict[tuple[str, int], Space] = {}
        self._seen: dict[Space, int] = {}

    def get(self, image: Image, size: int, progress: Progress | None = None, *, wait: bool = False) -> Space:
        """The space of guests of this image and size.

        Its translation comes from the cache, or is begun; `wait` waits for a new space's. Guests are interpreted
        until it is there.
        """
        with self._lock:
            if (image.digest, size) not in self._made:
                space = self._engine.space(image, size, service_address())
                space.record["kernel"] = self._kernel
                space.translate(progress, wait=wait)
                self._made[image.digest, size] = space
            return self._made[image.digest, size]

    def poll(self) -> bool:
        """Install what was translated meanwhile; whether hot code was found since the last time, or added."""
        news = False
        for space in list(self._made.values()):
            count = int(space.record["wanted_count"][0])
            news |= self._seen.get(space, 0) != count
            self._seen[space] = count
            news |= space.poll() or space.translating > 0
        return news

    def close(self) -> None:
        """Unload everything; no guest runs."""
        for space in self._made.values():
            space.close()
        self._made.clear()
