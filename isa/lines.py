"""Which source line an instruction comes from: the line table of an ELF file (DWARF 2 to 5, section 6.2).

The table is read in one pass whose time and memory are bounded by its bytes, whatever they say: the kernel asks for a
line when a guest traps, so a table that takes for ever would stop every guest. What a compiler does not write
(64-bit tables, more than `TABLE_LIMIT` bytes or `ROW_LIMIT` rows) is no table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

TABLE, STRINGS = ".debug_line", {0x1F: ".debug_line_str", 0x0E: ".debug_str"}  # by the form that refers to them
TABLE_LIMIT = 1 << 20  # bytes; that of half a million instructions, of which more are not translated
ROW_LIMIT = 1 << 18
FILE_LIMIT = 1 << 16  # names in a unit
NAME_LIMIT = 255  # bytes of a file's name that are kept
FIXED_FORMS = {0x0B: 1, 0x05: 2, 0x06: 4, 0x07: 8, 0x1E: 16}  # data1 to data16
STRING, UNSIGNED, PATH = 0x08, 0x0F, 1


class Row(NamedTuple):
    """From `address` on the code is from `line` of `file`, up to the next row's address; line 0: from nowhere."""

    address: int
    rank: int  # of several rows for one address the last by rank counts: a statement's begin, any row, an end
    file: str
    line: int


class Damaged(ValueError):
    """The bytes are no line table."""


def rows(sections: Mapping[str, bytes]) -> list[Row]:
    """All rows of a line table, by address; `sections` has the bytes of TABLE and STRINGS, where they are there.

    Raises:
        Damaged: it cannot be read, or is larger than any that is believed.
    """
    table = sections.get(TABLE, b"")
    if len(table) > TABLE_LIMIT:
        raise Damaged(f"a line table of {len(table)} bytes")
    found = list(islice(_rows(table, sections), ROW_LIMIT + 1))
    if len(found) > ROW_LIMIT:
        raise Damaged(f"more than {ROW_LIMIT} rows")
    return sorted(found, key=lambda row: (row.address, row.rank))


def _rows(table: bytes, sections: Mapping[str, bytes]) -> Iterator[Row]:
    reader = Reader(table)
    while reader.left:
        length = reader.number(4)
        unit = Reader(reader.bytes(length))
        yield from Unit(unit, sections).rows()


class Reader:
    """Bytes that are taken from the front."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    @property
    def left(self) -> int:
        """How many there are still."""
        return len(self._content) - self._place

    def bytes(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > self.left:
            raise Damaged(f"{count} bytes wanted, {self.left} left")
        self._place += count
        return self._content[self._place - count : self._place]

    def number(self, size: int, *, signed: bool = False) -> int:
        """A number of fixed size."""
        return int.from_bytes(self.bytes(size), "little", signed=signed)

    def text(self) -> bytes:
        """A string up to the zero behind it."""
        end = self._content.find(0, self._place)
        if end < 0:
            raise Damaged("a string without an end")
        return self.bytes(end + 1 - self._place)[:-1]

    def leb(self, *, signed: bool = False) -> int:
        """A number of up to 64 bits in groups of seven, the lowest first."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value - (1 << shift + 7) if signed and byte & 0x40 else value
        raise Damaged("a number of more than 64 bits")


@dataclass(slots=True)
class State:
    """The registers of the machine that a line program is for."""

    is_statement: bool
    address: int = 0
    file: int = 1
    line: int = 1


