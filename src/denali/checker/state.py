"""What one instruction does to the values that are followed; what is not modelled leaves unknowns behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from denali.checker.lanes import forget_lanes, lanes_of, move_lanes, set_lanes
from denali.checker.machine_code import Instruction, Memory, Operand, whole
from denali.checker.sums import BASES, MASK, WORD, Sum, low, masked, multiply, number, of, possible
from denali.isa.context import CONTEXT

Place = str | int  # a register, a word of CONTEXT, or an offset of one from where the stack pointer is at entry
CELL = "context+"
BYTE = "byte "  # of the frame, where one is kept alone, with its offset
BINDINGS = "bindings"  # the place whose value says which calls may have changed what the guest's pages are bound to
FIND = "denali_find"  # gives the addend of an address, for so many bytes and a right
FLAGS = "rflags"
ROUNDED = 6  # terms of a sum from which on it becomes one unknown
DEEP = 12
GENERAL = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{n}" for n in range(8, 16)))
# Instructions that do nothing but compute their explicit operands (and flags); others are refused.
PLAIN = re.compile(
    r"""nop|mul|imul|div|idiv|cqo|cdq|cwde|cdqe|cbw|sete?|set\w+|cmov\w+|not|neg|andn|bextr|bls\w+|bzhi|rorx|[rs][oahc][lr]x?
    |rc[lr]|sh[lr]d|mulx|adcx?|adox|sbb|popcnt|lzcnt|tzcnt|bs[fr]|bt[crs]?|bswap|movbe|movabs|xchg|pdep|pext|stc|clc|cmc|lahf|sahf
    |v?(u?com|add|sub|mul|div|sqrt|min|max|cmp\w*|round|cvt\w+2\w+)(is)?[sp][sd]|v?u?comis[sd]|v?cvt\w+
    |v?mov([sdq]|aps|apd|ups|upd|dqa\d*|dqu\d*|sd|ss|lhps|hlps|hpd|lpd|mskp[sd]|ddup|sldup|shdup|q2dq)
    |v?(and|andn|or|xor)p[sd]|v?p(and|andn|or|xor)[dq]?|v?p(add|sub|mul|cmp\w+|s[lr][la]|abs|max|min|avg|sign)\w*
    |v?(unpck|shuf)\w+|v?p(unpck|shuf|broadcast|ins|ext|blend|ack|perm|align|madd|sadbw|test|movmskb)\w*
    |v?pmov([sz]x\w*|(u?s)?[qdw][dwb]|m2[bwdq]|[bwdq]2m)
    |v?(insert|extract|broadcast|perm|blend)\w+|vf(n?m)(add|sub|addsub|subadd)\d+[sp][sd]|vzero(upper|all)|v?stmxcsr|v?ldmxcsr
    |v?rndscale\w+|vpternlog\w+|k(mov|or|and|xor|test|not|shift|unpck)\w*|v?getexp\w+|v?getmant\w+|v?range\w+
    |v?pconflict\w+|v?plzcnt\w+|v?psllv\w+|v?psrlv\w+|v?psrav\w+|v?prol\w+|v?pror\w+|v?haddp[sd]|v?hsubp[sd]|crc32""",
    re.VERBOSE,
)


class Unreadable(Exception):
    """An instruction that the checker does not accept anywhere; says which and why."""

    def __init__(self, instruction: Instruction, why: str) -> None:
        super().__init__(f"{instruction.address:#x}: {instruction.text}: {why}")


class Flags(NamedTuple):
    """The flags of `a` compared with `b` in `size` bytes; `partly`: only equality and sign are as if so compared."""

    a: Sum
    b: Sum
    size: int
    partly: bool = False


OPPOSITES = {"e": "ne", "b": "ae", "be": "a", "l": "ge", "le": "g", "s": "ns", "o": "no", "p": "np"}
INVERSE = OPPOSITES | {no: yes for yes, no in OPPOSITES.items()}


@dataclass(slots=True)
class State:
    """The values of all places that are known, and of the flags."""

    values: dict[Place, Sum] = field(default_factory=dict[Place, Sum])
    flags: Flags | None = None

    def copy(self) -> State:
        """One that can be changed."""
        return State(dict(self.values), self.flags)

    @property
    def depth(self) -> int | None:
        """The stack pointer as an offset from where it was at entry."""
        return stack_offset(self.values["rsp"])


def stack_offset(value: Sum) -> int | None:
    """The signed offset of an address in the frame from the stack pointer at entry; None for other values."""
    if len(value.terms) == 1 and value.terms[0][0].kind == "stack" and value.terms[0][1] == 1:
        return value.constant - (1 << 64) if value.constant >> 63 else value.constant
    return None


def context_cell(address: Sum) -> str | None:
    """The place of a word of CONTEXT; None for other addresses."""
    inside = address.minus(of("context")).number
    return f"{CELL}{address.constant}" if inside is not None and inside < CONTEXT.itemsize else None


def is_host(value: Sum) -> bool:
    """Whether a value is an address of the host."""
    return any(term.kind in BASES for term, _ in value.terms)


def jump_table(value: Sum) -> tuple[str, int] | None:
    """Section and offset of the jump table that a jump's target was computed with."""
    if len(value.terms) == 2 and value.count("jump") == 1 and value.count("section") == 1:
        section = next(term for term, _ in value.terms if term.kind == "section")
        return section.identity[0], value.constant
    return None


