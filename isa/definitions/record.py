"""Record what an instruction does: a definition is called once with symbols and leaves its steps.

A definition is an ordinary Python function over a `Machine`. Calling it with symbolic operands yields an
`Instruction`: the layout, the operands and a list of `Step`s in static single assignment form. The reference
interpreter evaluates those steps, the emitter turns the same steps into LLVM IR, the manual prints them. No consumer
knows an instruction by name.

Three rules make every trap precise and every consumer simple, and `Recorder` holds definitions to them: a guest value
has no truth (`if` cannot depend on it; use `select` or `when=`), nothing that can trap comes after the first effect,
and no register is read after one was written (so it never matters that two operands name the same register).
"""

from __future__ import annotations

import enum
import inspect
from dataclasses import dataclass, field
from typing import Never

WORD = 64
RECORDING = frozenset({__name__, f"{__package__}.machine"})  # their frames are not a definition's own line
ALL_ONES = (1 << WORD) - 1


class Op(enum.StrEnum):
    """What a step does. Values are unsigned bit patterns of the step's width; `a`, `b`, `c` are its arguments."""

    CONST = "const"  # attribute: the value
    FIELD = "field"  # attribute: operand name; an immediate, already extended to 64 bits as its type says
    PC = "pc"  # address of this instruction
    WORD = "word"  # the instruction itself, 16 or 32 bits of it, zero-extended
    X = "x"  # attribute: operand name (or a register number); the integer register it names; x0 reads zero
    F = "f"  # attribute: operand name; the 64 raw bits of a floating-point register

    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    UDIV = "udiv"  # the definition keeps the divisor from being zero
    UREM = "urem"
    SDIV = "sdiv"  # ... and the quotient from overflowing
    SREM = "srem"
    AND = "and"
    OR = "or"
    XOR = "xor"
    SHL = "shl"  # shift amounts count modulo the width
    LSHR = "lshr"
    ASHR = "ashr"
    EQ = "eq"  # comparisons have width 1
    NE = "ne"
    ULT = "ult"
    SLT = "slt"
    SELECT = "select"  # a (width 1) ? b : c
    TRUNC = "trunc"
    ZEXT = "zext"
    SEXT = "sext"
    CLZ = "clz"  # of zero: the width
    CTZ = "ctz"
    POPCOUNT = "popcount"
    BSWAP = "bswap"

    LOAD = "load"  # a: address; width: bits read; may trap
    STORE = "store"  # a: address, b: value (its width is stored); may trap
    ATOMIC = "atomic"  # attribute: swap add xor and or smin smax umin umax; a: address, b: value; gives the old value
    RESERVE = "reserve"  # load-reserved; a: address
    CONDITIONAL = "conditional"  # store-conditional; a: address, b: value; gives width 1: 1 = failed
    FLOAT = "float"  # attribute: (operation, rounding-mode operand or None); see `Machine.float`
    COUNTER = "counter"  # attribute: cycle or instret; both count the instructions retired before this one
    STATUS = "status"  # attribute: fflags or frm; that part of fcsr, zero-extended
    VIRTUAL = "virtual"  # attribute: a number of `virtual.Service`; a, b: arguments; gives 64 bits; may trap or leave

    SET_X = "set_x"  # attribute: operand name (or a register number); writes to x0 are discarded
    SET_F = "set_f"
    SET_STATUS = "set_status"  # attribute: fflags or frm; a: value, already within 5 or 3 bits
    FENCE_I = "fence_i"  # instruction memory may have changed
    JUMP = "jump"  # a: target; b, if there: taken only when it is 1; attribute: branch, direct or indirect
    TRAP = "trap"  # attribute: Cause; a: its value; b, if there: only when it is 1


