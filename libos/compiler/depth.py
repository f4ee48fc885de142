"""How much stack a service can ever use, read from its finished code.

A service calls by name, and LLVM moves the stack pointer by constants; so where no function calls itself, the deepest
path of calls is known before the service runs. Then it gets exactly that much stack, next to its data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from denali.isa.definitions.decode import decode
from denali.isa.definitions.instruction import Instruction
from denali.isa.definitions.record import Op
from denali.isa.image import Image, Symbol

RA, SP = 1, 2
MOVES = ("addi", "c.addi", "c.addi16sp")
JUMPS = ("jal", "c.j")
HANDLER = "denali.upcall."  # functions that the kernel enters, on top of whatever runs
COMPUTED = ("jalr", "c.jr", "c.jalr")


class Unknown(Exception):
    """The depth cannot be told; the message says why."""


@dataclass(slots=True)
class Use:
    """What one function does to the stack: bytes of its own, and whom it calls."""

    frame: int = 0
    calls: set[int] = field(default_factory=set[int])


def of(image: Image) -> int | None:
    """Bytes of stack that the image uses at most, a multiple of 16; None where that cannot be told."""
    try:
        uses = {one.start: _use(image.read_only, image.ro_start, one) for one in image.functions}
        known = dict[int, int]()
        handlers = [one.start for one in image.functions if one.name.startswith(HANDLER)]
        upcall = max((_depth(start, uses, known, ()) + 16 for start in handlers), default=0)  # at any sp, one at a time
        return -(-(_depth(image.entry, uses, known, ()) + upcall) // 16) * 16
    except Unknown:
        return None


def _depth(start: int, uses: dict[int, Use], known: dict[int, int], above: tuple[int, ...]) -> int:
    if start in above:
        raise Unknown(f"the function at {start:#x} calls itself")
    if start not in uses:
        raise Unknown(f"something jumps to {start:#x}, where no function begins")
    if start not in known:
        below = [_depth(call, uses, known, (*above, start)) for call in uses[start].calls]
        known[start] = uses[start].frame + max(below, default=0)
    return known[start]


def _use(text: bytes, base: int, function: Symbol) -> Use:
    use, far = Use(), dict[int, int]()
    for pc, one, operands in _code(text, base, function):
        target = _target(pc, one, operands, far)
        if target is not None and not _stays(function, target, operands):
            use.calls.add(target)
        if _writes_stack_pointer(one, operands):
            use.frame += max(-_moved(one, operands), 0)
        far = {operands["rd"]: pc + operands["imm"]} if one.name == "auipc" else {}  # a far call is these two in a row
    return use


def _stays(function: Symbol, target: int, operands: dict[str, int]) -> bool:
    """Whether a jump stays in its function: a call of the function's own first instruction does not."""
    inside = function.start <= target < function.start + function.size
    return inside and (target != function.start or operands.get("rd", 0) == 0)


def _code(text: bytes, base: int, function: Symbol) -> Iterator[tuple[int, Instruction, dict[str, int]]]:
    at, stop = function.start - base, function.start - base + function.size
    while at < stop:
        found = decode(int.from_bytes(text[at : at + 4], "little"))
        if found is None:
            raise Unknown(f"{function.name} has data among its code")
        yield base + at, *found
        at += found[0].length


def _target(pc: int, one: Instruction, operands: dict[str, int], far: dict[int, int]) -> int | None:
    """Where an instruction that leaves its function goes; a jump through a table of places stays inside it."""
    if one.name in JUMPS:
        return pc + operands["imm"]
    if one.name not in COMPUTED:
        return None
    through = operands["rs1"]
    if through in far:
        return far[through] + operands.get("imm", 0)
    if one.name == "c.jalr" or operands.get("rd", 0) == RA:
        raise Unknown(f"the call at {pc:#x} goes where only the running service knows")
    return None


def _writes_stack_pointer(one: Instruction, operands: dict[str, int]) -> bool:
    written = [step.attribute for step in one.steps if step.op is Op.SET_X]
    return SP in [operands.get(name, name) if isinstance(name, str) else name for name in written]


def _moved(one: Instruction, operands: dict[str, int]) -> int:
    """By how much an instruction moves the stack pointer."""
    if one.name not in MOVES or operands.get("rs1", SP) != SP:
        raise Unknown(f"`{one.name}` moves the stack pointer by an amount that is not in the instruction")
    return operands["imm"]
