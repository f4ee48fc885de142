"""Write one unit: an LLVM function that runs a guest function from one of its pcs until the guest leaves it.

A unit ends in one of three ways. It returns: the guest went back to the address in x1, which is the result's first
value, and what is in no slot is in CONTEXT. It unwinds: everything is in CONTEXT, the first value is odd, and every
unit below passes that on after storing what only it holds; then the native stack is empty and the guest is nothing but
registers and memory. Or it tail-calls another unit.
"""

from __future__ import annotations

from typing import NamedTuple

from ..context import CONTEXT, Status
from ..definitions.record import Op, Step
from .accesses import Memory, widens
from .emit import Emitter, Value, field_offset
from .ends import Ends
from .frame import STACK_SHORT
from .liveness import FLOAT
from .loops import STACK
from .nans import NEAR, States, advance, due, moved, postpones
from .registers import CONTEXT_TAG, PARAMETERS, RESULT, SLOT_SET
from .units import Block
from .values import Known, signed

WIDE = '"prefer-vector-width"="512"'  # LLVM would take half of that from the processors it does not trust to keep pace
LEAVING = ("call", "indirect")  # ends of blocks that use native stack
AGAIN = 2  # times a block's instructions that may be written once more


class Rest(NamedTuple):
    """The rest of a block from its instruction `first` on, to be written once more, and what is known there."""

    label: str
    first: int
    values: dict[int, Value]
    written: set[int]
    nans: States
    memory: Memory


