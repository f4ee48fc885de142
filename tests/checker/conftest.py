from __future__ import annotations

import pytest

from denali.isa.runtime import compile as compiling

PROCESSOR = "znver4"  # as LLVM names it


@pytest.fixture
def one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code as for one processor whatever the host: LLVM makes other code for others, of which less may be proven."""
    monkeypatch.setattr(compiling, "host", lambda: (PROCESSOR, compiling.SPARING.removeprefix(",")))
