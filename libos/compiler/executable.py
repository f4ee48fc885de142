"""Write an ELF64 executable for RISC-V: segments, symbols and debug sections (gABI chapters 4 and 5)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

PAGE = 4096
EM_RISCV, FLAGS_RVC_DOUBLE = 243, 0x0005
EXECUTE, WRITE, READ = 1, 2, 4


@dataclass(slots=True)
class Part:
    """A loadable part: `data` at `start`, zeros up to `size`."""

    start: int
    size: int
    execute: bool
    writable: bool
    data: bytes = b""

    @property
    def name(self) -> str:
        """The section that shows it."""
        return ".text" if self.execute else ".data" if self.writable else ".rodata"


class Symbol(NamedTuple):
    """A name for an address."""

    name: str
    address: int
    size: int
    function: bool


class Table:
    """Strings one after another, each ending in zero."""

    def __init__(self) -> None:
        self.data = bytearray(1)

    def add(self, text: str) -> int:
        """The offset of a string."""
        offset = len(self.data)
        self.data += text.encode() + b"\0"
        return offset


def program_header(part: Part, offset: int) -> bytes:
    """One PT_LOAD."""
    flags = READ | (EXECUTE if part.execute else 0) | (WRITE if part.writable else 0)
    return struct.pack("<IIQQQQQQ", 1, flags, offset, part.start, part.start, len(part.data), part.size, PAGE)


def section_header(
    name: int, kind: int, flags: int = 0, address: int = 0, offset: int = 0, size: int = 0, **rest: int
) -> bytes:
    """One entry of the section table."""
    link, info, align, entry = (rest.get(k, d) for k, d in (("link", 0), ("info", 0), ("align", 1), ("entry", 0)))
    return struct.pack("<IIQQQQIIQQ", name, kind, flags, address, offset, size, link, info, align, entry)


def write(parts: list[Part], entry: int, symbols: list[Symbol], debug: dict[str, bytes]) -> bytes:
    """The file's bytes."""
    names, body, headers, programs = Table(), bytearray(64 + 56 * len(parts)), [section_header(0, 0)], bytearray()
    for part in parts:
        body += bytes(-len(body) % PAGE if part.data else 0)
        programs += program_header(part, len(body))
        flags = 2 | (4 if part.execute else 0) | (1 if part.writable else 0)
        headers.append(section_header(names.add(part.name), 1, flags, part.start, len(body), len(part.data), align=16))
        body += part.data
        if part.size > len(part.data):
            at, rest = part.start + len(part.data), part.size - len(part.data)
            headers.append(section_header(names.add(".bss"), 8, flags, at, len(body), rest, align=1))
    for name, data in debug.items():
        headers.append(section_header(names.add(name), 1, 0, 0, len(body), len(data)))
        body += data
    table, strings = symbol_table(symbols, parts)
    body += bytes(-len(body) % 8)
    link = len(headers) + 1
    headers.append(
        section_header(names.add(".symtab"), 2, 0, 0, len(body), len(table), link=link, info=1, align=8, entry=24)
    )
    body += table
    headers.append(section_header(names.add(".strtab"), 3, 0, 0, len(body), len(strings)))
    body += strings
    own = names.add(".shstrtab")
    headers.append(section_header(own, 3, 0, 0, len(body), len(names.data)))
    body += names.data + bytes(-(len(body) + len(names.data)) % 8)
    body[:64] = file_header(entry, len(parts), len(body), len(headers))
    body[64 : 64 + len(programs)] = programs
    return bytes(body) + b"".join(headers)


def file_header(entry: int, parts: int, sections_at: int, sections: int) -> bytes:
    """The first 64 bytes."""
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    numbers = (2, EM_RISCV, 1, entry, 64, sections_at, FLAGS_RVC_DOUBLE, 64, 56, parts, 64, sections, sections - 1)
    return ident + struct.pack("<HHIQQQIHHHHHH", *numbers)


def symbol_table(symbols: list[Symbol], parts: list[Part]) -> tuple[bytes, bytes]:
    """The symbols, and their names."""
    strings, table = Table(), bytearray(24)
    places: list[tuple[int, int, int]] = []
    index = 1
    for part in parts:
        places.append((part.start, part.start + len(part.data), index))
        if part.size > len(part.data):
            places.append((part.start + len(part.data), part.start + part.size, index + 1))
        index += 2 if part.size > len(part.data) else 1
    for symbol in sorted(symbols, key=lambda s: (s.address, s.name)):
        where = next((i for start, end, i in places if start <= symbol.address < end), 0xFFF1)
        kind = 1 << 4 | (2 if symbol.function else 1)
        table += struct.pack("<IBBHQQ", strings.add(symbol.name), kind, 0, where, symbol.address, symbol.size)
    return bytes(table), bytes(strings.data)
