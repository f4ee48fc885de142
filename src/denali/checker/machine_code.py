# pyright: basic
"""An object file taken apart: functions, their instructions, what relocations say, jump tables.

Instructions come from capstone; of each only what the checker asks is kept. Relocations are read with pyelftools.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import capstone
from capstone import x86
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

PC32, PLT32 = 2, 4


SIZES = {"byte": 1, "word": 2, "dword": 4, "qword": 8, "xmmword": 16, "ymmword": 32, "zmmword": 64}


class Memory(NamedTuple):
    """A memory operand: registers may be None; of an address relative to the instruction `section` is the target's."""

    base: str | None
    index: str | None
    scale: int
    displacement: int
    section: str | None = None


class Operand(NamedTuple):
    """An operand: a register, a number or memory; `size` in bytes."""

    size: int
    register: str | None = None
    number: int | None = None
    memory: Memory | None = None


@dataclass(slots=True)
class Instruction:
    """One instruction; `written` are the whole registers it changes, `target` where a jump or call goes."""

    address: int
    size: int
    name: str
    operands: list[Operand]
    written: frozenset[str]
    text: str
    target: int | str | None = None  # a place in the text, or an external symbol

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.size


@dataclass(slots=True)
class Function:
    """A symbol and its instructions, in order."""

    name: str
    start: int
    end: int
    code: list[Instruction] = field(default_factory=list)


@dataclass(slots=True)
class Object:
    """What a relocatable object holds: functions by address, the sizes of constant sections, jump tables."""

    functions: dict[int, Function]
    sizes: dict[str, int]
    entries: dict[str, dict[int, int]]  # by section and offset: the place whose distance from there is stored there
    constants: dict[
        str, tuple[bytes, frozenset[int]]
    ]  # what is in sections that are not written; where relocations are
    named: set[tuple[str, int]]  # places of constant sections that instructions speak of: where tables begin

    def constant(self, section: str, start: int) -> int | None:
        """The eight bytes at a place of a section that nothing changes; None where there are no such."""
        held, changed = self.constants.get(section, (b"", frozenset()))
        if not 0 <= start <= len(held) - 8 or not changed.isdisjoint(range(start - 7, start + 8)):
            return None
        return int.from_bytes(held[start : start + 8], "little")

    def jumps(self, section: str, start: int) -> list[int]:
        """The targets of the jump table at a place: what each entry gives once the table's own address is added."""
        entries, place, targets = self.entries.get(section, {}), start, list[int]()
        while place in entries and (place == start or (section, place) not in self.named):
            targets.append(entries[place] - (place - start))
            place += 4
        return targets


def read(code: bytes) -> Object:
    """Take an object apart.

    Raises:
        ValueError: it is no such object, or has what translations do not have.
    """
    elf = ELFFile(io.BytesIO(code))
    symbols = elf.get_section_by_name(".symtab")
    names = [section.name for section in elf.iter_sections()]
    text = elf.get_section_by_name(".text")
    if not isinstance(symbols, SymbolTableSection) or text is None:
        raise ValueError("an object without text or symbols")
    table = [(s.name, s["st_value"], s["st_size"], s["st_shndx"], s["st_info"]["type"]) for s in symbols.iter_symbols()]
    sizes = {s.name: s["sh_size"] for s in elf.iter_sections() if s["sh_flags"] & 2 and s["sh_type"] != "SHT_NOBITS"}
    functions = {
        value: Function(name, value, value + size)
        for name, value, size, section, kind in table
        if kind == "STT_FUNC" and section != "SHN_UNDEF" and names[section] == ".text"
    }
    relocations = {name: _relocations(elf, name, table, names) for name in sizes}
    for function in functions.values():
        function.code = _decode(text.data()[function.start : function.end], function.start, relocations[".text"])
    jumps = {name: _entries(elf.get_section_by_name(name), relocations[name]) for name in sizes if name != ".text"}
    named = {
        (operand.memory.section, operand.memory.displacement)
        for function in functions.values()
        for instruction in function.code
        for operand in instruction.operands
        if operand.memory is not None and operand.memory.section is not None
    }
    constants = {
        s.name: (s.data(), frozenset(relocations[s.name]))
        for s in elf.iter_sections()
        if s.name in sizes and s.name != ".text" and not s["sh_flags"] & 1
    }
    return Object(functions, sizes, jumps, constants, named)


