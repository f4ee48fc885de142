"""The dispatcher: units and interpreter side by side, rounding modes kept apart, hot places noticed."""

from __future__ import annotations

import ctypes
import struct
import threading

import numpy as np
import pytest
from twins import SERVICE, Twins

from denali.isa.context import CONTEXT, Status
from denali.isa.image import Image
from denali.isa.interpreter.dispatcher import HOT, RING, SLOTS, Unwound
from denali.isa.runtime.compile import compile_object
from denali.isa.runtime.engine import Engine, address_of
from denali.isa.runtime.loader import load
from denali.isa.translator.emit import field_offset

NOTHING = 0x00000013
TYPE = "{ " + ", ".join(["i64"] * 11) + " }"
BACK = 0xFF5FF06F  # jal x0, -12, three instructions back
DOUBLE = struct.pack("<I", 0x02B57553)  # fadd.d fa0, fa0, fa1 (dynamic)


def offset(name: str) -> int:
    return field_offset(CONTEXT, name)


def unit(body: str) -> str:
    """A unit written by hand; %s0 .. %s10 are its slots, %ctx the context."""
    parameters = ", ".join(["i64 %s0", "ptr %ctx", *(f"i64 %s{slot}" for slot in range(2, 11))])
    names = ("pc", "fuel", "status", "cause", "unwound")
    fields = "\n".join(f"  %{name} = getelementptr i8, ptr %ctx, i64 {offset(name)}" for name in names)
    return f"define x86_regcallcc {TYPE} @unit({parameters}) {{\n{fields}\n{body}\n}}"


def result(first: str, values: dict[int, str]) -> str:
    """`ret` of slots; those not named are poison."""
    lines, last = list[str](), "poison"
    for slot, value in {0: first, **values}.items():
        lines.append(f"  %r{slot} = insertvalue {TYPE} {last}, i64 {value}, {slot}")
        last = f"%r{slot}"
    return "\n".join([*lines, f"  ret {TYPE} {last}"])


def unwound(reason: Unwound) -> str:
    """`ret` of a unit that has put everything into the context."""
    return "  store i64 1, ptr %unwound\n" + result(str(int(reason)), {})


def install(twins: Twins, text: str, pc: int) -> None:
    code = load(compile_object(text), twins.space.engine.runtime.symbols)
    twins.space.flat.loaded.append(code)
    twins.space.flat.table[(pc - twins.space.image.text_start) >> 1] = code.symbols["unit"]


def enter(twins: Twins, fuel: int) -> Status:
    twins.context["fuel"] = twins.context["limit"] = fuel
    return Status(twins.enter(address_of(twins.context)))


@pytest.fixture
def twins(engine: Engine) -> Twins:
    return Twins(engine, Image.raw(struct.pack("<16I", *[NOTHING] * 15, 0x00100073)))


def test_a_unit_gets_its_registers_in_slots_and_gives_them_back(twins: Twins) -> None:
    pc = twins.space.image.entry
    added = {slot: f"%a{slot}" for slot in range(2, 10)}
    body = "\n".join(f"  %a{slot} = add i64 %s{slot}, 100" for slot in range(2, 10))
    install(twins, unit(f"{body}\n" + result("%s0", {10: "7", **added})), pc)
    x = list(range(32))
    x[1] = pc + 32
    twins.set_registers(x, [0] * 32)
    assert enter(twins, 20) is Status.FUEL
    expected = [value + 100 if number in SLOTS[2:] else value for number, value in enumerate(x)]
    assert twins.context["x"][0].tolist() == expected
    assert twins.context["pc"][0] == pc + 32 + 4 * 7
    assert twins.context["fuel"][0] == 0


@pytest.mark.parametrize(("reason", "calls"), [(Unwound.INTERPRET, 3), (Unwound.FINISH, 1)])
def test_an_unwound_unit_is_followed_by_the_interpreter(engine: Engine, reason: Unwound, calls: int) -> None:
    """After INTERPRET the loop's head is dispatched to again, after FINISH not before the fuel ends."""
    own = Twins(engine, Image.raw(struct.pack("<4I", NOTHING, NOTHING, NOTHING, BACK)))
    counted = f"""
  %counter = getelementptr i8, ptr %ctx, i64 {offset("value")}
  %old = load i64, ptr %counter
  %new = add i64 %old, 1
  store i64 %new, ptr %counter
"""
    install(own, unit(counted + unwound(reason)), own.space.image.entry)
    assert enter(own, 10) is Status.FUEL
    assert own.context["fuel"][0] == 0
    assert own.context["value"][0] == calls


def test_a_unit_short_of_stack_is_followed_by_another(twins: Twins) -> None:
    pc = twins.space.image.entry
    move = f"  store i64 {pc + 8}, ptr %pc\n"
    install(twins, unit(move + unwound(Unwound.DISPATCH)), pc)
    stop = "  store i32 2, ptr %status\n"
    install(twins, unit(stop + unwound(Unwound.INTERPRET)), pc + 8)
    assert enter(twins, 10) is Status.LEFT
    assert twins.context["pc"][0] == pc + 8
    assert twins.context["fuel"][0] == 10


