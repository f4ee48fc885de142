"""Find the guest's functions and their blocks in an image, from every place where control is known to begin.

Nothing found here is trusted to be complete or right: what was missed is interpreted, and a guessed switch target is
only a shortcut that the running code verifies. So the search may be simple.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeVar

from ..definitions.decode import decode
from ..definitions.instruction import Instruction
from ..definitions.operands import DYNAMIC_ROUNDING
from ..definitions.record import Op, Step
from ..image import Image
from .emit_float import exact
from .values import MASK, Known, Tracker, signed

BLOCK_LIMIT = 200  # instructions; keeps the fuel that a checkpoint asks for small
SWITCH_LIMIT = 1024  # targets recovered for one function
SWITCH_ROUNDS = 4
FUNCTION_LIMIT = 20_000  # instructions: the time LLVM needs grows faster than a function
IMAGE_LIMIT = 500_000
RETURN_REGISTER = 1
COPY = 48  # bits of a block's key below the number of the copy that it stands in, see inline.py
HIGHEST = 1 << COPY
Fact = TypeVar("Fact")


def guest(key: int) -> int:
    """The guest address of a key."""
    return key & (HIGHEST - 1)


class Located(NamedTuple):
    """One instruction of the image, decoded."""

    pc: int
    instruction: Instruction
    operands: dict[str, int]
    word: int

    @property
    def next_pc(self) -> int:
        """The address of the instruction behind it."""
        return self.pc + self.instruction.length

    def number(self, step: Step) -> int:
        """The register that a step of this instruction names."""
        attribute = step.attribute
        assert isinstance(attribute, str | int)
        return self.operands[attribute] if isinstance(attribute, str) else attribute


@dataclass(slots=True)
class Block:
    """Instructions that run one after the other; only the last may jump or ask for a service.

    `kind` says how it ends: "branch" (to `target` or `after`), "goto" (`target`), "call" and "return" by the register
    x1, "indirect" (a computed target), "service" (goes on at `after`), "stop" (the interpreter goes on at `after`); in
    a copy of inline.py also "back": a return, which should go to `after`.
    """

    pc: int
    code: list[Located] = field(default_factory=list[Located])
    kind: str = "goto"
    target: int | None = None  # where it is known
    after: int = 0  # the pc behind the last instruction

    def successors(self) -> list[int]:
        """Blocks of the same function that may run next."""
        match self.kind:
            case "branch":
                return [self.target, self.after] if self.target is not None else [self.after]
            case "goto":
                return [] if self.target is None else [self.target]
            case "call" | "service" | "back":
                return [self.after]
            case _:
                return []


class Table(NamedTuple):
    """A table of a computed jump: what the load at `place` reads at `start` + i * `size` leads to `targets`[i].

    It does if the registers in `holds` have these values when the block begins. `leaves` says for every target which
    registers the block leaves with a value that only depends on where it goes.
    """

    place: int
    start: int
    size: int
    targets: tuple[int, ...]
    holds: dict[int, int]
    leaves: dict[int, dict[int, int]]


@dataclass(slots=True)
class Function:
    """Blocks reachable from `entry` without entering another function; `switch` holds guesses for computed jumps.

    `tables` says more of those jumps, by block, whose table was found; of `joints`, see threads.py.
    """

    entry: int
    blocks: dict[int, Block] = field(default_factory=dict[int, Block])
    switch: list[int] = field(default_factory=list[int])
    tables: dict[int, Table] = field(default_factory=dict[int, Table])
    joints: frozenset[int] = frozenset()  # blocks that copies of one jump lead to

    @property
    def size(self) -> int:
        """How many instructions it has."""
        return sum(len(block.code) for block in self.blocks.values())

    def successors(self, block: Block) -> list[int]:
        """Blocks of this function that may run after `block`."""
        if block.pc in self.tables:
            return sorted(set(self.tables[block.pc].targets))
        return self.switch if block.kind == "indirect" else [pc for pc in block.successors() if pc in self.blocks]

    def reached(self, *places: int, without: Collection[int] = ()) -> set[int]:
        """The blocks at `places`, and those that may run after them, on ways that do not lead through others."""
        seen: set[int] = set()
        pending = list(places)
        while pending:
            pc = pending.pop()
            if pc not in seen and pc not in without:
                seen.add(pc)
                pending += self.successors(self.blocks[pc])
        return seen

    def forward(
        self,
        before: dict[int, Fact],
        after: Callable[[Block, Fact], Fact],
        meet: Callable[[int, Fact | None, Fact], Fact],
    ) -> dict[int, Fact]:
        """What holds before every block that is reached from those of `before`; the same dictionary, completed.

        `after` says what a block leaves; `meet` what holds before the block at a pc: what did so far (None: it was
        not reached) and what is left on another way to it.
        """
        pending = list(before)
        while pending:
            block = self.blocks[pending.pop()]
            left = after(block, before[block.pc])
            for successor in self.successors(block):
                merged = meet(successor, before.get(successor), left)
                if successor not in before or merged != before[successor]:
                    before[successor] = merged
                    pending.append(successor)
        return before


class Text:
    """The decoded text of an image, each place decoded once."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self._cache: dict[int, Located | None] = {}

    def at(self, pc: int) -> Located | None:
        """The instruction at `pc`; None when there is none within the text."""
        if pc not in self._cache:
            self._cache[pc] = self._decode(pc)
        return self._cache[pc]

    def _decode(self, pc: int) -> Located | None:
        image = self.image
        if pc % 2 or not image.text_start <= pc <= image.text_end - 2:
            return None
        offset = pc - image.ro_start
        word = int.from_bytes(image.read_only[offset : offset + 2], "little")
        if word & 3 == 3:
            if pc > image.text_end - 4:
                return None
            word = int.from_bytes(image.read_only[offset : offset + 4], "little")
        found = decode(word)
        return None if found is None else Located(pc, *found, word)

    def constant(self, address: int, size: int) -> int | None:
        """What is at a read-only address, or None."""
        offset = address - self.image.ro_start
        if offset < 0 or offset + size > len(self.image.read_only):
            return None
        return int.from_bytes(self.image.read_only[offset : offset + size], "little")