Loaded = Callable[[State, Sum, Instruction, int], Sum]
Changes = Callable[[Instruction], bool]
Kept = Callable[[Instruction], frozenset[str]]


class Step:
    """Runs instructions.

    `loaded` gives what a load from an address yields, `kept` the registers that a call preserves, and `changes` whether
    it may change the guest's bindings.
    """

    def __init__(self, loaded: Loaded, kept: Kept, changes: Changes) -> None:
        self.loaded, self.kept, self.changes = loaded, kept, changes

    # --- operands ---

    def register(self, state: State, instruction: Instruction, name: str) -> Sum:
        """The value of a register or of its low part."""
        full = whole(name)
        value = state.values.get(full)
        if value is None or full not in GENERAL:
            return of("at", instruction.address, "operand", name)
        if name == full:
            return value
        if name.endswith("h"):
            return low(of("at", instruction.address, "operand", name), 8)
        return low(value, _bits(name))

    def address(self, state: State, instruction: Instruction, memory: Memory) -> Sum:
        """The address of a memory operand."""
        total = number(memory.displacement)
        if memory.section is not None:
            total += of("section", memory.section)
        if memory.base is not None:
            total += self.register(state, instruction, memory.base)
        if memory.index is not None:
            total += self.register(state, instruction, memory.index).times(memory.scale)
        return total

    def value(self, state: State, instruction: Instruction, operand: Operand) -> Sum:
        """The value of an operand, zeros above its size."""
        if operand.number is not None:
            return number(operand.number) if operand.size == 8 else low(number(operand.number), 8 * operand.size)
        if operand.register is not None:
            return self.register(state, instruction, operand.register)
        assert operand.memory is not None
        return self.load(state, instruction, self.address(state, instruction, operand.memory), operand.size)

    def load(self, state: State, instruction: Instruction, address: Sum, size: int) -> Sum:
        """What is read from memory; a slot of the frame keeps what was found there."""
        offset = stack_offset(address)
        if size == 1 and f"{BYTE}{offset}" in state.values:
            return state.values[f"{BYTE}{offset}"]
        if offset is not None and size <= 8:
            slot = state.values.setdefault(offset, of("at", instruction.address, "slot"))
            return low(slot, 8 * size) if size < 8 else slot
        value = self.loaded(state, address, instruction, size)
        cell = context_cell(address)
        if cell is not None and size == 8 and value == of("at", instruction.address, "loaded"):
            return state.values.setdefault(cell, value)
        return low(value, 8 * size) if size < 8 and not value.count("jump") else value

    def set(self, state: State, instruction: Instruction, operand: Operand, value: Sum) -> None:
        """Give an operand a value."""
        if operand.memory is not None:
            address = self.address(state, instruction, operand.memory)
            self.store(state, address, operand.size, value)
            offset = stack_offset(address)
            if offset is not None and operand.size == 1:
                state.values[f"{BYTE}{offset}"] = low(value, 8)
            elif offset is not None and operand.size < 8:
                state.values[offset] = _beside(instruction, "beside", operand.size, value)
            return
        assert operand.register is not None
        full = whole(operand.register)
        if operand.size < 4:
            hidden = operand.register.endswith("h")
            beside = _beside(instruction, full, operand.size, value)
            value = of("at", instruction.address, full) if hidden else beside
        elif operand.size == 4:
            value = low(value, 32)
        if len(value.terms) > ROUNDED or any(term.depth > DEEP for term, _ in value.terms):
            value = of("at", instruction.address, full)
        state.values[full] = value

    def store(self, state: State, address: Sum, size: int, value: Sum | None) -> None:
        """What is written to the frame and to CONTEXT is followed; that nothing else reaches these is proven.

        Guest memory lies behind CONTEXT, and each access to it is shown to lie there.
        """
        offset, cell = stack_offset(address), context_cell(address)
        if offset is not None:
            for near in range(offset - 7, offset + size):
                state.values.pop(near, None)
            for inside in range(offset, offset + size):
                state.values.pop(f"{BYTE}{inside}", None)
        elif cell is not None:
            for near in range(address.constant - 7, address.constant + size):
                state.values.pop(f"{CELL}{near}", None)
        here = cell if offset is None else offset
        if size == 8 and value is not None and here is not None:
            state.values[here] = value

    # --- instructions ---

    def run(self, state: State, instruction: Instruction) -> None:
        """Change the state as the instruction does."""
        name = instruction.name
        action = ACTIONS.get(name) or (_move_if if name.startswith("cmov") else None)
        action = _set_if if name.startswith("set") else action
        if action is None:
            if not move_lanes(self, state, instruction):
                self.plain(state, instruction)
        else:
            flags = state.flags
            if FLAGS in instruction.written:
                state.flags = None
            action(self, state, instruction, flags)

    def plain(self, state: State, instruction: Instruction) -> None:
        """What it writes becomes unknown."""
        if instruction.name.startswith("j") or instruction.name in ENDS:
            return
        if not PLAIN.fullmatch(instruction.name):
            raise Unreadable(instruction, "no instruction that translations have")
        for operand in instruction.operands:
            if operand.memory is not None and operand is instruction.operands[0]:
                self.store(state, self.address(state, instruction, operand.memory), operand.size, None)
        if instruction.name in ("vzeroall", "vzeroupper"):
            forget_lanes(state)
        changed = {*(one.register for one in instruction.operands[:1]), *instruction.written}
        for register in changed:
            if register and lanes_of(register):
                set_lanes(state, instruction, register, [])
        for register in instruction.written:
            if register in GENERAL:
                if register == "rsp":
                    raise Unreadable(instruction, "a computed stack pointer")
                state.values[register] = of("at", instruction.address, register)
        if FLAGS in instruction.written:
            state.flags = None


