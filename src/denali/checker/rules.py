"""What translated code may do: the forms of accesses, jumps and calls that the checker accepts, and nothing else.

- fields of CONTEXT at constant offsets, of which only some are written; the frame, below the return address;
- constants of the object; the addresses in the SPACE record; a slot of the entry table, whole and inside it;
- guest memory behind CONTEXT, or the image's read-only bytes for loads, at an offset proven to lie inside; under a
  virtual MMU instead of the first what is bound (`paging`), and the entries that say so;
- calls of the object's functions, of the runtime's, and of what was read from the entry table, with CONTEXT's address
  where they expect it; returns with the stack pointer and the preserved registers as they were at entry;
- before a unit is called, a look at the native stack.

Host addresses are not stored outside the frame nor passed on as values, so that a guest does not even learn them. (This
last rule is weaker than the others: where ways merge, it does not look back.)
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import numpy as np

from denali.checker import paging
from denali.checker.facts import Below
from denali.checker.flow import FAR, NEAR, Flow
from denali.checker.machine_code import Function, Instruction, Object, Operand, read
from denali.checker.proof import Proof
from denali.checker.scope import Scope
from denali.checker.state import BINDINGS, FIND, GENERAL, State, Step, Unreadable, jump_table, stack_offset
from denali.checker.sums import BASES, Sum, Term, forget, number, of
from denali.isa.context import CONTEXT, SPACE

FRAME = 64 << 10  # bytes of native stack that one unit may use
RED_ZONE = 128  # bytes below the stack pointer that signal handlers leave alone
WRITABLE = ("pc", "fuel", "unwound", "reservation", "reserved_value", "fcsr", "x", "f")
UNIT = re.compile(r"pc_[0-9a-f]+")
SERVE = "denali_serve"
SERVICE = "denali_service"
RUNTIME = re.compile(r"denali_(service|find|[a-z]\w*_\d+_\d+)|(fma|rint|nearbyint|trunc|floor|ceil|roundeven)f?")
ALL_PRESERVES = frozenset(GENERAL) - {"rax", "r11"}
C_PRESERVES = frozenset({"rbx", "rbp", "rsp", "r12", "r13", "r14", "r15"})
UNIT_PRESERVES = frozenset({"rbx", "rbp", "rsp"})
UNIT_VALUES = ("rax", "rdx", "rdi", "rsi", "r8", "r9", "r12", "r13", "r14", "r15")  # of guests
SERVE_VALUES = ("rcx", "rdx", "rdi")
SECRETS = BASES | {"unit", "jump", "limit", "addend", "found", "window_addend"}
FOLLOWED = frozenset(
    {"mov", "movabs", "lea", "add", "sub", "cmp", "test", "push", "pop", "xchg", "call", "jmp", "inc", "dec"}
)
FRESH = re.compile(
    r"mov[sz]x?d?|set\w+|v\w+|andn|rorx|[rs][oah][lr]x|mulx|bzhi|movbe|popcnt|[lt]zcnt|pdep|pext"
)  # write a new first
UNTOUCHED = frozenset({"lea", "nop"})  # their memory operands are not accessed
LOOKS = re.compile(
    r"cmp|test|push|call|jmp|mul|div|idiv|imul|bt|v?ldmxcsr|v?u?comis[sd]"
)  # first operands are only read


@dataclass(frozen=True, slots=True)
class Layout:
    """The numbers of a translation: bytes of private memory, of the read-only part, and slots of the entry table.

    `start` is where private memory begins, of a translation for guests whose virtual MMU is on; None else.
    """

    private_size: int
    read_only_size: int
    slots: int
    start: int | None = None

    def addresses(self) -> dict[int, str]:
        """The fields of SPACE that units read, by offset, each with the base that it holds."""
        names = {"read_only": "read_only", "table" if self.start is None else "paged_table": "table"}
        return {SPACE.fields[name][1]: base for name, base in names.items()}  # type: ignore[index]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A place that could not be proven confined."""

    function: str
    address: int
    instruction: str
    why: str

    def __str__(self) -> str:
        return f"{self.function} at {self.address:#x}: {self.instruction}: {self.why}"


