"""The reference interpreter's own promises: how a guest starts, turns that go on, what a service sees."""

from __future__ import annotations

from denali.isa.context import Status
from denali.isa.definitions.record import Cause
from denali.isa.tools.assembler import Program, assemble
from denali.isa.tools.reference import Machine, Service, no_service
from denali.isa.virtual import REGISTERS
from denali.isa.virtual import Service as Number

SIZE = 0x4000


def machine(source: str, service: Service = no_service) -> tuple[Machine, Program]:
    program = assemble(source)
    return Machine(program.image(), SIZE, service), program


def run(source: str, fuel: int = 100, service: Service = no_service) -> Machine:
    guest, _ = machine(source, service)
    guest.run(fuel)
    return guest


def test_a_guest_starts_with_its_registers_page_in_tp_and_its_stack_below() -> None:
    guest, _ = machine("nop")
    top = guest.image.private_start + SIZE
    assert guest.x[4] == top - REGISTERS.itemsize
    assert guest.x[2] == guest.x[4] & ~15
    assert [n for n, value in enumerate(guest.x) if value] == [2, 4]


def test_a_turn_goes_on_where_the_last_one_stopped() -> None:
    guest, _ = machine("1: addi a0, a0, 1\n j 1b")
    for turn in (3, 5, 1):
        guest.run(turn)
    assert guest.retired == 9
    assert guest.x[10] == 5


def answering(result: int, status: Status) -> tuple[Service, list[tuple[int, ...]]]:
    calls: list[tuple[int, ...]] = []

    def service(guest: Machine, number: int, a: int, b: int) -> int:
        calls.append((number, a, b, guest.pc, guest.fuel))
        if status is not Status.FUEL:
            guest.stop(status, Cause.DEVICE if status is Status.TRAP else None, a)
        return result

    return service, calls


CALL = "li a0, 3; li a1, 4; v.send a2, a0, a1; nop"


def test_a_service_gets_number_and_arguments_and_its_answer_is_in_rd() -> None:
    service, calls = answering(77, Status.FUEL)
    guest = run(CALL, 4, service)
    assert calls == [(Number.SEND, 3, 4, 0x10008, 1)]
    assert (guest.status, guest.x[12], guest.retired, guest.pc) == (Status.FUEL, 77, 4, 0x10010)


def test_a_service_can_end_the_turn_after_its_instruction() -> None:
    service, _ = answering(77, Status.LEFT)
    guest = run(CALL, 100, service)
    assert (guest.status, guest.x[12], guest.retired, guest.pc) == (Status.LEFT, 77, 3, 0x1000C)


def test_a_service_can_trap_before_its_instruction() -> None:
    service, _ = answering(77, Status.TRAP)
    guest = run(CALL, 100, service)
    assert (guest.status, guest.cause, guest.value) == (Status.TRAP, Cause.DEVICE, 3)
    assert (guest.x[12], guest.retired, guest.pc) == (0, 2, 0x10008)


def test_the_time_register_is_the_clock_service() -> None:
    service, calls = answering(123456, Status.FUEL)
    assert run("rdtime a0", 1, service).x[10] == 123456
    assert calls == [(Number.CLOCK, 0, 0, 0x10000, 0)]


def test_a_guest_that_trapped_traps_again_and_nothing_has_changed() -> None:
    guest, _ = machine("li a0, 1; fadd.s fa0, fa0, fa0; sd a0, 0(zero)")
    guest.run(100)
    before = (guest.pc, list(guest.x), list(guest.f), guest.fcsr, bytes(guest.memory.private), guest.retired)
    assert guest.run(10) is Status.TRAP
    assert before == (guest.pc, guest.x, guest.f, guest.fcsr, bytes(guest.memory.private), guest.retired)
