# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false
"""What the host's code of a hot path consists of: what was once saved there does not come back unseen."""

from __future__ import annotations

from denali.checker.machine_code import Instruction, read
from denali.isa.runtime.compile import compile_object
from denali.isa.tools.assembler import assemble
from denali.isa.translator.translate import Translation

SIZE = 1 << 20
FUEL = "r15"
LEAF = "_start: add a0, a0, a1\n ret"
# A pointer that data leads on: no compiler knows how often it turns, nor that it stays inside.
FOLLOW = """
        .data
table:  .zero 4096
        .text
_start: la a3, table
again:  slli a0, a0, 2
        add a0, a0, a3
        {load} a0, 0(a0)
        add a1, a1, a0
        bnez a0, again
        ebreak
"""


def unit(source: str, label: str = "_start") -> list[Instruction]:
    """The host's instructions of the unit at a label."""
    program = assemble(source)
    text, _ = Translation(program.image(), SIZE).module([program.symbols[label]])
    name = f"pc_{program.symbols[label]:x}"
    return next(f.code for f in read(compile_object(text)).functions.values() if f.name == name)


def turn(code: list[Instruction]) -> list[Instruction]:
    """A loop of it, the shortest: what lies between a place and a jump back to it."""
    places = {one.address: n for n, one in enumerate(code)}
    ways = [(places[one.target], n) for n, one in enumerate(code) if one.target in places]
    first, last = min(((to, n) for to, n in ways if to <= n), key=lambda way: way[1] - way[0])
    return code[first : last + 1]


def test_a_function_finds_its_fuel_where_it_leaves_it() -> None:
    code = unit(LEAF)
    until = [one.name for one in code].index("ret")
    assert not [one.text for one in code[:until] if one.name == "mov"]


def test_a_turn_takes_its_fuel_by_one_instruction_also_where_the_unit_begins_with_it() -> None:
    source = FOLLOW.format(load="lwu")
    for label in ("_start", "again"):
        speaking = [one for one in turn(unit(source, label)) if FUEL in one.text]
        assert [one.name for one in speaking] == ["sub"], [one.text for one in speaking]


def test_what_is_loaded_is_made_wide_by_the_load_and_an_index_multiplied_by_it() -> None:
    for load, name in (("lw", "movsxd"), ("lwu", "mov"), ("lbu", "movzx")):
        code = turn(unit(FOLLOW.format(load=load)))
        loads = [one for one in code if any(o.memory for o in one.operands) and one.name != "lea"]
        assert [one.name for one in loads] == [name], [one.text for one in code]
        assert [operand.memory.scale for operand in loads[0].operands if operand.memory] == [4]
        moves = [one for one in code if one.name in ("movsxd", "movzx", "mov") and one is not loads[0]]
        assert all(one.operands[0].size == 8 for one in moves), [one.text for one in code]


def test_copies_of_loops_begin_at_a_line_of_the_cache() -> None:
    source = """
        .data
        .zero 4096
        .text
_start: la a0, _start
        lui a1, 1
        add a1, a0, a1
        la a2, _start
again:  sd a3, 0(a2)
        addi a2, a2, 8
        addi a0, a0, 8
        bltu a0, a1, again
        ebreak
"""
    code = unit(source)
    wide = [n for n, one in enumerate(code) if one.operands and one.operands[0].size >= 16 and one.operands[0].memory]
    assert wide, "nothing is stored sixteen bytes at a time"
    first = turn(code[: wide[-1] + 4])[0]
    assert first.address % 64 == 0
