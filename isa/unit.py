"""Write one unit: an LLVM function that runs a guest function from one of its pcs until the guest leaves it.

A unit ends in one of three ways. It returns: the guest went back to the address in x1, which is the result's first
value, and what is in no slot is in CONTEXT. It unwinds: everything is in CONTEXT, the first value is odd, and every
unit below passes that on after storing what only it holds; then the native stack is empty and the guest is nothing but
registers and memory. Or it tail-calls another unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .context import CONTEXT, Status
from .emit import Body, Emitter, Value, field_offset, space_field
from .bounds import Access, Group, plan
from .fuel import checkpoints
from .image import Image
from .liveness import EVERYTHING, Calls, effects_of
from .machine import CANONICAL_NAN
from .nans import Nan, States, advance, exposed, postpones, states_at_entry
from .record import Cause, Op, Step
from .registers import CARRIED, CONTEXT_TAG, GUEST_TAG, PARAMETERS, RESULT, SLOT_SET, Registers, offset_of
from .units import Block, Function, Located
from .values import signed

INTERPRET = 1  # odd first values of a result: go on in the interpreter for at least one instruction
STACK_SHORT = 3  # ... or at once, on an empty native stack
FUEL_SHORT = 5  # ... or in the interpreter until the fuel ends
LEAVING = ("call", "indirect")
BARRIER = 'call void asm sideeffect "", ""()'  # in a cold block: LLVM shall not make its values where it is hot


@dataclass(frozen=True, slots=True)
class Layout:
    """What every unit of a translation shares: the image, the size of private memory, the other units, effects."""

    image: Image
    private_size: int
    known: frozenset[int]  # entries of the units in this module
    calls: Calls

    def private(self, low: int, high: int) -> bool:
        """Whether guest addresses [low, high) are private memory."""
        return self.image.private_start <= low and high <= self.image.private_start + self.private_size

    def read_only(self, low: int, high: int) -> bool:
        """Whether guest addresses [low, high) are read-only bytes."""
        return self.image.ro_start <= low and high <= self.image.ro_end

    @property
    def displacement(self) -> int:
        """Add this to a private guest address for the distance from CONTEXT in the host."""
        return CONTEXT.itemsize - self.image.private_start


class TaggedBody(Body):
    """A body whose accesses to guest memory (those without alignment) say that they never touch CONTEXT.

    Its calls of helpers keep to the units' own calling convention, which saves no host register for their sake.
    """

    def line(self, text: str) -> None:
        """Append one instruction."""
        super().line(text + GUEST_TAG if text.endswith("align 1") else text)

    def value(self, text: str) -> Value:
        """Append an instruction that gives a value."""
        return super().value(text + GUEST_TAG if text.endswith("align 1") else text)

    def call(self, declaration: str, arguments: str, attributes: str = "") -> Value:
        """Call what is declared."""
        if "@denali_" not in declaration:
            return super().call(declaration, arguments, attributes)
        self.declared.add(declaration)
        text = f"call x86_regcallcc {declaration[: declaration.index('(')]}({arguments})"
        return self.value(text) if not declaration.startswith("void") else super().line(text) or ""


class Unit:
    """The writer of one unit; it is also the `Machine` that the emitter of instructions speaks to."""

    def __init__(self, layout: Layout, function: Function, entry: int, assumed: dict[int, int] | None = None) -> None:
        """A unit for `function` entered at its block `entry`; registers are `assumed` to hold what is checked then."""
        self.layout, self.function, self.entry = layout, function, entry
        self.body = TaggedBody()
        self.blocks = reachable(function, entry)
        own = effects_of(located for block in self.blocks for located in block.code)
        self.registers = Registers(self.body, own.touched)
        self.changed = own.writes - SLOT_SET
        self.dirty = self._dirty_at_entry()
        self.checkpoints = checkpoints(function, entry)
        self.assumed = {r: value for r, value in (assumed or {}).items() if r in self.registers.held}
        self.cold: list[str] = []
        self.block = self.blocks[0]
        self.here = Located(0, None, {}, 0)  # type: ignore[arg-type]
        self.remaining = 0  # instructions of this block from here on: to be given back when it is left here
        self.plans: dict[int, tuple[Access, Group]] = {}
        self.deltas: dict[int, Value] = {}
        self.status: Value | None = None
        called = {block.pc: self._callee(block) for block in self.blocks if block.kind == "call"}
        self.nans_at = states_at_entry(function, self.blocks, called)
        self.nans: States = {}

    def text(self) -> str:
        """The function's definition."""
        self._prologue()
        for block in self.blocks:
            self._write_block(block)
        self._unwind()
        name = f"pc_{self.entry:x}"
        head = f"define hidden x86_regcallcc {RESULT} @{name}({PARAMETERS}) #0 {{"
        return "\n".join([head, "entry:", *self.body.lines, *self.cold, "}", ""])

    # The frame of the function.

    def _prologue(self) -> None:
        body = self.body
        for name in ("fuel", "exit_pc", "exit_code"):
            body.line(f"%{name} = alloca i64")
        for name in ("pc", "fuel"):
            body.line(f"%ctx_{name} = getelementptr i8, ptr %ctx, i64 {field_offset(CONTEXT, name)}")
        self.registers.prologue()
        self._set_fuel(body.value(f"load i64, ptr %ctx_fuel{CONTEXT_TAG}"))
        if any(block.kind in LEAVING for block in self.blocks):
            self._check_stack()
        if self.assumed:
            self._check_assumed()
        body.line(f"br label %pc_{self.entry:x}")

    def _check_assumed(self) -> None:
        """Whoever comes with other values than the function's own code has there goes on in the interpreter."""
        body, expected = self.body, self.body.name("expected")
        differ = "0"
        for register, value in sorted(self.assumed.items()):
            bits = body.value(f"xor i64 {self.registers.get(register)}, {value}")
            differ = body.value(f"or i64 {differ}, {bits}")
        other = self._exit(self.entry, frozenset())
        body.branch(body.value(f"icmp eq i64 {differ}, 0"), expected, other, likely=True)
        body.label(expected)
        for register, value in self.assumed.items():
            self.registers.put(register, str(value))

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
        self._return_code(body.value("load i64, ptr %exit_code"))

    def _return_code(self, code: Value) -> None:
        result = self.body.value(f"insertvalue {RESULT} poison, i64 {code}, 0")
        self.body.line(f"ret {RESULT} {result}")

    def _context_register(self, register: int) -> Value:
        return self.body.value(f"getelementptr i8, ptr %ctx, i64 {offset_of(register)}")

    def _context(self, name: str) -> Value:
        return self.body.value(f"getelementptr i8, ptr %ctx, i64 {field_offset(CONTEXT, name)}")

    def _space(self, name: str) -> Value:
        """A 64-bit field of the space, which never changes."""
        space = self.body.value(f"load ptr, ptr {self._context('space')}{CONTEXT_TAG}")
        return self.body.value(f"load i64, ptr {space_field(self.body, space, name)}, !invariant.load !15")

    # What is dirty where.

    def _dirty_at_entry(self) -> dict[int, frozenset[int]]:
        """For every block the registers, slots aside, that may differ from CONTEXT when it begins."""
        dirty = {block.pc: frozenset[int]() for block in self.blocks}
        pending = [block.pc for block in self.blocks]
        while pending:
            block = self.function.blocks[pending.pop()]
            after = self._kept(block, dirty[block.pc] | (effects_of(block.code).writes - SLOT_SET))
            for successor in self.function.successors(block):
                if not after <= dirty[successor]:
                    dirty[successor] |= after
                    pending.append(successor)
        return dirty

    def _kept(self, block: Block, dirty: frozenset[int]) -> frozenset[int]:
        """What stays dirty across the call at the end of a block: the registers that the callee never touches."""
        if block.kind != "call":
            return dirty
        return dirty - self._callee(block).touched

    def _callee(self, block: Block):  # noqa: ANN202
        known = block.target in self.layout.known
        return self.layout.calls.effects(block.target if known else None)

    def _dirty_now(self) -> frozenset[int]:
        return self.dirty[self.block.pc] | (self.registers.written - SLOT_SET)

    # Blocks.

    def _write_block(self, block: Block) -> None:
        body = self.body
        self.block, self.remaining = block, len(block.code)
        self.nans = dict(self.nans_at[block.pc])
        self.registers.forget()
        self.deltas = {}
        self.plans = plan(block)
        body.label(f"pc_{block.pc:x}")
        self._take_fuel(block)
        for located in block.code:
            self.here, self.status = located, None
            body.lines.append(f"  ; {located.pc:x} {located.instruction.name}")
            self._show(exposed(located))
            body.postpones_nans = postpones(located)
            UnitEmitter(self).emit(located.instruction.steps)
            advance(located, self.nans)
            self.remaining -= 1
        if not block.code or block.code[-1].instruction.step(Op.JUMP) is None:
            self._end(block, None)

    def _show(self, registers: Iterable[int]) -> None:
        """Make the NaNs in registers canonical whose bits are about to be seen."""
        for register in sorted(registers):
            if self.nans.get(register) is Nan.RAW:
                self.registers.write(register, self._canonical(self.registers.read(register)))
                self.nans[register] = Nan.CLEAN

    def _canonical(self, bits: Value) -> Value:
        """Never a signalling NaN, so that the comparison raises nothing and LLVM may move or drop it."""
        body = self.body
        number = body.value(f"bitcast i64 {bits} to double")
        nan = body.value(f"fcmp uno double {number}, {number}")
        return body.value(f"select i1 {nan}, i64 {CANONICAL_NAN[64]}, i64 {bits}")

    def _show_to(self, successors: Iterable[int]) -> None:
        """Make canonical what a block behind this one expects so."""
        for pc in successors:
            wanted = self.nans_at.get(pc, {})
            self._show([register for register in self.nans if wanted.get(register) is not Nan.RAW])

    def _take_fuel(self, block: Block) -> None:
        body = self.body
        if not block.code and block.pc not in self.checkpoints:
            return
        fuel = body.value("load i64, ptr %fuel")
        needed = self.checkpoints.get(block.pc)
        if needed:
            short, enough = self._exit(block.pc, self._dirty_now(), FUEL_SHORT), body.name("fuelled")
            body.branch(body.value(f"icmp slt i64 {fuel}, {needed}"), short, enough, likely=False)
            body.label(enough)
        self._set_fuel(body.value(f"sub i64 {fuel}, {len(block.code)}"))

    def _set_fuel(self, value: Value) -> None:
        self.body.line(f"store i64 {value}, ptr %fuel")

    def _fuel(self, back: int = 0) -> Value:
        """The fuel, with instructions given back that were taken but not executed."""
        fuel = self.body.value("load i64, ptr %fuel")
        return self.body.value(f"add i64 {fuel}, {back}") if back else fuel

    def _exit(self, pc: int | Value, dirty: frozenset[int], code: int = INTERPRET, back: int = 0) -> str:
        """The label of a cold block that unwinds with this pc."""
        body, hot = self.body, self.body.lines
        body.lines = []
        name = body.name("exit")
        body.lines.append(f"{name}:")
        pending = self.registers.pending()
        for register, value in pending.items():
            if register in SLOT_SET:
                body.line(f"store i64 {value}, ptr %x{register}")
        for register in sorted(dirty):
            value = pending.get(register) or self.registers.get(register)
            if self.nans.get(register) is Nan.RAW:
                value = self._canonical(value)
            body.line(f"store i64 {value}, ptr %c{register}{CONTEXT_TAG}")
        if back:
            self._set_fuel(self._fuel(back))
        body.line(BARRIER)
        body.line(f"store i64 {pc}, ptr %exit_pc")
        body.line(f"store i64 {code}, ptr %exit_code")
        body.line("br label %unwind")
        self.cold += body.lines
        body.lines = hot
        return name

    def _exit_here(self) -> str:
        """Leave before the current instruction, which the interpreter executes."""
        return self._exit(self.here.pc, self._dirty_now(), back=self.remaining)

    def _end(self, block: Block, target: Value | None) -> None:
        """End a block that does not end in a conditional branch; `target` where it is computed."""
        match block.kind:
            case "goto":
                assert block.target is not None
                self._go(block.target)
            case "call":
                self._call(block, target)
            case "return":
                assert target is not None
                self._return(target)
            case "indirect":
                assert target is not None
                self._indirect(target)
            case "service":
                self._after_service(block)
            case _:
                self.body.line(f"br label %{self._exit(block.after, self._dirty_now())}")

    def _go(self, pc: int) -> None:
        """Go on at a known pc, in this unit or in another."""
        if pc in self.function.blocks:
            self._show_to([pc])
            self.registers.flush()
            self.body.line(f"br label %pc_{pc:x}")
        else:
            self._leave(str(pc), pc)

    def _leave(self, target: Value, pc: int | None) -> None:
        """Go on in another unit, for good: it gets our caller's return address."""
        body, dirty = self.body, self._dirty_now()
        code = self._unit_at(target, pc, dirty)
        self._show(dirty)
        self.registers.save(dirty)
        body.line(f"store i64 {self._fuel()}, ptr %ctx_fuel{CONTEXT_TAG}")
        call = f"musttail call x86_regcallcc {RESULT} {code}({self.registers.arguments()})"
        body.line(f"ret {RESULT} {body.value(call)}")
        self.registers.forget()

    def _unit_at(self, target: Value, pc: int | None, dirty: frozenset[int]) -> Value:
        """The unit to call for a pc: one of this module, or what the table says; outside the text it unwinds."""
        if pc in self.layout.known:
            return f"@pc_{pc:x}"
        body, image = self.body, self.layout.image
        offset = body.value(f"sub i64 {target}, {image.text_start}")
        inside = body.value(f"icmp ult i64 {offset}, {image.text_end - image.text_start & -2}")
        go_on = body.name("inside")
        body.branch(inside, go_on, self._exit(target, dirty), likely=True)
        body.label(go_on)
        body.line(f"store i64 {target}, ptr %ctx_pc{CONTEXT_TAG}")
        table = body.value(f"inttoptr i64 {self._space('table')} to ptr")
        slot = body.value(f"getelementptr i8, ptr {table}, i64 {body.value(f'shl i64 {offset}, 2')}")
        return body.value(f"load ptr, ptr {slot}")

    def _call(self, block: Block, target: Value | None) -> None:
        """Call, go on at the return site if that is where the callee returned to, else stop here too."""
        body, registers = self.body, self.registers
        dirty, callee = self._dirty_now(), self._callee(block)
        known = block.target if block.target in self.layout.known else None
        where = str(block.target) if block.target is not None else target
        assert where is not None
        code = self._unit_at(where, known, dirty)
        kept = dirty - callee.touched
        self._show(dirty & callee.touched)
        self._show_to([block.after])
        registers.save(dirty & callee.touched)
        body.line(f"store i64 {self._fuel()}, ptr %ctx_fuel{CONTEXT_TAG}")
        result = body.value(f"call x86_regcallcc {RESULT} {code}({registers.arguments()})")
        registers.flush()
        back = body.value(f"extractvalue {RESULT} {result}, 0")
        returned, elsewhere = body.name("returned"), body.name("elsewhere")
        body.branch(body.value(f"icmp eq i64 {back}, {block.after}"), returned, elsewhere, likely=True)
        self._elsewhere(elsewhere, result, back, kept, callee.writes)
        body.label(returned)
        self._set_fuel(registers.take(result, str(block.after)))
        registers.reload(callee.writes & registers.held - SLOT_SET)
        if block.after in self.function.blocks:
            body.line(f"br label %pc_{block.after:x}")
        else:
            self.body.line(f"br label %{self._exit(block.after, kept)}")

    def _elsewhere(
        self, label: str, result: Value, back: Value, kept: frozenset[int], writes: frozenset[int]
    ) -> None:
        """The callee unwound, or came back to a place that is not ours: store what only we hold, unwind too."""
        body, hot = self.body, self.body.lines
        body.lines = []
        unwound, strange = body.name("unwound"), body.name("strange")
        body.label(label)
        for register in sorted(kept):
            value = self.registers.get(register)
            if self.nans.get(register) is Nan.RAW:
                value = self._canonical(value)
            body.line(f"store i64 {value}, ptr %c{register}{CONTEXT_TAG}")
        odd = body.value(f"trunc i64 {back} to i1")
        body.line(f"br i1 {odd}, label %{unwound}, label %{strange}")
        body.label(unwound)
        self._return_code(back)
        body.label(strange)
        body.line(BARRIER)
        self._set_fuel(self.registers.take(result, back))
        body.line(f"store i64 {back}, ptr %exit_pc")
        body.line(f"store i64 {INTERPRET}, ptr %exit_code")
        body.line("br label %unwind")
        self.cold += body.lines
        body.lines = hot

    def _return(self, target: Value) -> None:
        """Return to x1; where its lowest bit is set, the target is not x1, and the interpreter takes over."""
        body, dirty = self.body, self._dirty_now()
        odd = body.value(f"trunc i64 {self.registers.read(1)} to i1")
        even = body.name("even")
        body.branch(odd, self._exit(target, dirty), even, likely=False)
        body.label(even)
        self._show(dirty)
        self.registers.save(dirty)
        body.line(f"ret {RESULT} {self.registers.result(self.registers.read(1), self._fuel())}")

    def _indirect(self, target: Value) -> None:
        """A computed jump: to one of the places guessed when the unit was made, else by the table."""
        body = self.body
        if not self.function.switch:
            self._leave(target, None)
            return
        other = body.name("other")
        cases = " ".join(f"i64 {pc}, label %pc_{pc:x}" for pc in self.function.switch)
        self._show_to(self.function.switch)
        pending, written = dict(self.registers.values), set(self.registers.written)
        self.registers.flush()
        body.line(f"switch i64 {target}, label %{other} [ {cases} ]")
        body.label(other)
        self.registers.values, self.registers.written = pending, written
        self._leave(target, None)

    def _after_service(self, block: Block) -> None:
        """A service with status zero goes on; else it ended the turn behind its instruction."""
        assert self.status is not None
        left = self._exit(block.after, self._dirty_now())
        go_on = self.body.name("stayed")
        self.body.branch(self.body.value(f"icmp ne i32 {self.status}, 0"), left, go_on, likely=False)
        self.body.label(go_on)
        self._go(block.after)

    # What the emitter asks for.

    def constant(self, name: str) -> int | None:
        """The operand `name`."""
        return self.here.operands[name]

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
        return self.registers.read(32 + self._number(register))

    def write_f(self, register: str | int, value: Value) -> None:
        """Write them."""
        self.registers.write(32 + self._number(register), value)

    def context(self) -> Value:
        """The pointer to CONTEXT."""
        return "%ctx"

    def retired(self) -> Value:
        """limit - fuel, before this instruction."""
        limit = self.body.value(f"load i64, ptr {self._context('limit')}")
        return self.body.value(f"sub i64 {limit}, {self._fuel(self.remaining)}")

    def rounding(self, name: str | None) -> int:
        """The rounding mode of this instruction; 7: the one in frm."""
        return 7 if name is None else self.here.operands[name]

    def status_written(self, part: str) -> None:
        """Never in a unit: what writes fcsr ends a block in the interpreter."""
        raise AssertionError(part)

    def trap(self, cause: int, value: Value, when: Value | None) -> None:
        """The interpreter executes an instruction that traps; here it only has to be left."""
        if cause == Cause.ILLEGAL and self.here.instruction.step(Op.FLOAT) is not None:
            return  # a reserved rounding mode in frm: units never run with one
        body, go_on = self.body, self.body.name("fine")
        body.branch("true" if when is None else when, self._exit_here(), go_on, likely=False)
        body.label(go_on)

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
        body.branch(trapped, self._exit_here(), go_on, likely=False)
        body.label(go_on)
        return result

    def pointer(self, address: Value, size: int, cause: Cause) -> Value:
        """The host address, checked with the group of this access."""
        access, group = self.plans[self.here.pc]
        if access.address.base is None:
            return self._fixed(access)
        if group.first == self.here.pc:
            self._check(address, access, group)
        delta = self.deltas.get(group.first)
        if delta is not None:
            return self.body.value(f"getelementptr i8, ptr {delta}, i64 {address}")
        distance = self.body.value(f"add i64 {address}, {self.layout.displacement}")
        return self.body.value(f"getelementptr i8, ptr %ctx, i64 {distance}")

    def _fixed(self, access: Access) -> Value:
        """A constant address: decided now."""
        low = access.address.distance
        high, body = low + access.size, self.body
        if self.layout.private(low, high):
            return body.value(f"getelementptr i8, ptr %ctx, i64 {low + self.layout.displacement}")
        if not access.writes and self.layout.read_only(low, high):
            start = body.value(f"inttoptr i64 {self._space('read_only')} to ptr")
            return body.value(f"getelementptr i8, ptr {start}, i64 {low - self.layout.image.ro_start}")
        self.trap(int(Cause.LOAD), "0", None)
        return "%ctx"

    def _check(self, address: Value, access: Access, group: Group) -> None:
        """The check of a group, in private memory; loads may also all lie in the read-only bytes."""
        body = self.body
        fits, exits, go_on = self._fits(address, access, group), self._exit_here(), body.name("private")
        if group.private:
            body.branch(fits, go_on, exits, likely=True)
            body.label(go_on)
            return
        here = body.block
        mine = body.value(f"getelementptr i8, ptr %ctx, i64 {self.layout.displacement}")
        theirs = self._read_only(address, access, group, fits, go_on, exits)
        shared = body.block
        body.line(f"br label %{go_on}")
        body.label(go_on)
        self.deltas[group.first] = body.value(f"phi ptr [ {mine}, %{here} ], [ {theirs}, %{shared} ]")

    def _fits(self, address: Value, access: Access, group: Group) -> Value:
        """Whether a group lies in private memory."""
        offset = group.low - signed(access.address.distance) - self.layout.image.private_start
        return self._within(address, offset, self.layout.private_size - group.span)

    def _read_only(
        self, address: Value, access: Access, group: Group, fits: Value, go_on: str, exits: str
    ) -> Value:
        """Where a group is not private: the distance of the read-only bytes from the guest's addresses, as a ptr."""
        body, image = self.body, self.layout.image
        other, shared = body.name("other"), body.name("shared")
        body.branch(fits, go_on, other, likely=True)
        body.label(other)
        offset = group.low - signed(access.address.distance) - image.ro_start
        body.branch(self._within(address, offset, len(image.read_only) - group.span), shared, exits)
        body.label(shared)
        start = body.value(f"inttoptr i64 {self._space('read_only')} to ptr")
        return body.value(f"getelementptr i8, ptr {start}, i64 {-image.ro_start}")

    def load(self, address: Value, width: int) -> Value:
        """A load. One that is alone in its group is done in each region apart, so that the usual one stays simple."""
        access, group = self.plans[self.here.pc]
        body = self.body
        if access.address.base is None or group.private or group.count > 1:
            return body.value(f"load i{width}, ptr {self.pointer(address, width // 8, Cause.LOAD)}, align 1")
        fits, exits = self._fits(address, access, group), self._exit_here()
        go_on, loaded = body.name("private"), body.name("loaded")
        theirs = self._read_only(address, access, group, fits, go_on, exits)
        place = body.value(f"getelementptr i8, ptr {theirs}, i64 {address}")
        other = body.value(f"load i{width}, ptr {place}, align 1")
        shared = body.block
        body.line(f"br label %{loaded}")
        body.label(go_on)
        distance = body.value(f"add i64 {address}, {self.layout.displacement}")
        usual = body.value(f"load i{width}, ptr {body.value(f'getelementptr i8, ptr %ctx, i64 {distance}')}, align 1")
        body.line(f"br label %{loaded}")
        body.label(loaded)
        return body.value(f"phi i{width} [ {usual}, %{go_on} ], [ {other}, %{shared} ]")

    def _within(self, address: Value, offset: int, room: int) -> Value:
        """Whether `address + offset` is at most `room`, unsigned."""
        if room < 0:
            return "false"
        moved = self.body.value(f"add i64 {address}, {offset}")
        return self.body.value(f"icmp ult i64 {moved}, {room + 1}")

    def jump(self, target: Value, kind: str, when: Value | None) -> None:
        """The end of a block."""
        block, body = self.block, self.body
        if block.kind != "branch" or when is None:
            self._end(block, target)
            return
        assert block.target is not None
        labels: list[str] = []
        outside: list[tuple[str, int]] = []
        for pc in (block.target, block.after):
            inside = pc in self.function.blocks
            labels.append(f"pc_{pc:x}" if inside else body.name("leave"))
            if not inside:
                outside.append((labels[-1], pc))
        self._show_to(pc for pc in (block.target, block.after) if pc in self.function.blocks)
        dirty, written = self._dirty_now(), set(self.registers.written)
        self.registers.flush()
        body.branch(when, *labels)
        for label, pc in outside:
            body.label(label)
            self.registers.written = set(written)
            self.registers.values = {}
            for register in written:
                self.registers.values[register] = self.registers.get(register)
            assert dirty == self._dirty_now()
            self._leave(str(pc), pc)


class UnitEmitter(Emitter):
    """An emitter that leaves loads to the unit."""

    def _load(self, step: Step, address: Value) -> Value:
        assert isinstance(self.machine, Unit)
        return self.machine.load(address, step.width)


def reachable(function: Function, entry: int) -> list[Block]:
    """The blocks that a unit entered at `entry` may run, the entry first, the others in order of address."""
    seen: set[int] = set()
    pending = [entry]
    while pending:
        pc = pending.pop()
        if pc not in seen:
            seen.add(pc)
            pending += function.successors(function.blocks[pc])
    return [function.blocks[pc] for pc in sorted(seen, key=lambda pc: (pc != entry, pc))]


__all__ = ["CARRIED", "EVERYTHING", "INTERPRET", "STACK_SHORT", "Layout", "Unit"]
