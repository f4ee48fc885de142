"""Jumps through tables go where the table says, whatever the index and whatever is in the registers they rely on."""

from __future__ import annotations

import random

import pytest
from test_units import SWITCH, twins_of
from twins import SIZE

from denali.isa.context import Status
from denali.isa.definitions.record import ALL_ONES
from denali.isa.runtime.engine import Engine
from denali.isa.tools.assembler import assemble
from denali.isa.translator.fuel import fuel_of
from denali.isa.translator.threads import threaded
from denali.isa.translator.translate import Translation
from denali.isa.translator.units import guest

ABSOLUTE = """
        .data
places: .zero 64
        .text
_start: la s2, table
        la s3, places
again:  addi s4, s4, 1
        andi a0, s4, 63
        add a0, a0, s3
        lbu a0, 0(a0)
        andi a0, a0, 7
        call spoil  # which keeps s2, by what everybody has agreed on
        slli a1, a0, 2
        add a1, a1, s2
        lw a2, 0(a1)
        jr a2
zero:   addi s1, s1, 1
        j again
one:    add s1, s1, a2
        j again
two:    addi s1, s1, 100
three:  xor s1, s1, a1
        j again
spoil:  add s2, s2, s6
        ret
        .rodata
table:  .word zero, one, two, three, one, zero
        .word 1, 2, 3
"""

RELATIVE = ABSOLUTE.replace("        jr a2\n", "        add a2, a2, s2\n        jr a2\n").replace(
    "zero, one, two, three, one, zero",
    "zero - table, one - table, two - table, three - table, one - table, zero - table",
)
UNSCALED = ABSOLUTE.replace("slli a1, a0, 2", "mv a1, a0").replace("andi a0, a0, 7", "andi a0, a0, 31")


@pytest.mark.parametrize("source", [SWITCH, ABSOLUTE, RELATIVE])
def test_the_tables_of_computed_jumps_are_found(source: str) -> None:
    function = next(iter(Translation(assemble(source).image(), SIZE).functions.values()))
    (table,) = function.tables.values()
    assert len(table.targets) in (4, 6)
    assert set(table.targets) == set(function.switch)


def test_a_known_table_is_not_read() -> None:
    """Which entry it is says where the jump goes, by a table of places in the host's code; masked code has none."""
    image = assemble(ABSOLUTE).image()
    text, _ = Translation(image, SIZE).module([image.entry])
    assert text.count("indirectbr") == 1
    assert text.count("constant [6 x i32]") == 1
    text, _ = Translation(image, SIZE, masked=True).module([image.entry])
    assert text.count("switch i64") == 1
    assert "indirectbr" not in text


def test_a_jump_stands_behind_every_block_that_leads_there_and_each_case_pays_for_itself() -> None:
    image = assemble(BYTE_CODE).image()
    translation = Translation(image, SIZE)
    function = translation.functions[image.entry]
    made = threaded(function)
    jumps = [pc for pc, block in made.blocks.items() if block.kind == "indirect"]
    assert len(jumps) == 5
    assert {guest(pc) for pc in jumps} == function.tables.keys()
    fuel = fuel_of(made, made.entry, lambda _: False)
    (table,) = function.tables.values()
    assert made.joints == set(table.targets) <= fuel.checkpoints
    assert all(fuel.spare(made.blocks[pc]) == 0 for pc in jumps)


def test_a_jump_that_is_not_in_a_loop_stands_once() -> None:
    once = BYTE_CODE.replace("j again", "ebreak")
    image = assemble(once).image()
    function = Translation(image, SIZE).functions[image.entry]
    assert function.tables
    assert threaded(function) is function
    text, _ = Translation(image, SIZE).module([image.entry])
    assert "[ i64 0, label" in text


def test_a_jump_to_which_too_many_ways_lead_stands_once() -> None:
    cases = "".join(f"case{number}: addi s1, s1, {number}\n j again\n" for number in range(64))
    names = ", ".join(f"case{number}" for number in range(64))
    head = BYTE_CODE[: BYTE_CODE.index("push:")].replace("andi a0, a0, 3", "andi a0, a0, 63")
    image = assemble(f"{head}{cases}        .rodata\ntable:  .word {names}\n").image()
    function = Translation(image, SIZE).functions[image.entry]
    (table,) = function.tables.values()
    assert len(table.targets) == 64
    assert threaded(function) is function