class Jump(NamedTuple):
    """How an instruction leaves its place: the kind as in `Block`, the target where it is known."""

    kind: str
    target: int | None


def classify(located: Located, tracker: Tracker) -> Jump | None:
    """What the end of a block does; None for an instruction in the middle. Advances the tracker."""
    steps = located.instruction.steps
    known = tracker.run(steps, located.operands, located.pc, located.word)
    jump = located.instruction.step(Op.JUMP)
    if jump is None:
        serves = located.instruction.step(Op.VIRTUAL) is not None
        return Jump("service", None) if serves else _stop(located)
    target = known[jump.args[0]].constant
    if jump.attribute == "branch":
        return Jump("branch", target)
    link = next((located.number(step) for step in steps if step.op is Op.SET_X and located.number(step)), 0)
    if link == RETURN_REGISTER:
        return Jump("call", target)
    if link or target is not None:
        return Jump("goto" if target is not None else "indirect", target)
    return Jump("return" if _returns(jump, known, tracker) else "indirect", None)


def _stop(located: Located) -> Jump | None:
    """An instruction that always traps, or after which nothing is sure, ends the block in the interpreter."""
    always = any(step.op is Op.TRAP and len(step.args) == 1 for step in located.instruction.steps)
    rare = any(step.op in (Op.SET_STATUS, Op.FENCE_I) or _unusual(located, step) for step in located.instruction.steps)
    return Jump("stop", None) if always or rare else None


def _unusual(located: Located, step: Step) -> bool:
    """Arithmetic whose static rounding mode may not be the one in frm."""
    if step.op is not Op.FLOAT:
        return False
    operation, rounding = step.attribute  # type: ignore[misc]
    static = rounding is not None and located.operands[rounding] != DYNAMIC_ROUNDING
    return static and not operation.startswith("to_") and not exact(operation, step.args[0].width, step.width)


def _returns(jump: Step, known: dict[Step, Known], tracker: Tracker) -> bool:
    """Whether the target is x1 itself, its lowest bit cleared."""
    target = jump.args[0]
    if target.op is Op.AND:
        target = target.args[0]
    return known[target] == tracker.register(RETURN_REGISTER)


def read_block(text: Text, pc: int, *leaders: set[int]) -> Block:
    """The block at `pc`, up to a jump or the next pc that is in some set of `leaders`."""
    block, tracker = Block(pc), Tracker()
    while True:
        located = text.at(pc)
        if located is None:
            block.kind = "stop"
            break
        jump = classify(located, tracker)
        if jump is not None and jump.kind == "stop":
            block.kind = "stop"
            break
        block.code.append(located)
        pc = located.next_pc
        if jump is not None:
            block.kind, block.target = jump
            break
        if any(pc in some for some in leaders) or len(block.code) >= BLOCK_LIMIT:
            block.target = pc
            break
    block.after = pc
    return block


