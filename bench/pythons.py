# pyright: basic
"""The kernels of Python services: the same functions in a guest, and by numba's own target in this process.

A guest's Python checks every index; numba's, as its users get it, none. Both wrap integers at 64 bits.
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

from denali.bench.programs import FOLDER, Run, Sample
from denali.isa.image import Image

# How much work: about 50 to 80 ms of numba's code on the machine this was written on.
PYTHON = {"py_sieve": 60, "py_checksum": 80_000, "py_parse": 120_000, "py_table": 5_000_000}
ENGINES = ("native", "denali-flat", "denali-masked")  # that speak Python


def native(name: str, amount: int) -> Run:
    """One measured call of a kernel by numba's target for this host."""
    import numba

    module = _module(name)
    for function in [value for value in vars(module).values() if callable(value)]:
        setattr(module, function.__name__, numba.njit(function))

    def run() -> Sample:
        start = time.thread_time_ns()
        answer = module.kernel(amount, module.WORK)
        return Sample((time.thread_time_ns() - start) / 1e9, int(answer))

    run()
    return run


def guest(name: str, amount: int, folder: Path) -> Image:
    """The same kernel as a service."""
    from denali.system import load

    service = folder / f"{name}.py"
    call = f"\n\ndef main() -> int:\n    return kernel({amount}, WORK)\n"
    service.write_text((FOLDER / f"{name}.py").read_text() + call)
    return load(service)


def _module(name: str) -> Any:
    """A kernel's file as a module of its own."""
    specification = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
