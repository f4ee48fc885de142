"""The frame of a unit: its variables, what of them is not in CONTEXT, its fuel, and the ways out of it.

A way out is a cold block that puts into CONTEXT what only the unit holds, so that a stopped guest is its registers and
memory and nothing else. The hot code pays for none of it but the branch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..context import CONTEXT, Mode
from ..definitions.machine import CANONICAL_NAN
from ..image import Image
from .emit import Body, Value, field_offset, space_field
from .emit_float import as_float, is_nan, mended
from .fuel import fuel_of
from .liveness import FLOAT, Calls, Effects, effects_of
from .loops import STACK, known_before
from .nans import Forced, Nan, States, states_at_entry
from .registers import CONTEXT_TAG, GUEST_TAG, RESULT, SLOT_SET, Registers, offset_of
from .stack import reach
from .units import Block, Function, Located, guest
from .values import MASK, Known

LARGE = 1000  # instructions of a unit from which on its registers are resident
INTERPRET = 1  # odd first values of a result: go on in the interpreter for at least one instruction
STACK_SHORT = 3  # ... or at once, on an empty native stack
FUEL_SHORT = 5  # ... or in the interpreter until the fuel ends
BARRIER = 'call void asm sideeffect "", ""()'  # in a cold block: LLVM shall not make its values where it is hot


@dataclass(frozen=True, slots=True)
class Layout:
    """What every unit of a translation shares: the image, the size of private memory, the other units, effects."""

    image: Image
    private_size: int
    known: frozenset[int]  # entries of the units in this module
    calls: Calls
    mode: Mode = Mode.FLAT
    shared: frozenset[int] = frozenset()  # pcs of loads that look in the read-only bytes first
    masked: bool = False  # see `Body`

    @property
    def table(self) -> str:
        """The field of SPACE that finds the units of this mode."""
        return "table" if self.mode is Mode.FLAT else "paged_table"

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
        if "@denali_" not in declaration or declaration.startswith("preserve_"):
            return super().call(declaration, arguments, attributes)
        self.declared.add(declaration)
        text = f"call x86_regcallcc {declaration[: declaration.index('(')]}({arguments})"
        return self.value(text) if not declaration.startswith("void") else super().line(text) or ""


class Frame:
    """What every part of a unit's writer works with."""

    def __init__(self, layout: Layout, function: Function, entry: int, assumed: dict[int, Known] | None = None) -> None:
        """A unit for `function` entered at its block `entry`; registers are `assumed` to hold what is checked then."""
        self.layout, self.function, self.entry = layout, function, entry
        self.body = TaggedBody(masked=layout.masked)
        self.blocks = [function.blocks[pc] for pc in sorted(function.reached(entry), key=lambda pc: (pc != entry, pc))]
        own = effects_of(located for block in self.blocks for located in block.code)
        large = sum(len(block.code) for block in self.blocks) > LARGE
        self.registers = Registers(self.body, own.touched, resident=large)
        self.dirty = self._dirty_at_entry()
        self.fuel = fuel_of(function, entry, lambda block: self._callee(block).observed)
        assumed = assumed or {}
        moved = assumed.get(STACK)
        self.stack_moved = moved.distance if moved is not None and moved.base == STACK else None
        self.assumed = {
            r: value for r, value in assumed.items() if r in self.registers.held and self._testable(r, value)
        }
        self.before, self.stack = self._known()
        self.cold: list[str] = []
        self.block = self.blocks[0]
        self.here = Located(0, None, {}, 0)  # type: ignore[arg-type]
        self.remaining = 0  # instructions of this block from here on: to be given back when it is left here
        called = {block.pc: self._callee(block) for block in self.blocks if block.kind == "call"}
        self.nans_at: dict[int, States] = {block.pc: {} for block in self.blocks}
        self.forced: Forced = {}
        if not large:
            self.nans_at, self.forced = states_at_entry(function, self.blocks, called)
        self.nans: States = {}

    def _testable(self, register: int, value: Known) -> bool:
        return value.base is None or (register != STACK and self.stack_moved is not None)

    def _known(self) -> tuple[dict[int, dict[int, Known]], tuple[int, int] | None]:
        """What is known before every block, and the stack's group if it has one: then calls are checked for it."""
        if self.layout.mode is Mode.FLAT:
            before = self._known_before(frozenset({STACK}))
            if (stack := reach(self.blocks, before)) is not None:
                return before, stack
        return self._known_before(frozenset()), None

    def _known_before(self, checked: frozenset[int]) -> dict[int, dict[int, Known]]:
        """What is known before every block, when calls are `checked` to leave these registers as they were."""

        def written_by(block: Block) -> frozenset[int]:
            return self._callee(block).writes - checked

        return known_before(self.function, self.entry, self._at_entry(), written_by)

    def _at_entry(self) -> dict[int, Known]:
        """What is known once what is assumed has been checked, by the stack pointer that the unit finds."""
        moved = self.stack_moved or 0
        return {
            register: value if value.base is None else Known(STACK, value.distance - moved & MASK)
            for register, value in self.assumed.items()
            if register != STACK and register < FLOAT
        }

    def _return_code(self, code: Value) -> None:
        result = self.body.value(f"insertvalue {RESULT} poison, i64 {code}, 0")
        self.body.line(f"ret {RESULT} {result}")

    def _context_register(self, register: int) -> Value:
        """A ptr to a register in CONTEXT."""
        return self.body.value(f"getelementptr i8, ptr %ctx, i64 {offset_of(register)}")

    def _context(self, name: str) -> Value:
        """A ptr to a field of CONTEXT."""
        return self.body.value(f"getelementptr i8, ptr %ctx, i64 {field_offset(CONTEXT, name)}")

    def space(self, name: str) -> Value:
        """A 64-bit field of the space, which never changes."""
        kind = "!invariant.load !15, !dereferenceable !24"  # so that LLVM may load from it ahead of loops
        space = self.body.value(f"load ptr, ptr {self._context('space')}, {kind}")
        return self.body.value(f"load i64, ptr {space_field(self.body, space, name)}, !invariant.load !15")

    def read_only(self) -> Value:
        """A ptr that guest addresses of the image's read-only bytes are added to."""
        start = self.body.value(f"inttoptr i64 {self.space('read_only')} to ptr")
        return self.body.value(f"getelementptr i8, ptr {start}, i64 {-self.layout.image.ro_start}")

    def _dirty_at_entry(self) -> dict[int, frozenset[int]]:
        """For every block the registers, slots aside, that may differ from CONTEXT when it begins."""

        def after(block: Block, dirty: frozenset[int]) -> frozenset[int]:
            return self._kept(block, dirty | (effects_of(block.code).writes - SLOT_SET))

        clean = {block.pc: frozenset[int]() for block in self.blocks}
        return self.function.forward(clean, after, lambda _, old, left: left | (old or frozenset()))

    def _kept(self, block: Block, dirty: frozenset[int]) -> frozenset[int]:
        """What stays dirty across the call at the end of a block: the registers that the callee never touches."""
        if block.kind != "call":
            return dirty
        return dirty - self._callee(block).touched

    def _callee(self, block: Block) -> Effects:
        """What the call at the end of a block may touch."""
        known = block.target in self.layout.known
        return self.layout.calls.effects(block.target if known else None)

    def _dirty_now(self) -> frozenset[int]:
        return self.dirty[self.block.pc] | (self.registers.written - SLOT_SET)

    def _show(self, registers: Iterable[int]) -> None:
        """Make the NaNs in registers canonical whose bits are about to be seen."""
        body, raw = self.body, [register for register in sorted(registers) if self.nans.get(register) is Nan.RAW]
        self.nans.update(dict.fromkeys(raw, Nan.CLEAN))
        for pair in (raw[first : first + 2] for first in range(0, len(raw), 2)):
            numbers = [as_float(body, self.registers.read(register), 64) for register in pair]
            shown = [mended(body, one, 64) for one in numbers] if body.plain_floats else self._mended(numbers)
            for register, number in zip(pair, shown, strict=True):
                self.registers.write(register, body.value(f"bitcast double {number} to i64"))

    def _mended(self, numbers: list[Value]) -> list[Value]:
        """By a branch; one comparison tells whether there is a NaN among two."""
        body, strange, go_on, here = self.body, self.body.name("strange"), self.body.name("canonical"), self.body.block
        body.branch(body.value(f"fcmp uno double {numbers[0]}, {numbers[-1]}"), strange, go_on, likely=False)
        body.label(strange)
        pairs = zip(numbers, [mended(body, number, 64) for number in numbers], strict=True)
        body.line(f"br label %{go_on}")
        body.label(go_on)
        return [body.value(f"phi double [ {number}, %{here} ], [ {other}, %{strange} ]") for number, other in pairs]

    def _show_to(self, successors: Iterable[int], *, after: bool = False) -> None:
        """Make canonical what a block behind this one expects so; `after`: the last instruction has been executed."""
        for pc in successors:
            wanted = self.nans_at.get(pc, {})
            self._show([register for register in self.nans if wanted.get(register) is not Nan.RAW])
            exact = {one for one in self.forced.get(pc, ()) if self.nans.get(one, Nan.EXACT) is Nan.EXACT}
            if exact:
                where, left = (guest(pc), 0) if after else (self.here.pc, self.remaining)
                back = left + self.fuel.spare(self.block)
                self._look_at(exact, self._exit(where, self._dirty_now(), back=back))

    def _look_at(self, registers: Iterable[int], other: str) -> None:
        """Leave where a register holds a NaN that is not the canonical one; it may be a signalling one."""
        body, strange, go_on = self.body, "false", self.body.name("canonical")
        for register in sorted(registers):
            value = self.registers.read(register)
            nan, differs = is_nan(body, value, 64), body.value(f"icmp ne i64 {value}, {CANONICAL_NAN[64]}")
            strange = body.value(f"or i1 {strange}, {body.value(f'and i1 {nan}, {differs}')}")
        body.branch(strange, other, go_on, likely=False)
        body.label(go_on)

    def _take_fuel(self, pc: int, amount: int) -> None:
        """Take fuel for what follows at a block; where it is short the unit ends there."""
        body, enough = self.body, self.body.name("fuelled")
        fuel = self._fuel()
        self._set_fuel(fuel)  # not taken yet: the way out needs no second value
        short = self._exit(guest(pc), self.dirty[pc], FUEL_SHORT)
        body.branch(body.value(f"icmp ult i64 {fuel}, {amount}"), short, enough, likely=False)
        body.label(enough)
        self._set_fuel(body.value(f"sub i64 {fuel}, {amount}"))
        body.line(f"br label %paid_{pc:x}")
        body.label(f"paid_{pc:x}")

    def _take_again(self, pc: int, amount: int, back: int) -> None:
        """Take fuel for the next turn of a loop; where it is short the unit ends there, with `back` given back.

        By one instruction that also compares; LLVM, when it sees what that is, needs up to four.
        """
        body, enough = self.body, self.body.name("fuelled")
        asm = 'asm "subq $3, $0", "=r,={@ccb},0,e,~{flags}"'
        both = body.value(f"call {{i64, i8}} {asm}(i64 {self._fuel()}, i64 {amount}) memory(none) nounwind")
        self._set_fuel(body.value(f"extractvalue {{i64, i8}} {both}, 0"))
        borrows = body.value(f"trunc nuw i8 {body.value(f'extractvalue {{i64, i8}} {both}, 1')} to i1")
        body.branch(borrows, self._exit(guest(pc), self.dirty[pc], FUEL_SHORT, amount + back), enough, likely=False)
        body.label(enough)

    def _give_back(self, amount: int, *, apart: bool = False) -> None:
        """Fuel taken for a longer path; `apart`: where few come, and LLVM shall not keep at hand what it was before."""
        if amount and apart:
            self._set_fuel(self.body.value(f"add i64 {self.body.opaque(self._fuel(), 'sideeffect')}, {amount}"))
        elif amount:
            self._set_fuel(self._fuel(amount))

    def _set_fuel(self, value: Value) -> None:
        self.body.line(f"store i64 {value}, ptr %fuel")

    def _fuel(self, back: int = 0) -> Value:
        """The fuel, with instructions given back that were taken but not executed."""
        fuel = self.body.value("load i64, ptr %fuel")
        return self.body.value(f"add nuw i64 {fuel}, {back}") if back else fuel

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
        for register in sorted(dirty & pending.keys() if self.registers.resident else dirty):
            value = pending.get(register) or self.registers.get(register)
            self._put_away(register, value)
        self._give_back(back, apart=True)
        body.line(BARRIER)
        body.line(f"store i64 {pc}, ptr %exit_pc")
        body.line(f"store i64 {code}, ptr %exit_code")
        body.line("br label %unwind")
        self.cold += body.lines
        body.lines = hot
        return name

    def _put_away(self, register: int, value: Value) -> None:
        """In a cold block, where the variable is not wanted any more, store a register in CONTEXT."""
        if self.nans.get(register) is Nan.RAW:
            number = mended(self.body, as_float(self.body, value, 64), 64)
            value = self.body.value(f"bitcast double {number} to i64")
        self.body.line(f"store i64 {value}, ptr %c{register}{CONTEXT_TAG}")

    def exit_here(self) -> str:
        """Leave before the current instruction, which the interpreter executes."""
        return self._exit(self.here.pc, self._dirty_now(), back=self.remaining + self.fuel.spare(self.block))
