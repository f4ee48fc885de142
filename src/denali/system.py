"""The composition: a kernel with its gateway, and programs of any kind as images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from . import libos
from .isa.image import Image
from .kernel.kernel import Kernel as IsolationKernel
from .libos.compiler import CompileError, build

__all__ = ["CompileError", "Kernel", "load", "load_all", "service"]

Progress = Callable[[str], None]
_services: dict[str, Image] = {}  # of the library, once they are made


def load(path: str | os.PathLike[str], *, progress: Progress | None = None) -> Image:
    """A program as an image: a Python service (`.py`) is compiled or taken from the cache, all else is an ELF file.

    Args:
        path: the file.
        progress: told in words what takes time.

    Raises:
        CompileError: the service uses what guests cannot do; names file and line.
        BadImage: the file is no executable for this machine.
        OSError: it cannot be read.
    """
    file = Path(path)
    if file.suffix == ".py":
        return Image.from_elf(build(file, progress=progress), file.stem)
    return Image.load(file)


def service(name: str, progress: Progress | None = None) -> Image:
    """A service of the library, `gateway` or `probe`."""
    if name not in _services:
        _services[name] = load(Path(libos.__path__[0]) / f"{name}.py", progress=progress)
    return _services[name]


def load_all(path: str | os.PathLike[str], services: Iterable[str], progress: Progress) -> Image:
    """A program, with these services of the library made at the same time: each compiles in a process of its own."""
    with ThreadPoolExecutor() as pool:
        others = [pool.submit(service, name, progress) for name in services]
        image = load(path, progress=progress)
        for other in others:
            other.result()
    return image


class Limits(TypedDict, total=False):
    """Sizes of a kernel; `kernel.kernel.Kernel` says what they mean."""

    capacity: int
    frames: int
    packets: int


class Kernel(IsolationKernel):
    """An isolation kernel whose guests can be reached from the host: guest 0 is the gateway.

    Args:
        clock: "real", or "virtual": time is counted in instructions and jumps when every guest waits.
        gateway: without one, guests have only their virtual network, and starting is quicker.
        progress: told in words what takes time while the gateway's image is made.
        **limits: see `kernel.Kernel`.
    """

    def __init__(
        self,
        *,
        clock: Literal["real", "virtual"] = "real",
        gateway: bool = True,
        progress: Progress | None = None,
        **limits: Unpack[Limits],
    ) -> None:
        image = service("gateway", progress) if gateway else None
        super().__init__(clock=clock, gateway=image, **limits)