def test_an_empty_entry_stores_the_slots_and_goes_on_at_pc(twins: Twins) -> None:
    pc = twins.space.image.entry
    slots = ", ".join(["i64 %s0", "ptr %ctx", *(f"i64 {slot}" for slot in range(2, 11))])
    types = ", ".join(["i64", "ptr", *["i64"] * 9])
    body = f"  store i64 {pc + 60}, ptr %pc\n  %r = musttail call x86_regcallcc {TYPE} @denali_miss({slots})\n"
    text = unit(f"{body}  ret {TYPE} %r") + f"\ndeclare x86_regcallcc {TYPE} @denali_miss({types})"
    install(twins, text, pc)
    twins.context["x"][0, 1] = 1234
    assert enter(twins, 10) is Status.TRAP
    assert twins.context["pc"][0] == pc + 60
    assert twins.context["x"][0, SLOTS[2:10]].tolist() == list(range(2, 10))
    assert twins.context["fuel"][0] == 10
    assert twins.context["x"][0, 1] == 1234


def test_a_service_runs_in_the_hosts_rounding_mode(engine: Engine) -> None:
    seen: list[float] = []

    @SERVICE
    def service(context: int, number: int, a: int, b: int) -> int:
        seen.append(2.0 / float(b))
        ctypes.c_uint32.from_address(context + offset("status")).value = Status.LEFT
        return 0

    image = Image.raw(struct.pack("<I", 0x0000000B | 2 << 20) + bytes(16))  # rs2 = x2
    space = engine.space(
        image, Twins(engine, image).space.private_size, ctypes.cast(service, ctypes.c_void_p).value or 0
    )
    own = Twins(engine, image, space=space)
    own.context["fcsr"] = 3 << 5  # up
    own.context["x"][0, 2] = 3
    assert enter(own, 5) is Status.LEFT
    assert seen == [2.0 / 3.0]
    assert own.context["fcsr"][0] == 3 << 5, "the service's inexact division is not the guest's"


def test_rounding_mode_and_flags_are_back_afterwards(engine: Engine) -> None:
    own = Twins(engine, Image.raw(DOUBLE + bytes(16)))
    one, tiny = struct.unpack("<2Q", struct.pack("<2d", 1.0, 1e-30))
    own.context["f"][0, 10], own.context["f"][0, 11], own.context["fcsr"] = one, tiny, 3 << 5
    enter(own, 1)
    assert struct.unpack("<d", struct.pack("<Q", int(own.context["f"][0, 10])))[0] > 1.0
    assert own.context["fcsr"][0] == 3 << 5 | 1
    assert 1.0 + float(np.float64(1e-30)) == 1.0


def test_another_guest_does_not_see_the_flags(engine: Engine) -> None:
    first, second = (Twins(engine, Image.raw(DOUBLE + bytes(16))) for _ in range(2))
    one, tiny = struct.unpack("<2Q", struct.pack("<2d", 1.0, 1e-30))
    first.context["f"][0, 10], first.context["f"][0, 11] = one, tiny
    second.context["f"][0, 10], second.context["f"][0, 11] = one, one
    enter(first, 1)
    enter(second, 1)
    assert (first.context["fcsr"][0], second.context["fcsr"][0]) == (1, 0)


def test_a_loop_becomes_wanted_once(engine: Engine) -> None:
    own = Twins(engine, Image.raw(struct.pack("<4I", NOTHING, NOTHING, NOTHING, BACK)))
    enter(own, 4 * HOT * 3)
    assert own.space.record["wanted_count"][0] == 1
    assert own.space.ring[0] == own.space.image.entry


def test_the_ring_of_wanted_places_wraps(engine: Engine) -> None:
    """Three hundred loops of one instruction, each left by the end of its fuel."""
    own = Twins(engine, Image.raw(struct.pack("<I", 0x0000006F) * 300))
    for index in range(300):
        own.context["pc"] = own.space.image.entry + 4 * index
        enter(own, HOT + 5)
    assert own.space.record["wanted_count"][0] == 300
    newest = own.space.image.entry + 4 * (256 + np.arange(300 - RING))
    assert own.space.ring[: 300 - RING].tolist() == newest.tolist()


def test_endless_recursion_ends_with_the_fuel(engine: Engine) -> None:
    code = struct.pack("<2I", 0xFF010113, 0xFFDFF0EF)  # addi sp, sp, -16; jal ra, -4
    own = Twins(engine, Image.raw(code))
    own.space.translate()
    start = int(own.context["x"][0, 2])
    assert enter(own, 1_000_001) is Status.FUEL
    assert int(own.context["x"][0, 2]) == (start - 16 * 500_001) % (1 << 64)
    assert own.context["pc"][0] == own.space.image.entry + 4


def test_several_threads_run_guests_of_one_space(engine: Engine) -> None:
    guests = [Twins(engine, Image.raw(struct.pack("<4I", 0x00150513, NOTHING, NOTHING, BACK)))]
    guests += [Twins(engine, guests[0].space.image, space=guests[0].space) for _ in range(3)]
    threads = [threading.Thread(target=enter, args=(one, 400_000)) for one in guests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [int(one.context["x"][0, 10]) for one in guests] == [100_000] * 4
