"""The reference interpreter: a guest executed step by recorded step, slowly and obviously.

It is the oracle that every other engine is compared with. State and stop conditions are those of `CONTEXT`: exactly
`fuel` instructions are retired, a trap leaves pc at the instruction that trapped and nothing of it done, a service may
end the turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from ..context import CONTEXT, Status
from ..definitions.decode import decode, length_of
from ..definitions.instruction import Instruction
from ..definitions.machine import FFLAGS_MASK
from ..definitions.operands import DYNAMIC_ROUNDING
from ..definitions.record import ALL_ONES, Cause, Op, Step
from ..image import Image
from . import softfloat
from .memory import Access, Flat, Memory, Trapped

NO_RESERVATION = ALL_ONES
ZERO, RA, SP, TP = 0, 1, 2, 4


Service = Callable[["Machine", int, int, int], int]


def no_service(machine: Machine, number: int, a: int, b: int) -> int:
    """The service of a machine that has none: every request is refused."""
    machine.stop(Status.TRAP, Cause.DEVICE, number)
    return 0


@dataclass(eq=False)
class Machine:
    """One guest."""

    image: Image
    private_size: int
    service: Service = no_service
    pc: int = 0
    x: list[int] = field(default_factory=lambda: [0] * 32)
    f: list[int] = field(default_factory=lambda: [0] * 32)
    fcsr: int = 0
    fuel: int = 0  # instructions left in this turn
    limit: int = 0  # retired instructions at which fuel is zero
    status: Status = Status.FUEL
    cause: Cause | None = None
    value: int = 0
    reservation: int = NO_RESERVATION
    reserved_value: int = 0

    def __post_init__(self) -> None:
        self.memory = Memory(self.image, self.private_size)
        self.access: Access = Flat(self.memory)
        self.pc = self.image.entry
        self.x[TP] = self.image.registers_in(self.private_size)
        self.x[SP] = self.x[TP] & ~15

    @classmethod
    def of_frames(cls, image: Image, frames: int, service: Service = no_service) -> Machine:
        """A guest whose context and private memory take `frames` pages, as the kernel lays them out."""
        return cls(image, frames * 4096 - CONTEXT.itemsize, service)

    @property
    def retired(self) -> int:
        """Instructions executed so far."""
        return self.limit - self.fuel

    def run(self, fuel: int) -> Status:
        """Execute until `fuel` instructions are retired, one traps, or a service ends the turn."""
        self.fuel, self.limit = fuel, self.retired + fuel
        self.status = Status.FUEL
        while self.fuel > 0 and self.status is Status.FUEL:
            self.step()
        return self.status

    def step(self) -> None:
        """Execute one instruction, or trap; it counts as retired while it runs, and a trap takes that back."""
        self.fuel -= 1
        try:
            word = self.fetch()
            found = decode(word)
            if found is None:
                raise Trapped(Cause.ILLEGAL, word)
            Execution(self, word, *found).perform()
        except Trapped as trap:
            self.fuel += 1
            self.stop(Status.TRAP, trap.cause, trap.value)

    def stop(self, status: Status, cause: Cause | None = None, value: int = 0) -> None:
        """End the turn after this instruction, or, with TRAP, before it."""
        self.status, self.cause, self.value = status, cause, value

    def fetch(self) -> int:
        """The 16- or 32-bit word at pc; its halves are fetched one by one."""
        if self.pc % 2:
            raise Trapped(Cause.MISALIGNED_FETCH, self.pc)
        low = self.fetch_half(self.pc)
        return low if length_of(low) == 2 else low | self.fetch_half(self.pc + 2) << 16

    def fetch_half(self, address: int) -> int:
        """16 bits to be executed."""
        return int.from_bytes(self.access.fetch(address & ALL_ONES), "little")

    def load(self, address: int, width: int) -> int:
        """`width` bits at `address`."""
        return int.from_bytes(self.access.read(address, width // 8), "little")

    def store(self, address: int, value: int, width: int) -> None:
        """Write `width` bits at `address`."""
        self.access.write(address, value.to_bytes(width // 8, "little"))

    def check_store(self, address: int, width: int) -> None:
        """Trap unless `width` bits at `address` can be written and are aligned, as atomics demand."""
        if address % (width // 8):
            raise Trapped(Cause.MISALIGNED_STORE, address)
        self.access.check_write(address, width // 8)


class Execution:
    """One instruction on its way: the values of the steps that have been evaluated."""

    def __init__(self, machine: Machine, word: int, instruction: Instruction, operands: dict[str, int]) -> None:
        """Ready to perform `instruction`, which is `word`, with these operands."""
        self.machine = machine
        self.word = word
        self.instruction = instruction
        self.operands = operands
        self.values: dict[int, int] = {}
        self.next_pc = (machine.pc + instruction.length) & ALL_ONES

    def perform(self) -> None:
        """Evaluate the steps in order, then go on behind it or where it jumps."""
        for step in self.instruction.steps:
            arguments = [self.values[id(argument)] for argument in step.args]
            self.values[id(step)] = self.evaluate(step, arguments) & ((1 << step.width) - 1)
        self.machine.pc = self.next_pc

    def evaluate(self, step: Step, arguments: list[int]) -> int:
        """The value of a step, to be cut to its width; 0 for one that has none. `do_NAME` does what `Op.NAME` says."""
        if step.op in UNARY:
            return UNARY[step.op](step.args[0].width, arguments[0])
        if step.op in BINARY:
            return BINARY[step.op](step.args[0].width, arguments[0], arguments[1])
        return getattr(self, f"do_{step.op}")(step, *arguments)

    def register(self, step: Step) -> int:
        """The number of the register that a step names, by operand or outright."""
        return self.operands[step.attribute] if isinstance(step.attribute, str) else cast(int, step.attribute)

    def do_const(self, step: Step) -> int:
        """A constant."""
        return cast(int, step.attribute)

    def do_field(self, step: Step) -> int:
        """An immediate."""
        return self.operands[cast(str, step.attribute)]

    def do_pc(self, step: Step) -> int:
        """The address of this instruction."""
        return self.machine.pc

    def do_word(self, step: Step) -> int:
        """This instruction."""
        return self.word

    def do_x(self, step: Step) -> int:
        """An integer register."""
        return self.machine.x[self.register(step)]

    def do_f(self, step: Step) -> int:
        """A floating-point register."""
        return self.machine.f[self.register(step)]

    def do_set_x(self, step: Step, value: int) -> int:
        """Write an integer register; x0 stays zero."""
        if self.register(step) != ZERO:
            self.machine.x[self.register(step)] = value
        return 0

    def do_set_f(self, step: Step, value: int) -> int:
        """Write a floating-point register."""
        self.machine.f[self.register(step)] = value
        return 0

    def do_select(self, step: Step, condition: int, yes: int, no: int) -> int:
        """One of two values."""
        return yes if condition else no

    def do_load(self, step: Step, address: int) -> int:
        """Read memory."""
        return self.machine.load(address, step.width)

    def do_store(self, step: Step, address: int, value: int) -> int:
        """Write memory."""
        self.machine.store(address, value, step.args[1].width)
        return 0

    def do_atomic(self, step: Step, address: int, value: int) -> int:
        """Read, modify, write."""
        width = step.width
        self.machine.check_store(address, width)
        old = self.machine.load(address, width)
        new = ATOMIC[cast(str, step.attribute)](width, old, value) & ((1 << width) - 1)
        self.machine.store(address, new, width)
        return old

    def do_reserve(self, step: Step, address: int) -> int:
        """Load and reserve."""
        if address % (step.width // 8):
            raise Trapped(Cause.MISALIGNED_LOAD, address)
        value = self.machine.load(address, step.width)
        self.machine.reservation, self.machine.reserved_value = address, value
        return value

    def do_conditional(self, step: Step, address: int, value: int) -> int:
        """Store if memory is as it was when reserved."""
        machine, width = self.machine, step.args[1].width
        machine.check_store(address, width)
        holds = machine.reservation == address and machine.load(address, width) == machine.reserved_value
        machine.reservation = NO_RESERVATION
        if holds:
            machine.store(address, value, width)
        return int(not holds)

    def do_float(self, step: Step, *arguments: int) -> int:
        """Arithmetic of IEEE 754; exceptions accrue in fflags."""
        operation, operand = cast(tuple[str, str | None], step.attribute)
        mode = 0 if operand is None else self.operands[operand]
        if mode == DYNAMIC_ROUNDING:
            mode = self.machine.fcsr >> 5
        width = step.args[0].width
        result, flags = softfloat.operate(operation, mode, list(arguments), width, step.width)
        self.machine.fcsr |= flags
        return result

    def do_counter(self, step: Step) -> int:
        """Instructions retired before this one."""
        return self.machine.retired - 1

    def do_status(self, step: Step) -> int:
        """A part of fcsr."""
        return self.machine.fcsr >> 5 if step.attribute == "frm" else self.machine.fcsr & FFLAGS_MASK

    def do_set_status(self, step: Step, value: int) -> int:
        """Write a part of fcsr."""
        flags, mode = self.machine.fcsr & FFLAGS_MASK, self.machine.fcsr >> 5
        self.machine.fcsr = value << 5 | flags if step.attribute == "frm" else mode << 5 | value
        return 0

    def do_virtual(self, step: Step, a: int, b: int) -> int:
        """Ask the kernel."""
        assert isinstance(step.attribute, int)
        result = self.machine.service(self.machine, step.attribute, a, b)
        if self.machine.status is Status.TRAP:
            raise Trapped(self.machine.cause or Cause.DEVICE, self.machine.value)
        return result

    def do_fence_i(self, step: Step) -> int:
        """Nothing: this interpreter fetches every word anew."""
        return 0

    def do_jump(self, step: Step, target: int, when: int = 1) -> int:
        """Go on elsewhere."""
        if when:
            self.next_pc = target
        return 0

    def do_trap(self, step: Step, value: int, when: int = 1) -> int:
        """Stop before this instruction."""
        if when:
            raise Trapped(cast(Cause, step.attribute), value)
        return 0


def signed(width: int, value: int) -> int:
    """A bit pattern as a number in two's complement."""
    return value - (value >> (width - 1) << width)


