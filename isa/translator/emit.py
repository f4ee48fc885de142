"""Turn the recorded steps of one instruction into LLVM IR text.

What a step computes is written here, once; where registers, operands and memory are is the user's: the native
interpreter reads fields from the word and registers by dynamic index, the translator has constants and local
variables. Both hand in a `Machine`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast

import numpy as np

from denali.isa.context import CONTEXT, SPACE
from denali.isa.definitions.record import Cause, Op, Step
from denali.isa.translator.emit_float import SUPPORT, SUPPORT_NEEDS, emit_float, read_status, write_status

Value = str  # an LLVM operand without its type: "%t12" or "42"

ARITHMETIC = {
    Op.ADD: "add", Op.SUB: "sub", Op.MUL: "mul", Op.UDIV: "udiv", Op.UREM: "urem", Op.SDIV: "sdiv", Op.SREM: "srem",
    Op.AND: "and", Op.OR: "or", Op.XOR: "xor",
}  # fmt: skip
SHIFTS = {Op.SHL: "shl", Op.LSHR: "lshr", Op.ASHR: "ashr"}
COMPARISONS = {Op.EQ: "eq", Op.NE: "ne", Op.ULT: "ult", Op.SLT: "slt"}
WIDENINGS = {Op.TRUNC: "trunc", Op.ZEXT: "zext", Op.SEXT: "sext"}
COUNTS = {Op.CLZ: ("ctlz", ", i1 false"), Op.CTZ: ("cttz", ", i1 false"), Op.POPCOUNT: ("ctpop", "")}
MINIMUMS = {"smin": "slt", "smax": "sgt", "umin": "ult", "umax": "ugt"}
NO_RESERVATION = "-1"


class Scaled(NamedTuple):
    """A sum with an index that is multiplied by 2, 4 or 8, as the host's addresses can have it."""

    index: Value
    kind: str  # of LLVM's types one of that size
    rest: tuple[Value, ...] = ()


@dataclass(slots=True)
class Body:
    """The text of one LLVM function while it is written: lines, fresh names, the block being filled."""

    lines: list[str] = field(default_factory=list[str])
    declared: set[str] = field(default_factory=set[str])  # declarations of intrinsics and helpers the module needs
    count: int = 0
    block: str = "entry"
    postpones_nans: bool = False  # results of arithmetic on doubles: the machine makes NaNs canonical later
    plain_floats: bool = False  # arithmetic may be vectorised: `%seen` keeps all of it alive for its flags
    scaled: dict[Value, Scaled] = field(default_factory=dict[Value, Scaled])  # which values are such sums
    masked: bool = False  # no access out of bounds is made even where the processor guesses that its check passes

    def name(self, hint: str = "t") -> str:
        """A name not used in this function before."""
        self.count += 1
        return f"{hint}{self.count}"

    def line(self, text: str) -> None:
        """Append one instruction."""
        self.lines.append("  " + text)

    def value(self, text: str) -> Value:
        """Append an instruction that gives a value; its name."""
        result = "%" + self.name()
        self.lines.append(f"  {result} = {text}")
        return result

    def label(self, name: str) -> None:
        """Begin the block `name`; the one before it must have ended."""
        self.lines.append(f"{name}:")
        self.block = name

    def call(self, declaration: str, arguments: str, attributes: str = "") -> Value:
        """Call what `declaration` ("i64 @llvm.ctpop.i64(i64)") declares, and note that the module needs it."""
        self.declared.add(declaration)
        text = f"call {declaration[: declaration.index('(')]}({arguments}) {attributes}"
        if declaration.startswith("void"):
            self.line(text)
            return ""
        return self.value(text)

    def kept(self, offset: Value, limit: Value | int, base: Value = "", displacement: int = 0) -> Value:
        """`offset`, or the ptr so far behind `base` + `displacement`; if masked, zero unless `offset` < `limit`.

        What is behind a branch that the processor has guessed has to wait for this comparison. It is said in assembly,
        as LLVM would trust the branch, and by one value alone, as LLVM may take another that a branch says is equal.
        """
        if not self.masked:
            return offset
        place = "e" if str(limit).isdecimal() and int(limit) < 1 << 31 else "r"
        kind, moved, first = "i64", "", f"=r,0,{place},r"
        if base:
            kind, moved, first = "ptr", f"leaq {displacement}($2,$1), $0\\0A", f"=&r,r,r,{place},r"
        asm = 'asm "{}cmpq ${}, ${}\\0Acmovaeq ${}, $0", "{},~{{flags}}"'
        asm = asm.format(moved, *((3, 1, 4) if base else (2, 0, 3)), first)
        given = f"i64 {offset}, " + (f"ptr {base}, " if base else "")
        return self.value(f"call {kind} {asm}({given}i64 {limit}, i64 0) memory(none) nounwind")

    def opaque(self, value: Value, effect: str = "") -> Value:
        """The same value, of which LLVM knows nothing."""
        return self.value(f'call i64 asm {effect} "", "=r,0"(i64 {value})')

    def branch(self, condition: Value, yes: str, no: str, *, likely: bool | None = None) -> None:
        """End the block with a two-way branch; `likely` says which way is expected."""
        weights = {None: "", True: ", !prof !0", False: ", !prof !1"}[likely]
        self.line(f"br i1 {condition}, label %{yes}, label %{no}{weights}")


