"""The recorded steps of an instruction as text, one line each.

    t0 = x[rs1]
    t1 = add t0, imm
    x[rd] = t1

Values have 64 bits, or as many as stand behind the colon: `t2:32 = trunc t1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ..definitions.instruction import Instruction
from ..definitions.record import WORD, Cause, Op, Step
from ..virtual import Service
from .names import F_NAMES, X_NAMES

INLINE = frozenset({Op.CONST, Op.FIELD, Op.PC, Op.WORD})


def step_lines(one: Instruction, operands: Mapping[str, int] | None = None) -> list[str]:
    """The steps in order; with `operands`, these values in the place of the operands' names."""
    writer = Writer(one, operands or {})
    return [line for step in one.steps if (line := writer.line(step))]


class Writer:
    """Gives each value a name and writes steps with those names."""

    def __init__(self, one: Instruction, operands: Mapping[str, int]) -> None:
        """A writer for the steps of one instruction."""
        self.kinds = one.operands
        self.operands = operands
        self.values: dict[int, str] = {}
        self.count = 0

    def line(self, step: Step) -> str:
        """The line of a step; empty for one that stands where it is used."""
        text = self._text(step)
        if step.op in INLINE:
            self.values[id(step)] = text
            return ""
        if step.width == 0:
            return text
        self.values[id(step)] = f"t{self.count}"
        self.count += 1
        width = "" if step.width == WORD else f":{step.width}"
        return f"{self.values[id(step)]}{width} = {text}"

    def _text(self, step: Step) -> str:
        arguments = [self.values[id(argument)] for argument in step.args]
        match step.op:
            case Op.CONST:
                value = cast(int, step.attribute)
                return str(value) if value < 1024 else hex(value)
            case Op.FIELD:
                return str(self.operands.get(str(step.attribute), step.attribute))
            case Op.X | Op.F:
                return self._register(step)
            case Op.SET_X | Op.SET_F:
                return f"{self._register(step)} = {arguments[0]}"
            case Op.STATUS:
                return str(step.attribute)
            case Op.SET_STATUS:
                return f"{step.attribute} = {arguments[0]}"
            case Op.COUNTER | Op.PC | Op.WORD:
                return str(step.attribute or step.op.value)
            case Op.JUMP | Op.TRAP:
                return self._way_out(step, arguments)
            case _:
                return " ".join(filter(None, (self._name(step), ", ".join(arguments))))

    def _register(self, step: Step) -> str:
        prefix, names = ("x", X_NAMES) if step.op in (Op.X, Op.SET_X) else ("f", F_NAMES)
        number = step.attribute if isinstance(step.attribute, int) else self.operands.get(str(step.attribute))
        return f"{prefix}[{step.attribute if number is None else names[number]}]"

    def _way_out(self, step: Step, arguments: list[str]) -> str:
        condition = f" if {arguments[1]}" if len(arguments) == 2 else ""
        if step.op is Op.TRAP:
            return f"trap {cast(Cause, step.attribute).name} ({arguments[0]}){condition}"
        return f"jump to {arguments[0]}{condition}"

    def _name(self, step: Step) -> str:
        """What the step does, with what its attribute adds."""
        if step.op is Op.FLOAT:
            operation, mode = cast(tuple[str, str | None], step.attribute)
            rounding = f"[{self.operands.get(mode, mode)}]" if mode in self.kinds else ""
            return f"float.{operation}{rounding}"
        if step.op is Op.VIRTUAL:
            return f"service {cast(Service, step.attribute).name}"
        return f"{step.op.value}.{step.attribute}" if step.attribute is not None else step.op.value
