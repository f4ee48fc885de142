"""What the ELF writer writes, others read: our image loader, readelf, qemu."""

from __future__ import annotations

import subprocess
from pathlib import Path

import oracles
import pytest

from denali.isa.image import BadImage, Image, Segment, Symbol
from denali.isa.tools.assembler import assemble
from denali.isa.tools.elf import write_elf

CODE = b"\x01\x00" * 8
SEGMENTS = [
    Segment(0x10000, 16, CODE, False, True),
    Segment(0x11000, 5, b"const", False, False),
    Segment(0x12000, 64, b"data", True, False),
]
MAIN, VALUE = Symbol("main", 0x10002, 6), Symbol("module.value", 0x12000, 4)


def elf(sections: dict[str, bytes] | None = None) -> bytes:
    return write_elf(SEGMENTS, entry=0x10002, functions=[MAIN], objects=[VALUE], sections=sections)


def test_an_image_gets_back_what_was_written() -> None:
    image = Image.from_elf(elf(), "test")
    assert (image.entry, image.ro_start, image.text_start, image.text_end) == (0x10002, 0x10000, 0x10000, 0x10010)
    assert image.read_only == (CODE + bytes(0x11000 - 0x10010) + b"const").ljust(0x2000, b"\0")
    assert (image.private_start, image.data, image.zeroed) == (0x12000, b"data", 60)
    assert (image.functions, image.objects) == ((MAIN,), (VALUE,))


def test_a_file_that_is_none_is_named_with_its_suffix(tmp_path: Path) -> None:
    file = tmp_path / "hello.txt"
    file.write_text("hello")
    with pytest.raises(BadImage, match=r"^hello\.txt: not an ELF file$"):
        Image.load(file)


def test_an_image_may_say_where_its_registers_page_lies() -> None:
    segments = [SEGMENTS[0], Segment(0x12000, 200, b"data", True, False)]
    image = Image.from_elf(write_elf(segments, entry=0x10002, registers=0x12010), "test")
    assert (image.registers, image.registers_in(4096), image.least) == (0x12010, 0x12010, 200)
    usual = Image.from_elf(write_elf(segments, entry=0x10002), "test")
    assert (usual.registers, usual.registers_in(4096), usual.least) == (0, 0x13000 - 128, 328)
    assert image.digest != usual.digest


@pytest.mark.parametrize("place", [8, 0x10000, 0x11FF0, 0x12008, 0x12050, 0x13000, (1 << 64) - 16])
def test_a_registers_page_outside_the_private_part_is_refused(place: int) -> None:
    segments = [SEGMENTS[0], Segment(0x12000, 200, b"data", True, False)]
    with pytest.raises(BadImage, match="registers page at"):
        Image.from_elf(write_elf(segments, entry=0x10002, registers=place), "test")


def test_further_sections_are_not_loaded_and_can_be_read_back() -> None:
    content = elf(sections={".debug_note": b"hello"})
    assert b"hello" in content
    assert Image.from_elf(content, "test").read_only == Image.from_elf(elf(), "test").read_only


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert elf() == elf()


@oracles.needs("riscv64-unknown-elf-readelf")
def test_readelf_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    file = tmp_path / "test.elf"
    file.write_bytes(elf(sections={".debug_note": b"hello"}))
    answer = subprocess.run(["riscv64-unknown-elf-readelf", "-aW", file], capture_output=True, text=True, check=True)
    assert answer.stderr == ""
    for part in ("Entry point address:               0x10002", "RVC, double-float ABI", "module.value", ".debug_note"):
        assert part in answer.stdout


@oracles.needs(oracles.QEMU)
def test_qemu_runs_it(tmp_path: Path) -> None:
    source = """
        .data
    text: .ascii "hello"
        .bss
    room: .zero 5000
        .text
    _start: la a1, text; li a0, 1; li a2, 5; li a7, 64; ecall
        la a3, room; ld a0, 4992(a3); li a7, 93; ecall
    """
    file = tmp_path / "test.elf"
    file.write_bytes(assemble(source.replace("ld a0, 4992(a3)", "li a4, 4992; add a3, a3, a4; ld a0, 0(a3)")).elf())
    file.chmod(0o700)
    assert subprocess.run([oracles.tool(oracles.QEMU), file], capture_output=True, check=True).stdout == b"hello"