ENDS = frozenset({"ret", "ud2", "int3"})


def _beside(instruction: Instruction, place: str, size: int, value: Sum) -> Sum:
    """A value of less than eight bytes with what is unknown above them."""
    return low(value, 8 * size) + masked(of("at", instruction.address, place), MASK << 8 * size & MASK)


def _bits(name: str) -> int:
    if name.startswith("e") or name.endswith("d"):
        return 32
    return 8 if name.endswith(("l", "b")) else 16


Action = Callable[[Step, State, Instruction, Flags | None], None]
Function = Callable[[Sum, Sum, int], Sum | None]


def _computed(function: Function, *, flags: str = "") -> Action:
    """An instruction that gives its first operand a value of its operands; flags are of the `result`, or `partly`."""

    def action(step: Step, state: State, instruction: Instruction, _: Flags | None) -> None:
        target = instruction.operands[0]
        first, second = instruction.operands[-2:]
        a, b = (step.value(state, instruction, one) for one in (first, second))
        bits = 8 * target.size
        value = function(a, b, bits)
        if value is None:
            value = of("at", instruction.address, whole(target.register or "memory"))
        value = low(value, bits) if bits < 64 else value
        step.set(state, instruction, target, value)
        state.flags = Flags(value, number(0), target.size, partly=flags == "partly") if flags else None

    return action


