"""The C kernels that are measured, and the answers of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

FOLDER = Path(__file__).parent / "kernels"

# How much work: about 50 to 80 ms of native code on the machine this was written on.
KERNELS = {
    "fib": 37,
    "tak": 28,
    "sieve": 30,
    "matmul_int": 30,
    "matmul_double": 30,
    "nbody": 1_000_000,
    "sha256": 200_000,
    "quicksort": 5,
    "chase": 6_000_000,
    "strings": 150,
    "mandelbrot": 900,
    "bytecode": 1_000_000,
    "indirect": 25_000_000,
    "mix": 5_000,
}

# The same meaning for every compiler: no fused multiply-add, so that the last bits of checksums agree.
FLAGS = (
    "-std=gnu11",
    "-O2",
    "-fomit-frame-pointer",
    "-ffreestanding",
    "-fno-math-errno",
    "-fno-stack-protector",
    "-ffp-contract=off",
)


class Sample(NamedTuple):
    """One call of a kernel: thread CPU time, and its answer."""

    seconds: float
    answer: int


class Unavailable(Exception):
    """This engine cannot be measured here; the message says why."""


class Broken(Exception):
    """An engine could not run this kernel to its end; the message says why."""


Run = Callable[[], Sample]


class Engine(Protocol):
    """One way to run a kernel; made once (raising `Unavailable`), then asked for each kernel."""

    def prepare(self, name: str, amount: int, folder: Path) -> Run:
        """Compile the kernel into `folder` and warm it up; what is returned makes one measured call."""
        ...

    def release(self) -> None:
        """Give back what the last kernel took."""
        ...

    def close(self) -> None:
        """Give back everything."""
        ...