def towards_zero(a: int, b: int) -> int:
    """The quotient of two integers, its fraction dropped."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def signed_remainder(a: int, b: int) -> int:
    """What `towards_zero` leaves: it has the sign of a."""
    return a - b * towards_zero(a, b)


# Each takes the width of its first argument and the arguments; the result is cut to the step's width.
BINARY: dict[Op, Callable[[int, int, int], int]] = {
    Op.ADD: lambda width, a, b: a + b,
    Op.SUB: lambda width, a, b: a - b,
    Op.MUL: lambda width, a, b: a * b,
    Op.UDIV: lambda width, a, b: a // b,
    Op.UREM: lambda width, a, b: a % b,
    Op.SDIV: lambda width, a, b: towards_zero(signed(width, a), signed(width, b)),
    Op.SREM: lambda width, a, b: signed_remainder(signed(width, a), signed(width, b)),
    Op.AND: lambda width, a, b: a & b,
    Op.OR: lambda width, a, b: a | b,
    Op.XOR: lambda width, a, b: a ^ b,
    Op.SHL: lambda width, a, b: a << b % width,
    Op.LSHR: lambda width, a, b: a >> b % width,
    Op.ASHR: lambda width, a, b: signed(width, a) >> b % width,
    Op.EQ: lambda width, a, b: a == b,
    Op.NE: lambda width, a, b: a != b,
    Op.ULT: lambda width, a, b: a < b,
    Op.SLT: lambda width, a, b: signed(width, a) < signed(width, b),
}

UNARY: dict[Op, Callable[[int, int], int]] = {
    Op.TRUNC: lambda width, a: a,
    Op.ZEXT: lambda width, a: a,
    Op.SEXT: lambda width, a: signed(width, a),
    Op.CLZ: lambda width, a: width - a.bit_length(),
    Op.CTZ: lambda width, a: (a & -a).bit_length() - 1 if a else width,
    Op.POPCOUNT: lambda width, a: a.bit_count(),
    Op.BSWAP: lambda width, a: int.from_bytes(a.to_bytes(width // 8, "little"), "big"),
}

ATOMIC: dict[str, Callable[[int, int, int], int]] = {
    "swap": lambda width, old, value: value,
    "add": lambda width, old, value: old + value,
    "xor": lambda width, old, value: old ^ value,
    "and": lambda width, old, value: old & value,
    "or": lambda width, old, value: old | value,
    "smin": lambda width, old, value: min(old, value, key=lambda n: signed(width, n)),
    "smax": lambda width, old, value: max(old, value, key=lambda n: signed(width, n)),
    "umin": lambda width, old, value: min(old, value),
    "umax": lambda width, old, value: max(old, value),
}