def _alone(function: Callable[[Sum], Sum], *, flags: bool = True) -> Action:
    """An instruction that gives its only operand a function of itself."""

    def action(step: Step, state: State, instruction: Instruction, before: Flags | None) -> None:
        (target,) = instruction.operands
        value = function(step.value(state, instruction, target))
        value = low(value, 8 * target.size) if target.size < 8 else value
        step.set(state, instruction, target, value)
        state.flags = Flags(value, number(0), target.size, partly=True) if flags else before

    return action


def _subtract(step: Step, state: State, instruction: Instruction, flags: Flags | None) -> None:
    a, b = (step.value(state, instruction, one) for one in instruction.operands)
    step.set(state, instruction, instruction.operands[0], a.minus(b))
    state.flags = Flags(a, b, instruction.operands[0].size)


def _multiply(step: Step, state: State, instruction: Instruction, flags: Flags | None) -> None:
    if len(instruction.operands) == 1:
        step.plain(state, instruction)
    else:
        _computed(_product)(step, state, instruction, flags)


def _add_carry(step: Step, state: State, instruction: Instruction, flags: Flags | None) -> None:
    target, source = instruction.operands
    carry = of("at", instruction.address, "carry") if flags is None or flags.partly else of("set", *flags, "b")
    value = step.value(state, instruction, target) + step.value(state, instruction, source) + carry
    step.set(state, instruction, target, low(value, 8 * target.size) if target.size < 8 else value)


def _multiply_wide(step: Step, state: State, instruction: Instruction, _: Flags | None) -> None:
    """Both halves of a product; the second half counts where both go to one register."""
    upper, lower, source = instruction.operands
    a, b = state.values["rdx"], step.value(state, instruction, source)
    a, b = (b, a) if b.number is None else (a, b)
    half = of("high", a, b.number, 64) if b.number and upper.size == 8 else None
    step.set(state, instruction, lower, of("at", instruction.address, "lower"))
    step.set(state, instruction, upper, of("at", instruction.address, "upper") if half is None else half)


def _shift_right(kind: str) -> Function:
    def function(a: Sum, b: Sum, bits: int) -> Sum | None:
        count = b.number
        if count is None or not 0 < count < bits or (kind == "sar" and bits != 64):
            return None
        if kind == "shr" and bits == 64 and (product := _quotient(a, count)):
            return product
        return number(a.number >> count) if a.number is not None and kind == "shr" else of(kind, a, count)

    return function


def _quotient(a: Sum, count: int) -> Sum | None:
    """More bits of a product shifted away, as divisions by a constant do: those by 7 and its like in two steps.

    There the factor has a bit more than fits: with t = x * m >> 64, t + (x - t >> 1) is x * (2**64 + m) >> 65.
    """
    found = [term for term, times in a.terms if term.kind == "high" and times == 1]
    if len(found) != 1:
        return None
    value, times, bits = found[0].identity
    upper = of("high", *found[0].identity)
    if a == upper:
        return of("high", value, times, bits + count)
    twice = a == upper + of("shr", value.minus(upper), 1) and bits == 64
    return of("high", value, times + WORD, bits + 1 + count) if twice else None


