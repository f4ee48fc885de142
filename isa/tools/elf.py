"""Write a standard ELF64 executable, usually for RISC-V, which `Image`, objdump, gdb and qemu read.

Layouts: System V gABI chapters 4 and 5, RISC-V ELF psABI (flags, attributes section).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..image import PAGE, REGISTERS_PART, Segment, Symbol
from ..virtual import REGISTERS

ARCHITECTURE = "rv64i2p1_m2p0_a2p1_f2p2_d2p2_c2p0_zicsr2p0_zifencei2p0_zba1p0_zbb1p0_zbs1p0"
EXECUTABLE, X86_64, RISCV, CURRENT = 2, 62, 243, 1
COMPRESSED_DOUBLE_ABI = 0x1 | 0x4
LOAD, READ, WRITE, EXECUTE = 1, 4, 2, 1
PROGBITS, SYMTAB, STRTAB, NOBITS, ATTRIBUTES = 1, 2, 3, 8, 0x70000003
ALLOCATED, SECTION_WRITE, SECTION_EXECUTE = 2, 1, 4
GLOBAL, NO_TYPE, OBJECT, FUNCTION = 1 << 4, 0, 1, 2
ABSOLUTE = 0xFFF1

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM = struct.Struct("<IIQQQQQQ")
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")


@dataclass(slots=True)
class Section:
    """A row of the section table, and the bytes that go to the file."""

    name: str
    kind: int
    data: bytes = b""
    flags: int = 0
    address: int = 0
    size: int = 0  # in memory; of a section with bytes: their number
    offset: int = 0
    link: int = 0
    info: int = 0
    align: int = 1
    entry: int = 0


class Strings:
    """A string table: each text once, by its offset."""

    def __init__(self) -> None:
        self.data = b"\0"
        self._offsets = {"": 0}

    def add(self, text: str) -> int:
        """The offset of `text`."""
        if text not in self._offsets:
            self._offsets[text] = len(self.data)
            self.data += text.encode() + b"\0"
        return self._offsets[text]


def write_elf(
    segments: Sequence[Segment],
    *,
    entry: int,
    functions: Iterable[Symbol] = (),
    objects: Iterable[Symbol] = (),
    labels: Iterable[Symbol] = (),
    sections: Mapping[str, bytes] | None = None,
    registers: int = 0,
    machine: int = RISCV,
) -> bytes:
    """An executable with these segments; the same arguments give the same bytes.

    Args:
        segments: what is loaded, in order of address; bytes beyond `data` up to `size` are zeros.
        entry: where it starts.
        functions: symbols of functions.
        objects: symbols of data.
        labels: symbols of neither kind.
        sections: further sections by name, which are not loaded, like ".debug_line".
        registers: where the registers page lies; 0: at the top of private memory.
        machine: whose code it is, as ELF numbers them.
    """
    programs, loaded = list[bytes](), list[Section]()
    if registers:
        programs.append(PROGRAM.pack(REGISTERS_PART, READ | WRITE, 0, registers, registers, 0, REGISTERS.itemsize, 16))
    count = len(segments) + len(programs)
    position = HEADER.size + PROGRAM.size * count
    for segment in segments:
        position += (segment.start - position) % PAGE
        programs.append(_program(segment, position))
        loaded += _sections_of(segment, position)
        position += len(segment.data)
    extra = [Section(name, PROGBITS, data) for name, data in (sections or {}).items()]
    if machine == RISCV:
        extra.append(Section(".riscv.attributes", ATTRIBUTES, attributes(ARCHITECTURE)))
    table = [Section("", 0), *loaded, *extra]
    kinds = ((functions, FUNCTION), (objects, OBJECT), (labels, NO_TYPE))
    table += _symbol_sections([(s, kind) for group, kind in kinds for s in group], loaded, len(table))
    return _assemble(programs, table, entry, machine)


def _program(segment: Segment, offset: int) -> bytes:
    flags = READ | WRITE * segment.writable | EXECUTE * segment.executable
    return PROGRAM.pack(LOAD, flags, offset, segment.start, segment.start, len(segment.data), segment.size, PAGE)


def _sections_of(segment: Segment, offset: int) -> list[Section]:
    """Sections that describe a segment: its bytes, and its zeros."""
    flags = ALLOCATED | SECTION_WRITE * segment.writable | SECTION_EXECUTE * segment.executable
    name = ".text" if segment.executable else ".data" if segment.writable else ".rodata"
    size, found = len(segment.data), list[Section]()
    if size:
        found.append(Section(name, PROGBITS, segment.data, flags, segment.start, size, offset, align=16))
    if segment.size > size:
        rest = segment.size - size
        zeros = ".bss" if segment.writable else name
        found.append(Section(zeros, NOBITS, b"", flags, segment.start + size, rest, offset + size, align=1))
    return found


def _symbol_sections(symbols: list[tuple[Symbol, int]], loaded: list[Section], index: int) -> list[Section]:
    strings = Strings()
    rows = [bytes(SYMBOL.size)]
    for (name, start, size), kind in symbols:
        holder = next((i for i, s in enumerate(loaded, 1) if s.address <= start < s.address + s.size), ABSOLUTE)
        rows.append(SYMBOL.pack(strings.add(name), GLOBAL | kind, 0, holder, start, size))
    table = Section(".symtab", SYMTAB, b"".join(rows), link=index + 1, info=1, align=8, entry=SYMBOL.size)
    return [table, Section(".strtab", STRTAB, strings.data)]


def _assemble(programs: list[bytes], table: list[Section], entry: int, machine: int) -> bytes:
    """The file: header, program headers, contents at their offsets, section table."""
    names = Strings()
    table.append(Section(".shstrtab", STRTAB))
    offsets = [names.add(section.name) for section in table]
    table[-1].data = names.data
    content = bytearray(HEADER.size) + b"".join(programs)
    for section in table[1:]:
        if section.kind != NOBITS:
            offset = section.offset or -(-len(content) // section.align) * section.align
            content += bytes(offset - len(content)) + section.data
            section.offset, section.size = offset, len(section.data)
    content += bytes(-len(content) % 8)
    where = len(content)
    for name, s in zip(offsets, table, strict=True):
        fields = (name, s.kind, s.flags, s.address, s.offset, s.size, s.link, s.info, s.align if s.kind else 0, s.entry)
        content += SECTION.pack(*fields)
    identification = b"\x7fELF" + bytes((2, 1, CURRENT)) + bytes(9)
    flags = COMPRESSED_DOUBLE_ABI if machine == RISCV else 0
    sizes = (HEADER.size, PROGRAM.size, len(programs), SECTION.size, len(table), len(table) - 1)
    content[: HEADER.size] = HEADER.pack(
        identification, EXECUTABLE, machine, CURRENT, entry, HEADER.size, where, flags, *sizes
    )
    return bytes(content)


def attributes(architecture: str) -> bytes:
    """The content of .riscv.attributes that names the instruction set, from which tools choose what they decode."""
    file_attributes = bytes((5,)) + architecture.encode() + b"\0"
    body = bytes((1,)) + struct.pack("<I", 5 + len(file_attributes)) + file_attributes
    vendor = b"riscv\0"
    return b"A" + struct.pack("<I", 4 + len(vendor) + len(body)) + vendor + body
