"""What instructions do where no other machine can be asked: traps, limits of memory, fuel; on every engine."""

from __future__ import annotations

from collections.abc import Callable

import engines
import pytest

from denali.isa.context import Status
from denali.isa.definitions.record import ALL_ONES, Cause
from denali.isa.tools.assembler import assemble
from denali.isa.virtual import REGISTERS
from denali.isa.virtual import Service as Number

SIZE = 0x4000
Run = Callable[..., engines.Outcome]


@pytest.fixture(params=(*engines.ALL, *engines.MASKED))
def run(request: pytest.FixtureRequest) -> Run:
    def go(source: str, fuel: int = 100) -> engines.Outcome:
        return engines.run(request.param, assemble(source).image(), fuel=fuel, private_size=SIZE)

    return go


@pytest.mark.parametrize("fuel", [1, 2, 17])
def test_fuel_is_exact(run: Run, fuel: int) -> None:
    guest = run("1: addi a0, a0, 1\n j 1b", fuel)
    assert (guest.status, guest.fuel) == (Status.FUEL, 0)
    assert guest.x[10] == (fuel + 1) // 2


@pytest.mark.parametrize(
    ("source", "cause", "value"),
    [
        ("li a0, 1; ecall", Cause.ENVIRONMENT_CALL, 0),
        ("nop; ebreak", Cause.BREAKPOINT, 0x10004),
        ("nop; .half 0", Cause.ILLEGAL, 0),
        ("nop; .word 0xffffffff", Cause.ILLEGAL, 0xFFFFFFFF),
        ("nop; csrrw zero, fcsr, zero; .word 0x30002573", Cause.ILLEGAL, 0x30002573),
        ("ld a0, 0(zero)", Cause.LOAD, 0),
        ("li a1, 4095; lb a0, 0(a1)", Cause.LOAD, 4095),
        ("_start: la a1, _start; sb a0, 0(a1)", Cause.STORE, 0x10000),
        ("li a1, 0x20000; addi a1, a1, 2; jr a1", Cause.FETCH, 0x20002),
        ("nop", Cause.FETCH, 0x10004),
        ("j 1f; 1: .half 0x0003", Cause.FETCH, 0x10006),
        ("li a1, -8; ld a0, 7(a1)", Cause.LOAD, ALL_ONES),
        ("li a1, -4; ld a0, 0(a1)", Cause.LOAD, ALL_ONES - 3),
        ("addi a1, tp, 1; lr.d a0, (a1)", Cause.MISALIGNED_LOAD, None),
        ("addi a1, tp, 2; sc.w a0, a2, (a1)", Cause.MISALIGNED_STORE, None),
        ("addi a1, tp, 2; amoadd.d a0, a2, (a1)", Cause.MISALIGNED_STORE, None),
        ("_start: la a1, _start; amoadd.w a0, a2, (a1)", Cause.STORE, 0x10000),
        ("_start: la a1, _start; sc.w a0, a2, (a1)", Cause.STORE, 0x10000),
        ("fsrmi 5; fadd.s fa0, fa0, fa0", Cause.ILLEGAL, 0x00A57553),
        ("v.send zero, a0, a1", Cause.DEVICE, Number.SEND),
    ],
)
def test_a_trap_stops_before_its_instruction(run: Run, source: str, cause: Cause, value: int | None) -> None:
    guest = run(source)
    assert (guest.status, guest.cause) == (Status.TRAP, cause)
    assert value is None or guest.value == value


def test_a_reserved_mode_in_frm_does_not_hurt_an_instruction_with_its_own_mode(run: Run) -> None:
    guest = run("fsrmi 6; fadd.s fa0, fa0, fa0, rtz; fmv.x.w a0, fa0; frrm a1")
    assert guest.x[10] == 0x7FC0_0000
    assert guest.x[11] == 6


def test_an_access_across_the_end_of_private_memory_traps_and_writes_nothing(run: Run) -> None:
    guest = run(f"addi a1, tp, {REGISTERS.itemsize - 4}; li a0, -1; sd a0, 0(a1)")
    assert guest.cause is Cause.STORE
    assert guest.value in (guest.x[11], guest.x[11] + 4)  # of pages: the first byte that is in none
    assert not any(guest.memory)


def test_misaligned_plain_accesses_are_allowed(run: Run) -> None:
    assert run("addi sp, sp, -64; li a0, 0x1122334455667788; sd a0, 3(sp); lw a1, 5(sp)").x[11] == 0x33445566


def test_private_memory_can_be_executed(run: Run) -> None:
    guest = run("la a0, code; jr a0; .data; code: .half 0x4515; .half 0x9002")  # c.li a0, 5; c.ebreak
    assert (guest.cause, guest.x[10]) == (Cause.BREAKPOINT, 5)


def test_x0_stays_zero(run: Run) -> None:
    assert run("li a0, 7; add zero, a0, a0; mv a1, zero").x[11] == 0


def test_jalr_reads_its_base_before_it_writes_the_link(run: Run) -> None:
    guest = run("_start: la ra, there; jalr ra, 0(ra); nop; there: li a0, 1")
    assert (guest.x[1], guest.x[10]) == (0x1000C, 1)


def test_cycle_and_instret_count_the_instructions_before(run: Run) -> None:
    guest = run("rdcycle a0; nop; rdinstret a1; nop; nop; rdcycle a2")
    assert guest.x[10:13] == (0, 2, 5)


def test_store_conditional_succeeds_once_and_only_after_its_reservation(run: Run) -> None:
    source = """
        addi sp, sp, -64
        li a1, 5
        sc.w a2, a1, (sp)
        lr.w a3, (sp)
        sc.w a4, a1, (sp)
        sc.w a5, a1, (sp)
        lw a6, 0(sp)
    """
    guest = run(source)
    assert guest.x[12:17] == (1, 0, 0, 1, 5)


def test_store_conditional_fails_when_memory_changed_in_between(run: Run) -> None:
    guest = run("addi sp, sp, -64; lr.d a3, (sp); li a1, 9; sd a1, 0(sp); sc.d a4, zero, (sp); ld a5, 0(sp)")
    assert guest.x[14:16] == (1, 9)
