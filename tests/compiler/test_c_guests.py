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
from engines import ENGINES

from denali.isa.definitions.record import Cause
from denali.isa.tools.disassembler import listing
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


ZIG, RUST = "hello.zig", "hello.rs"


def zig(folder: Path, source: str) -> Path:
    """A Zig program, built by the page's command."""
    if find_spec("ziglang") is None:
        pytest.skip("no ziglang here: pip install 'denali-py[c]'")
    (folder / ZIG).write_text(source)
    subprocess.run([sys.executable, *command("build-exe", folder)[1:]], cwd=folder, check=True)
    return folder / "hello.elf"


def rust(folder: Path, source: str) -> Path:
    """A Rust program, built by the page's command."""
    if shutil.which("rustc") is None:
        pytest.skip("no rustc here")
    (folder / RUST).write_text(source)
    result = subprocess.run(command("rustc", folder), cwd=folder, capture_output=True, text=True, check=False)
    if "can't find crate for `core`" in result.stderr:
        pytest.skip("no such target here: rustup target add riscv64gc-unknown-none-elf")
    if "no default is configured" in result.stderr:
        pytest.skip("rustup has no compiler here: rustup default stable")
    assert result.returncode == 0, result.stderr
    return folder / "hello.elf"


BUILDS = {"zig": zig, "rust": rust}
GREETINGS = {"zig": "hello from Zig\n", "rust": "hello from Rust\n"}
READS_NOWHERE = {  # the end of the example, and an end whose status is what is at an address; then who reads it
    "zig": (
        "service(exit, 0, 0)",
        "service(exit, reads_nowhere(8), 0)",
        """
noinline fn reads_nowhere(place: usize) u64 {
    return @as(*volatile u64, @ptrFromInt(place)).*; // here
}
""",
    ),
    "rust": (
        "service::<EXIT>(0, 0)",
        "service::<EXIT>(reads_nowhere(8), 0)",
        """
#[inline(never)]
fn reads_nowhere(place: usize) -> u64 {
    unsafe { *(place as *const u64) } // here
}
""",
    ),
}


@pytest.mark.parametrize("language", BUILDS)
def test_the_example_does_what_it_says_on_every_engine(language: str, tmp_path: Path) -> None:
    elf = BUILDS[language](tmp_path, block(language, "_start"))
    for engine in ENGINES:
        guest = run_guest(elf, engine)
        assert (guest.console, guest.exit_status) == (GREETINGS[language], 0), engine


@pytest.mark.parametrize("language", BUILDS)
def test_a_trap_names_function_and_line_and_the_listing_has_both(language: str, tmp_path: Path) -> None:
    old, new, function = READS_NOWHERE[language]
    source = block(language, "_start")
    assert old in source, "the page has another text now"
    source = source.replace(old, new) + function
    guest = run_guest(BUILDS[language](tmp_path, source))
    expected = next(n for n, line in enumerate(source.splitlines(), 1) if "// here" in line)
    assert guest.outcome.cause is Cause.LOAD
    assert "reads_nowhere" in guest.place[0]
    assert guest.place[1] == expected
    shown = list(listing(guest.image))
    assert any("reads_nowhere" in line and line.endswith(">:") for line in shown)
    assert f"; {ZIG if language == 'zig' else RUST}:{expected}" in shown
