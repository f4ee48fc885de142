"""Bring a relocatable ELF object into memory: one mapping, filled while writable, then executable and never both.

llvmlite's own loaders either place code out of reach of near calls or keep much per module; what our objects need is
small: allocated sections one behind the other, a slot and a stub per external symbol, seven relocations.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

PAGE = mmap.PAGESIZE
SECTION = struct.Struct("<IIQQQQIIQQ")  # name type flags address offset size link info align entry_size
SYMBOL = struct.Struct("<IBBHQQ")  # name info other section value size
RELOCATION = np.dtype([("offset", "<u8"), ("kind", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])
RELOCATIONS, BITS, ALLOCATED, WRITABLE = 4, 8, 2, 1
FUNCTION = 2
PC32, PLT32 = 2, 4  # types of relocations, as the psABI names them
THROUGH_SLOT = (9, 41, 42)  # GOTPCREL, GOTPCRELX, REX_GOTPCRELX
ABSOLUTE, DISTANCE = 1, 24  # 64, PC64
FRAME = 64 << 10  # bytes of native stack that a function may take at once: less than lies behind any stack
TAKE = b"\x48\x81\xec"  # sub rsp, of more than a signed byte: four bytes follow
STUB = 16  # jmp *6(%rip), then the address

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Unloadable(Exception):
    """An object that cannot be loaded; the message says what in it was not expected."""


@dataclass(slots=True)
class Code:
    """Loaded code: its mapping, and the host address of each of its global symbols."""

    address: int
    size: int
    symbols: dict[str, int]

    def close(self) -> None:
        """Unmap it; nothing may run in it any more, nor refer to it."""
        if self.size:
            _libc.munmap(self.address, self.size)
            self.size = 0


@dataclass(slots=True)
class _Section:
    name: str
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    place: int = -1  # offset in the mapping; -1: not loaded


class _Symbol(NamedTuple):
    """A symbol; its place in the mapping is -1 when it is not here, its size 0 when it is no function."""

    name: str
    place: int
    size: int
    visible: bool


def load(code: bytes, externals: Mapping[str, int] | None = None, title: Callable[[str], str] = str) -> Code:
    """Load an object and connect it to `externals` (name → host address).

    Args:
        code: what LLVM made.
        externals: what it may call.
        title: what profilers are to call a function of the object.

    Raises:
        Unloadable: it is no such object, wants writable data, an unknown symbol or an unexpected relocation.
    """
    try:
        return _load(code, externals or {}, title)
    except (struct.error, IndexError, ValueError) as reason:
        raise Unloadable(f"a damaged object: {reason}") from reason


def _load(code: bytes, externals: Mapping[str, int], title: Callable[[str], str]) -> Code:
    if code[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<HH", code, 16) != (1, 62):
        raise Unloadable("not a relocatable ELF object for x86-64")
    sections = _sections(code)
    end = _place(sections)
    symbols = _symbols(code, sections)
    slots = _slots(code, sections, symbols, externals, end)
    size = -(-(end + STUB * len(slots)) // PAGE) * PAGE or PAGE
    address = _map(size)
    try:
        image = memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")
        _fill(image, code, sections, slots)
        _relocate(image, code, sections, symbols, slots, address)
        _seal(address, size)
    except BaseException:
        _libc.munmap(address, size)
        raise
    here = [symbol for symbol in symbols if symbol.place >= 0 and symbol.name]
    own = {symbol.name: address + symbol.place for symbol in here if symbol.visible}
    if os.environ.get("DENALI_PERF_MAP"):
        _tell_perf([(address + symbol.place, symbol.size, title(symbol.name)) for symbol in here if symbol.size])
    return Code(address, size, own)


def _sections(code: bytes) -> list[_Section]:
    (table,) = struct.unpack_from("<Q", code, 40)
    size, count, names = struct.unpack_from("<HHH", code, 58)
    raw = [SECTION.unpack_from(code, table + size * index) for index in range(count)]
    start = raw[names][4]
    return [
        _Section(_text(code, start + r[0]), r[1], r[2], r[4], r[5], r[6], r[7], r[8])
        for r in raw
    ]  # fmt: skip


def _text(code: bytes, start: int) -> str:
    return code[start : code.index(0, start)].decode()


def _loaded(section: _Section) -> bool:
    return bool(section.flags & ALLOCATED and section.size) and section.name != ".eh_frame"


def _place(sections: list[_Section]) -> int:
    """Give each loaded section its place; the end of the last."""
    end = 0
    for section in sections:
        if _loaded(section):
            if section.kind == BITS or (section.flags & WRITABLE and not section.name.startswith(".data.rel.ro")):
                raise Unloadable(f"it wants writable data in {section.name}")
            end = -(-end // max(section.align, 1)) * max(section.align, 1)
            section.place = end
            end += section.size
    return -(-end // STUB) * STUB


def _symbols(code: bytes, sections: list[_Section]) -> list[_Symbol]:
    table = next((s for s in sections if s.kind == 2), None)
    if table is None:
        return []
    names = sections[table.link].offset
    result: list[_Symbol] = []
    for name, info, _, index, value, size in SYMBOL.iter_unpack(code[table.offset : table.offset + table.size]):
        here = 0 < index < len(sections) and sections[index].place >= 0
        place = sections[index].place + value if here else -1
        result.append(_Symbol(_text(code, names + name), place, size if info & 15 == FUNCTION else 0, info >> 4 > 0))
    return result


def _tables(code: bytes, sections: list[_Section]) -> list[tuple[_Section, Any]]:
    """The relocations of each loaded section, as arrays of `RELOCATION`."""
    return [
        (sections[table.info], np.frombuffer(code, RELOCATION, table.size // RELOCATION.itemsize, table.offset))
        for table in sections
        if table.kind == RELOCATIONS and sections[table.info].place >= 0
    ]


def _slots(
    code: bytes,
    sections: list[_Section],
    symbols: list[_Symbol],
    externals: Mapping[str, int],
    end: int,
) -> dict[int, tuple[int, int]]:
    """For each symbol that is reached through a slot: the place of its stub, and its address or place."""
    slots: dict[int, tuple[int, int]] = {}
    places = np.array([symbol.place for symbol in symbols], np.int64)
    for _, table in _tables(code, sections):
        numbers = table["symbol"]
        through = np.logical_or.reduce([table["kind"] == kind for kind in THROUGH_SLOT])
        for number in sorted(set(numbers[through | (places[numbers] < 0)].tolist())):
            symbol = symbols[number]
            if number not in slots:
                if symbol.place < 0 and symbol.name not in externals:
                    missing = symbol.name or "a section that is not loaded"
                    raise Unloadable(f"it refers to {missing!r}, which nobody provides")
                target = externals[symbol.name] if symbol.place < 0 else ~symbol.place
                slots[number] = (end + STUB * len(slots), target)
    return slots


def _fill(image: memoryview, code: bytes, sections: list[_Section], slots: dict[int, tuple[int, int]]) -> None:
    for section in sections:
        if section.place >= 0:
            data = code[section.offset : section.offset + section.size]
            if len(data) != section.size:
                raise Unloadable(f"{section.name} is cut off")
            image[section.place : section.place + section.size] = data
            if frame_of(data) > FRAME:
                raise Unloadable(f"a function takes {frame_of(data)} bytes of native stack")
    for place, _ in slots.values():
        image[place : place + 8] = b"\xff\x25\x02\x00\x00\x00\xcc\xcc"


def frame_of(code: bytes) -> int:
    """The most bytes that an instruction of these takes from the stack, wherever one is taken to begin."""
    most, at = 0, code.find(TAKE)
    while at >= 0:
        most = max(most, int.from_bytes(code[at + 3 : at + 7], "little"))
        at = code.find(TAKE, at + 1)
    return most


def _relocate(
    image: memoryview,
    code: bytes,
    sections: list[_Section],
    symbols: list[_Symbol],
    slots: dict[int, tuple[int, int]],
    address: int,
) -> None:
    for place, target in slots.values():
        struct.pack_into("<Q", image, place + 8, target if target >= 0 else address + ~target)
    places = np.array([symbol.place for symbol in symbols], np.int64)
    for section, table in _tables(code, sections):
        if len(table) and int(table["offset"].max()) + 4 > section.size:
            raise Unloadable(f"a relocation behind the end of {section.name}")
        target = places[table["symbol"]]
        near = ((table["kind"] == PC32) | (table["kind"] == PLT32)) & (target >= 0)
        _add_distances(
            image, section.place + table["offset"][near].astype(np.int64), target[near] + table["addend"][near]
        )
        rest: list[tuple[int, int, int, int]] = table[~near].tolist()
        for offset, kind, symbol, addend in rest:
            _relocate_one(
                image, section.place + offset, kind, symbols[symbol], slots.get(symbol, (0, 0)), addend, address
            )


def _add_distances(image: memoryview, at: Any, target: Any) -> None:
    """Write 32-bit distances to `target` at `at`, many at once: most relocations are such."""
    distance = target - at
    if len(at) and (distance.max() >= 1 << 31 or distance.min() < -1 << 31):
        raise Unloadable("a distance that does not fit 32 bits")
    whole = np.frombuffer(image, np.uint8)
    for byte in range(4):
        whole[at + byte] = distance >> 8 * byte & 255


def _relocate_one(
    image: memoryview,
    at: int,
    kind: int,
    symbol: _Symbol,
    slot: tuple[int, int],
    addend: int,
    address: int,
) -> None:
    name, place, _, _ = symbol
    if kind in (PC32, PLT32):
        struct.pack_into("<i", image, at, slot[0] + addend - at)
    elif kind in THROUGH_SLOT:
        struct.pack_into("<i", image, at, slot[0] + 8 + addend - at)
    elif kind == ABSOLUTE:
        target = address + place if place >= 0 else slot[1]
        struct.pack_into("<Q", image, at, target + addend & 0xFFFFFFFFFFFFFFFF)
    elif kind == DISTANCE and place >= 0:
        struct.pack_into("<q", image, at, place + addend - at)
    else:
        raise Unloadable(f"an unexpected relocation, type {kind} against {name!r}")


def _map(size: int) -> int:
    address = _libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise MemoryError(f"no room for {size} bytes of code: {os.strerror(ctypes.get_errno())}")
    return int(address)


def _seal(address: int, size: int) -> None:
    """From writable to executable."""
    if _libc.mprotect(address, size, mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "this host does not let generated code be executed")


def _tell_perf(functions: list[tuple[int, int, str]]) -> None:
    """Name the functions to perf, where it looks for names of code that no file holds."""
    with open(f"/tmp/perf-{os.getpid()}.map", "a") as file:
        file.writelines(f"{address:x} {size:x} {name}\n" for address, size, name in functions)