class Unit:
    """The part of the table for one compilation: a header with the names of files, and a program that makes rows."""

    def __init__(self, reader: Reader, sections: Mapping[str, bytes]) -> None:
        self.sections = sections
        version = reader.number(2)
        if not 2 <= version <= 5:
            raise Damaged(f"version {version}")
        if version == 5:
            reader.bytes(2)  # sizes of an address and of a segment
        head = Reader(reader.bytes(reader.number(4)))
        self.step = head.number(1)
        head.bytes(1 if version >= 4 else 0)  # operations in an instruction
        self.default = bool(head.number(1))
        self.line_base, self.line_range, self.opcode_base = head.number(1, signed=True), head.number(1), head.number(1)
        if not self.line_range:
            raise Damaged("a range of no lines")
        self.arguments = list(head.bytes(max(0, self.opcode_base - 1)))
        self.files = self._tables(head) if version == 5 else self._lists(head)
        self.program = reader

    def _lists(self, head: Reader) -> list[str]:
        """The names of files up to version 4, the first of which has number 1."""
        while head.text():
            pass  # folders
        names = [""]
        while (name := head.text()) and len(names) <= FILE_LIMIT:
            names.append(_name(name))
            for _ in range(3):
                head.leb()
        return names

    def _tables(self, head: Reader) -> list[str]:
        """The names of files of version 5; a table says by which forms its entries are written."""
        names: list[str] = []
        for _ in ("folders", "files"):
            forms = [(head.leb(), head.leb()) for _ in range(head.number(1))]
            count = head.leb()
            if count > FILE_LIMIT or (count and not forms):
                raise Damaged(f"{count} entries of {len(forms)} parts")
            names = [self._entry(head, forms) for _ in range(count)]
        return names

    def _entry(self, head: Reader, forms: list[tuple[int, int]]) -> str:
        values = [(kind, self._value(head, form)) for kind, form in forms]
        return next((_name(value) for kind, value in values if kind == PATH), "")

    def _value(self, head: Reader, form: int) -> bytes:
        """What stands there, where it can be a name; else nothing."""
        if form == STRING:
            return head.text()
        if form in STRINGS:
            strings, start = self.sections.get(STRINGS[form], b""), head.number(4)
            return strings[start : start + NAME_LIMIT].partition(b"\0")[0]
        if form == UNSIGNED:
            head.leb()
        elif form in FIXED_FORMS:
            head.bytes(FIXED_FORMS[form])
        else:
            raise Damaged(f"form {form:#x}")
        return b""

    def rows(self) -> Iterator[Row]:
        """What the program makes."""
        reader, state = self.program, State(self.default)
        while reader.left:
            opcode = reader.number(1)
            if opcode >= self.opcode_base:
                self._advance(state, opcode)
                state.line += self.line_base + (opcode - self.opcode_base) % self.line_range
                yield from self._row(state)
            elif opcode == 0:
                if self._extended(reader, state):
                    yield Row(state.address, 0, "", 0)
                    state = State(self.default)
            elif opcode == 1:
                yield from self._row(state)
            else:
                self._standard(opcode, reader, state)

    def _row(self, state: State) -> Iterator[Row]:
        name = self.files[state.file] if state.file < len(self.files) else ""
        if name:
            yield Row(state.address, 2 if state.is_statement else 1, name, max(state.line, 0))

    def _advance(self, state: State, opcode: int) -> None:
        state.address += self.step * ((opcode - self.opcode_base) // self.line_range)

    def _extended(self, reader: Reader, state: State) -> bool:
        """An operation with its length before it; True for the end of a sequence."""
        body = Reader(reader.bytes(reader.leb()))
        kind = body.number(1) if body.left else 0
        if kind == 2:
            state.address = body.number(min(body.left, 8))
        return kind == 1

    def _standard(self, opcode: int, reader: Reader, state: State) -> None:
        match opcode:
            case 2:
                state.address += self.step * reader.leb()
            case 3:
                state.line += reader.leb(signed=True)
            case 4:
                state.file = reader.leb()
            case 6:
                state.is_statement = not state.is_statement
            case 8:
                self._advance(state, 255)
            case 9:
                state.address += reader.number(2)
            case _:
                for _ in range(self.arguments[opcode - 1]):
                    reader.leb()


def _name(content: bytes) -> str:
    return content[:NAME_LIMIT].decode(errors="replace")
