"""The headers of an ELF64 file, as numbers nobody has checked (gABI chapters 4 and 5).

What does not lie in the file at all ends in `struct.error` or `ValueError`; the rest is for `image.py` to judge.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from typing import NamedTuple

EXECUTABLE, RISCV = 2, 243
SYMBOLS = 2  # type of a section
NAME_LIMIT = 4096  # bytes of a symbol's name
_FILE = struct.Struct("<16sHHIQQQIHHHHHH")
_PART = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_LITTLE_64 = b"\x7fELF\x02\x01"
KINDS = {0: "ET_NONE", 1: "ET_REL", 2: "ET_EXEC", 3: "ET_DYN", 4: "ET_CORE"}


class Header(NamedTuple):
    """The file header, as far as it concerns us."""

    kind: int
    machine: int
    entry: int
    parts: int  # offset of the program headers
    sections: int  # offset of the section headers
    part_size: int
    part_count: int
    section_size: int
    section_count: int
    names: int  # the section with the names of sections


class Part(NamedTuple):
    """A program header."""

    kind: int
    flags: int
    offset: int
    start: int
    physical: int
    stored: int
    size: int
    align: int


def header(content: bytes) -> Header | None:
    """The header of a little-endian ELF64 file, None for another kind of ELF file."""
    if not content.startswith(_LITTLE_64):
        return None
    _, kind, machine, _, entry, parts, sections, _, _, *rest = _FILE.unpack_from(content)
    return Header(kind, machine, entry, parts, sections, *rest)


def parts(content: bytes, head: Header) -> Iterator[Part]:
    """The program headers."""
    for index in range(head.part_count):
        yield Part(*_PART.unpack_from(content, head.parts + index * head.part_size))


def symbols(content: bytes, head: Header) -> Iterator[tuple[str, int, int, int]]:
    """Name, type, value and size of the symbols that are defined, from the one table that there may be.

    Raises:
        ValueError: their names together are longer than the file, as they are only where many lie in the same bytes.
    """
    rows = _sections(content, head)
    row = next((row for row in rows if row[1] == SYMBOLS), None)
    if row is None:
        return
    names, room = rows[row[6]][4], len(content)
    table = content[row[4] : row[4] + row[5] // _SYMBOL.size * _SYMBOL.size]
    for name, info, _, section, value, size in _SYMBOL.iter_unpack(table):
        if section:
            text = _text(content, names + name)
            room -= len(text)
            if room < 0:
                raise ValueError("more names than bytes")
            yield text, info & 15, value, size


def named(content: bytes, head: Header, names: Collection[str]) -> dict[str, bytes]:
    """The bytes of the sections with these names, of those that are there; the first of each name."""
    rows = _sections(content, head)
    found: dict[str, bytes] = {}
    for row in rows:
        name = _text(content, rows[head.names][4] + row[0])
        if name in names and name not in found:
            found[name] = content[row[4] : row[4] + row[5]]
    return found


def _sections(content: bytes, head: Header) -> list[tuple[int, ...]]:
    return [_SECTION.unpack_from(content, head.sections + n * head.section_size) for n in range(head.section_count)]


def _text(content: bytes, start: int) -> str:
    return content[start : start + NAME_LIMIT].split(b"\0", 1)[0].decode("utf-8", "replace")
