"""What is known of a value before the guest runs: a constant, or some unknown base plus a constant distance.

Accesses through the same base form a group that one check covers, and jumps, addresses and loads that turn out
constant are resolved while translating. Only this weak knowledge is tracked, and only within a block: LLVM knows the
rest, but cannot know that two checks stand for one, nor what is in the image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..definitions.record import Op, Step

MASK = (1 << 64) - 1


class Known(NamedTuple):
    """`base + distance`; a constant has no base. Two values of one base differ exactly as their distances do."""

    base: object
    distance: int

    @property
    def constant(self) -> int | None:
        """The value, if it depends on nothing."""
        return self.distance if self.base is None else None


def signed(value: int, width: int = 64) -> int:
    """The pattern of `width` bits read as two's complement."""
    value &= (1 << width) - 1
    return value - (1 << width) if value >> (width - 1) else value


FOLDS: dict[Op, Callable[[int, int, int], int]] = {  # of two constants and their width
    Op.ADD: lambda a, b, width: a + b,
    Op.SUB: lambda a, b, width: a - b,
    Op.MUL: lambda a, b, width: a * b,
    Op.AND: lambda a, b, width: a & b,
    Op.OR: lambda a, b, width: a | b,
    Op.XOR: lambda a, b, width: a ^ b,
    Op.SHL: lambda a, b, width: a << (b % width),
    Op.LSHR: lambda a, b, width: a >> (b % width),
    Op.ASHR: lambda a, b, width: signed(a, width) >> (b % width),
    Op.EQ: lambda a, b, width: a == b,
    Op.ULT: lambda a, b, width: a < b,
}


class Tracker:
    """Follows what is known of the integer registers through the instructions of one block."""

    def __init__(self, known: Mapping[int, Known] | None = None) -> None:
        """Begin where `known` holds."""
        self.registers: dict[int, Known] = {0: Known(None, 0), **(known or {})}
        self.values: dict[Step, Known] = {}

    def register(self, number: int) -> Known:
        """What is known of x`number`; at first only that it is itself."""
        return self.registers.setdefault(number, Known(("x", number), 0))

    def forget(self) -> None:
        """Anything may have happened to the registers, as in a call."""
        self.registers = {0: Known(None, 0)}
        for number in range(1, 32):
            self.registers[number] = Known(object(), 0)

    def run(self, steps: Sequence[Step], operands: Mapping[str, int], pc: int, word: int = 0) -> dict[Step, Known]:
        """Follow one instruction; what is known of each of its steps."""
        self.values = {}
        for step in steps:
            known = self._step(step, operands, pc, word)
            self.values[step] = known
        return self.values

    def _step(self, step: Step, operands: Mapping[str, int], pc: int, word: int) -> Known:
        op = step.op
        number = operands.get(step.attribute, step.attribute) if isinstance(step.attribute, str | int) else None
        match op:
            case Op.CONST | Op.FIELD:
                assert isinstance(number, int)
                return Known(None, number & MASK)
            case Op.PC:
                return Known(None, pc)
            case Op.WORD:
                return Known(None, word)
            case Op.X:
                assert isinstance(number, int)
                return self.register(number)
            case Op.SET_X:
                assert isinstance(number, int)
                if number:
                    self.registers[number] = self.values[step.args[0]]
                return Known(None, 0)
            case _:
                return self._combine(step, [self.values[argument] for argument in step.args])

    def _combine(self, step: Step, values: list[Known]) -> Known:
        """A step of known arguments; a new unknown where nothing better can be said."""
        if all(value.base is None for value in values) and values:
            folded = self._fold(step, [value.distance for value in values])
            if folded is not None:
                return Known(None, folded & ((1 << step.width) - 1))
        if step.width == 64 and step.op is Op.ADD and None in (values[0].base, values[1].base):
            return Known(values[0].base or values[1].base, (values[0].distance + values[1].distance) & MASK)
        if step.width == 64 and step.op is Op.SUB and values[1].base is None:
            return Known(values[0].base, (values[0].distance - values[1].distance) & MASK)
        return Known(object(), 0)

    def _fold(self, step: Step, values: list[int]) -> int | None:
        width = step.args[0].width
        if step.op in FOLDS:
            return int(FOLDS[step.op](values[0], values[1], width))
        if step.op is Op.SEXT:
            return signed(values[0], width)
        if step.op in (Op.ZEXT, Op.TRUNC):
            return values[0]
        if step.op is Op.SELECT:
            return values[1] if values[0] else values[2]
        return None
