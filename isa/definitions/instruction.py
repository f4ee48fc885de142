"""An instruction: its layout, its operands and what it does, all from one definition.

    @instruction("0000001 rs2:5 rs1:5 101 rd:5 0110011")
    def divu(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg) -> None:
        '''rd = rs1 / rs2, unsigned; a zero divisor gives all ones.'''

The layout lists the bits from the highest down: fixed bits, fields (`rd:5`), and pieces of an immediate
(`imm[12|10:5]`: its bit 12, then its bits 10 to 5). The annotation of each parameter is the kind of that operand.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from .machine import Machine
from .operands import RESERVED_ROUNDING, Kind, Register
from .record import Op, Recorder, Refused, Step

Definition = TypeVar("Definition", bound=Callable[..., None])


@dataclass(frozen=True, slots=True)
class Piece:
    """Adjacent bits of a word: fixed ones, or a run of bits of an operand."""

    name: str  # operand; empty for fixed bits
    shift: int  # position of the lowest bit in the word
    low: int  # ... and in the operand; of fixed bits: their value
    width: int

    @property
    def mask(self) -> int:
        """The bits of the word that the piece takes."""
        return ((1 << self.width) - 1) << self.shift


@dataclass(frozen=True, eq=False)
class Instruction:
    """One instruction of the machine, as recorded from its definition."""

    name: str  # unique: the mnemonic, with the register behind it where one mnemonic has several definitions
    mnemonic: str
    layout: str
    text: str  # how its operands are written in assembly, e.g. "rd, imm(rs1)"
    description: str  # the definition's docstring
    length: int  # bytes: 2 or 4
    mask: int  # a word is this instruction when word & mask == match
    match: int
    exclusions: tuple[tuple[int, int], ...]  # ... unless word & mask == match of one of these
    operands: dict[str, Kind]
    steps: list[Step]
    pieces: tuple[Piece, ...]
    extension: str  # the module that defines it
    source: tuple[str, int]  # file and line of the definition

    def accepts(self, word: int) -> bool:
        """Whether `word` is this instruction."""
        return word & self.mask == self.match and not any(word & mask == match for mask, match in self.exclusions)

    def extract(self, word: int) -> dict[str, int]:
        """Values of the operands: register numbers, and immediates as Python integers (negative where signed)."""
        values: dict[str, int] = {}
        for name, first, sign, parts in self._fields:
            value = 0
            for shift, ones, low in parts:
                value |= (word >> shift & ones) << low
            values[name] = first + (value ^ sign) - sign
        return values

    @cached_property
    def _fields(self) -> tuple[tuple[str, int, int, tuple[tuple[int, int, int], ...]], ...]:
        """For each operand: name, value of field zero, sign bit, and (shift, ones, position) of its bits."""
        fields: list[tuple[str, int, int, tuple[tuple[int, int, int], ...]]] = []
        for name, kind in self.operands.items():
            own = [p for p in self.pieces if p.name == name]
            sign = 1 << (self.bits(name) - 1) if kind.is_signed else 0
            parts = tuple((p.shift, (1 << p.width) - 1, p.low) for p in own)
            fields.append((name, kind.first, sign, parts))
        return tuple(fields)

    def never(self, operand: str) -> list[int]:
        """Values of the operand with which a word is not this instruction."""
        own = sum(piece.mask for piece in self.pieces if piece.name == operand)
        return [self.extract(match)[operand] for mask, match in self.exclusions if mask == own]

    def bits(self, operand: str) -> int:
        """How many bits the operand's value has, low zero bits that are not encoded included."""
        return max(p.low + p.width for p in self.pieces if p.name == operand)

    def has(self, *ops: Op) -> bool:
        """Whether a step of one of these kinds is among what it does."""
        return any(step.op in ops for step in self.steps)

    def step(self, op: Op) -> Step | None:
        """The first step of kind `op`, if there is one."""
        return next((step for step in self.steps if step.op is op), None)

    def __repr__(self) -> str:
        return f"<{self.name} {self.layout}>"


DEFINITIONS: list[Instruction] = []  # complete once `decode` is imported


def instruction(
    layout: str,
    *,
    name: str | None = None,
    mnemonic: str | None = None,
    text: str | None = None,
    description: str | None = None,
    never: dict[str, tuple[int, ...]] | None = None,
    **bound: object,
) -> Callable[[Definition], Definition]:
    """Define an instruction; the function is called once, to record what it does, and stays as it is.

    Args:
        layout: the bits, highest first.
        name: when it is not the function's (with "_" for ".").
        mnemonic: when it is not the name.
        text: how operands are written, when not simply in the order of the parameters.
        description: when it is not the function's docstring.
        never: values of operands with which the word is not this instruction.
        **bound: further arguments of the function, for families of definitions.

    Raises:
        Refused: the definition breaks a rule; the message says which.
    """

    def define(function: Definition) -> Definition:
        own = name or function.__name__.rstrip("_").replace("_", ".")
        try:
            naming = Naming(own, mnemonic or own, text, description or inspect.cleandoc(function.__doc__ or ""))
            one = _define(naming, layout, never or {}, function, bound)
        except (Refused, TypeError) as reason:
            raise Refused(f"{own}: {reason}") from reason
        DEFINITIONS.append(one)
        return function

    return define


@dataclass(frozen=True, slots=True)
class Naming:
    """What an instruction is called and how it is written; `text` None: its operands in order."""

    name: str
    mnemonic: str
    text: str | None
    description: str


