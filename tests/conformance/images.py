"""What every image must hold, and a good one to damage."""

from __future__ import annotations

from functools import cache

from line_tables import END, NAMES, at, unit

from denali.isa.image import ADDRESS_LIMIT, FILE_LIMIT, PAGE, BadImage, Image, Segment, Symbol
from denali.isa.tools.assembler import assemble
from denali.isa.tools.elf import write_elf

PROGRAM_HEADER = [(0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 8), (40, 8), (48, 8)]  # offsets and sizes of fields
SOURCE = """
.globl _start
_start: la a0, message
        lw a1, 0(a0)
        la a2, counter
        sd a1, 0(a2)
        v.exit zero, a1, zero
.rodata
message: .asciz "good"
.data
counter: .dword 7
.bss
        .zero 100
"""


@cache
def good() -> bytes:
    """A small ELF file with text, constants, data, bss and symbols."""
    return assemble(SOURCE, name="good").elf()


def seeds() -> dict[str, bytes]:
    """Small images that are taken, one for each thing that the loader reads; a search starts from them."""
    text = Segment(
        0x10200, 12, b"\x01\0" * 6, False, True
    )  # where it lies in the file too, so that nothing is filled up
    data = Segment(0x11300, 300, b"data", True, False)
    symbols, objects = [Symbol("_start", 0x10200, 4), Symbol("leaf", 0x10204, 8)], [Symbol("m.v", 0x11300, 4)]
    program = at(0x10200) + bytes((3, 4, 1, 40, 2, 4, 1)) + END
    tables = {f"lines {version}": unit(version, NAMES[version], program) for version in NAMES}
    strings = {".debug_line_str": b"a.c\0b.c\0"}
    found = {
        "text": write_elf([text], entry=0x10200),
        "data": write_elf([text, data], entry=0x10204, functions=symbols, objects=objects),
        "registers": write_elf([text, data], entry=0x10200, registers=0x11310),
    }
    lines = {name: {".debug_line": table} | strings for name, table in tables.items()}
    return found | {n: write_elf([text], entry=0x10200, functions=symbols, sections=one) for n, one in lines.items()}


def check(content: bytes) -> Image | None:
    """Load `content`; None when it is refused.

    Raises:
        AssertionError: it is neither refused in one line nor an image whose numbers hold.
    """
    try:
        image = Image.from_elf(content, "fuzzed")
    except BadImage as reason:
        message = str(reason)
        assert message.startswith("fuzzed: "), message
        assert len(message.splitlines()) == 1, message
        assert len(message) < 400, message
        return None
    assert PAGE <= image.ro_start <= image.text_start < image.text_end <= image.ro_end <= image.private_start
    assert image.text_start <= image.entry < image.text_end
    assert image.entry % 2 == 0
    assert image.private_start % PAGE == 0
    assert image.private_start + image.footprint <= ADDRESS_LIMIT + PAGE
    assert image.ro_end - image.ro_start == len(image.read_only) <= FILE_LIMIT
    assert len(image.data) <= FILE_LIMIT
    assert image.zeroed >= 0
    assert all(image.text_start <= function.start < image.text_end for function in image.functions)
    assert isinstance(image.function_at(image.entry), str)
    assert len(image.digest) == 64
    assert image.line_at(image.entry) is None or image.line_at(image.entry)[1] > 0  # type: ignore[index]
    return image
