"""Where NaNs are made canonical: behind arithmetic, as late as can be, and not in every turn of a loop."""

from __future__ import annotations

from itertools import product

import pytest
from twins import SIZE, Twins

from denali.isa.runtime.compile import compile_object
from denali.isa.runtime.engine import Engine
from denali.isa.tools.assembler import assemble
from denali.isa.translator.nans import Forced, Nan, States, due, states_at_entry
from denali.isa.translator.translate import Translation

F3 = 32 + 3
NESTED = """
        .text
_start: li t0, 9
outer:  li t1, 9
        beqz t2, next
inner:  {work}
        addi t1, t1, -1
        bnez t1, inner
next:   addi t0, t0, -1
        bnez t0, outer
        ebreak
"""

STORED = """
        .text
_start: fadd.d f1, f4, f7
        fadd.d f2, f5, f7
        fadd.d f3, f6, f7
        fsd f1, 0(a0)
        fsd f2, 8(a0)
        fadd.d f2, f6, f6
        fsd f3, 16(a0)
        fsd f2, 24(a0)
        fmul.d f8, f1, f3
        ebreak
"""
NUMBER, NAN = 0x3FF0 << 48, 0xFFF8000000001234


def states(work: str) -> tuple[dict[str, States], Forced, dict[str, int]]:
    """The states at the labels of the program around `work`, what is forced, and where the labels are."""
    program = assemble(NESTED.format(work=work))
    image = program.image()
    function = Translation(image, SIZE).functions[image.entry]
    entry, forced = states_at_entry(function, [function.blocks[pc] for pc in sorted(function.reached(image.entry))], {})
    places = {name: program.symbols[name] for name in ("outer", "inner", "next")}
    return {name: entry[pc] for name, pc in places.items()}, forced, places


def test_what_arithmetic_leaves_in_an_inner_loop_is_looked_at_once_before_the_outer_one() -> None:
    found, forced, places = states("fadd.d f3, f4, f5")
    assert all(at[F3] is Nan.RAW for at in found.values())
    assert F3 in forced[places["outer"]]


def test_where_a_loop_also_loads_it_the_outer_one_keeps_its_bits() -> None:
    found, forced, places = states("fld f3, 0(a0)\n beqz t3, next\n fadd.d f3, f4, f5")
    assert F3 not in found["outer"]
    assert F3 not in forced.get(places["outer"], ())
    assert F3 in forced[places["inner"]]


def test_what_is_stored_in_a_row_is_looked_at_together() -> None:
    image = assemble(STORED).image()
    code = Translation(image, SIZE).functions[image.entry].blocks[image.entry].code
    raw: States = dict.fromkeys([32 + 1, 32 + 2, 32 + 3], Nan.RAW)
    assert due(code[3:], raw) == set(raw)
    assert due(code[4:], raw) == {32 + 2, 32 + 3}, "f1 is not stored any more"
    assert due(code[6:], raw) == set(raw) - {32 + 1}
    assert due(code[:3], raw) == set()


def test_what_is_written_again_before_it_is_stored_is_not_due() -> None:
    image = assemble(STORED).image()
    code = Translation(image, SIZE).functions[image.entry].blocks[image.entry].code
    raw: States = dict.fromkeys([32 + 2, 32 + 3], Nan.RAW)
    assert due([code[5], *code[3:]], raw) == set(), "the first shows nothing"
    assert due([code[6], code[5], code[7]], raw) == {32 + 3}


@pytest.mark.parametrize("operands", [*product((NUMBER, NAN), repeat=3)], ids=str)
def test_each_of_those_looked_at_together_is_made_canonical_alone(engine: Engine, operands: tuple[int, ...]) -> None:
    image = assemble(STORED).image()
    translation = Translation(image, SIZE)
    twins = Twins(engine, image)
    assert twins.space.flat.install(compile_object(translation.module(translation.entries())[0]))
    x, f = [0] * 32, [0] * 32
    x[10], f[4:7] = image.private_start, operands
    twins.set_registers(x, f)
    for _ in range(3):
        twins.run(100)
    twins.space.close()
