"""The documentation's code runs, and gives what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(\w+) (service=\w+|run|expect)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block whose info string says what to do with it."""

    language: str
    role: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in FENCE.findall(page.read_text())]


PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if blocks(page)]


def run(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    steps = blocks(page)
    for _, role, text in steps:
        if role.startswith("service="):
            (tmp_path / f"{role.removeprefix('service=')}.py").write_text(text)
    output = ""
    for language, role, text in steps:
        if role == "run":
            output = run([sys.executable, "-c", text] if language == "python" else ["sh", "-c", text], tmp_path)
        elif role == "expect":
            for line in text.splitlines():
                assert line in output, f"{page.name}: expected {line!r} in {output!r}"


def test_there_is_documentation_to_run() -> None:
    assert any(page.name == "tutorial.md" for page in PAGES)


def test_the_readme_shows_the_first_example_as_it_is() -> None:
    assert (ROOT / "examples" / "hello.py").read_text() in (ROOT / "README.md").read_text()