class Unit(Ends):
    """The writer of one unit; it is also the `Machine` that the emitter of instructions speaks to."""

    rests: list[Rest]  # of the block being written

    def text(self) -> str:
        """The function's definition."""
        self.jumps = {}
        self._prologue()
        for block in self.order:
            self._write_block(block)
        self._unwind()
        name = f"pc_{self.entry:x}"
        wide = WIDE if any(stride.floats for stride in self.strides.values()) else ""
        head = f"define hidden x86_regcallcc {RESULT} @{name}({PARAMETERS}) {wide} #0 {{"
        return "\n".join([*self.jumps.values(), head, "entry:", *self.body.lines, *self.cold, "}", ""])

    def _prologue(self) -> None:
        body = self.body
        for name in ("fuel", "exit_pc", "exit_code", "turn", "seen"):
            body.line(f"%{name} = alloca i64")
        for name in ("pc", "fuel"):
            body.line(f"%ctx_{name} = getelementptr i8, ptr %ctx, i64 {field_offset(CONTEXT, name)}")
        self.registers.prologue()
        self._begin_accesses()
        self._set_fuel("%in_fuel")
        if any(block.kind in LEAVING and block.pc not in self.function.tables for block in self.blocks):
            self._check_stack()
        if self.assumed:
            self._check_assumed()
        if self.entry in self.forced:
            self._look_at(self.forced[self.entry], self._exit(self.entry, frozenset()))
            self.registers.forget()
        if self.stack is not None:
            inside = body.name("inside")
            fits = self.memory.private(self.registers.get(STACK), *self.stack)
            body.branch(fits, inside, self._exit(self.entry, frozenset()), likely=True)
            body.label(inside)
        body.line(f"br label %{'stride' if self.entry in self.strides else 'pc'}_{self.entry:x}")

    def _check_assumed(self) -> None:
        """Whoever comes with other values than the function's own code has there goes on in the interpreter."""
        body, expected = self.body, self.body.name("expected")
        values = {register: self._expected(known) for register, known in sorted(self.assumed.items())}
        differ = "0"
        for register, value in values.items():
            bits = body.value(f"xor i64 {self.registers.get(register)}, {value}")
            differ = body.value(f"or i64 {differ}, {bits}")
        other = self._exit(self.entry, frozenset())
        body.branch(body.value(f"icmp eq i64 {differ}, 0"), expected, other, likely=True)
        body.label(expected)
        for register, value in values.items():
            self.registers.put(register, value)

    def _expected(self, known: Known) -> Value:
        """What a register should hold: a constant, or a distance from the stack pointer as it is now."""
        if known.base is None:
            return str(known.distance)
        assert self.stack_moved is not None
        return self.body.value(f"add i64 {self.registers.get(STACK)}, {signed(known.distance - self.stack_moved)}")

    def _check_stack(self) -> None:
        """Unwind when the native stack is nearly used up, as it is in a deep recursion."""
        body = self.body
        top = body.value(f"ptrtoint ptr {body.call('ptr @llvm.stacksave.p0()', '')} to i64")
        limit = body.value(f"load i64, ptr {self._context('stack_limit')}{CONTEXT_TAG}")
        short = body.value(f"icmp ult i64 {top}, {limit}")
        go_on = body.name("enough")
        body.branch(short, self._exit(self.entry, frozenset(), STACK_SHORT), go_on, likely=False)
        body.label(go_on)

    def _unwind(self) -> None:
        """Where all exits meet: the slots' registers, pc and fuel go to CONTEXT."""
        body = self.body
        body.lines, self.cold = body.lines + self.cold, []
        body.label("unwind")
        self.registers.forget()
        for register in sorted(SLOT_SET):
            pointer = self._context_register(register)
            body.line(f"store i64 {self.registers.read(register)}, ptr {pointer}{CONTEXT_TAG}")
        body.line(f"store i64 {body.value('load i64, ptr %fuel')}, ptr %ctx_fuel{CONTEXT_TAG}")
        body.line(f"store i64 {body.value('load i64, ptr %exit_pc')}, ptr %ctx_pc{CONTEXT_TAG}")
        body.line(f"store i64 1, ptr {self._context('unwound')}{CONTEXT_TAG}")
        self._return_code(body.value("load i64, ptr %exit_code"))

    def _write_block(self, block: Block) -> None:
        """A block, before it the copy that it may have."""
        self.block = block
        self._plan_accesses(block)
        stride = self.strides.get(block.pc)
        if stride is not None:
            self._start(block)
            self._begin_copy(block, stride)
            self.stride, self.body.plain_floats = stride, stride.floats
            self._write_code(block)
            self.stride, self.body.plain_floats = None, False
        self._start(block)
        self.body.label(f"pc_{block.pc:x}")
        if block.pc in self.fuel.checkpoints:
            self._take_fuel(block.pc, self.fuel.needed[block.pc])
        self.rests = []
        self._write_rest(block, 0)
        for rest in self.rests:
            self.body.label(rest.label)
            self.remaining, self.nans = len(block.code) - rest.first, rest.nans
            self.registers.values, self.registers.written = rest.values, rest.written
            self.memory = rest.memory
            self._write_rest(block, rest.first)

    def _write_rest(self, block: Block, first: int) -> None:
        self._write_code(block, first)
        if not block.code or block.code[-1].instruction.step(Op.JUMP) is None:
            self._end(block, None)

    def again_here(self, memory: Memory) -> str | None:
        """See `Accesses`."""
        again = sum(len(self.block.code) - rest.first for rest in self.rests) + self.remaining
        if self.registers.resident or again > AGAIN * len(self.block.code):
            return None
        values, written = dict(self.registers.values), set(self.registers.written)
        first = len(self.block.code) - self.remaining
        self.rests.append(Rest(self.body.name("again"), first, values, written, dict(self.nans), memory))
        return self.rests[-1].label

    def _start(self, block: Block) -> None:
        self.remaining = len(block.code)
        self.nans = dict(self.nans_at[block.pc])
        self.registers.forget()

    def _write_code(self, block: Block, first: int = 0) -> None:
        body, emitter = self.body, UnitEmitter(self)
        for place, located in enumerate(block.code[first:], first):
            self.here, self.status = located, None
            body.lines.append(f"  ; {located.pc:x} {located.instruction.name}")
            self._show(due(block.code[place : place + NEAR], self.nans))
            body.postpones_nans = postpones(located)
            copy = moved(located)
            if copy is None:
                emitter.emit(located.instruction.steps)
            else:
                self.registers.write(copy[0], self.registers.read(copy[1]))
            advance(located, self.nans)
            self.remaining -= 1

    def field(self, name: str) -> Value:
        """The immediate operand `name`."""
        return str(self.here.operands[name])

    def word(self) -> Value:
        """The instruction itself."""
        return str(self.here.word)

    def pc(self) -> Value:
        """The address of this instruction."""
        return str(self.here.pc)

    def _number(self, register: str | int) -> int:
        return self.here.operands[register] if isinstance(register, str) else register

    def read_x(self, register: str | int) -> Value:
        """An integer register."""
        return self.registers.read(self._number(register))

    def write_x(self, register: str | int, value: Value) -> None:
        """Write an integer register."""
        self.registers.write(self._number(register), value)

    def read_f(self, register: str | int) -> Value:
        """The bits of a floating-point register."""
        return self.registers.read(FLOAT + self._number(register))

    def write_f(self, register: str | int, value: Value) -> None:
        """Write them."""
        self.registers.write(FLOAT + self._number(register), value)

    def context(self) -> Value:
        """The pointer to CONTEXT."""
        return "%ctx"

    def retired(self) -> Value:
        """limit - fuel, before this instruction."""
        limit = self.body.value(f"load i64, ptr {self._context('limit')}")
        return self.body.value(f"sub i64 {limit}, {self._fuel(self.remaining + self.fuel.spare(self.block))}")

    def rounding(self, name: str | None) -> int:
        """The rounding mode of this instruction; 7: the one in frm."""
        return 7 if name is None else self.here.operands[name]

    def status_written(self, part: str) -> None:
        """Never in a unit: what writes fcsr ends a block in the interpreter."""
        raise AssertionError(part)

    def service(self, number: int, a: Value, b: Value) -> Value:
        """Call the space's service; a trap unwinds here, what else it decided is looked at behind the instruction."""
        body = self.body
        body.line(f"store i64 {self.here.pc}, ptr %ctx_pc{CONTEXT_TAG}")
        body.line(f"store i64 {self._fuel()}, ptr %ctx_fuel{CONTEXT_TAG}")
        arguments = f"ptr %ctx, i64 {number}, i64 {a}, i64 {b}"
        result = body.call("i64 @denali_serve(ptr, i64, i64, i64)", arguments)
        self.status = body.value(f"load i32, ptr {self._context('status')}{CONTEXT_TAG}")
        self._set_fuel(body.value(f"load i64, ptr %ctx_fuel{CONTEXT_TAG}"))
        trapped, go_on = body.value(f"icmp eq i32 {self.status}, {Status.TRAP.value}"), body.name("served")
        body.branch(trapped, self.exit_here(), go_on, likely=False)
        body.label(go_on)
        return result


class UnitEmitter(Emitter):
    """The emitter of one block, which leaves loads and stores to the unit."""

    def _step(self, step: Step) -> Value:
        return self.values[step.args[0]] if widens(step) else super()._step(step)

    def _load(self, step: Step, address: Value) -> Value:
        assert isinstance(self.machine, Unit)
        return self.machine.load(address, step)

    def _store(self, step: Step, address: Value, value: Value) -> Value:
        assert isinstance(self.machine, Unit)
        self.machine.store(address, step.args[1].width, value)
        return ""