class Program:
    """The functions of an image, found on demand."""

    def __init__(self, image: Image) -> None:
        self.text = Text(image)
        self.image = image

    @cached_property
    def entries(self) -> list[int]:
        """Where functions begin: the image's entry, its function symbols, and what known code calls; sorted."""
        found = {self.image.entry} | {symbol.start for symbol in self.image.functions}
        pending = list(found)
        seen: set[int] = set()
        while pending:
            for target in self._calls(pending.pop(), seen):
                if target not in found and self.text.at(target):
                    found.add(target)
                    pending.append(target)
        return sorted(pc for pc in found if self.text.at(pc))

    def _calls(self, pc: int, seen: set[int]) -> Iterator[int]:
        """Targets of the direct calls in code reachable from `pc`."""
        stack = [pc]
        while stack:
            pc = stack.pop()
            if pc in seen:
                continue
            block = read_block(self.text, pc, seen)
            seen.update(located.pc for located in block.code)
            seen.add(pc)
            if block.kind == "call" and block.target is not None:
                yield block.target
            stack += block.successors()

    @cached_property
    def functions(self) -> dict[int, Function]:
        """The functions by entry; of an image beyond measure the first ones, the rest is interpreted."""
        functions: dict[int, Function] = {}
        size = 0
        known = set(self.entries)
        for entry in self.entries:
            function = self.function(entry, known)
            size += function.size
            if size > IMAGE_LIMIT:
                break
            if function.size <= FUNCTION_LIMIT:
                functions[entry] = function
        return functions

    def function(self, entry: int, known: set[int]) -> Function:
        """The function as entered at `entry`, bounded by the entries of others (`known` are all)."""
        function = Function(entry, self._read(entry, self._leaders(entry, known), known))
        if any(block.kind == "indirect" for block in function.blocks.values()):
            self._recover_switches(function, known)
        return function

    def _read(self, entry: int, leaders: set[int], known: set[int]) -> dict[int, Block]:
        """Blocks at all leaders, and at the places where long blocks were cut."""
        blocks: dict[int, Block] = {}
        pending = sorted(leaders, reverse=True)
        while pending:
            pc = pending.pop()
            if pc not in blocks:
                block = blocks[pc] = read_block(self.text, pc, leaders, known)
                inside = (after for after in block.successors() if after == entry or after not in known)
                pending += [after for after in inside if self.text.at(after)]
        return dict(sorted(blocks.items()))

    def _leaders(self, entry: int, known: set[int], more: Iterable[int] = ()) -> set[int]:
        """The pcs at which blocks of the function begin."""
        leaders: set[int] = set()
        pending = [entry, *more]
        while pending and len(leaders) <= FUNCTION_LIMIT:
            pc = pending.pop()
            if pc in leaders or (pc in known and pc != entry) or self.text.at(pc) is None:
                continue
            leaders.add(pc)
            pending += read_block(self.text, pc, known).successors()
        return leaders

    def _recover_switches(self, function: Function, known: set[int]) -> None:
        """Guess where computed jumps go: words in tables, which the function addresses, that give places inside it.

        What is found may address more tables, so it is done again, a few times.
        """
        low, high = function.entry, min((pc for pc in known if pc > function.entry), default=self.image.text_end)
        found: set[int] = set()
        for _ in range(SWITCH_ROUNDS):
            more = {pc for base in self._bases(function) for pc in self._table(base, low, high)}
            if more <= found:
                return
            found |= more
            leaders = self._leaders(function.entry, known, [*found, *function.blocks])
            function.blocks = self._read(function.entry, leaders, known)
            function.switch = sorted(found & function.blocks.keys())[:SWITCH_LIMIT]

    def _bases(self, function: Function) -> set[int]:
        """Read-only addresses that the function computes."""
        bases: set[int] = set()
        for block in function.blocks.values():
            tracker = Tracker()
            for located in block.code:
                tracker.run(located.instruction.steps, located.operands, located.pc, located.word)
                bases |= {known.distance for known in tracker.registers.values() if known.base is None}
        start, end = self.image.ro_start, self.image.ro_end
        return {base for base in bases if start <= base < end}

    def _table(self, base: int, low: int, high: int) -> list[int]:
        """Targets in a table at `base`: words relative to it, or addresses of 4 or 8 bytes."""
        best: list[int] = []
        for size, origin in ((4, base), (4, 0), (8, 0)):
            targets: list[int] = []
            for place in range(base, base + size * SWITCH_LIMIT, size):
                word = self.text.constant(place, size)
                target = None if word is None else (origin + signed(word, 8 * size)) & MASK
                if target is None or not low <= target < high or self.text.at(target) is None:
                    break
                targets.append(target)
            best = max(best, targets, key=len)
        return best
