"""What a definition must not do is refused when it is defined, with advice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from denali.isa.definitions.instruction import DEFINITIONS, instruction
from denali.isa.definitions.machine import Machine
from denali.isa.definitions.operands import Reg, Signed
from denali.isa.definitions.record import EFFECTS, MAY_TRAP, READS, WRITES, Cause, Op, Refused

CUSTOM_1 = "imm:12 rs1:5 000 rd:5 0101011"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = list(DEFINITIONS)
    yield
    DEFINITIONS[:] = before


def branches_on_a_guest_value(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    if cpu[rs1] == 0:  # pyright: ignore[reportGeneralTypeIssues]
        cpu[rd] = imm


def loads_after_a_write(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    cpu[rd] = imm
    cpu[rd] = cpu.load(cpu.pc, 64)


def traps_after_a_store(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    cpu.store(cpu[rs1], cpu[rd])
    cpu.trap(Cause.BREAKPOINT, 0)


def reads_after_a_write(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    cpu[rd] = imm
    cpu[rd] = cpu[rs1]


def mixes_widths(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    cpu[rd] = cpu[rs1] + cpu[rs1].low(32)


def writes_half_a_register(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    cpu[rd] = cpu[rs1].low(32)


def selects_on_a_number(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    cpu[rd] = cpu[rs1].select(1, 2)


def lacks_an_operand(cpu: Machine, rd: Reg, rs1: Reg) -> None:
    cpu[rd] = cpu[rs1]


def lacks_an_annotation(cpu: Machine, rd: Reg, rs1: Reg, imm: int) -> None:
    cpu[rd] = cpu[rs1] + imm


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (branches_on_a_guest_value, "use select"),
        (loads_after_a_write, "do what can trap first, then write"),
        (traps_after_a_store, "do what can trap first, then write"),
        (reads_after_a_write, "read every register first, then write"),
        (mixes_widths, "say low"),
        (writes_half_a_register, "say sext"),
        (selects_on_a_number, "compare first"),
        (lacks_an_operand, "the layout has the fields"),
        (lacks_an_annotation, "needs an operand's annotation"),
    ],
)
def test_a_definition_that_breaks_a_rule_is_refused_with_advice(function: Callable[..., None], advice: str) -> None:
    with pytest.raises(Refused, match=advice):
        instruction(CUSTOM_1)(function)


def fine(cpu: Machine, rd: Reg, rs1: Reg, imm: Signed) -> None:
    """rd = rs1 + imm."""
    cpu[rd] = cpu[rs1] + imm


def test_a_layout_that_overlaps_another_is_refused() -> None:
    with pytest.raises(Refused, match="overlaps addi"):
        instruction("imm:12 rs1:5 000 rd:5 0010011")(fine)
    instruction(CUSTOM_1)(fine)
    with pytest.raises(Refused, match="defined already"):
        instruction(CUSTOM_1)(fine)


def test_each_step_knows_the_line_that_emitted_it() -> None:
    instruction(CUSTOM_1)(fine)
    line = fine.__code__.co_firstlineno + 2
    assert {step.line for step in DEFINITIONS[-1].steps if step.op is not Op.CONST} >= {line}


def test_every_definition_keeps_the_rules() -> None:
    for one in DEFINITIONS:
        ops = [step.op for step in one.steps]
        first_effect = next((i for i, op in enumerate(ops) if op in EFFECTS), len(ops))
        first_write = next((i for i, op in enumerate(ops) if op in WRITES), len(ops))
        assert not MAY_TRAP & set(ops[first_effect + 1 :]), one
        assert not READS & set(ops[first_write:]), one
        assert ops.count(Op.JUMP) <= 1, one
        assert Op.JUMP not in ops or ops[-1] is Op.JUMP, one


def test_every_definition_says_what_it_does() -> None:
    for one in DEFINITIONS:
        assert one.description.endswith("."), one
