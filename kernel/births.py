"""What is known of guests by the spawn they came from: image, memory, fuel; and the address spaces of images."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import index
from typing import Any

import numpy as np

from denali.isa.image import Image
from denali.isa.runtime.engine import Engine, Space
from denali.tlb import flat
from denali.tlb.frames import FRAME
from denali.tlb.holds import ALLOWANCE

from . import life, template
from .guest import Birth
from .records import State
from .services import service_address
from .template import Template

STACK = 64 << 10  # bytes for stack and heap where neither the image brings its own nor anybody said how much
LEAST_STACK = 1024
MOST = 1 << 31  # bytes of private memory
ENDLESS = 1 << 62  # instructions

Progress = Callable[[int, int], None]


def private_size(image: Image, memory: int | None) -> int:
    """Bytes of private memory for guests that want `memory` of it: whole frames, the context taken off.

    Raises:
        ValueError: it is too small for the image, or too large for the machine.
    """
    least = image.least + (0 if image.registers else LEAST_STACK)
    usual = image.footprint + (0 if image.registers else STACK)
    wanted = usual if memory is None else index(memory)
    if not least <= wanted <= MOST:
        raise ValueError(f"{image.name}: {wanted} bytes of memory; it takes {least} to {MOST}")
    return flat.private_size_of(flat.frames_for(wanted))


@dataclass(slots=True, frozen=True)
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
    warming: bool = False

    def __post_init__(self) -> None:
        for name in ("count", "fuel", "turn", "watchdog"):
            if not 1 <= getattr(self, name) <= ENDLESS:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 to {ENDLESS}")
        if not 0 <= self.extra <= MOST // FRAME:
            raise ValueError(f"extra is {self.extra}; it must be 0 to {MOST // FRAME} frames")


def spawn(kernel: int, birth: int, count: int) -> np.ndarray[Any, Any]:
    """Make guests of one `BIRTH` in one native call; the numbers of those made before frames or numbers ran out."""
    numbers = np.empty(count, np.int64)
    return numbers[: int(life.spawn(kernel, birth, numbers.ctypes.data, count))]


def compact(numbers: np.ndarray[Any, Any]) -> Sequence[int]:
    """Numbers for Python to keep: a range if they are one."""
    if len(numbers) and (numbers[1:] - numbers[:-1] == 1).all():
        return range(int(numbers[0]), int(numbers[-1]) + 1)
    return numbers.tolist()


def _record(birth: Birth, space: int, plan: Plan) -> Any:
    """The `BIRTH` of a plan."""
    made, record = birth.template, np.zeros(1, life.BIRTH)
    record["space"], record["frames"], record["dense"] = space, birth.frames, made.dense
    record["pieces"], record["piece_count"] = made.pieces.ctypes.data, len(made.pieces)
    record["index"], record["pages"] = made.index.ctypes.data, made.pages.ctypes.data
    record["page_count"], record["own"], record["own_count"] = len(made.index), made.own.ctypes.data, len(made.own)
    if made.file() >= 0:
        record["file"], record["own_pieces"] = made.file(), made.own_pieces
        record["stretch"], record["stretch_pages"] = made.stretch
    for name in ("fuel", "turn", "watchdog", "gateway", "piped", "warming"):
        record[name] = getattr(plan, name)
    record["held"], record["bonus"] = not plan.start, plan.extra - ALLOWANCE
    return record


class Births:
    """What guests came from. A kernel keeps all of them: native code knows them by address."""

    def __init__(self, guests: np.ndarray[Any, Any]) -> None:
        self._guests = guests
        self._made: dict[tuple[Template, int, Plan], tuple[Birth, Any]] = {}
        self._births: dict[int, Birth] = {}
        self._booted: dict[tuple[str, int], Template] = {}

    def booted(self, image: Image, frames: int) -> Template:
        """The template of an image's start, made once."""
        key = (image.digest, frames)
        if key not in self._booted:
            self._booted[key] = template.booted(image, frames)
        return self._booted[key]

    def address(self, birth: Birth, space: int, plan: Plan) -> int:
        """The host address of the `BIRTH` of guests that are made so."""
        key = (birth.template, space, replace(plan, count=1))
        if key not in self._made:
            self._made[key] = birth, _record(birth, space, plan)
            self._births[self._made[key][1].ctypes.data] = birth
        return self._made[key][1].ctypes.data

    def of(self, row: int) -> Birth:
        """The birth of the guest in a row of the tables.

        Raises:
            KeyError: there has been none.
        """
        known = 0 <= row < len(self._guests) and self._guests["state"][row] != State.ABSENT
        birth = self._births.get(int(self._guests["birth"][row])) if known else None
        if birth is None:
            raise KeyError(f"there is no guest {row}")
        return birth


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
