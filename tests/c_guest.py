"""Images that are made from C, and how they end with their console."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from engines import Call, Outcome, run

from denali.bench.programs import FLAGS, FOLDER, KERNELS
from denali.isa.definitions.record import ALL_ONES
from denali.isa.image import Image
from denali.isa.virtual import Service
from denali.libos import cc

MEMORY = 64 * 1024


@dataclass
class Guest:
    """The end of a C guest."""

    image: Image
    outcome: Outcome
    console: str
    exit_status: int | None
    failure: str | None

    @property
    def place(self) -> tuple[str, int]:
        """Function and line of its last pc."""
        _, line = self.image.line_at(self.outcome.pc) or ("", 0)
        return self.image.function_at(self.outcome.pc).split("+")[0], line


def kernel(name: str, folder: Path, compiler: str | None = None) -> Image:
    """A kernel of the benchmark as a guest; the test is skipped where no compiler, or not this one, makes it."""
    try:
        cc.find(compiler)
    except cc.BuildError as reason:
        pytest.skip(str(reason))
    elf = folder / f"{name}.elf"
    sources = [FOLDER / "_guest.c", FOLDER / f"{name}.c"]
    cc.build(sources, elf, flags=[*FLAGS, f"-DN={KERNELS[name]}"], compiler=compiler)
    return Image.load(elf)


def run_guest(elf: Path, engine: str = "interpreter", fuel: int = 10_000_000, console_takes: int = 1000) -> Guest:
    """Run an image to its first stop, with a console that takes so many bytes at a time."""
    image = Image.load(elf)
    written, ends = bytearray(), dict[str, int | bytes]()

    def service(call: Call) -> int:
        if call.number == Service.CONSOLE:
            written.extend(call.read(call.a, min(call.b & ALL_ONES, console_takes)) or b"")
            return min(call.b, console_takes)
        if call.number == Service.EXIT:
            ends["exit"] = call.a & ALL_ONES
            return call.leave()
        if call.number == Service.FAIL:
            ends["fail"] = call.read(call.a & ALL_ONES, call.b & ALL_ONES) or b""
            return call.leave()
        return 0 if call.number == Service.YIELD else call.trap(value=call.number)

    outcome = run(engine, image, fuel=fuel, private_size=MEMORY, service=service)
    failure = ends.get("fail")
    status = ends.get("exit")
    assert not isinstance(status, bytes)
    text = failure.decode() if isinstance(failure, bytes) else None
    return Guest(image, outcome, written.decode(), status, text)