METADATA = '!0 = !{!"branch_weights", i32 2000, i32 1}\n!1 = !{!"branch_weights", i32 1, i32 2000}\n'


class Machine(Protocol):
    """Where a user of the emitter keeps what the steps speak of; every value is 64 bits wide unless said otherwise."""

    body: Body

    def field(self, name: str) -> Value:
        """The immediate operand `name`."""
        ...

    def pc(self) -> Value:
        """The address of this instruction."""
        ...

    def word(self) -> Value:
        """The instruction itself."""
        ...

    def read_x(self, register: str | int) -> Value:
        """The integer register of this number, or the one that this operand names."""
        ...

    def write_x(self, register: str | int, value: Value) -> None:
        """Write it; a write to x0 leaves zero there."""
        ...

    def read_f(self, register: str | int) -> Value:
        """The raw bits of a floating-point register."""
        ...

    def write_f(self, register: str | int, value: Value) -> None:
        """Write them."""
        ...

    def context(self) -> Value:
        """A ptr to the guest's CONTEXT."""
        ...

    def pointer(self, address: Value, size: int, cause: Cause) -> Value:
        """A host ptr to `size` bytes at guest `address`, having trapped with `cause` when not allowed.

        `Cause.LOAD` may read private memory and read-only bytes, `Cause.STORE` needs private memory.
        """
        ...

    def trap(self, cause: int, value: Value, when: Value | None) -> None:
        """Stop the guest at this instruction if `when` (i1; None: always); emission goes on where it is not."""
        ...

    def service(self, number: int, a: Value, b: Value) -> Value:
        """Call the space's service as the contract says; its result. Traps in it, and notes that it may have left."""
        ...

    def retired(self) -> Value:
        """Instructions retired before this one: limit - fuel."""
        ...

    def rounding(self, name: str) -> Value | int:
        """The value of the rounding-mode operand `name`: a known number 0..4 or 7 (the one in frm), else an i64."""
        ...

    def status_written(self, part: str) -> None:
        """`part` of fcsr (fflags, frm) was written and MXCSR adjusted; the translator leaves when frm > 3."""
        ...

    def jump(self, target: Value, kind: str, when: Value | None) -> None:
        """Called after all other steps: control goes to `target` if `when` (i1; None: always), else to the next."""
        ...


def field_offset(record: np.dtype[np.void], name: str) -> int:
    """Byte offset of a field of CONTEXT or SPACE."""
    fields = cast("dict[str, tuple[object, int]]", record.fields)
    return fields[name][1]


def context_field(body: Body, context: Value, name: str) -> Value:
    """A ptr to a field of CONTEXT."""
    return body.value(f"getelementptr i8, ptr {context}, i64 {field_offset(CONTEXT, name)}")


def space_field(body: Body, space: Value, name: str) -> Value:
    """A ptr to a field of SPACE."""
    return body.value(f"getelementptr i8, ptr {space}, i64 {field_offset(SPACE, name)}")


def mode_field(body: Body, context: Value, name: str) -> Value:
    """A ptr to the field of SPACE that is `name` for a guest without a virtual MMU, `paged_<name>` for one with it."""
    space = body.value(f"load ptr, ptr {context_field(body, context, 'space')}")
    tlb = body.value(f"load i64, ptr {context_field(body, context, 'tlb')}")
    flat, paged = space_field(body, space, name), space_field(body, space, f"paged_{name}")
    return body.value(f"select i1 {body.value(f'icmp eq i64 {tlb}, 0')}, ptr {flat}, ptr {paged}")


