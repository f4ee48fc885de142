"""The pages made from code are equal to it."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
ANEW = "write it anew: python docs/generate.py"
pages: Callable[[], dict[str, str]] = runpy.run_path(str(DOCS / "generate.py"))["pages"]
PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    committed = (DOCS / name).read_text()
    laid_out_by = re.search(r"<!-- click (\S+) -->", committed)
    if laid_out_by is not None and laid_out_by[1] != version("click"):
        pytest.skip(f"{name} was laid out by click {laid_out_by[1]}, here is {version('click')}")
    assert committed == PAGES[name], ANEW


def test_every_public_name_is_in_the_reference() -> None:
    import denali

    for name in denali.__all__:
        assert f"## denali.{name}\n" in PAGES["reference.md"], f"{name} is missing in docs/generate.py"


def test_every_command_is_in_its_page() -> None:
    from denali.__main__ import COMMANDS

    for name in COMMANDS:
        assert f"## denali-py {name}\n" in PAGES["commands.md"]
