"""Consoles: what is kept, what is dropped, and that silence costs nothing."""

from __future__ import annotations

import io

from denali.kernel.console import BYTES, MOST, ROOM
from denali.kernel.kernel import Kernel

from .conftest import program
from .programs import SLEEPER

# Writes `total` numbered lines of 8 bytes, each whole, yielding when the turn's room is used up.
WRITER = """
        .data
total:  .dword 0
line:   .ascii "0000000\\n"
        .text
_start: la s0, total
        ld s1, 0(s0)
        la s2, line
        li s3, 0
again:  beq s3, s1, end
        li t0, 10
        mv t1, s3
        li t2, 6
digit:  remu t3, t1, t0
        divu t1, t1, t0
        addi t3, t3, 48
        add t4, s2, t2
        sb t3, 0(t4)
        addi t2, t2, -1
        bgez t2, digit
        mv a0, s2
        li a1, 8
part:   v.console a2, a0, a1
        add a0, a0, a2
        sub a1, a1, a2
        beqz a1, next
        v.yield zero, zero, zero
        j part
next:   addi s3, s3, 1
        j again
end:    v.exit zero, zero, zero
"""


def lines(first: int, end: int) -> bytes:
    return b"".join(b"%07d\n" % n for n in range(first, end))


def write(kernel: Kernel, total: int, **options: object):
    (guest,) = kernel.spawn(program(WRITER), start=False, **options)  # type: ignore[arg-type]
    guest.write("total", total.to_bytes(8, "little"))
    guest.start()
    assert guest.wait(20)
    return guest


def test_what_a_guest_wrote_can_be_read_while_it_lives_and_after(kernel: Kernel) -> None:
    assert write(kernel, 100).console() == lines(0, 100)


def test_the_kernel_keeps_the_end_and_counts_the_rest(kernel: Kernel) -> None:
    guest = write(kernel, 10_000)
    kept = guest.console()
    assert BYTES - 240 <= len(kept) <= BYTES
    assert lines(0, 10_000).endswith(kept)
    assert guest.metrics()["console_lost"] == 80_000 - len(kept)


def test_a_console_that_is_read_loses_nothing(kernel: Kernel) -> None:
    text = io.BytesIO()
    guest = write(kernel, 10_000, pipe=text.write)
    assert text.getvalue() == lines(0, 10_000)
    assert guest.metrics()["console_lost"] == 0


def test_a_turn_takes_so_many_bytes(kernel: Kernel) -> None:
    source = "_start: la a0, _start\n li a1, 8000\n v.console a0, sp, zero\n v.exit zero, a0, zero"
    (guest,) = kernel.spawn(program(source.replace("sp, zero", "s0, a1").replace("la a0, _start", "ld s0, 24(tp)")))
    assert guest.wait(5)
    assert guest.exit_status == ROOM


def test_chatterers_leave_room_for_the_others(kernel: Kernel) -> None:
    guests = kernel.spawn(program(WRITER), 200, start=False)
    for guest in guests:
        guest.write("total", (3000).to_bytes(8, "little"))
    kernel.start(*guests)
    assert kernel.wait(guests, 30)
    assert write(kernel, 5).console() == lines(0, 5)


def test_silent_guests_hold_nothing(kernel: Kernel) -> None:
    free = kernel.tables.chunks.free
    kernel.spawn(program(SLEEPER), 100)
    kernel.check()
    assert kernel.tables.chunks.free == free
    assert MOST * 240 == BYTES
