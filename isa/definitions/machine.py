"""The machine as a definition sees it: every use of it leaves a step behind."""

from __future__ import annotations

from ..virtual import Service
from .operands import DYNAMIC_ROUNDING, Register
from .record import WORD, Cause, Op, Recorder, Refused, Step

FFLAGS_MASK = 0b11111
FRM_MASK = 0b111
CANONICAL_NAN = {32: 0x7FC0_0000, 64: 0x7FF8_0000_0000_0000}


def name_of(register: Register | int) -> str | int:
    """The attribute by which a step refers to a register: an operand's name, or a number."""
    return register if isinstance(register, int) else register.name


class Floats:
    """The floating-point registers: `cpu.f[rs1]` is all 64 bits, `cpu.f[rs1, 32]` a single behind its NaN box."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __getitem__(self, key: Register | int | tuple[Register | int, int]) -> Step:
        register, width = key if isinstance(key, tuple) else (key, WORD)
        raw = self._recorder.emit(Op.F, WORD, attribute=name_of(register))
        if width == WORD:
            return raw
        boxed = (raw >> width) == (1 << (WORD - width)) - 1
        return boxed.select(raw.low(width), CANONICAL_NAN[width])

    def __setitem__(self, register: Register | int, value: Step) -> None:
        """Write 64 bits, or box a narrower value: ones above it."""
        boxed = value if value.width == WORD else value.zext() | (((1 << WORD) - 1) << value.width)
        self._recorder.emit(Op.SET_F, 0, boxed, attribute=name_of(register))


class Machine:
    """What a definition may read, compute and change; `cpu[rs1]` reads an integer register, `cpu[rd] = v` writes."""

    def __init__(self, recorder: Recorder, length: int) -> None:
        """A machine that records into `recorder` an instruction of `length` bytes."""
        self._recorder = recorder
        self._length = length
        self.f = Floats(recorder)

    def __getitem__(self, register: Register | int) -> Step:
        return self._recorder.emit(Op.X, WORD, attribute=name_of(register))

    def __setitem__(self, register: Register | int, value: Step | int) -> None:
        if isinstance(value, Step) and value.width != WORD:
            raise Refused(f"a register takes 64 bits, not {value.width}: say sext() or zext()")
        self._recorder.emit(Op.SET_X, 0, value, attribute=name_of(register))

    @property
    def pc(self) -> Step:
        """The address of this instruction."""
        return self._recorder.emit(Op.PC, WORD)

    @property
    def next_pc(self) -> Step:
        """The address of the instruction behind this one."""
        return self.pc + self._length

    @property
    def word(self) -> Step:
        """The instruction itself."""
        return self._recorder.emit(Op.WORD, WORD)

    def constant(self, value: int, width: int = WORD) -> Step:
        """A number as a guest value."""
        return self._recorder.const(value, width)

    def jump(self, target: Step, when: Step | None = None) -> None:
        """Go on at `target`, if there is a condition only when it is 1.

        The step's attribute is "branch" with a condition; without one "direct" when the target depends on nothing but
        pc and operands, else "indirect".
        """
        condition = () if when is None else (when,)
        how = "branch" if condition else "indirect" if depends_on_state(target) else "direct"
        self._recorder.emit(Op.JUMP, 0, target, *condition, attribute=how)

    def trap(self, cause: Cause, value: Step | int, when: Step | None = None) -> None:
        """Stop with `cause` before anything of this instruction takes effect, if there is a condition when it is 1."""
        condition = () if when is None else (when,)
        self._recorder.emit(Op.TRAP, 0, value, *condition, attribute=cause)

    def load(self, address: Step, width: int) -> Step:
        """`width` bits, little-endian, from `address`."""
        return self._recorder.emit(Op.LOAD, width, address)

    def store(self, address: Step, value: Step) -> None:
        """Write all bits of `value` at `address`, little-endian."""
        self._recorder.emit(Op.STORE, 0, address, value)

    def atomic(self, operation: str, address: Step, value: Step) -> Step:
        """Replace what is at the aligned `address` by `operation` of it and `value`; gives what was there.

        Operations: swap add xor and or smin smax umin umax.
        """
        return self._recorder.emit(Op.ATOMIC, value.width, address, value, attribute=operation)

    def reserve(self, address: Step, width: int) -> Step:
        """Load from the aligned `address` and remember it for `conditional`."""
        return self._recorder.emit(Op.RESERVE, width, address)

    def conditional(self, address: Step, value: Step) -> Step:
        """Store if the reservation for `address` still holds; gives the bit "it failed"; the reservation is gone."""
        return self._recorder.emit(Op.CONDITIONAL, 1, address, value)

    def float(self, operation: str, *args: Step, rm: Step | None = None, width: int | None = None) -> Step:
        """Arithmetic of IEEE 754 on raw bits; raises flags in fflags; a NaN that comes out is the canonical one.

            operation             arguments        result width         rm   remarks
            add sub mul div       a, b             theirs               yes
            sqrt                  a                its                  yes
            fma                   a, b, c          theirs               yes  a*b + c rounded once; inf*0 is invalid
            min max               a, b             theirs               no   the number if one is NaN; -0 < +0
            eq                    a, b             1                    no   quiet: invalid only for signalling NaN
            lt le                 a, b             1                    no   invalid for any NaN
            to_i32 to_u32         a                32                   yes  out of range: invalid and the nearest
            to_i64 to_u64         a                64                   yes  ... integer there is; NaN: the largest
            from_i32 from_u32     a (32 bits)      `width`              yes
            from_i64 from_u64     a (64 bits)      `width`              yes
            convert               a                `width`              yes  between 32 and 64 bits

        Arguments are 32 or 64 bits wide. Tininess is detected after rounding. The step's attribute is (operation, name
        of the rounding-mode operand or None); that operand's value is 0 to 4, or 7 for the mode in frm. A step TRAP
        before it makes 7 with a reserved mode in frm an illegal instruction; 5 and 6 are not decoded at all.
        """
        if rm is not None:
            reserved = (rm == DYNAMIC_ROUNDING) & ~self.status("frm").ult(5)
            self.trap(Cause.ILLEGAL, self.word, when=reserved)
        name = None if rm is None else rm.attribute
        return self._recorder.emit(Op.FLOAT, width or args[0].width, *args, attribute=(operation, name))

    def counter(self, name: str) -> Step:
        """cycle or instret: instructions that this guest has retired before this one."""
        return self._recorder.emit(Op.COUNTER, WORD, attribute=name)

    def status(self, part: str) -> Step:
        """fflags or frm."""
        return self._recorder.emit(Op.STATUS, WORD, attribute=part)

    def set_status(self, part: str, value: Step) -> None:
        """Write fflags or frm; bits that it does not have are dropped."""
        mask = {"fflags": FFLAGS_MASK, "frm": FRM_MASK}[part]
        self._recorder.emit(Op.SET_STATUS, 0, value & mask, attribute=part)

    def virtual(self, service: Service, a: Step, b: Step) -> Step:
        """Ask the kernel for a service."""
        return self._recorder.emit(Op.VIRTUAL, WORD, a, b, attribute=service)

    def fence_i(self) -> None:
        """What was written to memory may be executed from here on."""
        self._recorder.emit(Op.FENCE_I, 0)


def depends_on_state(step: Step) -> bool:
    """Whether a value comes from anything but pc, operands and constants."""
    if step.op in (Op.X, Op.F, Op.STATUS, Op.LOAD, Op.ATOMIC, Op.RESERVE, Op.COUNTER, Op.VIRTUAL):
        return True
    return any(depends_on_state(argument) for argument in step.args)
