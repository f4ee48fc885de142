from __future__ import annotations

from collections.abc import Iterator

import pytest

from denali.isa.runtime.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine() as one:
        yield one