@dataclass(slots=True)
class Report:
    """What was found: accesses by form, the native stack that each function uses, and what was refused."""

    accesses: Counter[str] = field(default_factory=Counter[str])
    frames: dict[str, int] = field(default_factory=dict[str, int])
    refusals: list[Refusal] = field(default_factory=list[Refusal])


def check(code: bytes, layout: Layout, *, masked: bool = False) -> Report:
    """Check an object.

    Args:
        code: the relocatable object of a translation.
        layout: the numbers that it was translated for.
        masked: ask more: guest accesses and table slots must be confined whichever way branches went.

    Raises:
        ValueError: the object cannot be read.
    """
    return _Checker(read(code), layout, masked).run()


@dataclass(slots=True)
class _Found:
    """What one way of following a function finds."""

    accesses: Counter[str] = field(default_factory=Counter[str])
    refusals: list[Refusal] = field(default_factory=list[Refusal])
    frame: int = 0
    preserved: frozenset[str] = frozenset(GENERAL)
    unreadable: bool = False


class _Checker:
    def __init__(self, code: Object, layout: Layout, masked: bool) -> None:
        self.code, self.layout, self.masked = code, layout, masked
        self.report = Report()
        self.preserved: dict[int, frozenset[str]] = {}

    def run(self) -> Report:
        """Helpers first: what they preserve is found, what units preserve is demanded."""
        for function in sorted(
            self.code.functions.values(), key=lambda function: UNIT.fullmatch(function.name) is not None
        ):
            found = self._checked(function, NEAR)
            if found.refusals:  # where values of one loop are taken to move together in another way, more may be proven
                other = self._checked(function, FAR)
                if not other.unreadable:
                    again = {(one.address, one.why) for one in other.refusals}
                    found.refusals = [one for one in found.refusals if (one.address, one.why) in again]
            self.report.refusals += found.refusals
            self.report.accesses.update(found.accesses)
            self.report.frames[function.name] = found.frame
            self.preserved[function.start] = found.preserved
        return self.report

    def _checked(self, function: Function, together: frozenset[str]) -> _Found:
        forget()
        found = _Found()
        try:
            _FunctionChecker(self, function, together, found).run()
        except Unreadable as reason:
            found.unreadable = True
            found.refusals.append(Refusal(function.name, function.start, "", str(reason)))
        return found

    def kept(self, call: Instruction) -> frozenset[str]:
        """The registers that the target of a call preserves."""
        if isinstance(call.target, str):
            return ALL_PRESERVES if call.target == FIND else C_PRESERVES
        known = None if call.target is None else self.code.functions.get(call.target)
        if known is None or UNIT.fullmatch(known.name):
            return UNIT_PRESERVES
        return self.preserved.get(known.start, frozenset({"rsp"}))

    def changes(self, call: Instruction) -> bool:
        """Whether a call may change the guest's bindings: services do, and units; helpers that call nobody do not."""
        if isinstance(call.target, str):
            return call.target == SERVICE
        known = None if call.target is None else self.code.functions.get(call.target)
        return known is None or UNIT.fullmatch(known.name) is not None or any(i.name == "call" for i in known.code)


