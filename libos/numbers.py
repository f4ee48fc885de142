"""The machine's numbers for C: `c/denali_numbers.h`, derived from `denali.isa.virtual`.

python -m denali.libos.numbers      writes the header anew; a test holds it to the definition
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from denali.isa.virtual import CUSTOM_0, REGISTERS, STREAM_OPEN, Closing, Event, Sent, Service

HEADER = Path(__file__).parent / "c" / "denali_numbers.h"
_TYPES = {"u4": "uint32_t", "u8": "uint64_t"}


def _constants(numbers: type[enum.IntEnum] | type[enum.IntFlag], prefix: str) -> Iterator[str]:
    for number in numbers:
        yield f"#define DENALI_{prefix}{number.name} {int(number)}"
    yield ""


def _struct(name: str, record: np.dtype) -> Iterator[str]:
    yield f"struct {name} {{"
    for field in record.names or ():
        base, shape = record[field].base, record[field].shape
        array = f"[{shape[0]}]" if shape else ""
        yield f"    {_TYPES[base.str[1:]]} {field}{array};"
    yield "};"
    yield f'_Static_assert(sizeof(struct {name}) == {record.itemsize}, "as the kernel lays it out");'
    yield ""


def header() -> str:
    """The text of the header."""
    lines = [
        "/* Written by `python -m denali.libos.numbers` from isa/virtual.py, where each number is explained. */",
        "#ifndef DENALI_NUMBERS_H",
        "#define DENALI_NUMBERS_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define DENALI_CUSTOM_0 {CUSTOM_0}",
        *_constants(Service, ""),
        *_constants(Sent, ""),
        *_constants(Event, "EVENT_"),
        *_constants(Closing, "CLOSE_"),
        *_struct("denali_registers", REGISTERS),
        *_struct("denali_stream_open", STREAM_OPEN),
        "#endif",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    HEADER.write_text(header())
