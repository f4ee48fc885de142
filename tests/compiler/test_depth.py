"""Where the depth of the stack is known, a service brings its own, next to what it uses most."""

from __future__ import annotations

from pathlib import Path

import pytest
from engines import Call, run

from denali.isa.context import CONTEXT, Status
from denali.isa.image import Image
from denali.isa.virtual import REGISTERS, Service
from denali.kernel import births
from denali.libos.compiler import build, depth

from .guest import run_image, write

DEEP = """
large = np.zeros(3000, np.int64)
small = np.zeros(1, np.int64)
begun = np.array([5, 6], np.int64)


def deep(n: int) -> int:
    room = machine.buffer(600)
    for i in range(len(room)):
        room[i] = (n + i) & 255
    machine.console(room)
    return int(room[599])


def main() -> int:
    small[0] = deep(int(begun[1]))
    large[2999] = deep(int(small[0]))
    return int(large[2999])
"""
RECURSIVE = """
def fib(n: int) -> int:
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)


def main() -> int:
    return fib(12)
"""


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image.from_elf(build(write(tmp_path_factory.mktemp("deep"), DEEP)), "service")


def test_a_service_runs_in_exactly_the_memory_that_it_lays_out(deep: Image) -> None:
    said: list[int] = []

    def service(call: Call) -> int:
        said.append(call.a)
        return call.leave() if call.number == Service.EXIT else call.b

    size = -(-deep.footprint // 8) * 8
    for engine in ("reference", "interpreter"):
        outcome = run(engine, deep, fuel=1_000_000, private_size=size, service=service)
        assert outcome.status is Status.LEFT
        assert said[-1] == ((6 + 599) % 256 + 599) % 256


def test_the_stack_ends_where_private_memory_begins(deep: Image) -> None:
    stack = depth.of(deep)
    assert stack is not None
    assert 600 <= stack < 1200
    assert deep.registers == deep.private_start + stack


def test_what_is_small_lies_next_to_the_stack_and_what_is_large_at_the_end(deep: Image) -> None:
    begun, small, large = (deep.object(f"service.{name}").start for name in ("begun", "small", "large"))
    assert deep.registers + REGISTERS.itemsize <= begun < small < large
    assert small + 8 <= deep.private_start + 4096 - CONTEXT.itemsize
    assert deep.data[begun - deep.private_start :][:8] == bytes([5, 0, 0, 0, 0, 0, 0, 0])


def test_the_kernel_gives_such_a_guest_no_other_stack(deep: Image) -> None:
    assert births.private_size(deep, None) < deep.footprint + 4096


def test_a_function_that_calls_itself_gets_the_kernels_stack(tmp_path: Path) -> None:
    image = Image.from_elf(build(write(tmp_path, RECURSIVE)), "service")
    assert (depth.of(image), image.registers) == (None, 0)
    assert run_image(image).exit_status == 144
