"""What every image must hold, and a good one to damage."""

from __future__ import annotations

from functools import cache

from denali.isa.image import ADDRESS_LIMIT, FILE_LIMIT, PAGE, BadImage, Image
from denali.isa.tools.assembler import assemble

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