READS = frozenset({Op.X, Op.F, Op.STATUS})
EFFECTS = frozenset(
    {
        *(Op.STORE, Op.ATOMIC, Op.RESERVE, Op.CONDITIONAL, Op.FLOAT, Op.VIRTUAL),
        *(Op.SET_X, Op.SET_F, Op.SET_STATUS, Op.FENCE_I, Op.JUMP),
    }
)
WRITES = frozenset({Op.SET_X, Op.SET_F, Op.SET_STATUS, Op.JUMP})
ACCESSES = frozenset({Op.LOAD, Op.STORE, Op.ATOMIC, Op.RESERVE, Op.CONDITIONAL})
MAY_TRAP = frozenset({Op.LOAD, Op.STORE, Op.ATOMIC, Op.RESERVE, Op.CONDITIONAL, Op.VIRTUAL, Op.TRAP})
SAME_WIDTH = frozenset(
    {
        *(Op.ADD, Op.SUB, Op.MUL, Op.UDIV, Op.UREM, Op.SDIV, Op.SREM, Op.AND, Op.OR, Op.XOR),
        *(Op.SHL, Op.LSHR, Op.ASHR, Op.EQ, Op.NE, Op.ULT, Op.SLT),
    }
)


class Cause(enum.IntEnum):
    """Why a guest trapped; the numbers below 16 are the RISC-V privileged manual's (table of mcause)."""

    MISALIGNED_FETCH = 0
    FETCH = 1  # value: the address that is not executable
    ILLEGAL = 2  # value: the instruction word
    BREAKPOINT = 3
    MISALIGNED_LOAD = 4
    LOAD = 5  # value: the address outside the guest's memory
    MISALIGNED_STORE = 6
    STORE = 7
    ENVIRONMENT_CALL = 8
    MISS_READ = 16  # the virtual MMU is on; value: the first address that has no binding with this right
    DEVICE = 17  # a virtual instruction with an argument its device refuses; value: that argument
    FAILED = 18  # the guest said so itself (`fail`): a raise, an assertion, a bad index; value: the message's address
    MISS_WRITE = 19
    MISS_EXECUTE = 20


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One operation; also its result, `width` bits wide (0: no result)."""

    op: Op
    width: int
    args: tuple[Step, ...] = ()
    attribute: object = None
    line: int = 0  # where in the definition's source it was written
    recorder: Recorder | None = field(default=None, repr=False)

    def __bool__(self) -> Never:
        raise TypeError("a guest value has no truth while recording: use select() or when=, not if/and/or")

    def _emit(self, op: Op, *args: Step | int, width: int | None = None) -> Step:
        assert self.recorder is not None
        return self.recorder.emit(op, self.width if width is None else width, *args, like=self)

    def __add__(self, other: Step | int) -> Step:
        return self._emit(Op.ADD, self, other)

    def __sub__(self, other: Step | int) -> Step:
        return self._emit(Op.SUB, self, other)

    def __mul__(self, other: Step | int) -> Step:
        return self._emit(Op.MUL, self, other)

    def __and__(self, other: Step | int) -> Step:
        return self._emit(Op.AND, self, other)

    def __or__(self, other: Step | int) -> Step:
        return self._emit(Op.OR, self, other)

    def __xor__(self, other: Step | int) -> Step:
        return self._emit(Op.XOR, self, other)

    def __invert__(self) -> Step:
        return self._emit(Op.XOR, self, (1 << self.width) - 1)

    def __neg__(self) -> Step:
        return self._emit(Op.SUB, 0, self)

    def __lshift__(self, other: Step | int) -> Step:
        return self._emit(Op.SHL, self, other)

    def __rshift__(self, other: Step | int) -> Step:
        """Shift right, zeros from above; `sar` keeps the sign."""
        return self._emit(Op.LSHR, self, other)

    def sar(self, other: Step | int) -> Step:
        """Shift right, copies of the sign from above."""
        return self._emit(Op.ASHR, self, other)

    def __eq__(self, other: object) -> Step:  # type: ignore[override]
        assert isinstance(other, Step | int)
        return self._emit(Op.EQ, self, other, width=1)

    def __ne__(self, other: object) -> Step:  # type: ignore[override]
        assert isinstance(other, Step | int)
        return self._emit(Op.NE, self, other, width=1)

    def __hash__(self) -> int:
        return id(self)

    def ult(self, other: Step | int) -> Step:
        """1 when less than `other`, both unsigned."""
        return self._emit(Op.ULT, self, other, width=1)

    def slt(self, other: Step | int) -> Step:
        """1 when less than `other`, both signed."""
        return self._emit(Op.SLT, self, other, width=1)

    def udiv(self, other: Step | int) -> Step:
        """Unsigned quotient; the definition keeps `other` from being zero."""
        return self._emit(Op.UDIV, self, other)

    def urem(self, other: Step | int) -> Step:
        """Unsigned remainder; the definition keeps `other` from being zero."""
        return self._emit(Op.UREM, self, other)

    def sdiv(self, other: Step | int) -> Step:
        """Signed quotient towards zero; the definition keeps it from dividing by zero and from overflowing."""
        return self._emit(Op.SDIV, self, other)

    def srem(self, other: Step | int) -> Step:
        """Signed remainder with the dividend's sign; same conditions as `sdiv`."""
        return self._emit(Op.SREM, self, other)

    def select(self, yes: Step | int, no: Step | int) -> Step:
        """`yes` where this single bit is 1, else `no`; both are evaluated."""
        if self.width != 1:
            raise Refused(f"select on {self.width} bits: compare first")
        assert self.recorder is not None
        like = yes if isinstance(yes, Step) else no
        width = like.width if isinstance(like, Step) else WORD
        return self.recorder.emit(Op.SELECT, width, self, yes, no, like=like if isinstance(like, Step) else None)

    def low(self, width: int) -> Step:
        """The lowest `width` bits."""
        return self if width == self.width else self._emit(Op.TRUNC, self, width=width)

    def zext(self, width: int = WORD) -> Step:
        """Widened with zeros."""
        return self if width == self.width else self._emit(Op.ZEXT, self, width=width)

    def sext(self, width: int = WORD) -> Step:
        """Widened with copies of the sign."""
        return self if width == self.width else self._emit(Op.SEXT, self, width=width)

    def clz(self) -> Step:
        """Leading zeros; the width for zero."""
        return self._emit(Op.CLZ, self)

    def ctz(self) -> Step:
        """Trailing zeros; the width for zero."""
        return self._emit(Op.CTZ, self)

    def popcount(self) -> Step:
        """Bits that are 1."""
        return self._emit(Op.POPCOUNT, self)

    def bswap(self) -> Step:
        """Bytes in reverse order."""
        return self._emit(Op.BSWAP, self)