def _and(a: Sum, b: Sum, bits: int) -> Sum | None:
    a, b = (b, a) if a.number is not None else (a, b)
    mask = b.number
    if mask is None:
        return a if a == b else of("both", a, b)
    if a.number is not None:
        return number(a.number & mask)
    return masked(a, mask & (1 << bits) - 1)


def _low_bits(step: Step, state: State, instruction: Instruction, _: Flags | None) -> None:
    """As many of a value's lowest bits as the lowest byte of a register says."""
    target, source, counter = instruction.operands
    value, count = step.value(state, instruction, source), low(step.value(state, instruction, counter), 8).number
    if count is None:
        step.plain(state, instruction)
    else:
        step.set(state, instruction, target, low(value, min(count, 8 * target.size)))


def _or(a: Sum, b: Sum, bits: int) -> Sum | None:
    a, b = (b, a) if a.number is not None else (a, b)
    if b.number is not None and not b.number & possible(a):
        return a + b
    return a if a == b else of("either", a, b)


def _xor(a: Sum, b: Sum, bits: int) -> Sum | None:
    if a == b:
        return number(0)
    a, b = (b, a) if a.number is not None else (a, b)
    return None if b.number is None or possible(a) & ~b.number & (1 << bits) - 1 else b.minus(a)


def _shift_left(a: Sum, b: Sum, bits: int) -> Sum | None:
    return None if b.number is None or not 0 < b.number < bits else a.times(1 << b.number)


def _product(a: Sum, b: Sum, bits: int) -> Sum | None:
    known = a.number is not None or b.number is not None
    return multiply(a, b) if known or bits == 64 else None


def _lea(step: Step, state: State, instruction: Instruction, _: Flags | None) -> None:
    target, source = instruction.operands
    assert source.memory is not None
    step.set(state, instruction, target, step.address(state, instruction, source.memory))


def _move(step: Step, state: State, instruction: Instruction, _: Flags | None) -> None:
    target, source = instruction.operands
    step.set(state, instruction, target, step.value(state, instruction, source))


def _extend(step: Step, state: State, instruction: Instruction, _: Flags | None) -> None:
    target, source = instruction.operands
    value, bits = step.value(state, instruction, source), 8 * source.size
    if value.number is not None:
        extended = number(value.number - (1 << bits) if value.number >> (bits - 1) else value.number)
    elif value.count("jump"):
        extended = value
    else:
        extended = of("sext", value, bits)
    step.set(state, instruction, target, extended)


def _exchange(step: Step, state: State, instruction: Instruction, _: Flags | None) -> None:
    a, b = instruction.operands
    if a.register is None or b.register is None:
        raise Unreadable(instruction, "an exchange with memory")
    first, second = (step.value(state, instruction, one) for one in (a, b))
    step.set(state, instruction, a, second)
    step.set(state, instruction, b, first)


def _compare(step: Step, state: State, instruction: Instruction, _: Flags | None) -> None:
    a, b = (step.value(state, instruction, one) for one in instruction.operands)
    state.flags = Flags(a, b, instruction.operands[0].size)


def _test(step: Step, state: State, instruction: Instruction, _: Flags | None) -> None:
    a, b = (step.value(state, instruction, one) for one in instruction.operands)
    size = instruction.operands[0].size
    both = _and(a, b, 8 * size)
    state.flags = None if both is None else Flags(both, number(0), size)


def _move_if(step: Step, state: State, instruction: Instruction, flags: Flags | None) -> None:
    target, source = instruction.operands
    yes, no = step.value(state, instruction, source), step.value(state, instruction, target)
    if flags is None:
        chosen = of("select", None, instruction.address, yes, no)
    else:
        chosen = yes if yes == no else _chosen(flags, instruction.name[4:], yes, no)
    state.flags = flags
    step.set(state, instruction, target, chosen)


