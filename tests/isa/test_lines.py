"""Source lines are those that pyelftools reads, and no line table takes the host's time or memory."""

from __future__ import annotations

import contextlib
import io
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile  # pyright: ignore[reportMissingTypeStubs]
from hypothesis import given, settings
from hypothesis import strategies as st
from line_tables import END, NAMES, at, leb, unit

from denali.isa import lines
from denali.isa.image import Image, Segment
from denali.isa.tools.elf import write_elf
from denali.libos import cc

HERE = Path(__file__).parent
CODE = bytes((1, 0)) * 8
SECONDS = 5.0  # of processor time, for what takes less than one


def image(table: bytes, **others: bytes) -> Image:
    sections = {".debug_line": table} | {f".{name}": content for name, content in others.items()}
    return Image.from_elf(write_elf([Segment(0x10000, 16, CODE, False, True)], entry=0x10000, sections=sections), "x")


@pytest.mark.parametrize("version", NAMES)
def test_a_program_of_every_operation_is_read_as_the_standard_says(version: int) -> None:
    first = 1 if version == 4 else 0
    program = (
        *(at(0x10000), bytes((4, first, 3, 9, 1)), b"\x05\x07", bytes((2, 4, 1))),  # set_file, advance, copy, column
        *(bytes((13 + 14 * 2 + 6,)), bytes((8, 9, 2, 0)), bytes((4, first + 1, 1))),  # special: 2 on, line + 1
        *(bytes((6, 7, 10, 11, 12, 3, 3, 0x7E, 1)), bytes((0, 2, 4, 5)), END),
    )
    found = lines.rows(
        {".debug_line": unit(version, NAMES[version], b"".join(program)), ".debug_line_str": b"a.c\0b.c"}
    )
    assert [(row.address - 0x10000, row.file, row.line) for row in found] == [
        *((0, "a.c", 10), (4, "a.c", 10), (6, "a.c", 11)),
        *((25, "", 0), (25, "b.c", 9), (25, "b.c", 11)),  # the end, no statement, a statement: the last one counts
    ]


def others_rows(content: bytes) -> Iterator[tuple[int, str, int]]:
    """What pyelftools reads."""
    dwarf: Any = ELFFile(io.BytesIO(content)).get_dwarf_info()  # pyright: ignore[reportUnknownMemberType]
    for one in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(one)
        first = 0 if program["version"] >= 5 else 1
        for entry in program.get_entries():
            state = entry.state
            if state is not None:
                file = "" if state.end_sequence else program["file_entry"][state.file - first].name.decode()
                yield state.address, file, 0 if state.end_sequence else state.line


@pytest.mark.parametrize("compiler", cc.FINDERS)
@pytest.mark.parametrize("version", [3, 4, 5])
def test_rows_of_compiled_programs_are_those_that_pyelftools_reads(compiler: str, version: int, tmp_path: Path) -> None:
    if cc.FINDERS[compiler]() is None:
        pytest.skip(f"no {compiler} for RISC-V here: {cc.INSTALL[compiler]}")
    source, target = HERE.parent / "compiler" / "sums.c", tmp_path / "sums.elf"
    cc.build([source], target, compiler=compiler, flags=[f"-gdwarf-{version}"])
    content = target.read_bytes()
    ours = [(row.address, row.file, row.line) for row in Image.from_elf(content, "sums")._lines]  # pyright: ignore[reportPrivateUsage]
    assert len(ours) > 1000
    assert sorted(ours) == sorted(others_rows(content))


HOSTILE = {
    "more folders without a form than there are atoms": unit(5, bytes((0,)) + leb(1 << 40) + bytes(2), b""),
    "more files than bytes": unit(5, bytes((0, 0, 1, 1, 0x0F)) + leb(1 << 62), b""),
    "a number that does not end": unit(4, NAMES[4], b"\x02" + b"\xff" * 1_000_000),
    "lines of no range": unit(4, NAMES[4], bytes(range(13, 200)), line_range=0),
    "a million units that want the rest of the table": struct.pack("<IHI", 6, 4, 1 << 30) * 100_000,
    "names without an end": unit(4, b"\0" + b"a" * 1_000_000, b""),
    "more rows than are believed": unit(4, NAMES[4], b"\x01" * (lines.ROW_LIMIT + 1)),
    "a table that is too large": unit(4, NAMES[4], bytes(lines.TABLE_LIMIT)),
    "an unknown version": unit(6, NAMES[4], b""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_table_that_is_none_is_as_if_absent_and_takes_no_time(name: str) -> None:
    begin = time.process_time()
    assert image(HOSTILE[name]).line_at(0x10000) is None
    assert time.process_time() - begin < SECONDS
    with pytest.raises(lines.Damaged):
        lines.rows({".debug_line": HOSTILE[name]})


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([2, 3, 4, 5]), st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=20))
def test_any_bytes_are_a_table_or_damaged(version: int, names: bytes, program: bytes, strings: bytes) -> None:
    sections = {".debug_line": unit(version, names, program), ".debug_line_str": strings}
    with contextlib.suppress(lines.Damaged):
        assert all(row.line >= 0 for row in lines.rows(sections))


def test_an_image_without_a_table_has_no_lines() -> None:
    assert image(b"").line_at(0x10000) is None
    assert Image.raw(CODE).line_at(0x10000) is None
