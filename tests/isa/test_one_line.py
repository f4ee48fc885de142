"""One line of a definition changed, in a copy of the sources: every consumer follows, and the right tests fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MULTIPLY = "isa/definitions/multiply.py"
PROBE = """
from engines import ENGINES, run
from denali.isa.tools.assembler import assemble
from denali.isa.tools.manual import page, reference
image = assemble("li a0, 7; divu a2, a0, a1; ebreak").image()
print([run(engine, image, fuel=9, private_size=4096).x[12] for engine in ENGINES])
print(page("divu"))
print(reference())
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("src", "isa", "tlb", "kernel", "libos", "tests", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def change(copy: Path, file: str, old: str, new: str) -> None:
    source = (copy / file).read_text()
    assert source.count(old) == 1, f"{file} has another definition now"
    (copy / file).write_text(source.replace(old, new))


def python(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(str(copy / name) for name in ("src", "tests"))
    environment = os.environ | {"PYTHONPATH": paths, "XDG_CACHE_HOME": str(copy / "cache")}
    return subprocess.run([sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True)


def failed(copy: Path, *arguments: str) -> set[str]:
    """The tests that fail in the copy."""
    lines = python(copy, "-m", "pytest", "-p", "no:cacheprovider", *arguments).stdout.splitlines()
    return {line.partition("::")[2].partition(" - ")[0] for line in lines if line.startswith("FAILED")}


def test_a_changed_meaning_reaches_all_engines_and_the_manual_and_fails_its_tests(copy: Path) -> None:
    change(copy, MULTIPLY, "zero.select(ALL_ONES, a.udiv(", "zero.select(5, a.udiv(")
    shown = python(copy, "-c", PROBE).stdout
    assert shown.startswith("[5, 5, 5]\n")
    assert "t5 = select t2, 5, t4" in shown
    names = failed(copy, "tests/isa/test_edges.py", "tests/isa/test_manual.py", "-k", "division or page_shows")
    division = "test_division_never_traps_and_has_an_answer_for_zero_and_overflow"
    engines = ("reference", "interpreter", "translated")
    wrong = {f"{division}[{name}-{engine}]" for name in ("divu", "divuw") for engine in engines}
    assert names == wrong | {"test_a_page_shows_everything_about_an_instruction"}


@pytest.mark.full
def test_changed_bits_reach_assembler_decoder_and_manual_and_fail_their_tests(copy: Path) -> None:
    change(copy, MULTIPLY, '"0000001 rs2:5 rs1:5 101 rd:5 0110011"', '"0000001 rs2:5 rs1:5 101 rd:5 1011011"')
    shown = python(copy, "-c", PROBE).stdout
    assert shown.startswith(f"{[(1 << 64) - 1] * 3}\n")
    assert "| `divu rd, rs1, rs2` | `0000001 rs2:5 rs1:5 101 rd:5 1011011` |" in shown
    names = failed(copy, "tests/isa/test_encodings.py", "tests/isa/test_manual.py")
    assert names >= {
        "test_decoder_and_disassembler_agree_with_binutils",
        "test_the_document_is_what_the_definitions_say",
        "test_disassembly[46519603-divu a0,a1,a2]",
    }


def test_bits_that_another_instruction_has_are_refused_by_name(copy: Path) -> None:
    change(copy, MULTIPLY, '"0000001 rs2:5 rs1:5 101 rd:5 0110011"', '"0000001 rs2:5 rs1:5 100 rd:5 0110011"')
    said = python(copy, "-c", "import denali.isa.definitions.decode").stderr
    layout = "0000001 rs2:5 rs1:5 100 rd:5 0110011"
    assert f"divu: its layout '{layout}' overlaps div's '{layout}'" in said
