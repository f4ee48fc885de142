"""An emitter that sees rotations where the guest has two shifts, as RV64GC has no instruction for them.

LLVM would find them itself, were not one of the 32-bit halves widened with its sign and the other, whose top bit is
known to be zero, with zeros.
"""

from __future__ import annotations

from typing import NamedTuple

from ..definitions.record import Op, Step
from .emit import Emitter, Machine, Value

SHIFTS = (Op.SHL, Op.LSHR)
JOINS = (Op.OR, Op.XOR, Op.ADD)  # all the same where no bit is in both
WIDTH = 32


class Shape(NamedTuple):
    """What a value is made of: "word" (the low half of `source`), or it shifted "left" or "right" by `amount`."""

    kind: str
    source: Value
    amount: int = 0


class RotatingEmitter(Emitter):
    """Emits the instructions of one block; knows which of its values are halves of a rotation."""

    def __init__(self, machine: Machine) -> None:
        """Begin a block."""
        super().__init__(machine)
        self._shapes: dict[Value, Shape] = {}  # of values whose low 32 bits have that shape, widened with their sign

    def _step(self, step: Step) -> Value:
        if step.op in JOINS and step.width == 64:
            a, b = (self._shapes.get(self.values[argument]) for argument in step.args)
            if a is not None and b is not None and _complete(a, b):
                return self._rotate(a if a.kind == "left" else b)
        value = super()._step(step)
        shape = self._shape(step)
        if shape is not None:
            self._shapes[value] = shape
        return value

    def _shape(self, step: Step) -> Shape | None:
        """The shape of what a step gives; a half counts only once it has been cut to 32 bits."""
        if step.op is Op.SHL and step.width == 64:
            return self._shifted("uncut left", self.values[step.args[0]], step.args[1])
        if step.op is Op.LSHR and step.width == 64:
            inner = self._shapes.get(self.values[step.args[0]])
            word = inner is not None and inner.kind == "word with zeros"
            return self._shifted("uncut right", inner.source, step.args[1]) if inner is not None and word else None
        if not step.args or step.op not in (Op.TRUNC, Op.ZEXT, Op.SEXT):
            return None
        inner = self._shapes.get(self.values[step.args[0]])
        if step.op is Op.TRUNC and step.width == WIDTH:
            cut = inner is not None and inner.kind.startswith("uncut ")
            return inner._replace(kind=inner.kind[6:]) if inner and cut else Shape("word", self.values[step.args[0]])
        if step.args[0].width != WIDTH or inner is None or step.width != 64:
            return None
        if step.op is Op.SEXT:
            return inner if inner.kind in ("left", "right") else None
        return inner._replace(kind="word with zeros") if inner.kind == "word" else None

    def _shifted(self, kind: str, source: Value, amount: Step) -> Shape | None:
        """A shift by an immediate operand."""
        known = self.machine.constant(str(amount.attribute)) if amount.op is Op.FIELD else None
        return Shape(kind, source, known) if known is not None and 0 < known < WIDTH else None

    def _rotate(self, left: Shape) -> Value:
        word = self.body.value(f"trunc i64 {left.source} to i32")
        arguments = f"i32 {word}, i32 {word}, i32 {left.amount}"
        rotated = self.body.call("i32 @llvm.fshl.i32(i32, i32, i32)", arguments)
        return self.body.value(f"sext i32 {rotated} to i64")


def _complete(a: Shape, b: Shape) -> bool:
    """Whether two values are the two parts of a rotation."""
    return a.source == b.source and {a.kind, b.kind} == {"left", "right"} and a.amount + b.amount == WIDTH
