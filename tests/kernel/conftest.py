"""Kernels for tests: small tables, one engine, interpreted guests; the laws are asserted after every test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from functools import cache

import pytest

from denali.isa.image import Image
from denali.isa.runtime.engine import Engine, Space
from denali.isa.tools.assembler import assemble
from denali.kernel.kernel import Kernel
from denali.kernel.mailbox import Closed


class Interpreter(Engine):
    """An engine that does not translate: the kernel's laws do not depend on how instructions are executed."""

    def space(self, image: Image, private_size: int, service: int) -> Space:
        space = super().space(image, private_size, service)
        space.translate = lambda progress=None, *, wait=True: None  # type: ignore[method-assign]
        space.poll = lambda: False  # type: ignore[method-assign]
        return space


@cache
def program(source: str, name: str = "program") -> Image:
    """An image of assembly."""
    return assemble(source, name=name).image()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Interpreter() as made:
        yield made


@contextlib.contextmanager
def opened(engine: Engine, **options: object) -> Generator[Kernel]:
    """A kernel that is checked and closed when it is left."""
    sizes: dict[str, object] = {"capacity": 4096, "frames": 1 << 17, "packets": 1024}
    kernel = Kernel(engine=engine, **(sizes | options))  # type: ignore[arg-type]
    try:
        yield kernel
        with contextlib.suppress(Closed):
            kernel.check()
    finally:
        kernel.close()
    kernel.tables.check()
    assert kernel.tables.packets.free == len(kernel.tables.packets.items)
    assert int((kernel.tables.frames.holder != 0).sum()) == 0


@pytest.fixture
def make_kernel(engine: Engine) -> Iterator[Callable[..., Kernel]]:
    """Makes kernels; each is checked and closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(**options: object) -> Kernel:
            return stack.enter_context(opened(engine, **options))

        yield make


@pytest.fixture
def kernel(make_kernel: Callable[..., Kernel]) -> Kernel:
    return make_kernel()
