"""Instructions that no random stream holds: control registers, rounding modes, counters, services; on every engine."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from engines import ENGINES, Call, Outcome, Start, guests

from denali.isa.definitions.decode import DEFINITIONS
from denali.isa.definitions.instruction import Instruction
from denali.isa.definitions.operands import Kind
from denali.isa.definitions.record import ALL_ONES, Cause, Op
from denali.isa.image import Image
from denali.isa.tools.encoding import encode
from denali.isa.virtual import Service

RD, RS1, RS2 = 10, 11, 12
OPERANDS = {"rd": RD, "rs1": RS1, "rs2": RS2, "rs3": 13, "imm": 0, "order": 0}
EBREAK = 0x0010_0073
SLOT = 8  # bytes: an instruction, and the ebreak behind it
CONTROL = [one for one in DEFINITIONS if one.has(Op.SET_STATUS)]
ROUNDED = [one for one in DEFINITIONS if Kind.ROUNDING in one.operands.values()]
COUNTERS = [one for one in DEFINITIONS if one.has(Op.COUNTER)]
SERVICES = [one for one in DEFINITIONS if one.has(Op.VIRTUAL)]


def word_of(one: Instruction, **operands: int) -> int:
    given = OPERANDS | operands
    return encode(one, {name: given[name] for name in one.operands if name in given})


def after_each(
    engine: str, words: Sequence[int], starts: Sequence[Start], answer: int = 0
) -> tuple[list[Outcome], list[Call]]:
    """How a guest stands that began at each word with its start, and what services it asked for."""
    asked: list[Call] = []

    def serve(call: Call) -> int:
        asked.append(call)
        return answer

    code = b"".join(word.to_bytes(4, "little") + EBREAK.to_bytes(4, "little") for word in words)
    image = Image.raw(code, name="control")
    with guests(engine, image, private_size=4096, service=serve, must_translate=False) as start:
        placed = [Start(image.entry + SLOT * n, one.x, one.f, one.fcsr) for n, one in enumerate(starts)]
        return [start(one, 100) for one in placed], asked


def changed(name: str, fcsr: int, source: int) -> tuple[int, int]:
    """What an instruction of Zicsr leaves in rd and in fcsr, by the unprivileged manual, chapter 6."""
    how, part = name.split(".")
    low, mask = {"fflags": (0, 31), "frm": (5, 7), "fcsr": (0, 255)}[part]
    old = fcsr >> low & mask
    new = {"csrrw": source, "csrrs": old | source, "csrrc": old & ~source}[how.removesuffix("i")] & mask
    return old, fcsr & ~(mask << low) | new << low


@pytest.mark.parametrize("engine", ENGINES)
def test_control_registers_change_as_the_manual_says(engine: str) -> None:
    generator = random.Random(1)
    cases = [(one, generator.randrange(256), generator.randrange(32)) for one in CONTROL for _ in range(20)]
    sources = [imm if "imm" in one.operands else generator.getrandbits(64) for one, _, imm in cases]
    words = [word_of(one, imm=imm) for one, _, imm in cases]
    starts = [Start(x={RS1: source}, fcsr=fcsr) for (_, fcsr, _), source in zip(cases, sources, strict=True)]
    outcomes, _ = after_each(engine, words, starts)
    for (one, fcsr, _), source, outcome in zip(cases, sources, outcomes, strict=True):
        assert outcome.cause is Cause.BREAKPOINT
        assert (outcome.x[RD], outcome.fcsr) == changed(one.name, fcsr, source), (one.name, fcsr, source)


@pytest.mark.parametrize("engine", ENGINES)
def test_only_dynamic_rounding_minds_a_reserved_mode_in_frm(engine: str) -> None:
    cases = [(one, mode, frm) for one in ROUNDED for mode in (0, 3, 7) for frm in range(8)]
    words = [word_of(one, rm=mode) for one, mode, _ in cases]
    outcomes, _ = after_each(engine, words, [Start(fcsr=frm << 5) for _, _, frm in cases])
    for (one, mode, frm), word, outcome in zip(cases, words, outcomes, strict=True):
        if mode == 7 and frm >= 5:
            assert (outcome.cause, outcome.value) == (Cause.ILLEGAL, word), (one.name, mode, frm)
        else:
            assert outcome.cause is Cause.BREAKPOINT, (one.name, mode, frm)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_way_to_read_a_counter_gives_the_instructions_before(engine: str) -> None:
    words = [word for one in COUNTERS for word in (0x13, word_of(one))]  # 0x13 is a nop
    code = b"".join(word.to_bytes(4, "little") for word in [*words, EBREAK])
    with guests(engine, Image.raw(code), private_size=4096) as start:
        for count in range(len(COUNTERS)):
            outcome = start(Start(), 2 * count + 2)
            assert outcome.x[RD] == 2 * count + 1, COUNTERS[count].name


@pytest.mark.parametrize("engine", ENGINES)
def test_a_virtual_instruction_asks_its_service_and_takes_the_answer(engine: str) -> None:
    answer = 0x8765_4321_0FED_CBA9
    starts = [Start(x={RS1: 0x1111_2222_3333_4444 + n, RS2: 0xF555_6666_7777_8888 - n}) for n in range(len(SERVICES))]
    outcomes, asked = after_each(engine, [word_of(one) for one in SERVICES], starts, answer)
    for one, start, outcome, call in zip(SERVICES, starts, outcomes, asked, strict=True):
        assert outcome.x[RD] == answer, one.name
        assert start.x is not None
        if one.extension == "services":
            name = f"v.{Service(call.number).name.lower()}"
            assert (name, call.a & ALL_ONES, call.b & ALL_ONES) == (one.name, start.x[RS1], start.x[RS2])
        else:
            assert (call.number, call.a, call.b) == (Service.CLOCK, 0, 0), one.name
