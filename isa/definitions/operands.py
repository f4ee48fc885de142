"""Kinds of operands: what a definition's annotation says about a field of the instruction.

A register operand is passed to a definition as a `Register` (or as a number, when a compressed definition calls the
base definition with a register that its encoding implies), an immediate as a `Step` (or a plain number).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated

from .record import Step


class Kind(enum.Enum):
    """How the bits of a field become an operand's value, and how that value is written in assembly."""

    X = "integer register"
    F = "floating-point register"
    X_SHORT = "integer register x8 to x15"
    F_SHORT = "floating-point register f8 to f15"
    SIGNED = "signed immediate"
    UNSIGNED = "unsigned immediate"
    OFFSET = "signed distance from this instruction"
    UPPER = "signed immediate whose low 12 bits are zero; written shifted right by 12"
    ROUNDING = "rounding mode: rne rtz rdn rup rmm, or dyn for frm's"
    ORDER = "ordering: none, .rl, .aq or .aqrl behind the name"
    FENCE = "set of i, o, r, w"

    @property
    def is_register(self) -> bool:
        """Whether the operand names a register."""
        return self in REGISTERS

    @property
    def is_signed(self) -> bool:
        """Whether the field's top bit is a sign."""
        return self in (Kind.SIGNED, Kind.OFFSET, Kind.UPPER)

    @property
    def first(self) -> int:
        """The register that field value 0 names."""
        return 8 if self in (Kind.X_SHORT, Kind.F_SHORT) else 0


REGISTERS = frozenset({Kind.X, Kind.F, Kind.X_SHORT, Kind.F_SHORT})
RESERVED_ROUNDING = (5, 6)
DYNAMIC_ROUNDING = 7


@dataclass(frozen=True, slots=True)
class Register:
    """A register operand while recording: known by its name only."""

    name: str


Reg = Annotated[Register | int, Kind.X]
FReg = Annotated[Register | int, Kind.F]
ShortReg = Annotated[Register | int, Kind.X_SHORT]
ShortFReg = Annotated[Register | int, Kind.F_SHORT]
Signed = Annotated[Step | int, Kind.SIGNED]
Unsigned = Annotated[Step | int, Kind.UNSIGNED]
Immediate = Annotated[Step, Kind.UNSIGNED]  # ... of a definition that no other one calls
Offset = Annotated[Step | int, Kind.OFFSET]
Upper = Annotated[Step | int, Kind.UPPER]
Rounding = Annotated[Step, Kind.ROUNDING]
Order = Annotated[Step, Kind.ORDER]
FenceSet = Annotated[Step, Kind.FENCE]
