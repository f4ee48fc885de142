"""Events and traps in a guest's own handler."""

from __future__ import annotations

import pytest

from denali.isa.definitions.record import Cause
from denali.kernel.faults import HANDLERS, UPCALLS, Verdict, describe
from denali.kernel.guest import Guest
from denali.kernel.kernel import Kernel
from denali.kernel.records import End

from .conftest import program

# Installs `handler`, does `work`, exits with s1.
# In the registers page: pending 48, mask 52, handler 56, saved_pc 64, cause 72, value 80.
FRAME = """
_start: la a0, handler
        sd a0, 56(tp)
        li s1, 0
{work}
        v.exit zero, s1, zero
handler:
{handler}
        v.return zero, zero, zero
"""
SKIP = "ld s1, 72(tp)\n ld s2, 80(tp)\n ld t0, 64(tp)\n addi t0, t0, 4\n sd t0, 64(tp)"


def run(kernel: Kernel, work: str, handler: str) -> Guest:
    (guest,) = kernel.spawn(program(FRAME.format(work=work, handler=handler)))
    assert guest.wait(10)
    return guest


@pytest.mark.parametrize(
    ("work", "cause"),
    [
        ("ecall", Cause.ENVIRONMENT_CALL),
        ("ebreak", Cause.BREAKPOINT),
        ("ld a0, 8(zero)", Cause.LOAD),
        ("sd a0, 8(zero)", Cause.STORE),
        (".word 0xffffffff", Cause.ILLEGAL),
        ("li a1, -1\n v.console a0, zero, a1", Cause.DEVICE),
    ],
)
def test_a_guest_may_deal_with_its_own_traps(kernel: Kernel, work: str, cause: Cause) -> None:
    guest = run(kernel, work, SKIP)
    assert guest.exit_status == cause
    assert guest.metrics()["events"] == 1


def test_what_if_the_handler_traps_too(kernel: Kernel) -> None:
    guest = run(kernel, "ecall", "ld a0, 0(zero)")
    assert guest.ending is not None
    assert guest.ending.end is End.TRAPPED
    assert "load access fault at 0x0: pc " in str(guest.message)
    assert "inside its event handler, entered from pc " in str(guest.message)


def test_what_if_the_handler_is_nowhere(kernel: Kernel) -> None:
    guest = run(kernel, "li a0, 0x666660\n sd a0, 56(tp)\n ecall", "nop")
    assert "jump to 0x666660" in str(guest.message)


def test_a_failure_is_not_the_handlers_business(kernel: Kernel) -> None:
    guest = run(kernel, "la a0, _start\n li a1, 0\n v.fail zero, a0, a1", SKIP)
    assert guest.ending is not None
    assert guest.ending.end is End.TRAPPED


def test_a_frame_is_delivered_as_an_event_and_the_bit_is_cleared(kernel: Kernel) -> None:
    work = "li a0, -1\nagain: v.idle zero, a0, zero\n beqz s1, again"
    (guest,) = kernel.spawn(program(FRAME.format(work=work, handler="ld s1, 72(tp)\n lw s2, 48(tp)\n add s1, s1, s2")))
    kernel.send(guest, bytes(20))
    assert guest.wait(10)
    assert guest.exit_status == 64 + 1


def test_a_masked_event_neither_wakes_nor_interrupts(kernel: Kernel) -> None:
    work = "sw zero, 52(tp)\n li a0, -1\n v.idle zero, a0, zero\n li s1, 9"
    (guest,) = kernel.spawn(program(FRAME.format(work=work, handler="li s1, 5")))
    kernel.send(guest, bytes(20))
    assert not guest.wait(0.05)
    assert guest.metrics()["events"] == 0


def test_a_time_that_has_come_ends_an_idle_even_when_the_event_is_masked(kernel: Kernel) -> None:
    work = "sw zero, 52(tp)\n v.clock a0, zero, zero\n li a1, 1000000\n add a0, a0, a1\n v.idle zero, a0, zero"
    work += "\n lw s1, 48(tp)"
    assert run(kernel, work, "li s1, 5").exit_status == 2


def test_an_endless_loop_of_traps_is_only_that_guests_time(kernel: Kernel) -> None:
    (guest,) = kernel.spawn(program(FRAME.format(work="loop: ecall\n j loop", handler="nop")), fuel=100_000)
    (other,) = kernel.spawn(program("_start: v.exit zero, zero, zero"))
    assert other.wait(10)
    assert guest.wait(30)
    assert guest.ending is not None
    assert guest.ending.end is End.EXHAUSTED


def test_every_cause_has_a_handler() -> None:
    assert set(HANDLERS) == set(Cause)
    assert {Cause(n) for n in range(32) if UPCALLS[n]} == {c for c, v in HANDLERS.items() if v is Verdict.UPCALL}


def test_every_cause_has_words_and_so_has_one_that_does_not_exist() -> None:
    image = program("_start: ecall")
    for cause in [*Cause, 29]:
        text = describe(3, image, cause, 0x55, image.entry, interrupted=None)
        assert text.startswith("guest 3 (program): ")
        assert f"pc {image.entry:#x}" in text
