"""Which loads will probably find the image's read-only bytes: those through pointers made of an address there.

A guess about speed only: such a load looks there first. It is made for a whole function, from what its own code puts
into registers; nothing that was loaded or passed is taken for such a pointer.
"""

from __future__ import annotations

from ..definitions.record import Op, Step
from ..image import Image
from .bounds import access_of
from .units import Block, Function
from .values import Known, Tracker

POINTER = "read-only"  # base of what was made of an address there
CALL_WRITES = frozenset({1, *range(5, 8), *range(10, 18), *range(28, 32)})  # by convention

Pointers = dict[int, Known]


class _Pointers(Tracker):
    """A tracker that knows such pointers whatever was added to them."""

    def __init__(self, image: Image, known: Pointers) -> None:
        super().__init__(known)
        self.image = image

    def points(self, value: Known) -> bool:
        """Whether a value is such a pointer."""
        inside = value.base is None and self.image.ro_start <= value.distance < self.image.ro_end
        return inside or value.base == POINTER

    def _combine(self, step: Step, values: list[Known]) -> Known:
        known = super()._combine(step, values)
        made = step.op in (Op.ADD, Op.SUB) and step.width == 64 and any(map(self.points, values))
        return Known(POINTER, 0) if made and known.base is not None else known


def likely_shared(function: Function, image: Image) -> frozenset[int]:
    """The pcs of such loads."""

    def meet(_: int, old: Pointers | None, left: Pointers) -> Pointers:
        return left if old is None else {register: Known(POINTER, 0) for register in old.keys() & left.keys()}

    found: set[int] = set()
    entry: dict[int, Pointers] = {function.entry: {}}
    before = function.forward(entry, lambda block, pointers: _followed(block, image, pointers, set()), meet)
    for pc, pointers in before.items():
        _followed(function.blocks[pc], image, pointers, found)
    return frozenset(found)


def _followed(block: Block, image: Image, pointers: Pointers, found: set[int]) -> Pointers:
    tracker = _Pointers(image, pointers)
    for located in block.code:
        known = tracker.run(located.instruction.steps, located.operands, located.pc, located.word)
        access = access_of(located, dict(known))
        if access is not None and not access.writes and access.address.base == POINTER:
            found.add(located.pc)
    lost = CALL_WRITES if block.kind == "call" else frozenset[int]()
    return {r: Known(POINTER, 0) for r, value in tracker.registers.items() if r not in lost and tracker.points(value)}
