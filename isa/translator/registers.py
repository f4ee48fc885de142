"""Where a unit keeps the guest's registers: in local variables, with what the current block knows of them at hand.

Nine registers and the fuel travel in host registers between units, the slots of the calling convention; every other
register is in CONTEXT at that moment. Within a unit all of them are local variables (allocas, which LLVM turns into
host registers), and "dirty" are those that may differ from CONTEXT.
"""

from __future__ import annotations

from ..context import CONTEXT
from .emit import Body, Value, field_offset
from .liveness import FLOAT

SLOTS = (1, 2, 10, 11, 12, 8, 9, 18, 19)  # of the arguments; CONTEXT stands behind the first, the fuel at the end
CARRIED = SLOTS[1:]  # of the result, where the arguments have them; the target pc is before them, the fuel at the end
FUEL = len(SLOTS) + 1  # its place
RESULT = "{ " + ", ".join(["i64"] * 11) + " }"
SLOT_SET = frozenset(SLOTS)
CONTEXT_TAG = ", !tbaa !12"
GUEST_TAG = ", !tbaa !13"
TLB_TAG = ", !tbaa !21"
TAGS = """!10 = !{!"denali"}
!11 = !{!"memory of the guest", !10, i64 0}
!14 = !{!"its context", !10, i64 0}
!12 = !{!14, !14, i64 0}
!13 = !{!11, !11, i64 0}
!20 = !{!"its bindings", !10, i64 0}
!21 = !{!20, !20, i64 0}
"""
POINTER = f"ptr noundef nonnull align 8 dereferenceable({CONTEXT.itemsize}) %ctx"
PARAMETERS = ", ".join(["i64 %in1", POINTER, *(f"i64 %in{number}" for number in CARRIED), "i64 %in_fuel"])


def offset_of(register: int) -> int:
    """Byte offset in CONTEXT of a register (0 to 31 x, 32 to 63 f)."""
    name, number = ("x", register) if register < FLOAT else ("f", register - FLOAT)
    return field_offset(CONTEXT, name) + 8 * number


class Registers:
    """The local variables of one unit, and the values that the block being written has read or written."""

    def __init__(self, body: Body, held: frozenset[int], *, resident: bool = False) -> None:
        """Variables for `held` and all slots; `resident`: they are CONTEXT itself from one block to the next.

        Resident registers make slower code, but LLVM's time then grows with a unit's length and no faster.
        """
        self.body = body
        self.held = held | SLOT_SET
        self.resident = resident
        self.values: dict[int, Value] = {}
        self.written: set[int] = set()

    def prologue(self) -> None:
        """Make the variables, filled from the arguments or from CONTEXT."""
        line = self.body.line
        for register in sorted(self.held):
            place = f"getelementptr i8, ptr %ctx, i64 {offset_of(register)}"
            line(f"%x{register} = " + (place if self.resident else f"alloca {'i64' if register < FLOAT else 'double'}"))
        for register in sorted(self.held - SLOT_SET):
            line(f"%c{register} = getelementptr i8, ptr %ctx, i64 {offset_of(register)}")
        for register in SLOTS:
            line(f"store i64 %in{register}, ptr %x{register}")
        self.reload(self.held - SLOT_SET)

    def read(self, register: int) -> Value:
        """The value of a register."""
        if register == 0:
            return "0"
        if register not in self.values:
            self.values[register] = self.get(register)
        return self.values[register]

    @property
    def tag(self) -> str:
        """What variables in CONTEXT say of themselves."""
        return CONTEXT_TAG if self.resident else ""

    def get(self, register: int) -> Value:
        """What the variable holds; a floating-point one is a double, to live in a host register of that kind."""
        if register < FLOAT:
            return self.body.value(f"load i64, ptr %x{register}{self.tag}")
        return self.body.value(f"bitcast double {self.body.value(f'load double, ptr %x{register}{self.tag}')} to i64")

    def put(self, register: int, value: Value) -> None:
        """Give the variable a value."""
        if register < FLOAT:
            self.body.line(f"store i64 {value}, ptr %x{register}{self.tag}")
        else:
            number = self.body.value(f"bitcast i64 {value} to double")
            self.body.line(f"store double {number}, ptr %x{register}{self.tag}")

    def write(self, register: int, value: Value) -> None:
        """Give a register a new value."""
        if register:
            self.values[register] = value
            self.written.add(register)

    def flush(self) -> None:
        """Put what the block wrote into the variables, as the block ends."""
        for register in sorted(self.written):
            self.put(register, self.values[register])
        self.forget()

    def forget(self) -> None:
        """Begin a block that knows nothing."""
        self.values, self.written = {}, set()

    def pending(self) -> dict[int, Value]:
        """What the block has written so far."""
        return {register: self.values[register] for register in sorted(self.written)}

    def reload(self, registers: frozenset[int] | set[int]) -> None:
        """Fill variables from CONTEXT."""
        if self.resident:
            return
        for register in sorted(registers):
            self.put(register, self.body.value(f"load i64, ptr %c{register}{CONTEXT_TAG}"))

    def save(self, registers: frozenset[int] | set[int]) -> None:
        """Put registers into CONTEXT."""
        if self.resident:
            self.flush()
            return
        for register in sorted(registers):
            self.body.line(f"store i64 {self.read(register)}, ptr %c{register}{CONTEXT_TAG}")

    def arguments(self, fuel: Value) -> str:
        """The arguments of a call of another unit."""
        rest = ", ".join(f"i64 {self.read(register)}" for register in CARRIED)
        return f"i64 {self.read(1)}, ptr %ctx, {rest}, i64 {fuel}"

    def take(self, result: Value, ra: Value) -> Value:
        """Take the carried registers from a unit's result, x1 from `ra`; gives the fuel left."""
        for place, register in enumerate(CARRIED):
            value = self.body.value(f"extractvalue {RESULT} {result}, {place + 2}")
            self.put(register, value)
        self.put(1, ra)
        return self.body.value(f"extractvalue {RESULT} {result}, {FUEL}")

    def result(self, target: Value, fuel: Value) -> Value:
        """The result of this unit as it returns to `target`."""
        aggregate, carried = "poison", {place: self.read(register) for place, register in enumerate(CARRIED, 2)}
        for place, value in {0: target, **carried, FUEL: fuel}.items():
            aggregate = self.body.value(f"insertvalue {RESULT} {aggregate}, i64 {value}, {place}")
        return aggregate
