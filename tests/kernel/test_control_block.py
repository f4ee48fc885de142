"""What the kernel keeps of each guest, and that the floating-point file costs nothing before it is used."""

from __future__ import annotations

from denali.isa.context import CONTEXT
from denali.kernel.kernel import Kernel
from denali.kernel.records import GUEST
from denali.tlb.flat import context_record
from denali.tlb.native import offset_of

from .conftest import program

FILE = offset_of(CONTEXT, "f")
WHOLE = "_start: li a0, 1\n v.yield zero, zero, zero\n li a1, -1\n v.idle zero, a1, zero"
FLOATS = "_start: li a0, 1\n fcvt.d.l f31, a0\n li a1, -1\n v.idle zero, a1, zero"


def test_a_control_block_without_the_floating_point_file_has_at_most_650_bytes() -> None:
    assert GUEST.itemsize + FILE <= 650
    assert FILE + CONTEXT["f"].itemsize == CONTEXT.itemsize, "the file lies at the end, so that nothing is spread by it"


def test_a_spawn_does_not_write_the_floating_point_file(kernel: Kernel) -> None:
    (guest,) = kernel.spawn(program(WHOLE))
    for piece in guest.birth.template.pieces:
        begin, end = int(piece["offset"]), int(piece["offset"] + piece["length"])
        assert end <= FILE + 64 or begin >= CONTEXT.itemsize // 64 * 64


def test_the_file_is_written_by_those_who_use_it_and_by_no_others(kernel: Kernel) -> None:
    files = list[int]()
    for source in (WHOLE, FLOATS):
        (guest,) = kernel.spawn(program(source))
        while guest.metrics()["turns"] == 0:
            pass
        guest.read_memory(guest.image.private_start, 0)
        first = int(kernel.tables.guests["first_frame"][guest.row]) * 4096
        files.append(int(context_record(kernel.tables.frames.memory, first)["f"].astype(bool).sum()))
    assert files == [0, 1]
