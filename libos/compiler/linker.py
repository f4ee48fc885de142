"""One relocatable object file in, one executable image out.

Text lies at 0x10000, constants on the page after it, what a guest may write on the page after that: where the depth of
its stack is known, the stack and above it the registers page, then data by size, so that what is small and always in
use lies together and a guest dirties few pages. The only symbols that the object may lack are the virtual instructions:
they are made here, as the encoded instruction and a return.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

from denali.isa.image import Image, Segment, Symbol
from denali.isa.tools.elf import write_elf
from denali.isa.virtual import CUSTOM_0, REGISTERS, Service
from denali.libos.compiler import relocations as rel
from denali.libos.compiler.depth import HANDLER
from denali.libos.compiler.errors import CompileError

TEXT_BASE, PAGE = 0x10000, 4096
ALLOC, WRITE, EXECUTE = 2, 1, 4
KEPT_DEBUG = frozenset(
    ".debug_" + part
    for part in ("line", "line_str", "info", "abbrev", "str", "addr", "str_offsets", "rnglists", "ranges")
)
A0, A1, RA = 10, 11, 1
MRET = struct.pack("<I", 0x30200073)
RETURN = struct.pack("<I", Service.RETURN << 25 | CUSTOM_0)  # changes no register


def service_stub(service: int) -> bytes:
    """A virtual instruction as a C function: `custom-0 a0, a0, a1`, and a return."""
    word = service << 25 | A1 << 20 | A0 << 15 | A0 << 7 | CUSTOM_0
    return struct.pack("<IH", word, 0x8002 | RA << 7)  # c.jr ra


@dataclass(slots=True)
class Section:
    """A section of the object file and where it goes."""

    index: int
    name: str
    flags: int
    align: int
    size: int
    data: bytearray
    zeroed: bool
    address: int = 0


class Part(NamedTuple):
    """Sections that are loaded together."""

    start: int
    end: int
    executable: bool
    writable: bool
    sections: list[Section]


@dataclass(slots=True)
class Linker:
    """The state of one link; `stack` bytes for it, or None: the kernel gives a stack at the top of memory."""

    content: bytes
    readable: Callable[[str], str]
    stack: int | None = None
    sections: dict[int, Section] = field(default_factory=dict[int, Section])
    stubs: dict[str, int] = field(default_factory=dict[str, int])
    symbols: list[Any] = field(default_factory=list[Any])

    def link(self, entry: str) -> bytes:
        """The executable.

        Raises:
            CannotLink: a symbol has no definition, or something is too far away.
        """
        elf: Any = ELFFile(io.BytesIO(self.content))
        self._read(elf)
        parts = self._place()
        self._relocate(elf)
        self._return_from_handlers()
        segments = [Segment(p.start, p.end - p.start, flatten(p), p.writable, p.executable) for p in parts]
        debug = {s.name: bytes(s.data) for s in self.sections.values() if s.name in KEPT_DEBUG}
        start = next(self._address(s) for s in self.symbols if s.name == entry)
        functions, objects = self._exported("STT_FUNC"), self._exported("STT_OBJECT")
        symbols = {"functions": functions, "objects": objects}
        image = write_elf(segments, entry=start, **symbols, sections=debug, registers=self._registers(parts))
        self._refuse_missing(elf, image)
        return image

    def _registers(self, parts: list[Part]) -> int:
        """Where the registers page lies: above the stack; 0 when that is not here."""
        return 0 if self.stack is None else next(p.start for p in parts if p.writable) + self.stack

    def _return_from_handlers(self) -> None:
        """Let event handlers end as ours do: LLVM knows only the privileged machine's return from an interrupt."""
        for symbol in self.symbols:
            if symbol.name.startswith(HANDLER) and symbol["st_info"]["type"] == "STT_FUNC":
                section = self.sections[symbol["st_shndx"]]
                end = symbol["st_value"] + symbol["st_size"]
                at = section.data.find(MRET, symbol["st_value"], end)
                while at >= 0:
                    section.data[at : at + 4] = RETURN
                    at = section.data.find(MRET, at + 4, end)

    def _refuse_missing(self, elf: Any, image: bytes) -> None:
        """Name the place of a call of a function that a guest does not have."""
        for name in missing(self.content):
            text = next(s for s in self.sections.values() if s.flags & EXECUTE)
            for table in elf.iter_sections():
                if isinstance(table, RelocationSection) and table["sh_info"] == text.index:
                    calls = [r for r in table.iter_relocations() if self.symbols[r["r_info_sym"]].name == name]
                    at = Image.from_elf(image, "service").line_at(text.address + calls[0]["r_offset"]) or ("?", 0)
                    raise CompileError(*at, f"a guest has no `{name}`")

    def _read(self, elf: Any) -> None:
        for index, section in enumerate(elf.iter_sections()):
            zeroed = section["sh_type"] == "SHT_NOBITS"
            data = bytearray() if zeroed else bytearray(section.data())
            flags, align = section["sh_flags"], max(section["sh_addralign"], 1)
            self.sections[index] = Section(index, section.name, flags, align, section["sh_size"], data, zeroed)
        self.symbols = list(elf.get_section_by_name(".symtab").iter_symbols())
        for symbol in self.symbols:
            if symbol["st_shndx"] == "SHN_UNDEF" and symbol.name:
                self.stubs[symbol.name] = 0

    def _place(self) -> list[Part]:
        """Give every section its address; the parts are text, constants and what the guest may write."""
        loaded = [s for s in self.sections.values() if s.flags & ALLOC and s.size]
        text = [s for s in loaded if s.flags & EXECUTE]
        constants = [s for s in loaded if not s.flags & (EXECUTE | WRITE) and not s.name.startswith(".eh_frame")]
        private = sorted((s for s in loaded if s.flags & WRITE), key=lambda s: (s.zeroed, s.size))
        if self.stack is not None:
            private.insert(0, Section(-1, ".stack", WRITE, 16, self.stack + REGISTERS.itemsize, bytearray(), True))
        text.append(self._stub_section(len(self.sections)))
        address, parts = TEXT_BASE, list[Part]()
        for sections, executable, writable in ((text, True, False), (constants, False, False), (private, False, True)):
            start = address
            for section in sections:
                section.address = address = -(-address // section.align) * section.align
                address += section.size
            if sections:
                parts.append(Part(start, address, executable, writable, sections))
            address = -(-address // PAGE) * PAGE
        return parts

    def _stub_section(self, index: int) -> Section:
        data = bytearray()
        for name in sorted(self.stubs):
            self.stubs[name] = len(data)
            data += service_stub(service_number(name))
        section = self.sections[index] = Section(index, ".stubs", ALLOC | EXECUTE, 2, len(data), data, False)
        self.stubs[""] = index
        return section

    def _address(self, symbol: Any) -> int:
        where = symbol["st_shndx"]
        if where == "SHN_UNDEF":
            return self.sections[self.stubs[""]].address + self.stubs[symbol.name] if symbol.name else 0
        return symbol["st_value"] + (self.sections[where].address if isinstance(where, int) else 0)

    def _relocate(self, elf: Any) -> None:
        for table in elf.iter_sections():
            if isinstance(table, RelocationSection):
                section = self.sections[table["sh_info"]]
                if section.address or section.name in KEPT_DEBUG:
                    self._relocate_section(section, list(table.iter_relocations()))

    def _relocate_section(self, section: Section, entries: list[Any]) -> None:
        """Apply a section's relocations; a low half takes the distance of the high half that its symbol marks."""
        distances: dict[int, int] = {}
        for entry in entries:
            if entry["r_info_type"] == rel.R_PCREL_HI20:
                here = section.address + entry["r_offset"]
                distances[here] = self._target(entry) - here
        for entry in entries:
            kind, offset = entry["r_info_type"], entry["r_offset"]
            target = self._target(entry)
            if kind in (rel.R_PCREL_LO12_I, rel.R_PCREL_LO12_S):
                target = distances[target]
            rel.apply(section.data, offset, kind, target, section.address + offset)

    def _target(self, entry: Any) -> int:
        return self._address(self.symbols[entry["r_info_sym"]]) + entry["r_addend"]

    def _exported(self, kind: str) -> list[Symbol]:
        """The functions or module-level arrays, under readable names that differ from each other."""
        taken: dict[str, int] = {}
        found: list[Symbol] = []
        for symbol in self.symbols:
            placed = isinstance(symbol["st_shndx"], int) and not symbol.name.startswith(".")
            if symbol["st_info"]["type"] == kind and placed:
                name = self.readable(symbol.name)
                taken[name] = number = taken.get(name, 0) + 1
                name = name if number == 1 else f"{name}#{number}"
                found.append(Symbol(name, self._address(symbol), symbol["st_size"]))
        if kind == "STT_FUNC":
            base = self.sections[self.stubs[""]].address
            found += [Symbol(name, base + at, len(service_stub(0))) for name, at in self.stubs.items() if name]
        return sorted(found, key=lambda s: (s.start, s.name))


def flatten(part: Part) -> bytes:
    """The bytes of a part, up to its last section that has any."""
    flat = bytearray()
    for section in part.sections:
        if not section.zeroed:
            flat += bytes(section.address - part.start - len(flat)) + section.data
    return bytes(flat)


SERVICE = re.compile(r"denali\.(?:service\.(\d+)|fail)")


def missing(content: bytes) -> list[str]:
    """The functions that an object file wants and the machine does not have."""
    elf: Any = ELFFile(io.BytesIO(content))
    symbols = elf.get_section_by_name(".symtab").iter_symbols()
    return [s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF" and s.name and not SERVICE.fullmatch(s.name)]


def service_number(name: str) -> int:
    """The virtual instruction behind an external symbol; any other is refused later, when the line is known."""
    match = SERVICE.fullmatch(name)
    return int(Service.FAIL if match is None or match[1] is None else match[1])
