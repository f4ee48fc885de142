# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false
"""Translations for guests whose virtual MMU is on are confined to what is bound; mutated translators are caught."""

from __future__ import annotations

from pathlib import Path

import pytest
from c_guest import kernel
from careless import Mutant, careless_pagers, mutated
from native.programs import Program
from test_confinement import checked, everything, whole_pages

from denali.bench.programs import KERNELS
from denali.checker import Report
from denali.isa.context import Mode
from denali.isa.image import Image
from denali.system import load

# How many places are not proven, of kernels as a compiler makes them and of the first random programs; of others none.
KERNELS_BEYOND = {("matmul_int", "gcc"): 1, ("mix", "zig"): 3, ("nbody", "gcc"): 36}
PROGRAMS_BEYOND = {1: 8, 7: 22, 9: 1}


def paged(image: Image) -> Report:
    return checked(image, whole_pages(image), mode=Mode.PAGED)


def test_the_translator_is_accepted() -> None:
    report = paged(everything())
    assert not report.refusals
    assert report.accesses["memory"] > 100


@pytest.mark.parametrize("mutant", careless_pagers(), ids=lambda mutant: mutant.title)
def test_a_mutated_translator_is_caught(mutant: Mutant) -> None:
    with mutated(mutant):
        assert paged(everything()).refusals, mutant.title


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_random_programs_are_accepted(seed: int) -> None:
    assert not paged(Program(seed).image()).refusals


@pytest.mark.parametrize("name", ["quicksort", "sieve", "bytecode", "indirect"])
def test_compiled_kernels_are_accepted(name: str, tmp_path: Path) -> None:
    assert not paged(kernel(name, tmp_path)).refusals


@pytest.mark.full
@pytest.mark.usefixtures("one_processor")
@pytest.mark.parametrize("seed", range(10))
def test_random_programs_are_accepted_but_for_some_places(seed: int) -> None:
    assert len(paged(Program(seed).image()).refusals) <= PROGRAMS_BEYOND.get(seed, 0)


@pytest.mark.full
@pytest.mark.usefixtures("one_processor")
@pytest.mark.parametrize("compiler", ["gcc", "zig"])
@pytest.mark.parametrize("name", sorted(KERNELS))
def test_every_kernel_of_the_benchmark_is_accepted_but_for_some_places(
    name: str, compiler: str, tmp_path: Path
) -> None:
    refusals = paged(kernel(name, tmp_path, compiler)).refusals
    assert len(refusals) <= KERNELS_BEYOND.get((name, compiler), 0)


@pytest.mark.full
@pytest.mark.usefixtures("one_processor")
@pytest.mark.parametrize("name", ["hello", "compute", "store", "ring", "pager"])
def test_services_in_python_are_accepted_but_for_one_place_in_a_hundred(name: str) -> None:
    report = paged(load(Path(__file__).parents[2] / "examples" / f"{name}.py"))
    assert len(report.refusals) * 100 < report.accesses["memory"]
