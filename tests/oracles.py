"""Tools of others as oracles: binutils and qemu-riscv64; where one is absent its tests are skipped."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from denali.isa.definitions.decode import length_of
from denali.isa.image import Segment
from denali.isa.tools.elf import write_elf

OBJDUMP, GNU_AS, QEMU = "riscv64-unknown-elf-objdump", "riscv64-unknown-elf-as", "qemu-riscv64"
START = 0x10000
LINE = re.compile(r"\s*[0-9a-f]+:\t[0-9a-f]+\s*\t(.*)")


def tool(name: str) -> str:
    """The path of a tool; skips the test when it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def needs(name: str) -> pytest.MarkDecorator:
    """Marks tests that a missing tool skips."""
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")


def code_of(words: Sequence[int]) -> bytes:
    """The words one after the other, each as long as its low bits say."""
    return b"".join(word.to_bytes(length_of(word), "little") for word in words)


def objdump(words: Sequence[int]) -> list[str]:
    """What binutils says each word is; the words stand from `START` on."""
    code = code_of(words)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "words.elf")
        file.write_bytes(write_elf([Segment(START, len(code), code, False, True)], entry=START))
        command = [tool(OBJDUMP), "-d", "-z", "-M", "no-aliases", str(file)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    texts = [match[1] for line in output.splitlines() if (match := LINE.match(line))]
    assert len(texts) == len(words)
    return texts


def normal(text: str) -> tuple[str, ...]:
    """A line of disassembly as its parts: no comments, no symbols, numbers by value, equal names for equal things."""
    text = re.sub(r"#.*|<.*?>", "", text).replace("\t", " ").strip()
    name, _, rest = text.partition(" ")
    return (name, *(part if not re.fullmatch(r"-?(0x)?[0-9a-f]+", part) else number(part) for part in split(rest)))


def split(operands: str) -> list[str]:
    """Operands and the parts of "8(sp)"."""
    return [part.strip() for part in re.split(r"[,()]", operands) if part.strip()]


def number(text: str) -> str:
    """A number in one way of writing; what only looks like one (a name as `fa`) stays."""
    try:
        return str(int(text, 0))
    except ValueError:
        return text