def _relocations(elf: ELFFile, name: str, table: list, names: list[str]) -> dict[int, tuple[int, str, int]]:
    """By place: the type, the target's section (or external symbol, with a leading !), and symbol value + addend."""
    section = elf.get_section_by_name(".rela" + name)
    found: dict[int, tuple[int, str, int]] = {}
    for one in section.iter_relocations() if isinstance(section, RelocationSection) else ():
        symbol, value, _, where, _ = table[one["r_info_sym"]]
        target = "!" + symbol if where == "SHN_UNDEF" else names[where]
        found[one["r_offset"]] = one["r_info_type"], target, value + one["r_addend"]
    return found


def _entries(section, relocations: dict[int, tuple[int, str, int]]) -> dict[int, int]:
    """By offset: the place in the text whose distance from the entry itself is stored there."""
    return {
        place: addend for place, (kind, target, addend) in relocations.items() if kind == PC32 and target == ".text"
    }


@lru_cache
def _disassembler() -> capstone.Cs:
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    disassembler.detail = True
    return disassembler


def _decode(code: bytes, start: int, relocations: dict[int, tuple[int, str, int]]) -> list[Instruction]:
    result = [_instruction(one, relocations) for one in _disassembler().disasm(code, start)]
    if not result or result[-1].end != start + len(code):
        raise ValueError(f"no instructions at {result[-1].end if result else start:#x}")
    return result


def _instruction(one, relocations: dict[int, tuple[int, str, int]]) -> Instruction:
    found = next((relocations[p] for p in range(one.address, one.address + one.size) if p in relocations), None)
    place = next((p for p in range(one.address, one.address + one.size) if p in relocations), 0)
    operands = [_operand(one, operand, found, place) for operand in one.operands if one.mnemonic != "nop"]
    _, written = one.regs_access()
    result = Instruction(
        one.address, one.size, one.mnemonic, operands, frozenset(whole(one.reg_name(r)) for r in written),
        f"{one.mnemonic} {one.op_str}".strip(),
    )  # fmt: skip
    if capstone.CS_GRP_JUMP in one.groups or capstone.CS_GRP_CALL in one.groups:
        result.target = _target(one, operands, found, place)
    return result


def _target(one, operands: list[Operand], found: tuple[int, str, int] | None, place: int) -> int | str | None:
    if found is None:
        return operands[0].number
    kind, target, addend = found
    if kind not in (PC32, PLT32) or operands[0].number is None:
        raise ValueError(f"an unexpected relocation at {one.address:#x}")
    addend += one.address + one.size - place
    return target[1:] if target.startswith("!") else addend


def _operand(one, operand, found: tuple[int, str, int] | None, place: int) -> Operand:
    if operand.type == x86.X86_OP_REG:
        return Operand(operand.size, register=one.reg_name(operand.reg))
    if operand.type == x86.X86_OP_IMM:
        return Operand(operand.size, number=operand.imm)
    memory = operand.mem
    if memory.segment:
        raise ValueError(f"a segment at {one.address:#x}")
    base, index = (one.reg_name(r) if r else None for r in (memory.base, memory.index))
    where = Memory(base, index, memory.scale, memory.disp)
    if base == "rip":
        if found is None or found[0] != PC32 or found[1].startswith("!"):
            raise ValueError(f"an address of no constant at {one.address:#x}")
        where = Memory(None, index, memory.scale, found[2] + one.address + one.size - place, found[1])
    size = SIZES.get(one.op_str.split(" ptr ")[0].split(", ")[-1].split(" ")[-1], operand.size)
    if size != operand.size:
        raise ValueError(f"{operand.size} or {size} bytes at {one.address:#x}: {one.mnemonic} {one.op_str}")
    assert size is not None
    return Operand(size, memory=where)


WHOLE = {
    **{part: f"r{letter}x" for letter in "abcd" for part in (f"e{letter}x", f"{letter}x", f"{letter}l", f"{letter}h")},
    **{part: f"r{name}" for name in ("si", "di", "bp", "sp") for part in (f"e{name}", name, f"{name}l")},
    **{f"r{number}{part}": f"r{number}" for number in range(8, 16) for part in "dwb"},
}


def whole(register: str) -> str:
    """The 64-bit register that a name is part of; others as they are."""
    return WHOLE.get(register, register)
