"""What docs/c-guests.md tells a reader to type works as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from c_guest import run_guest

from denali.libos import cc

PAGE = (Path(__file__).parent.parent.parent / "docs" / "c-guests.md").read_text()


def block(language: str, containing: str) -> str:
    """The text of the first block in that language that contains something."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return next(text for text in blocks if containing in text)


def command(containing: str, folder: Path) -> list[str]:
    """A command of the page as a list, with the real linker script."""
    text = block("sh", containing).replace("\\\n", " ")
    (line,) = (line for line in text.splitlines() if containing in line)
    shutil.copy(cc.LIBRARY / "image.ld", folder)
    return line.split()


def test_the_c_example(tmp_path: Path) -> None:
    try:
        cc.find()
    except cc.BuildError as error:
        pytest.skip(str(error))
    source = block("sh", "hello.c <<").split("<<'END'\n")[1].split("END")[0]
    (tmp_path / "hello.c").write_text(source)
    cc.build([tmp_path / "hello.c"], tmp_path / "hello.elf")
    guest = run_guest(tmp_path / "hello.elf")
    assert (guest.console, guest.exit_status) == ("hello, guest: 1/3 is 0.33333333333333331\n", 7)


def test_the_zig_example(tmp_path: Path) -> None:
    if find_spec("ziglang") is None:
        pytest.skip("no ziglang here: pip install 'denali-py[c]'")
    (tmp_path / "hello.zig").write_text(block("zig", "_start"))
    build = command("build-exe", tmp_path)
    subprocess.run([sys.executable, *build[1:]], cwd=tmp_path, check=True)
    guest = run_guest(tmp_path / "hello.elf")
    assert (guest.console, guest.exit_status) == ("hello from Zig\n", 0)


def test_the_rust_example(tmp_path: Path) -> None:
    if shutil.which("rustc") is None:
        pytest.skip("no rustc here")
    (tmp_path / "hello.rs").write_text(block("rust", "_start"))
    result = subprocess.run(command("rustc", tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False)
    if "can't find crate for `core`" in result.stderr:
        pytest.skip("no such target here: rustup target add riscv64gc-unknown-none-elf")
    assert result.returncode == 0, result.stderr
    guest = run_guest(tmp_path / "hello.elf")
    assert (guest.console, guest.exit_status) == ("hello from Rust\n", 0)
