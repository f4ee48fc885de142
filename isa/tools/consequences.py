"""What may come of an instruction besides its result: traps and floating-point flags, read from its recorded steps."""

from __future__ import annotations

from typing import cast

from ..definitions.instruction import Instruction
from ..definitions.record import WORD, Cause, Op, Step

INVALID, BY_ZERO, OVERFLOW, UNDERFLOW, INEXACT = "NV", "DZ", "OF", "UF", "NX"  # the five bits of fflags, highest first
FLAGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("add", "sub"), (INVALID, OVERFLOW, INEXACT)),  # a sum that is subnormal is exact
    **dict.fromkeys(("mul", "fma"), (INVALID, OVERFLOW, UNDERFLOW, INEXACT)),
    "div": (INVALID, BY_ZERO, OVERFLOW, UNDERFLOW, INEXACT),
    "sqrt": (INVALID, INEXACT),
    **dict.fromkeys(("min", "max", "eq", "lt", "le"), (INVALID,)),
    **dict.fromkeys(("to_i32", "to_u32", "to_i64", "to_u64"), (INVALID, INEXACT)),
    **dict.fromkeys(("from_i32", "from_u32", "from_i64", "from_u64"), (INEXACT,)),
}
NARROWING, WIDENING = (INVALID, OVERFLOW, UNDERFLOW, INEXACT), (INVALID,)
ACCESSES = {  # bytes, then the traps of what is there
    Op.LOAD: ("{} cannot be read", (Cause.LOAD,)),
    Op.STORE: ("{} cannot be written", (Cause.STORE,)),
    Op.ATOMIC: ("{} cannot be written", (Cause.STORE, Cause.MISALIGNED_STORE)),
    Op.RESERVE: ("{} cannot be read", (Cause.LOAD, Cause.MISALIGNED_LOAD)),
    Op.CONDITIONAL: ("{} cannot be written", (Cause.STORE, Cause.MISALIGNED_STORE)),
}
MISSES = {Cause.LOAD: Cause.MISS_READ, Cause.STORE: Cause.MISS_WRITE}


def flags(one: Instruction) -> list[str]:
    """The flags that it may raise, as the manual abbreviates them."""
    step = one.step(Op.FLOAT)
    if step is None:
        return []
    operation, _ = cast(tuple[str, str | None], step.attribute)
    if operation == "convert":
        return list(NARROWING if step.width < step.args[0].width else WIDENING)
    if operation.startswith("from") and exact(step):
        return []
    return list(FLAGS[operation])


def exact(step: Step) -> bool:
    """Whether a conversion from integers always has an exact result: of 32 bits to double."""
    return step.args[0].width < step.width == WORD


def traps(one: Instruction) -> list[str]:
    """A line for each trap that it may end in, with its value."""
    lines: list[str] = []
    for step in one.steps:
        if step.op in ACCESSES:
            lines += access_traps(step)
        elif step.op is Op.TRAP:
            lines.append(trap(step))
        elif step.op is Op.VIRTUAL:
            lines.append("DEVICE: the kernel refuses an argument; value: that argument")
        elif step.op is Op.JUMP:
            lines.append("FETCH: nothing can be executed at the target; value and pc: the target")
    return lines


def access_traps(step: Step) -> list[str]:
    """Those of an access to memory."""
    width = step.width if step.op in (Op.LOAD, Op.ATOMIC, Op.RESERVE) else step.args[1].width
    count = width // 8
    text, (cause, *aligned) = ACCESSES[step.op]
    bytes_there = "the byte there" if count == 1 else f"one of the {count} bytes there"
    misaligned = [f"{one.name}: the address is no multiple of {count}; value: the address" for one in aligned]
    outside = f"{cause.name}: {text.format(bytes_there)}; value: the address"
    return [
        *misaligned,
        outside,
        f"{MISSES[cause].name}: so under the virtual MMU; value: the first byte without a binding",
    ]


def trap(step: Step) -> str:
    """One that the definition itself asks for."""
    cause = cast(Cause, step.attribute)
    if cause is Cause.ILLEGAL:
        return "ILLEGAL: the rounding mode is dyn, and that in frm is reserved; value: the instruction"
    return f"{cause.name}: always"
