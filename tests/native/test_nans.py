"""Where NaNs are made canonical: behind arithmetic, as late as can be, and not in every turn of a loop."""

from __future__ import annotations

from twins import SIZE

from denali.isa.tools.assembler import assemble
from denali.isa.translator.nans import Forced, Nan, States, states_at_entry
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
