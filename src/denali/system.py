"""The composition: a kernel with its gateway, and programs of any kind as images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from . import libos
from .isa.image import Image
from .isa.runtime.engine import prepare_runtime
from .kernel.kernel import Kernel as IsolationKernel
from .libos.compiler import CompileError, build
from .libos.compiler.build import ignore
from .tlb import compiled

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


def load_all(
    path: str | os.PathLike[str], services: Iterable[str], progress: Progress, *, masked: bool = False
) -> Image:
    """A program, with all that a kernel and these services of the library need made at the same time."""
    with ThreadPoolExecutor() as pool:
        rest = pool.submit(prepare, services, progress, masked=masked)
        image = load(path, progress=progress)
        rest.result()
    return image


def prepare(services: Iterable[str], progress: Progress | None = None, *, masked: bool = False) -> None:
    """Have on disk what a kernel needs: its native functions, the engine's runtime, and services of the library.

    What is missing is made at the same time, each in a process of its own.
    """
    say = progress or ignore
    tasks: list[Callable[[], object]] = [
        lambda: compiled.prepare("denali.kernel", lambda: say("compiling the kernel")),
        lambda: prepare_runtime(lambda: say("compiling the interpreter"), masked=masked),
        *[lambda name=name: service(name, progress) for name in services],
    ]
    with ThreadPoolExecutor(len(tasks)) as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()


class Limits(TypedDict, total=False):
    """Sizes of a kernel; `kernel.kernel.Kernel` says what they mean."""

    capacity: int
    frames: int
    packets: int
    resident: int | None
    swap: str | os.PathLike[str] | None


class Kernel(IsolationKernel):
    """An isolation kernel whose guests can be reached from the host: guest 0 is the gateway.

    Args:
        clock: "real", or "virtual": time is counted in instructions and jumps when every guest waits.
        gateway: without one, guests have only their virtual network, and starting is quicker.
        masked: guests' code makes no access out of bounds speculatively either, which takes them longer.
        progress: told in words what takes time while the gateway's image is made.
        **limits: see `kernel.Kernel`.
    """

    def __init__(
        self,
        *,
        clock: Literal["real", "virtual"] = "real",
        gateway: bool = True,
        masked: bool = False,
        progress: Progress | None = None,
        **limits: Unpack[Limits],
    ) -> None:
        prepare(("gateway",) if gateway else (), progress, masked=masked)
        image = service("gateway") if gateway else None
        super().__init__(clock=clock, gateway=image, masked=masked, **limits)