def _chosen(flags: Flags, condition: str, yes: Sum, no: Sum) -> Sum:
    """One of two values by a condition and not its opposite; the lesser or the greater of both is always said alike."""
    if condition in OPPOSITES.values():
        condition, yes, no = INVERSE[condition], no, yes
    if {yes, no} == {flags.a, flags.b} and flags.size == 8 and not flags.partly and condition in ("b", "be"):
        least = yes == flags.a
        a, b = sorted((yes, no), key=lambda value: [term.serial for term, _ in value.terms])
        flags, condition, yes, no = Flags(a, b, 8), "be", *((a, b) if least else (b, a))
    return of("select", flags, condition, yes, no)


def _set_if(step: Step, state: State, instruction: Instruction, flags: Flags | None) -> None:
    state.flags = flags
    said = of("at", instruction.address, "set") if flags is None else of("set", *flags, instruction.name[3:])
    step.set(state, instruction, instruction.operands[0], said)


def _push(step: Step, state: State, instruction: Instruction, _: Flags | None) -> None:
    value = step.value(state, instruction, instruction.operands[0])
    state.values["rsp"] = state.values["rsp"].plus(-8)
    step.store(state, state.values["rsp"], 8, value)


def _pop(step: Step, state: State, instruction: Instruction, _: Flags | None) -> None:
    value = step.load(state, instruction, state.values["rsp"], 8)
    state.values["rsp"] = state.values["rsp"].plus(8)
    step.set(state, instruction, instruction.operands[0], value)


def _call(step: Step, state: State, instruction: Instruction, _: Flags | None) -> None:
    """Unknown is then what the called function does not preserve, and what lies below the stack pointer."""
    kept, depth = step.kept(instruction), state.depth
    address, span, right = (state.values[register] for register in ("rsi", "rdx", "rcx"))
    if depth is None:
        raise Unreadable(instruction, "a call with an unknown stack pointer")
    for register in GENERAL:
        if register not in kept and register != "rsp":
            state.values[register] = of("at", instruction.address, register)
    for place in list(state.values):
        offset = int(place.removeprefix(BYTE)) if str(place).startswith(BYTE) else place  # type: ignore[union-attr]
        if offset < depth if isinstance(offset, int) else offset.startswith(CELL):
            del state.values[place]
    forget_lanes(state)
    state.flags = None
    if instruction.target == FIND:
        state.values["rax"] = of("found", address, span, right, state.values[BINDINGS])
    if step.changes(instruction):
        state.values[BINDINGS] = of("at", instruction.address, BINDINGS)


def _sum(a: Sum, b: Sum, bits: int) -> Sum:
    return a + b


ACTIONS: dict[str, Action] = {
    "mov": _move, "movabs": _move, "movzx": _move, "movsx": _extend, "movsxd": _extend,
    "lea": _lea, "xchg": _exchange, "bzhi": _low_bits,
    "add": _computed(_sum, flags="partly"), "sub": _subtract, "imul": _multiply,
    "inc": _alone(lambda a: a.plus(1)), "dec": _alone(lambda a: a.plus(-1)), "neg": _alone(lambda a: a.times(MASK)),
    "not": _alone(lambda a: number(-1).minus(a), flags=False),
    "and": _computed(_and, flags="result"), "or": _computed(_or, flags="result"),
    "xor": _computed(_xor, flags="result"),
    "shr": _computed(_shift_right("shr"), flags="partly"), "sar": _computed(_shift_right("sar"), flags="partly"),
    "shl": _computed(_shift_left, flags="partly"),
    "adc": _add_carry, "mulx": _multiply_wide,
    "cmp": _compare, "test": _test, "push": _push, "pop": _pop, "call": _call,
}  # fmt: skip
