"""Guests on the real engine: interpreted at once, translated meanwhile, the same in the end."""

from __future__ import annotations

import pytest

from denali.isa.runtime.engine import Engine
from denali.kernel.kernel import Kernel

from .conftest import program

LOOP = """
_start: li a0, 0
        li a1, 300000
again:  add a0, a0, a1
        addi a1, a1, -1
        bnez a1, again
        v.exit zero, a0, zero
"""
SUM = 300_000 * 300_001 // 2


def test_nobody_waits_for_a_translation_and_it_changes_nothing() -> None:
    with Kernel(capacity=100, frames=4096, packets=64) as kernel:
        (first,) = kernel.spawn(program(LOOP))
        assert first.wait(60)
        told: list[tuple[int, int]] = []
        kernel.prepare(program(LOOP), progress=lambda done, total: told.append((done, total)))
        (second,) = kernel.spawn(program(LOOP))
        assert second.wait(60)
        assert first.exit_status == second.exit_status == SUM
        assert first.metrics()["retired"] == second.metrics()["retired"]
        kernel.check()


def test_masked_guests_end_as_others_do() -> None:
    with Kernel(capacity=100, frames=4096, packets=64, masked=True) as kernel:
        kernel.prepare(program(LOOP))
        (guest,) = kernel.spawn(program(LOOP))
        assert guest.wait(60)
        assert guest.exit_status == SUM
        kernel.check()


def test_a_kernel_is_as_its_engine_is(engine: Engine) -> None:
    with pytest.raises(ValueError, match="masked is True, but the engine was made with False"):
        Kernel(engine=engine, masked=True)


def test_closing_while_a_translation_is_under_way_is_clean() -> None:
    with Kernel(capacity=100, frames=4096, packets=64) as kernel:
        kernel.spawn(program(LOOP.replace("300000", "299999")))