class _FunctionChecker:
    """Checks one function."""

    def __init__(self, checker: _Checker, function: Function, together: frozenset[str], found: _Found) -> None:
        self.checker, self.function, self.found = checker, function, found
        self.unit = UNIT.fullmatch(function.name) is not None
        entry = State({register: of("in", register) for register in GENERAL})
        entry.values |= {"rsp": of("stack"), 0: of("in", "return"), BINDINGS: of("in", BINDINGS)}
        if self.unit or function.name == SERVE:
            entry.values["rcx" if self.unit else "rax"] = of("context")
        self.entry = entry.copy()
        self.step = Step(partial(loaded, checker.code, checker.layout), checker.kept, checker.changes)
        self.flow = Flow(function, checker.code, self.step, entry, together=together)
        self.facts = Proof(self.flow)
        self.confined = Proof(self.flow, branches=False) if checker.masked else self.facts
        self.here: tuple[int, Instruction] = (function.start, function.code[0])

    def run(self) -> None:
        """Every instruction that can be reached, with the values before it."""
        for start in sorted(self.flow.after):
            state = self.flow.before[start].copy()
            for instruction in self.flow.blocks[start].code:
                self.here = start, instruction
                self._instruction(state, instruction)
                if instruction.name == "ret":
                    self.found.preserved &= {r for r in GENERAL if state.values[r] == self.entry.values[r]}
                self.step.run(state, instruction)
                if state.depth is None:
                    raise Unreadable(instruction, "the stack pointer is not known")
                self.found.frame = max(self.found.frame, 8 - state.depth)
        self._demand(self.found.frame <= FRAME, f"a frame of {self.found.frame} bytes")

    def _refuse(self, why: str) -> None:
        _, instruction = self.here
        self.found.refusals.append(Refusal(self.function.name, instruction.address, instruction.text, why))

    def _demand(self, holds: bool, why: str) -> None:
        if not holds:
            self._refuse(why)

    def _instruction(self, state: State, instruction: Instruction) -> None:
        for operand in instruction.operands:
            if operand.memory is not None and instruction.name not in UNTOUCHED:
                self._access(state, instruction, operand)
        self._secrets(state, instruction)
        match instruction.name:
            case "push":
                self._stack(state, -8, 8)
            case "ret":
                self._return(state)
            case "call":
                self._call(state, instruction)
            case name if name.startswith("j") and instruction.target not in self.flow.blocks:
                self._jump(state, instruction)
            case _:
                pass

    # --- accesses ---

    def _access(self, state: State, instruction: Instruction, operand: Operand) -> None:
        memory, size = operand.memory, operand.size
        assert memory is not None
        if any(register is not None and register not in GENERAL for register in (memory.base, memory.index)):
            self._refuse("an address of other registers than whole ones")
            return
        writes = operand is instruction.operands[0] and not LOOKS.fullmatch(instruction.name)
        address = self.step.address(state, instruction, memory)
        offset = stack_offset(address)
        if offset is not None:
            depth = state.depth
            assert depth is not None
            self._stack(state, offset - depth, size)
        else:
            test = partial(self._confined, size=size, writes=writes)
            proof = self.confined if self._reaches_guest(address) else self.facts
            start = self.checker.layout.start
            place = address if start is None else paging.at(address, state, start)
            holds = proof.prove(place, test, self.here[0])
            self.found.accesses["context" if _is_field(address) else "memory"] += 1
            self._demand(holds, f"{'writes' if writes else 'reads'} {size} bytes at an unproven place")

    def _reaches_guest(self, address: Sum) -> bool:
        """Whether an address may be wrong when a comparison before it was predicted wrongly."""
        return any(term.kind not in BASES for term, _ in address.terms) and not address.count("section")

    def _stack(self, state: State, distance: int, size: int) -> None:
        """An access to the frame at a distance from the stack pointer."""
        depth = state.depth
        assert depth is not None
        self._demand(distance >= -RED_ZONE and depth + distance + size <= 0, "an access outside the frame")
        self.found.accesses["frame"] += 1

    def _confined(self, address: Sum, scope: Scope, size: int, writes: bool) -> bool:
        """Whether an access is of one of the forms; a term of other kinds than one base must lie in an arc."""
        if self.checker.layout.start is not None:
            if paging.confined(address, scope, size, writes):
                return True
            address, *_ = paging.taken(address)
        bases = [(term, count) for term, count in address.terms if term.kind in BASES]
        if len(bases) != 1 or bases[0][1] != 1:
            return False
        base = bases[0][0]
        rest = address.minus(Sum(((base, 1),), 0))
        return bool(getattr(self, f"_in_{base.kind}")(rest, scope, size, writes, base))

    def _in_context(self, rest: Sum, scope: Scope, size: int, writes: bool, _: Term) -> bool:
        if rest.number is not None and rest.number < CONTEXT.itemsize:
            return self._field(rest.number, size, writes)
        if self.checker.layout.start is not None:
            return False
        return scope.lies(rest, CONTEXT.itemsize, self.checker.layout.private_size - size + 1)

    def _field(self, offset: int, size: int, writes: bool) -> bool:
        if not writes:
            return offset + size <= CONTEXT.itemsize
        return offset >= 0 and any(a <= offset and offset + size <= b for a, b in _fields())

    def _in_read_only(self, rest: Sum, scope: Scope, size: int, writes: bool, _: Term) -> bool:
        room = self.checker.layout.read_only_size - size + 1
        return not writes and room > 0 and scope.lies(rest, 0, room)

    def _in_space(self, rest: Sum, scope: Scope, size: int, writes: bool, _: Term) -> bool:
        return not writes and size == 8 and rest.number in self.checker.layout.addresses()

    def _in_table(self, rest: Sum, scope: Scope, size: int, writes: bool, _: Term) -> bool:
        whole = not writes and size == 8 and scope.zeros(rest) >= 3
        return whole and scope.lies(rest, 0, 8 * self.checker.layout.slots)

    def _in_section(self, rest: Sum, scope: Scope, size: int, writes: bool, base: Term) -> bool:
        name: str = base.identity[0]
        room, step = self.checker.code.sizes.get(name, 0) - size + 1, 1 << scope.zeros(rest)
        return not writes and name != ".text" and room > 0 and scope.lies(rest, 0, -(-room // step) * step)

    def _in_tlb(self, rest: Sum, scope: Scope, size: int, writes: bool, _: Term) -> bool:
        header = rest.number in paging.HEADER and size <= 8
        return not writes and (header or (size == 8 and paging.entry(rest) is not None))

    def _in_stack(self, *_: object) -> bool:
        return False  # only at offsets that are known, which are seen before

    # --- host addresses stay where they are ---

    def _secrets(self, state: State, instruction: Instruction) -> None:
        """Host addresses are only moved, added to and compared, never stored outside the frame."""
        first = instruction.operands[0] if instruction.operands else None
        rest = instruction.operands[1:]
        if instruction.name not in FOLLOWED and not instruction.name.startswith("cmov"):
            fresh = FRESH.fullmatch(instruction.name) is not None or len(instruction.operands) == 3
            fresh += instruction.name == "mulx"  # which writes two
            sources = instruction.operands[fresh:]
            hidden = [o for o in sources if o.register in GENERAL and not _borrows(instruction)]
            self._demand(all(harmless(self.step.value(state, instruction, o)) for o in hidden), "hides a host address")
        if first is not None and first.memory is not None and rest and not LOOKS.fullmatch(instruction.name):
            address = self.step.address(state, instruction, first.memory)
            if stack_offset(address) is None and instruction.name not in UNTOUCHED:
                values = [self.step.value(state, instruction, o) for o in rest if o.register in GENERAL]
                self._demand(all(map(harmless, values)), "stores a host address")

    # --- control ---

    def _return(self, state: State) -> None:
        values = state.values
        self._demand(
            values["rsp"] == self.entry.values["rsp"] and values.get(0) == of("in", "return"), "a strange return"
        )
        if self.unit:
            self._preserves(state)

    def _preserves(self, state: State) -> None:
        for register in UNIT_PRESERVES:
            self._demand(state.values[register] == self.entry.values[register], f"{register} is not preserved")

    def _values(self, state: State, registers: tuple[str, ...]) -> None:
        for register in registers:
            self._demand(harmless(state.values[register]), f"passes on a host address in {register}")

    def _call(self, state: State, call: Instruction) -> None:
        target = call.target
        if isinstance(target, str):
            self._demand(RUNTIME.fullmatch(target) is not None, f"calls {target}")
            needs = target in (SERVICE, FIND)
            self._demand(not needs or state.values["rdi"] == of("context"), "calls without the context")
            return
        known = self.checker.code.functions.get(target) if target is not None else None
        if target is None or (known is not None and UNIT.fullmatch(known.name)):
            self._to_unit(state, call)
            self._demand(self._looked_at_stack(), "calls a unit without a look at the native stack")
            self._values(state, UNIT_VALUES)
        elif known is None:
            self._refuse("calls no function")
        elif known.name == SERVE:
            self._demand(state.values["rax"] == of("context"), "calls without the context")
            self._values(state, SERVE_VALUES)

    def _jump(self, state: State, jump: Instruction) -> None:
        """A jump out of the function, or through a jump table of the object."""
        value = self.step.value(state, jump, jump.operands[0]) if jump.target is None else None
        table = None if value is None else jump_table(value)
        if value is not None and table is not None:
            self._switch(value, *table)
            return
        known = self.checker.code.functions.get(jump.target) if isinstance(jump.target, int) else None
        if not self.unit or (jump.target is not None and (known is None or not UNIT.fullmatch(known.name))):
            self._refuse("jumps out of the function")
            return
        self._to_unit(state, jump)
        self._demand(state.values.get(0) == of("in", "return"), "the return address is lost")
        self._preserves(state)
        self._values(state, UNIT_VALUES)

    def _to_unit(self, state: State, instruction: Instruction) -> None:
        self._demand(self._is_context(state.values["rcx"]), "enters a unit without the context")
        if instruction.target is None:
            value = self.step.value(state, instruction, instruction.operands[0])
            holds = self.facts.prove(value, lambda value, _: _is_unit(value), self.here[0])
            self._demand(holds, "enters what is not from the entry table")

    def _is_context(self, value: Sum) -> bool:
        return self.facts.prove(value, lambda value, _: value == of("context"), self.here[0])

    def _switch(self, value: Sum, section: str, start: int) -> None:
        """The entry that a jump's distance was read from lies in the table, whose targets are in this function."""
        entry = next(term for term, _ in value.terms if term.kind == "jump")
        targets = self.checker.code.jumps(section, start)
        count = next((n for n, target in enumerate(targets) if target not in self.flow.blocks), len(targets))
        address: Sum = entry.identity[1]
        offset = address.minus(of("section", section)).plus(-start)
        holds = self.facts.prove(
            offset, lambda rest, scope: scope.zeros(rest) >= 2 and scope.lies(rest, 0, 4 * count), self.here[0]
        )
        self._demand(holds and count > 0, "jumps through an unchecked index")

    def _looked_at_stack(self) -> bool:
        facts = Scope(self.facts, self.here[0], ()).facts()
        return any(isinstance(f, Below) and f.a == of("limit") and stack_offset(f.b) is not None for f in facts)


def harmless(value: Sum) -> bool:
    """Whether no host address is in a value; what merges bring together is not looked into."""
    return all(
        one.kind not in SECRETS and (one.kind == "set" or all(map(harmless, one.inside))) for one, _ in value.terms
    )


def _borrows(instruction: Instruction) -> bool:
    """Whether it subtracts a register from itself, with borrow: the result is all zeros or ones, by the flags alone."""
    return instruction.name == "sbb" and len({operand.register for operand in instruction.operands}) == 1


def _is_field(address: Sum) -> bool:
    rest = address.minus(of("context"))
    return rest.number is not None and rest.number < CONTEXT.itemsize


def _is_unit(value: Sum) -> bool:
    return value.single is not None and value.single.kind == "unit"


def _fields() -> list[tuple[int, int]]:
    """The parts of CONTEXT that units write; x0 is not among them."""
    fields = cast("dict[str, tuple[np.dtype[np.void], int]]", CONTEXT.fields)
    places = [(name, fields[name][1], fields[name][0].itemsize) for name in WRITABLE]
    return [(start + 8 * (name == "x"), start + size) for name, start, size in places]


def loaded(code: Object, layout: Layout, state: State, address: Sum, instruction: Instruction, size: int) -> Sum:
    """What a load gives: bindings, addresses in CONTEXT and SPACE, and constants of the object are known as such."""
    if (bound := paging.read(address, state, size)) is not None:
        return bound
    if size == 8:
        if address == of("context").plus(CONTEXT.fields["space"][1]):  # type: ignore[index]
            return of("space")
        if address == of("context").plus(CONTEXT.fields["stack_limit"][1]):  # type: ignore[index]
            return of("limit")
        field = address.minus(of("space")).number
        if field is not None and field in layout.addresses():
            return of(layout.addresses()[field])
        if address.count("section") == 1 and len(address.terms) == 1:
            constant = code.constant(address.terms[0][0].identity[0], address.constant)
            return of("at", instruction.address, "loaded") if constant is None else number(constant)
        if address.count("table") == 1:
            return of("unit", instruction.address)
    if size == 4 and address.count("section") == 1 and (len(address.terms) > 1 or instruction.name == "movsxd"):
        return of("jump", instruction.address, address)
    return of("at", instruction.address, "loaded")
