# pyright: basic
"""The examples about memory, as guests of the kernel and as ordinary Python; page tables against a dictionary."""

from __future__ import annotations

import importlib
import random
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from denali import Guest, Kernel, load
from denali.libos import fake, machine
from denali.libos.paging import squeeze

SUM = sum(i // 100 for i in range(64 * 512))
ANSWERS = {
    "radix": (780, "80 misses; the sum is 780"),
    "inverted": (780, "80 misses; the sum is 780"),
    "pager": (SUM, f"8 pages have frames; 120 were squeezed and 64 expanded; the sum is {SUM}"),
    "fork": (3, "child 3496 parent 496 copied 3"),
}


def reset(module: ModuleType) -> None:
    for value in vars(module).values():
        if isinstance(value, np.ndarray):
            value[:] = 0


@pytest.fixture
def paging() -> list[ModuleType]:
    modules = [importlib.import_module(f"denali.libos.paging.{name}") for name in ("frames", "radix", "inverted")]
    for module in modules:
        reset(module)
    return modules


@pytest.mark.parametrize("name", ANSWERS)
def test_a_guest_and_cpython_agree(
    kernel: Kernel, examples: Path, paging: list[ModuleType], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"denali.examples.{name}")
    reset(module)
    with machine.use(fake.Machine()):
        assert module.main() == ANSWERS[name][0]
    assert capsys.readouterr().out.strip() == ANSWERS[name][1]
    (guest,) = kernel.spawn(load(examples / f"{name}.py"))
    assert guest.wait(30)
    assert guest.message is None
    assert guest.exit_status == ANSWERS[name][0]
    assert guest.console().decode().strip() == ANSWERS[name][1]
    kernel.check()


def test_two_formats_of_page_tables_side_by_side(kernel: Kernel, examples: Path) -> None:
    guests = [
        guest for name in ("radix", "inverted") for guest in kernel.spawn(load(examples / f"{name}.py"), count=20)
    ]
    assert kernel.wait(guests, 60)
    assert {guest.exit_status for guest in guests} == {780}


@pytest.mark.parametrize("frames", [4, 9])
def test_the_pager_needs_no_more_frames_than_it_is_given(kernel: Kernel, examples: Path, frames: int) -> None:
    (guest,) = kernel.spawn(load(examples / "pager.py"), extra=frames)
    assert guest.wait(30)
    assert guest.exit_status == ANSWERS["pager"][0], guest.message


def test_the_pager_gives_frames_back_and_loses_nothing(kernel: Kernel, examples: Path) -> None:
    (guest,) = kernel.spawn(load(examples / "pager.py"), turn=2000, extra=64)
    asked = 0
    while guest.ending is None and not asked:
        asked = kernel.revoke(guest, 3, within=60)
    finish(guest)
    assert guest.exit_status == ANSWERS["pager"][0], guest.message


def finish(guest: Guest) -> None:
    assert guest.wait(60)


@pytest.mark.parametrize("name", ["radix", "inverted"])
def test_a_page_table_is_a_dictionary_of_pages(paging: list[ModuleType], name: str) -> None:
    table = importlib.import_module(f"denali.libos.paging.{name}")
    dice, model = random.Random(7), dict[int, int]()
    pages = [(1 << 30) + 4096 * dice.randrange(4000) for _ in range(300)]
    for _ in range(5000):
        page = dice.choice(pages)
        if dice.random() < 0.4:
            table.remove(page)
            model.pop(page, None)
        else:
            entry = dice.randrange(1, 1 << 40)
            assert table.put(page, entry)
            model[page] = entry
        probe = dice.choice(pages)
        assert table.find(probe) == model.get(probe, 0)


def test_a_table_that_is_full_or_out_of_reach_says_so(paging: list[ModuleType]) -> None:
    _, radix, inverted = paging
    assert not radix.put(4096, 1)
    assert not radix.put(1 << 31, 1)
    assert sum(radix.put((1 << 30) + (n << 21), 1) for n in range(40)) == radix.TABLES
    assert sum(inverted.put(4096 * (n + 1), 1) for n in range(2000)) == inverted.SIZE // 2


def test_what_is_squeezed_comes_back(paging: list[ModuleType]) -> None:
    dice = random.Random(3)
    for width in (1, 3, 40, 600):
        page = np.array([dice.randrange(width) // 2 for _ in range(512)], np.int64)
        target, back = np.zeros(1024, np.int64), np.zeros(512, np.int64)
        size = squeeze.squeeze(page, target)
        squeeze.expand(target, size, back)
        assert (back == page).all()
    assert squeeze.squeeze(np.arange(512), np.zeros(64, np.int64)) == 0
