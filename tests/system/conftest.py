"""Kernels over the real services, checked for lost frames, packets and streams when a test is done with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from denali import Kernel

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with Kernel() as kernel:
        yield kernel
        kernel.check()


@pytest.fixture
def examples() -> Path:
    return EXAMPLES