@pytest.mark.parametrize("source", [SWITCH, ABSOLUTE, RELATIVE, UNSCALED])
@pytest.mark.parametrize("seed", range(6))
def test_wherever_it_is_entered_it_goes_where_the_reference_goes(engine: Engine, source: str, seed: int) -> None:
    chance, image = random.Random(seed), assemble(source).image()
    twins = twins_of(engine, image)
    function = next(iter(Translation(image, SIZE).functions.values()))
    (table,) = function.tables.values()
    for _ in range(60):
        twins.set_memory(chance.randbytes(64))
        x = [chance.choice((0, 1, 2, 3, 4, 5, 6, 7, 9, ALL_ONES, 1 << 62)) for _ in range(32)]
        x[18] = x[11] = table.start
        x[22] = chance.choice((0, 0, 1, 2, 4, -4, 16, ALL_ONES >> 1))
        x[19] = image.private_start + chance.choice((0, 0, SIZE - 70))
        twins.set_registers([value & ALL_ONES for value in x], [0] * 32)
        twins.set(pc=chance.choice(list(function.blocks)))
        for fuel in chance.choice(([100], [7] * 20, [1] * 30)):
            if twins.run(fuel) is Status.TRAP:
                break
    twins.space.close()


BYTE_CODE = """
        .data
code:   .zero 256
        .text
_start: la s2, table
again:  ld a0, 0(s4)
        andi a0, a0, 3
        slli a1, a0, 2
        add a1, a1, s2
        lw a2, 0(a1)
        jr a2
push:   ld a3, 8(s4)
        add s1, s1, a3
        addi s4, s4, 16
        j again
store:  sd s1, 24(s4)
        addi s4, s4, 8
        j again
through: ld a3, 4(a2)
        xor s1, s1, a3
        addi s4, s4, 8
        j again
back:   ld a3, -8(s4)
        add s4, s4, a3
        j again
        .rodata
table:  .word push, store, through, back
        .zero 64
"""


@pytest.mark.parametrize("seed", range(4))
def test_what_is_checked_before_such_a_jump_holds_where_it_leads(engine: Engine, seed: int) -> None:
    """An operation and its operand are one group; at the ends of both regions only the first may be inside."""
    rng, image = random.Random(seed), assemble(BYTE_CODE).image()
    twins = twins_of(engine, image)
    assert Translation(image, SIZE).module([image.entry])[0].count("indirectbr") == 5
    ends = [image.private_start, image.private_start + SIZE, image.ro_start, image.ro_end]
    for _ in range(200):
        content = b"".join(rng.choice([0, 1, 2, 3, 8, 16, 1 << 40]).to_bytes(8, "little") for _ in range(SIZE // 8))
        twins.set_memory(content, SIZE - len(content))
        twins.set(pc=image.entry)
        place = rng.choice(ends) + rng.randrange(-40, 40)
        twins.set_registers([*range(20), place & ALL_ONES, *range(21, 32)], [0] * 32)
        for _ in range(5):
            if twins.run(rng.randrange(1, 200)) is Status.TRAP:
                break
    twins.space.close()


OWN_TARGET = """
        .text
_start: li s0, 0
        li s2, 1
        li s3, 2
        li s4, 3
        li s5, 4
        li s6, 5
        li s7, 6
        la s1, table
jump:   lbu t0, 0(a0)
        addi a0, a0, 1
        slli t0, t0, 2
        add t0, t0, s1
        lw t0, 0(t0)
        add t0, t0, s1
        jr t0
one:    addi s0, s0, 1
        j jump
two:    addi s0, s0, 2
        j jump
out:    ebreak
        .rodata
table:  .word jump - table, one - table, two - table, out - table
"""


@pytest.mark.parametrize("step", [1, 5, 100])
@pytest.mark.parametrize("operations", [bytes(4000), bytes([0] * 60 + [3]), bytes([1, 0] * 3 + [1] * 60 + [3])])
def test_a_jump_that_leads_to_itself_pays_for_every_turn(engine: Engine, operations: bytes, step: int) -> None:
    image = assemble(OWN_TARGET).image()
    twins = twins_of(engine, image)
    twins.set_memory(operations)
    twins.set_registers([0] * 10 + [image.private_start] + [0] * 21, [0] * 32)
    for _ in range(200 // step):
        if twins.run(step) is Status.TRAP:
            break
    twins.space.close()