class Emitter:
    """Emits the steps of one instruction after the other into the machine's body."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.body = machine.body
        self.values: dict[Step, Value] = {}

    def emit(self, steps: Sequence[Step]) -> None:
        """Emit `steps`; a jump among them is handed to the machine when everything else has been done."""
        self.values = {}
        jump: Step | None = None
        for step in steps:
            if step.op is Op.JUMP:
                jump = step
                continue
            self.values[step] = self._step(step)
        if jump is not None:
            target, *when = (self.values[argument] for argument in jump.args)
            self.machine.jump(target, str(jump.attribute), when[0] if when else None)

    def _step(self, step: Step) -> Value:
        op, body = step.op, self.body
        arguments = [self.values[argument] for argument in step.args]
        if op in ARITHMETIC:
            result = body.value(f"{ARITHMETIC[op]} i{step.width} {arguments[0]}, {arguments[1]}")
            for one, other in (arguments, arguments[::-1]) if op is Op.ADD and step.width == 64 else ():
                if (scaled := body.scaled.get(one)) is not None:
                    body.scaled[result] = scaled._replace(rest=(*scaled.rest, other))
            return result
        if op in SHIFTS:
            amount = body.value(f"and i{step.width} {arguments[1]}, {step.width - 1}")
            result = body.value(f"{SHIFTS[op]} i{step.width} {arguments[0]}, {amount}")
            if op is Op.SHL and step.width == 64 and arguments[1] in ("1", "2", "3"):
                body.scaled[result] = Scaled(arguments[0], f"[{1 << int(arguments[1])} x i8]")
            return result
        if op in COMPARISONS:
            name, (a, b) = COMPARISONS[op], arguments
            if name == "ult" and a == "0":  # zero or not, as branches say it: LLVM then sees it known behind one
                name, a, b = "ne", b, a
            elif name == "ult" and b == "1":
                name, b = "eq", "0"
            return body.value(f"icmp {name} i{step.args[0].width} {a}, {b}")
        if op in WIDENINGS:
            return body.value(f"{WIDENINGS[op]} i{step.args[0].width} {arguments[0]} to i{step.width}")
        if op in COUNTS:
            return self._count(op, step.width, arguments[0])
        return getattr(self, f"_{op}")(step, *arguments)

    def _count(self, op: Op, width: int, value: Value) -> Value:
        name, extra = COUNTS[op]
        kind = f"i{width}"
        declaration = f"{kind} @llvm.{name}.{kind}({kind}{', i1' if extra else ''})"
        return self.body.call(declaration, f"{kind} {value}{extra}")

    def _const(self, step: Step) -> Value:
        return str(step.attribute)

    def _field(self, step: Step) -> Value:
        return self.machine.field(str(step.attribute))

    def _pc(self, step: Step) -> Value:
        return self.machine.pc()

    def _x(self, step: Step) -> Value:
        return self.machine.read_x(step.attribute)  # type: ignore[arg-type]

    def _word(self, step: Step) -> Value:
        return self.machine.word()

    def _f(self, step: Step) -> Value:
        return self.machine.read_f(step.attribute)  # type: ignore[arg-type]

    def _set_x(self, step: Step, value: Value) -> Value:
        self.machine.write_x(step.attribute, value)  # type: ignore[arg-type]
        return ""

    def _set_f(self, step: Step, value: Value) -> Value:
        self.machine.write_f(step.attribute, value)  # type: ignore[arg-type]
        return ""

    def _select(self, step: Step, condition: Value, yes: Value, no: Value) -> Value:
        return self.body.value(f"select i1 {condition}, i{step.width} {yes}, i{step.width} {no}")

    def _bswap(self, step: Step, value: Value) -> Value:
        kind = f"i{step.width}"
        return self.body.call(f"{kind} @llvm.bswap.{kind}({kind})", f"{kind} {value}")

    def _load(self, step: Step, address: Value) -> Value:
        pointer = self.machine.pointer(address, step.width // 8, Cause.LOAD)
        return self.body.value(f"load i{step.width}, ptr {pointer}, align 1")

    def _store(self, step: Step, address: Value, value: Value) -> Value:
        width = step.args[1].width
        pointer = self.machine.pointer(address, width // 8, Cause.STORE)
        self.body.line(f"store i{width} {value}, ptr {pointer}, align 1")
        return ""

    def _aligned(self, address: Value, size: int, misaligned: Cause, cause: Cause) -> Value:
        """The host ptr of an atomic access, which must be aligned."""
        low = self.body.value(f"and i64 {address}, {size - 1}")
        self.machine.trap(misaligned, address, self.body.value(f"icmp ne i64 {low}, 0"))
        return self.machine.pointer(address, size, cause)

    def _atomic(self, step: Step, address: Value, value: Value) -> Value:
        """Read, combine, write. Nobody else runs while this guest does, so nothing more is needed."""
        width = step.args[1].width
        pointer = self._aligned(address, width // 8, Cause.MISALIGNED_STORE, Cause.STORE)
        old = self.body.value(f"load i{width}, ptr {pointer}, align 1")
        self.body.line(
            f"store i{width} {self._combined(str(step.attribute), width, old, value)}, ptr {pointer}, align 1"
        )
        return old

    def _combined(self, operation: str, width: int, old: Value, value: Value) -> Value:
        if operation == "swap":
            return value
        if operation in MINIMUMS:
            first = self.body.value(f"icmp {MINIMUMS[operation]} i{width} {old}, {value}")
            return self.body.value(f"select i1 {first}, i{width} {old}, i{width} {value}")
        return self.body.value(f"{operation} i{width} {old}, {value}")

    def _reserve(self, step: Step, address: Value) -> Value:
        width, body = step.width, self.body
        pointer = self._aligned(address, width // 8, Cause.MISALIGNED_LOAD, Cause.LOAD)
        value = body.value(f"load i{width}, ptr {pointer}, align 1")
        wide = value if width == 64 else body.value(f"zext i{width} {value} to i64")
        self._set_context("reservation", address)
        self._set_context("reserved_value", wide)
        return value

    def _conditional(self, step: Step, address: Value, value: Value) -> Value:
        """Store when the reservation is for this address and the memory still holds what was read."""
        width, body = step.args[1].width, self.body
        pointer = self._aligned(address, width // 8, Cause.MISALIGNED_STORE, Cause.STORE)
        now = body.value(f"load i{width}, ptr {pointer}, align 1")
        wide = now if width == 64 else body.value(f"zext i{width} {now} to i64")
        same = body.value(f"icmp eq i64 {wide}, {self._get_context('reserved_value')}")
        held = body.value(f"icmp eq i64 {address}, {self._get_context('reservation')}")
        success = body.value(f"and i1 {same}, {held}")
        self._set_context("reservation", NO_RESERVATION)
        stored = body.value(f"select i1 {success}, i{width} {value}, i{width} {now}")
        body.line(f"store i{width} {stored}, ptr {pointer}, align 1")
        return body.value(f"xor i1 {success}, true")

    def _get_context(self, name: str) -> Value:
        return self.body.value(f"load i64, ptr {context_field(self.body, self.machine.context(), name)}")

    def _set_context(self, name: str, value: Value) -> None:
        self.body.line(f"store i64 {value}, ptr {context_field(self.body, self.machine.context(), name)}")

    def _virtual(self, step: Step, a: Value, b: Value) -> Value:
        return self.machine.service(int(step.attribute), a, b)  # type: ignore[call-overload]

    def _counter(self, step: Step) -> Value:
        return self.machine.retired()

    def _float(self, step: Step, *values: Value) -> Value:
        operation, rounding = cast("tuple[str, str | None]", step.attribute)
        sources = [(value, argument.width) for value, argument in zip(values, step.args, strict=True)]
        return emit_float(self.machine, operation, rounding, sources, step.width)

    def _status(self, step: Step) -> Value:
        return read_status(self.machine, str(step.attribute))

    def _set_status(self, step: Step, value: Value) -> Value:
        write_status(self.machine, str(step.attribute), value)
        self.machine.status_written(str(step.attribute))
        return ""

    def _trap(self, step: Step, value: Value, when: Value | None = None) -> Value:
        self.machine.trap(int(step.attribute), value, when)  # type: ignore[call-overload]
        return ""

    def _fence_i(self, step: Step) -> Value:
        """Nothing: translated text is read-only, and what a guest wrote is fetched anew each time."""
        return ""


ATTRIBUTES = 'attributes #0 = { nounwind strictfp "no-builtins" "no-trapping-math"="false" }'
DECLARED = re.compile(r"(@[\w.]+)\(")
DEFINED = re.compile(r"^define .*?(@[\w.]+)\(", re.MULTILINE)


def module_text(functions: Sequence[str], declared: set[str], *, masked: bool = False) -> str:
    """A module: the functions' text, the declarations they need and the small functions that these stand for.

    A masked one has no tables of jumps or results: a guess would lead to what lies behind them.
    """
    defined = set(DEFINED.findall("\n".join(functions)))
    support = [SUPPORT[name] for name in sorted(declared & SUPPORT.keys())]
    needed = declared - SUPPORT.keys() | (SUPPORT_NEEDS if support else frozenset[str]())
    missing = [name for name in sorted(needed) if DECLARED.findall(name)[0] not in defined]
    declarations = [f"declare {name}" for name in missing]
    attributes = ATTRIBUTES.replace(" }", ' "no-jump-tables"="true" }') if masked else ATTRIBUTES
    return "\n".join([*support, *declarations, *functions, attributes, METADATA])
