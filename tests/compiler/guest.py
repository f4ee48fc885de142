"""Build a Python service and run it on any engine, to its first stop."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

from engines import Call, Outcome, run

from denali.isa.context import Status
from denali.isa.definitions.record import ALL_ONES
from denali.isa.image import Image
from denali.isa.virtual import Service
from denali.libos.compiler import build

MEMORY = 64 * 1024


@dataclass
class Run:
    """The end of a guest: what it wrote, and how it ended."""

    image: Image
    outcome: Outcome
    console: str
    exit_status: int | None
    failure: str | None

    @property
    def private(self) -> bytes:
        """Its private memory."""
        return self.outcome.memory

    def words(self, symbol: str) -> list[int]:
        """A module-level array of 64-bit integers, as the guest left it."""
        found = self.image.object(symbol)
        start = found.start - self.image.private_start
        cells = self.private[start : start + found.size]
        return [int.from_bytes(cells[at : at + 8], "little", signed=True) for at in range(0, found.size, 8)]


def run_image(image: Image, engine: str = "interpreter", fuel: int = 50_000_000, console_takes: int = 1 << 20) -> Run:
    """Run an image; the console takes so many bytes at a time, the clock counts the questions."""
    written, ends, asked = bytearray(), dict[str, int | bytes](), [0]

    def service(call: Call) -> int:
        number, a, b = call.number, call.a & ALL_ONES, call.b & ALL_ONES
        if number == Service.CONSOLE:
            written.extend(call.read(a, min(b, console_takes)) or b"")
            return min(b, console_takes)
        if number == Service.EXIT:
            ends["exit"] = call.a
            return call.leave()
        if number == Service.FAIL:
            ends["fail"] = call.read(a, b) or b""
            return call.leave()
        if number in (Service.CLOCK, Service.YIELD, Service.IDLE):
            asked[0] += 1
            return asked[0]
        return call.trap(value=number)

    outcome = run(engine, image, fuel=fuel, private_size=MEMORY, service=service)
    status, failure = ends.get("exit"), ends.get("fail")
    assert outcome.status is Status.LEFT, (outcome.status, outcome.cause, image.function_at(outcome.pc), written[-200:])
    return Run(
        image,
        outcome,
        written.decode(),
        status - (status >> 63 << 64) if isinstance(status, int) else None,
        failure.decode() if isinstance(failure, bytes) else None,
    )


def write(folder: Path, text: str, name: str = "service") -> Path:
    """A service as a file."""
    file = folder / f"{name}.py"
    file.write_text("import numpy as np\nfrom denali.libos import machine\n" + textwrap.dedent(text))
    return file


def run_text(folder: Path, text: str, **settings: int) -> Run:
    """Build and run a service; two imports stand before its first line."""
    return run_image(Image.from_elf(build(write(folder, text)), "service"), **settings)  # type: ignore[arg-type]
