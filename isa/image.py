"""A guest's program: read-only bytes that all its guests share, and what their private memory starts as.

An image is a standard ELF64 executable for RISC-V (gABI chapter 5, RISC-V ELF psABI). It is never trusted: whatever is
in it, loading ends in an `Image` whose numbers hold, or in `BadImage`.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from . import headers, lines
from .virtual import REGISTERS

PAGE = 4096
TEXT_BASE = 0x10000  # where our tools link text
ADDRESS_LIMIT = 1 << 31  # everything an image maps lies below: addresses fit a host displacement
FILE_LIMIT = 256 << 20
_LOAD = 1  # type of a program header
_FUNCTION, _OBJECT = 2, 1  # types of symbols
REGISTERS_PART = 0x6DE4A110  # type of the program header that says where the registers page lies
_EXECUTE, _WRITE = 1, 2


class BadImage(ValueError):
    """The bytes are not an image that can run; the message is one line that says what is wrong with them."""


class Symbol(NamedTuple):
    """A function or an object of the image, `[start, start + size)` in guest addresses."""

    name: str
    start: int
    size: int


class Segment(NamedTuple):
    """A loadable part: `data` at `start`, then zeros up to `size` bytes."""

    start: int
    size: int
    data: bytes
    writable: bool
    executable: bool

    @property
    def end(self) -> int:
        """The address after its last byte."""
        return self.start + self.size


@dataclass(frozen=True, eq=False)
class Image:
    """A checked program; sizes and addresses in bytes of the guest's address space."""

    name: str
    entry: int
    ro_start: int
    read_only: bytes
    text_start: int
    text_end: int
    private_start: int
    data: bytes
    zeroed: int
    functions: tuple[Symbol, ...] = ()
    objects: tuple[Symbol, ...] = ()
    elf: bytes = field(default=b"", repr=False)
    registers: int = 0  # where its registers page lies; 0: at the top of private memory, and the stack below it

    @property
    def ro_end(self) -> int:
        """The address after the last read-only byte."""
        return self.ro_start + len(self.read_only)

    @property
    def footprint(self) -> int:
        """Bytes of private memory that it lays out itself: data, bss, and with a place for registers the stack too."""
        return len(self.data) + self.zeroed

    @property
    def least(self) -> int:
        """The bytes of private memory without which it cannot be: its own, and the registers page."""
        return self.footprint + (0 if self.registers else REGISTERS.itemsize)

    def registers_in(self, private_size: int) -> int:
        """Where the registers page of a guest with so much private memory lies."""
        return self.registers or self.private_start + private_size - REGISTERS.itemsize

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that decides what the image does, in hexadecimal."""
        numbers = (self.entry, self.ro_start, self.text_start, self.text_end, self.private_start, self.zeroed)
        numbers += (self.registers,) if self.registers else ()
        content = repr((numbers, self.functions)).encode()
        return hashlib.sha256(b"%d:" % len(content) + content + self.read_only + self.data).hexdigest()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Image:
        """Read an ELF file.

        Raises:
            BadImage: it is none that can run here.
            OSError: it cannot be read.
        """
        file = Path(path)
        with file.open("rb") as stream:
            content = stream.read(FILE_LIMIT + 1)
        if len(content) > FILE_LIMIT:
            raise BadImage(f"{file.name}: larger than an image, which has at most {FILE_LIMIT} bytes")
        return _checked(content, file.stem, file.name)

    @classmethod
    def from_elf(cls, content: bytes, name: str) -> Image:
        """Check ELF bytes and take from them what a guest needs.

        Raises:
            BadImage: they are none that can run here.
        """
        return _checked(content, name, name)

    @classmethod
    def raw(cls, code: bytes, *, data: bytes = b"", zeroed: int = 0, name: str = "raw") -> Image:
        """An image of bare machine code at `TEXT_BASE`, entered at its first byte, with data on the page after it."""
        end = TEXT_BASE + len(code)
        return cls(name, TEXT_BASE, TEXT_BASE, code, TEXT_BASE, end, _page_after(end), data, zeroed)

    def function_at(self, pc: int) -> str:
        """`function` or `function+0x12` for an address of text, else the address itself."""
        index = bisect_right(self.functions, pc, key=lambda symbol: symbol.start) - 1
        if index < 0 or not self.text_start <= pc < self.text_end:
            return f"{pc:#x}"
        name, start, _ = self.functions[index]
        return name if pc == start else f"{name}+{pc - start:#x}"

    def object(self, name: str) -> Symbol:
        """The data object `name` (`module.variable` for a Python service).

        Raises:
            KeyError: there is none; the message lists what there is.
        """
        for symbol in self.objects:
            if symbol.name == name:
                return symbol
        raise KeyError(
            f"{self.name} has no object {name!r}; it has {', '.join(s.name for s in self.objects) or 'none'}"
        )

    def line_at(self, pc: int) -> tuple[str, int] | None:
        """Source file and line of the instruction at `pc`, from the DWARF line table; None where it has none."""
        index = bisect_right(self._lines, pc, key=lambda row: row.address) - 1
        if index < 0 or not self.text_start <= pc < self.text_end:
            return None
        row = self._lines[index]
        return (row.file, row.line) if row.line else None

    @cached_property
    def _lines(self) -> list[lines.Row]:
        try:
            return _line_rows(self.elf)
        except Exception:  # debug information serves messages only: damaged means absent
            return []


def _page_after(address: int) -> int:
    return -(-address // PAGE) * PAGE


def _checked(content: bytes, name: str, shown: str) -> Image:
    try:
        return _from_elf(content, name)
    except BadImage as reason:
        raise BadImage(f"{shown}: {reason}") from None
    except Exception as error:  # the parser meets hostile bytes: whatever it stumbles over is the file's fault
        raise BadImage(f"{shown}: damaged ELF file ({type(error).__name__}: {error})") from error


def _from_elf(content: bytes, name: str) -> Image:
    head = _header(content)
    parts = list(headers.parts(content, head))
    segments = list(_segments(parts, content))
    read_only, writable = _split(segments)
    ro_start, last = _extent(read_only)
    ro_end = _page_after(last)  # compilers read words of which only a part is theirs
    start = writable[0].start & -PAGE if writable else ro_end
    _, end = _extent(writable) if writable else (start, start)
    data_end = max((s.start + len(s.data) for s in writable), default=start)
    registers = _registers(parts, start, end)
    code = [s for s in read_only if s.executable]
    if not code:
        raise BadImage("no executable segment that is not writable")
    text_start, text_end = _extent(code)
    if text_start % 2:
        raise BadImage(f"text begins at the odd address {text_start:#x}; instructions have even ones")
    entry = head.entry
    if not text_start <= entry < text_end or entry % 2:
        raise BadImage(f"entry {entry:#x} is not in its text [{text_start:#x}, {text_end:#x})")
    functions, objects = _symbols(content, head)
    return Image(
        name=name,
        entry=entry,
        ro_start=ro_start,
        read_only=_flatten(read_only, ro_start, ro_end),
        text_start=text_start,
        text_end=text_end,
        private_start=start,
        data=_flatten(writable, start, data_end),
        zeroed=end - data_end,
        functions=tuple(s for s in functions if text_start <= s.start < text_end),
        objects=objects,
        elf=content,
        registers=registers,
    )


def _registers(parts: list[headers.Part], start: int, end: int) -> int:
    """The place that the image wants for its registers page, inside its private part; 0 where it does not say."""
    for part in parts:
        if part.kind == REGISTERS_PART:
            if part.start % 16 or not start <= part.start <= end - REGISTERS.itemsize:
                place = f"registers page at {part.start:#x}"
                raise BadImage(f"{place}: not inside [{start:#x}, {end:#x}), or not a multiple of 16")
            return part.start
    return 0


def _header(content: bytes) -> headers.Header:
    if content[:4] != b"\x7fELF":
        raise BadImage("not an ELF file")
    head = headers.header(content)
    if head is None or head.machine != headers.RISCV:
        raise BadImage(_foreign(content))
    if head.kind != headers.EXECUTABLE:
        kind = headers.KINDS.get(head.kind, f"type {head.kind}")
        raise BadImage(f"{kind}: link it as a static executable at a fixed address (-static -no-pie)")
    if head.part_size != 56 and head.part_count:
        raise BadImage(f"program headers of {head.part_size} bytes; ELF64 has 56")
    end = head.sections + head.section_count * head.section_size
    if head.section_count and end > len(content):
        raise BadImage(f"truncated: its section headers end at byte {end} of {len(content)}")
    return head


def _foreign(content: bytes) -> str:
    """What a file for another machine is for."""
    from elftools.elf.elffile import ELFFile

    elf: Any = ELFFile(io.BytesIO(content))
    return f"for {elf.get_machine_arch()}, {elf.elfclass} bit; an image is 64-bit little-endian RISC-V"


def _segments(parts: list[headers.Part], content: bytes) -> Iterator[Segment]:
    room = len(content)  # each byte is taken once: many parts on the same bytes would fill the host's memory
    for part in parts:
        if part.kind != _LOAD or part.size == 0:
            continue
        start, size, stored, offset = part.start, part.size, part.stored, part.offset
        if start < PAGE:
            raise BadImage(f"segment at {start:#x}: the first page never belongs to a guest")
        if start + size > ADDRESS_LIMIT:
            raise BadImage(f"segment [{start:#x}, {start + size:#x}) ends above {ADDRESS_LIMIT:#x}")
        if stored > size:
            raise BadImage(f"segment at {start:#x} has {stored} bytes in the file but {size} in memory")
        if stored and offset + stored > len(content):
            raise BadImage(f"truncated: segment at {start:#x} ends at byte {offset + stored} of {len(content)}")
        room -= stored
        if room < 0:
            raise BadImage(f"segments of more than the {len(content)} bytes that are in the file")
        data = content[offset : offset + stored]
        yield Segment(start, size, data, bool(part.flags & _WRITE), bool(part.flags & _EXECUTE))


def _split(segments: list[Segment]) -> tuple[list[Segment], list[Segment]]:
    """Read-only and writable segments, each in order of address."""
    if not segments:
        raise BadImage("nothing to load")
    ordered = sorted(segments)
    for low, high in pairwise(ordered):
        if low.end > high.start:
            raise BadImage(f"segments at {low.start:#x} and {high.start:#x} overlap")
    read_only = [s for s in ordered if not s.writable]
    writable = [s for s in ordered if s.writable]
    if not read_only:
        raise BadImage("no executable segment that is not writable")
    if writable and read_only[-1].end > writable[0].start & -PAGE:
        raise BadImage(f"read-only segment at {read_only[-1].start:#x} is not on pages below the writable ones")
    for group, limit in ((read_only, FILE_LIMIT), (writable, ADDRESS_LIMIT)):
        if group and group[-1].end - group[0].start > limit:
            raise BadImage(f"segments span {group[-1].end - group[0].start} bytes; at most {limit}")
    return read_only, writable


def _extent(segments: list[Segment]) -> tuple[int, int]:
    return segments[0].start, segments[-1].end


def _flatten(segments: Iterable[Segment], start: int, end: int) -> bytes:
    if end - start > FILE_LIMIT:
        raise BadImage(f"{end - start} bytes of initialised memory; at most {FILE_LIMIT}")
    flat = bytearray(end - start)
    for segment in segments:
        flat[segment.start - start : segment.start - start + len(segment.data)] = segment.data
    return bytes(flat)


def _symbols(content: bytes, head: headers.Header) -> tuple[tuple[Symbol, ...], tuple[Symbol, ...]]:
    """Functions and objects; a damaged symbol table counts as absent, since it only serves names."""
    found: dict[int, list[Symbol]] = {_FUNCTION: [], _OBJECT: []}
    try:
        for name, kind, value, size in headers.symbols(content, head):
            if kind in found:
                found[kind].append(Symbol(name, value, size))
    except (struct.error, IndexError, ValueError):
        return (), ()
    functions, objects = (tuple(sorted(rows, key=lambda s: (s.start, s.name))) for rows in found.values())
    return functions, objects


def _line_rows(content: bytes) -> list[lines.Row]:
    """The rows of the line table."""
    head = headers.header(content)
    return [] if head is None else lines.rows(headers.named(content, head, {lines.TABLE, *lines.STRINGS.values()}))
