"""How soon a guest runs: from a new image to its first instruction, to code of either quality, and from the cache.

The image is as large as is asked for: it exits at once, and behind that lies the text of the library's gateway, with
its symbols, again and again. Random bytes at its end make it new each time. Times are wall clock unless called CPU.
"""

from __future__ import annotations

import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from denali.isa.image import Image, Segment, Symbol
from denali.isa.runtime.cache import Cache
from denali.isa.runtime.engine import Engine
from denali.isa.runtime.worker import QUICK, Request, Workers
from denali.isa.tools.assembler import assemble
from denali.isa.tools.elf import write_elf
from denali.isa.translator.units import Program
from denali.kernel.births import private_size
from denali.kernel.kernel import Kernel
from denali.libos.compiler import build
from denali.system import service

HELLO = Path(__file__).parent.parent / "examples" / "hello.py"
STATUS = 7
ENTRY = f"_start: li a0, {STATUS}\n v.exit zero, a0, zero\n"
Say = Callable[[str], None]


@dataclass(slots=True)
class Building:
    """What compiling a Python service took, the start of the compiler's process included."""

    seconds: float
    cpu_s: float
    functions: int  # that were compiled


@dataclass(slots=True)
class Report:
    """What `denali-py bench start` measures."""

    text_bytes: int
    instructions: int  # that the translator finds in it
    first_instruction_ms: float  # from the bytes of a new image to the exit of its first guest, median
    first_instruction_worst_ms: float
    quick_cpu_s: float  # of the workers: the first code of the whole image, without optimisation
    better_cpu_s: float  # of the workers: the better code of the whole image
    better_cpu_s_per_1000: float  # guest instructions
    reload_ms: float  # to have all of the better code in use, from the cache; median
    reload_cpu_ms: float  # of the thread that does it
    cached_bytes: int
    first_service_s: float  # to compile examples/hello.py with an empty cache
    first_service_cpu_s: float  # the start of the compiler's process included
    first_service_functions: int
    next_service_s: float  # to compile the same with another text in it, with what the first left in the cache
    next_service_cpu_s: float
    next_service_functions: int

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def new_image(size: int) -> bytes:
    """An ELF image with about `size` bytes of text that no cache has seen."""
    source, start = service("gateway"), assemble(ENTRY)
    first = start.text
    body = source.read_only[source.text_start - source.ro_start : source.text_end - source.ro_start]
    base, functions = source.text_start, list[Symbol]()
    text = bytearray(first.ljust(16, b"\0"))
    while len(text) < size:
        shift = base + len(text) - source.text_start
        copy = len(functions)
        functions += [Symbol(f"{f.name}.{copy}", f.start + shift, f.size) for f in source.functions]
        text += body.ljust(-(-len(body) // 16) * 16, b"\0")
    text += os.urandom(16)
    entry = Symbol("_start", base, len(first))
    segments = [Segment(base, len(text), bytes(text), writable=False, executable=True)]
    return write_elf(segments, entry=base, functions=[entry, *functions])


def measure(size: int, rounds: int, say: Say) -> Report:
    """Measure with an image of about `size` bytes of text."""
    firsts = list[float]()
    for number in range(rounds):
        say(f"first instruction: {number + 1} of {rounds}")
        firsts.append(first_instruction(new_image(size)))
    image = Image.from_elf(new_image(size), "new")
    found = sum(function.size for function in Program(image).functions.values())
    memory = private_size(image, None)
    say("translating without optimisation")
    quick = quick_cpu(image, memory)
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder))
        say("translating")
        better = better_cpu(cache, image, memory)
        reloads = [reload_s(cache, image, memory) for _ in range(rounds)]
        kept = sum(size for path, size, _ in cache.entries() if path.parent.name == "native")
    say("compiling services")
    first, following = services()
    return Report(
        text_bytes=image.text_end - image.text_start,
        instructions=found,
        first_instruction_ms=statistics.median(firsts) * 1e3,
        first_instruction_worst_ms=max(firsts) * 1e3,
        quick_cpu_s=quick,
        better_cpu_s=better,
        better_cpu_s_per_1000=better / found * 1e3,
        reload_ms=statistics.median(wall for wall, _ in reloads) * 1e3,
        reload_cpu_ms=statistics.median(cpu for _, cpu in reloads) * 1e3,
        cached_bytes=kept,
        first_service_s=first.seconds,
        first_service_cpu_s=first.cpu_s,
        first_service_functions=first.functions,
        next_service_s=following.seconds,
        next_service_cpu_s=following.cpu_s,
        next_service_functions=following.functions,
    )


def first_instruction(elf: bytes) -> float:
    """Seconds from an image's bytes to the end of a guest that exits at once, in a kernel that runs already."""
    with Kernel() as kernel:
        kernel.metrics()
        begin = time.perf_counter()
        (guest,) = kernel.spawn(Image.from_elf(elf, "new"))
        guest.wait()
        seconds = time.perf_counter() - begin
        assert guest.exit_status == STATUS, guest.message
    return seconds


def children_cpu() -> float:
    """CPU seconds of the processes that this one has started and seen end."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def workers_cpu(work: Callable[[Workers], object]) -> float:
    """CPU seconds of the worker processes that `work` uses, their start included."""
    before = children_cpu()
    workers = Workers()
    work(workers)
    workers.close()
    return children_cpu() - before


def services() -> tuple[Building, Building]:
    """Compile a service with nothing in the cache, and then another one that uses the library as it does."""
    text = HELLO.read_text()
    with tempfile.TemporaryDirectory() as folder, environment("DENALI_CACHE", folder):
        first, other = Path(folder, "first.py"), Path(folder, "other.py")
        first.write_text(text)
        other.write_text(text.replace("Hello from", "Greetings from"))
        return building(first), building(other)


def building(file: Path) -> Building:
    """Compile a service."""
    said = list[str]()
    before, begin = children_cpu(), time.perf_counter()
    build(file, progress=said.append)
    seconds = time.perf_counter() - begin
    return Building(seconds, children_cpu() - before, sum(": compiling" in line for line in said))


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """A variable of the environment, set meanwhile."""
    old = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if old is not None:
            os.environ[name] = old


def quick_cpu(image: Image, memory: int) -> float:
    """CPU seconds to have all of an image in its first quality."""

    def work(workers: Workers) -> None:
        plan = workers.submit(Request("plan", image, memory)).result().batches
        for answer in [workers.submit(Request("translate", image, memory, tuple(b), level=QUICK)) for b in plan]:
            answer.result()

    return workers_cpu(work)


def better_cpu(cache: Cache, image: Image, memory: int) -> float:
    """CPU seconds to have all of an image in its better quality, and in `cache`."""

    def work(workers: Workers) -> None:
        Engine(cache, workers).space(image, memory, 0).translate()

    with Engine(cache):  # the runtime is built before
        return workers_cpu(work)


def reload_s(cache: Cache, image: Image, memory: int) -> tuple[float, float]:
    """Seconds and CPU seconds to have an image's translation in use that the cache holds."""
    with Engine(cache) as engine:
        space = engine.space(image, memory, 0)
        begin, working = time.perf_counter(), time.thread_time()
        space.translate()
        return time.perf_counter() - begin, time.thread_time() - working