def _define(
    naming: Naming,
    layout: str,
    never: dict[str, tuple[int, ...]],
    function: Callable[..., None],
    bound: dict[str, object],
) -> Instruction:
    pieces = parse_layout(layout)
    operands = operand_kinds(function, bound)
    _check_operands(pieces, operands)
    recorder = Recorder()
    length = sum(p.width for p in pieces) // 8
    cpu = Machine(recorder, length)
    function(cpu, **{n: _symbol(recorder, n, kind) for n, kind in operands.items()}, **bound)
    fixed = [p for p in pieces if not p.name]
    one = Instruction(
        name=naming.name,
        mnemonic=naming.mnemonic,
        layout=layout,
        text=_in_order(operands) if naming.text is None else naming.text,
        description=naming.description,
        length=length,
        mask=sum(p.mask for p in fixed),
        match=sum(p.low << p.shift for p in fixed),
        exclusions=_exclusions(pieces, operands, never),
        operands=operands,
        steps=_used(recorder.steps),
        pieces=pieces,
        extension=function.__module__.rpartition(".")[2],
        source=(function.__code__.co_filename, function.__code__.co_firstlineno),
    )
    _check_overlap(one)
    return one


def _in_order(operands: dict[str, Kind]) -> str:
    return ", ".join(name for name, kind in operands.items() if kind is not Kind.ORDER)


TOKEN = re.compile(r"(?P<fixed>[01]+)|(?P<name>[a-z]\w*)(:(?P<width>\d+)|\[(?P<ranges>[\d:|]+)\])")


def parse_layout(layout: str) -> tuple[Piece, ...]:
    """The pieces of a layout, highest first.

    Raises:
        Refused: it cannot be read, or has neither 16 nor 32 bits.
    """
    parts: list[tuple[str, int, int]] = []
    for token in layout.split():
        match = TOKEN.fullmatch(token)
        if match is None:
            raise Refused(f"cannot read {token!r} in the layout {layout!r}")
        if match["fixed"]:
            parts.append(("", int(token, 2), len(token)))
        elif match["width"]:
            parts.append((match["name"], 0, int(match["width"])))
        else:
            for part in match["ranges"].split("|"):
                high, _, low = part.partition(":")
                parts.append((match["name"], int(low or high), int(high) - int(low or high) + 1))
    position = sum(width for _, _, width in parts)
    if position not in (16, 32):
        raise Refused(f"the layout {layout!r} has {position} bits")
    pieces: list[Piece] = []
    for name, low, width in parts:
        position -= width
        pieces.append(Piece(name, position, low, width))
    return tuple(pieces)


def operand_kinds(function: Callable[..., None], bound: dict[str, object]) -> dict[str, Kind]:
    """The kind of each operand, in the order of the parameters, from their annotations."""
    hints = get_type_hints(function, include_extras=True)
    kinds: dict[str, Kind] = {}
    for parameter in list(inspect.signature(function).parameters)[1:]:
        if parameter in bound:
            continue
        hint: Any = hints.get(parameter)
        if get_origin(hint) is not Annotated:
            raise Refused(f"parameter {parameter!r} needs an operand's annotation, like Reg")
        kinds[parameter] = get_args(hint)[1]
    return kinds


def _check_operands(pieces: tuple[Piece, ...], operands: dict[str, Kind]) -> None:
    fields = {p.name for p in pieces if p.name}
    if fields != set(operands):
        raise Refused(f"the layout has the fields {sorted(fields)}, the function the parameters {sorted(operands)}")
    for name, kind in operands.items():
        width = sum(p.width for p in pieces if p.name == name)
        expected = {Kind.X: 5, Kind.F: 5, Kind.X_SHORT: 3, Kind.F_SHORT: 3, Kind.ROUNDING: 3, Kind.ORDER: 2}
        if width != expected.get(kind, width):
            raise Refused(f"{name} has {width} bits in the layout, and {expected[kind]} as {kind.value}")


def _symbol(recorder: Recorder, name: str, kind: Kind) -> Register | Step:
    return Register(name) if kind.is_register else recorder.emit(Op.FIELD, 64, attribute=name)


def _used(steps: list[Step]) -> list[Step]:
    """The steps without pure ones whose result nobody uses."""
    pure = {Op.CONST, Op.FIELD, Op.PC, Op.WORD}
    needed = {id(argument) for step in steps for argument in step.args}
    return [step for step in steps if step.op not in pure or id(step) in needed]


def _exclusions(
    pieces: tuple[Piece, ...], operands: dict[str, Kind], never: dict[str, tuple[int, ...]]
) -> tuple[tuple[int, int], ...]:
    """Values that an operand never has, as masks and matches of the word."""
    reserved = {name: RESERVED_ROUNDING for name, kind in operands.items() if kind is Kind.ROUNDING}
    pairs: list[tuple[int, int]] = []
    for name, values in (never | reserved).items():
        own = [p for p in pieces if p.name == name]
        if not own:
            raise Refused(f"never= names {name!r}, which is no field")
        for value in values:
            match = sum((value >> p.low & ((1 << p.width) - 1)) << p.shift for p in own)
            pairs.append((sum(p.mask for p in own), match))
    return tuple(pairs)


def _check_overlap(one: Instruction) -> None:
    for other in DEFINITIONS:
        if other.name == one.name:
            raise Refused("is defined already")
        if other.length == one.length and overlap(one, other):
            raise Refused(f"its layout {one.layout!r} overlaps {other.name}'s {other.layout!r}")


def overlap(a: Instruction, b: Instruction) -> bool:
    """Whether some word could be both instructions."""
    if (a.match ^ b.match) & a.mask & b.mask:
        return False
    mask, match = a.mask | b.mask, a.match | b.match
    return not any(mask & m == m and match & m == v for m, v in (*a.exclusions, *b.exclusions))
