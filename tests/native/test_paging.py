# pyright: basic
"""The virtual MMU: what an entry allows, what it does not, and when a change of entries takes effect."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from denali.isa.context import CONTEXT, ENTRY, TLB, Status
from denali.isa.definitions.record import ALL_ONES, Cause
from denali.isa.image import PAGE
from denali.isa.runtime.engine import Engine
from denali.isa.tools.assembler import assemble
from denali.isa.tools.memory import ALL_RIGHTS, READABLE, WRITABLE, Binding, Paged
from denali.isa.tools.reference import Machine

SIZE = 4 * PAGE - CONTEXT.itemsize
ENTRIES = 4
FAR = 0x7000_0000  # a page that is no memory of the guest without an entry
A0, A1, A2 = 10, 11, 12
ENTER = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64)
SERVICE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, ctypes.c_int64, ctypes.c_uint64, ctypes.c_uint64)
TAGS = {"read": Cause.MISS_READ, "write": Cause.MISS_WRITE, "execute": Cause.MISS_EXECUTE}


class Reference:
    """A guest of the reference interpreter."""

    def __init__(self, source: str, service: Any = None) -> None:
        self.image = assemble(source).image()
        self.machine = Machine(self.image, SIZE, lambda machine, number, a, b: service(self) if service else 0)
        self.frames = bytearray(4 * PAGE)
        self.pages = self.machine.access = Paged(self.machine.memory, ENTRIES)

    def bind(self, page: int, frame: int, rights: frozenset[Cause] = ALL_RIGHTS) -> None:
        self.pages.bind(Binding(page, self.frames, frame * PAGE, rights))

    def drop(self, page: int) -> None:
        self.pages.drop(page)

    def run(self, fuel: int = 1000) -> tuple[Cause | None, int]:
        self.machine.run(fuel)
        return (self.machine.cause, self.machine.value) if self.machine.status is Status.TRAP else (None, 0)

    def set(self, **registers: int) -> None:
        for name, value in registers.items():
            self.machine.x[{"a0": A0, "a1": A1, "a2": A2}[name]] = value

    def x(self, number: int) -> int:
        return self.machine.x[number]

    @property
    def pc(self) -> int:
        return self.machine.pc

    def close(self) -> None:
        pass


class Native:
    """A guest of native code, interpreted or translated."""

    def __init__(self, engine: Engine, source: str, service: Any = None, *, translated: bool) -> None:
        self.image = assemble(source).image()
        self.callback = SERVICE(lambda context, number, a, b: service(self) if service else 0)
        self.space = engine.space(self.image, SIZE, ctypes.cast(self.callback, ctypes.c_void_p).value or 0)
        if translated:
            self.space.paged.translate()
            assert (self.space.paged.table != self.space.paged.miss).any()
        room = np.zeros(4 * PAGE + 64, np.uint8)
        self.run_of_frames = room[-room.ctypes.data % 64 :][: 4 * PAGE]
        self.context: Any = self.run_of_frames[: CONTEXT.itemsize].view(CONTEXT)[0]
        self.room = np.zeros(TLB.itemsize + ENTRIES * ENTRY.itemsize, np.uint8)
        self.header: Any = self.room[: TLB.itemsize].view(TLB)[0]
        self.header["mask"] = ENTRIES - 1
        self.entries: Any = self.room[TLB.itemsize :].view(ENTRY)
        for tag in TAGS:
            self.entries[tag] = ALL_ONES
        self.frames = np.zeros(4 * PAGE, np.uint8)
        self.context["space"], self.context["pc"] = self.space.address, self.image.entry
        self.context["reservation"], self.context["tlb"] = ALL_ONES, self.room.ctypes.data
        self.enter = ENTER(engine.enter)

    def bind(self, page: int, frame: int, rights: frozenset[Cause] = ALL_RIGHTS) -> None:
        entry = self.entries[page // PAGE % ENTRIES]
        for tag, need in TAGS.items():
            entry[tag] = page if need in rights else ALL_ONES
        entry["addend"] = (self.frames.ctypes.data + frame * PAGE - page) & ALL_ONES

    def drop(self, page: int) -> None:
        for tag in TAGS:
            self.entries[page // PAGE % ENTRIES][tag] = ALL_ONES

    def run(self, fuel: int = 1000) -> tuple[Cause | None, int]:
        self.context["fuel"] = self.context["limit"] = fuel
        status = self.enter(self.run_of_frames.ctypes.data)
        return (Cause(int(self.context["cause"])), int(self.context["value"])) if status == Status.TRAP else (None, 0)

    def set(self, **registers: int) -> None:
        for name, value in registers.items():
            self.context["x"][{"a0": A0, "a1": A1, "a2": A2}[name]] = value

    def x(self, number: int) -> int:
        return int(self.context["x"][number])

    @property
    def pc(self) -> int:
        return int(self.context["pc"])

    def close(self) -> None:
        self.space.close()


@pytest.fixture(params=["reference", "interpreter", "translated"])
def guest(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Any]:
    made: list[Any] = []

    def make(source: str, service: Any = None) -> Any:
        if request.param == "reference":
            made.append(Reference(source, service))
        else:
            made.append(Native(engine, source, service, translated=request.param == "translated"))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_page_without_an_entry_traps_at_the_instruction_that_needs_it(guest: Any) -> None:
    one = guest("li a0, 5; ld a2, 8(a1); ebreak")
    one.set(a1=FAR)
    assert one.run() == (Cause.MISS_READ, FAR + 8)
    assert (one.pc, one.x(A0)) == (one.image.entry + 4, 5)
    one.bind(FAR, 1)
    one.frames[PAGE + 8] = 77
    assert one.run()[0] is Cause.BREAKPOINT
    assert one.x(A2) == 77


def test_private_memory_too_needs_an_entry(guest: Any) -> None:
    one = guest("sd a0, 0(a1); ebreak")
    one.set(a1=one.image.private_start)
    assert one.run() == (Cause.MISS_WRITE, one.image.private_start)


def test_a_page_that_may_only_be_read_traps_on_a_store_and_keeps_its_bytes(guest: Any) -> None:
    one = guest("ld a2, 0(a1); sd a0, 8(a1); ebreak")
    one.set(a0=-1 & ALL_ONES, a1=FAR)
    one.bind(FAR, 2, READABLE)
    one.frames[2 * PAGE] = 3
    assert one.run() == (Cause.MISS_WRITE, FAR + 8)
    assert (one.x(A2), bytes(one.frames[2 * PAGE + 8 : 2 * PAGE + 16])) == (3, bytes(8))
    assert one.pc == one.image.entry + 4


def test_an_atomic_needs_the_right_to_write(guest: Any) -> None:
    one = guest("amoadd.d a2, a0, (a1); ebreak")
    one.set(a1=FAR)
    one.bind(FAR, 0, READABLE)
    assert one.run() == (Cause.MISS_WRITE, FAR)
    one.bind(FAR, 0, WRITABLE)
    assert one.run()[0] is Cause.BREAKPOINT


def test_a_page_is_executed_only_where_its_entry_says_so(guest: Any) -> None:
    one = guest("jr a1")
    one.set(a1=FAR + 4)
    code = assemble("li a0, 9; ebreak").image().read_only
    one.frames[PAGE + 4 : PAGE + 4 + len(code)] = (
        type(one.frames)(code) if isinstance(one.frames, bytearray) else list(code)
    )
    one.bind(FAR, 1, WRITABLE)
    assert one.run() == (Cause.MISS_EXECUTE, FAR + 4)
    one.bind(FAR, 1)
    assert one.run()[0] is Cause.BREAKPOINT
    assert one.x(A0) == 9


def test_two_pages_may_show_one_frame(guest: Any) -> None:
    one = guest("sd a0, 16(a1); add a2, a1, a2; ld a2, 16(a2); ebreak")
    one.set(a0=123456789, a1=FAR, a2=PAGE)
    one.bind(FAR, 3)
    one.bind(FAR + PAGE, 3)
    assert one.run()[0] is Cause.BREAKPOINT
    assert one.x(A2) == 123456789


@pytest.mark.parametrize("misalignment", range(1, 8))
def test_an_access_across_two_pages_finds_both_frames(guest: Any, misalignment: int) -> None:
    one = guest("sd a0, 0(a1); ld a2, 0(a1); lbu a0, 7(a1); ebreak")
    one.set(a0=0x8877665544332211, a1=FAR + PAGE - misalignment)
    one.bind(FAR, 2)
    one.bind(FAR + PAGE, 0)
    assert one.run()[0] is Cause.BREAKPOINT
    assert (one.x(A2), one.x(A0)) == (0x8877665544332211, 0x88)
    whole = (0x8877665544332211).to_bytes(8, "little")
    assert bytes(one.frames[3 * PAGE - misalignment : 3 * PAGE]) == whole[:misalignment]
    assert bytes(one.frames[: 8 - misalignment]) == whole[misalignment:]


def test_an_access_into_a_page_without_an_entry_names_that_page_and_does_nothing(guest: Any) -> None:
    one = guest("sd a0, 0(a1); ebreak")
    one.set(a0=-1 & ALL_ONES, a1=FAR + PAGE - 3)
    one.bind(FAR, 1)
    assert one.run() == (Cause.MISS_WRITE, FAR + PAGE)
    assert not any(one.frames)


def test_a_group_of_accesses_in_two_pages_finds_both_frames(guest: Any) -> None:
    source = "; ".join(f"sd a0, {8 * n}(a1); addi a0, a0, 1" for n in range(-3, 3))
    one = guest(f"{source}; ld a2, -8(a1); ebreak")
    one.set(a0=1, a1=FAR + PAGE)
    one.bind(FAR, 3)
    one.bind(FAR + PAGE, 1)
    assert one.run()[0] is Cause.BREAKPOINT
    words = [
        int(one.frames[place]) for place in (4 * PAGE - 24, 4 * PAGE - 16, 4 * PAGE - 8, PAGE, PAGE + 8, PAGE + 16)
    ]
    assert (words, one.x(A2)) == ([1, 2, 3, 4, 5, 6], 3)


def test_entries_changed_between_turns_hold_at_the_next_access(guest: Any) -> None:
    one = guest("1: lbu a2, 0(a1); addi a0, a0, 1; j 1b")
    one.set(a1=FAR)
    one.frames[PAGE], one.frames[2 * PAGE] = 11, 22
    for frame, expected in ((1, 11), (2, 22), (1, 11)):
        one.bind(FAR, frame)
        assert one.run(300)[0] is None
        assert one.x(A2) == expected
    one.drop(FAR)
    assert one.run(300) == (Cause.MISS_READ, FAR)


def test_entries_changed_by_a_service_hold_at_the_next_access(guest: Any) -> None:
    frames = iter((2, 1, 2))

    def service(one: Any) -> int:
        one.bind(FAR, next(frames))
        return 0

    one = guest(
        "\n".join(
            ["lbu a2, 0(a1)"]
            + ["slli a2, a2, 8; v.clock zero, zero, zero; lbu a0, 0(a1); or a2, a2, a0"] * 3
            + ["ebreak"]
        ),
        service,
    )
    one.set(a1=FAR)
    one.frames[PAGE], one.frames[2 * PAGE] = 1, 2
    one.bind(FAR, 1)
    assert one.run()[0] is Cause.BREAKPOINT
    assert one.x(A2) == 0x01020102


def test_the_last_page_of_all_is_a_page_like_others(guest: Any) -> None:
    last = -PAGE & ALL_ONES
    one = guest("ld a2, 0(a1); ebreak")
    one.set(a1=ALL_ONES - 7)
    assert one.run() == (Cause.MISS_READ, ALL_ONES - 7)
    one.bind(last, 1)
    one.frames[2 * PAGE - 8] = 5
    assert one.run()[0] is Cause.BREAKPOINT
    assert one.x(A2) == 5


def test_read_only_bytes_and_the_registers_page_need_no_entry(guest: Any) -> None:
    one = guest("_start: la a1, _start; lwu a2, 0(a1); sd a2, 8(a0); ld a2, 8(a0); ebreak")
    one.set(a0=one.image.registers_in(SIZE))
    assert one.run()[0] is Cause.BREAKPOINT
    assert one.x(A2) == int.from_bytes(one.image.read_only[:4], "little")


def test_read_only_bytes_are_not_written(guest: Any) -> None:
    one = guest("_start: la a1, _start; sb a0, 0(a1)")
    assert one.run() == (Cause.MISS_WRITE, one.image.entry)