class Refused(Exception):
    """A definition breaks a rule of recording; the message says which, and what to write instead."""


@dataclass(slots=True)
class Recorder:
    """Collects the steps of one definition, in order, and refuses what would make a trap imprecise."""

    steps: list[Step] = field(default_factory=list[Step])
    effect: Op | None = None

    def emit(self, op: Op, width: int, *args: Step | int, attribute: object = None, like: Step | None = None) -> Step:
        """Append a step; plain integers among `args` become constants as wide as `like` (or as the other operand)."""
        wide = next((a.width for a in args if isinstance(a, Step) and a.width > 1), width or WORD)
        wide = like.width if like is not None else wide
        values = tuple(a if isinstance(a, Step) else self.const(a, wide) for a in args)
        self._check(op, values)
        step = Step(op, width, values, attribute, _line(), self)
        self.steps.append(step)
        return step

    def const(self, value: int, width: int = WORD) -> Step:
        """A constant of `width` bits; negative numbers are taken modulo two to the width."""
        step = Step(Op.CONST, width, (), value & ((1 << width) - 1), 0, self)
        self.steps.append(step)
        return step

    def _check(self, op: Op, values: tuple[Step, ...]) -> None:
        if op in SAME_WIDTH and len({v.width for v in values}) > 1:
            raise Refused(f"{op} of widths {[v.width for v in values]}: say low(), zext() or sext() first")
        if op in ACCESSES and any(step.op in ACCESSES for step in self.steps):
            raise Refused(f"{op} is a second access to memory: bounds are proven for one in each instruction")
        if op in MAY_TRAP and self.effect is not None:
            raise Refused(f"{op} can trap and comes after {self.effect}: do what can trap first, then write")
        if op in READS and self.effect in WRITES:
            raise Refused(f"{op} reads after {self.effect}: read every register first, then write")
        if op in EFFECTS:
            self.effect = op


def _line() -> int:
    """The line of the definition that is being recorded."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") in RECORDING:
        frame = frame.f_back
    return 0 if frame is None else frame.f_lineno
