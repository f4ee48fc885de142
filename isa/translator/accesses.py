"""A unit's accesses to memory: which of them form groups, and what realises them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from ..context import Mode
from ..definitions.record import Cause, Op, Step
from .bounds import Access, Group, Plan, Planner
from .emit import WIDENINGS, Body, Value
from .flat import FlatMemory
from .frame import Frame
from .pages import PagedMemory
from .units import Block, Table
from .values import Known, Tracker

LARGEST = {Mode.FLAT: 1 << 16, Mode.PAGED: 1 << 10}  # bytes between the ends of a group


class Load(NamedTuple):
    """What an instruction loads: of which of LLVM's types, and how 64 bits are made of that."""

    kind: str
    widening: str  # "sext", "zext" or "bitcast"; empty where it has 64 bits

    def read(self, body: Body, place: Value, *, rarely: bool = False) -> Value:
        """Read it from a host address; what is read `rarely` LLVM shall not make one of with what is read elsewhere."""
        value = body.value(f"load{' volatile' if rarely else ''} {self.kind}, ptr {place}, align 1")
        wide = body.value(f"{self.widening} {self.kind} {value} to i64") if self.widening else value
        if not rarely or self.widening not in ("sext", "zext"):
            return wide
        known = (1 << int(self.kind[1:])) - 1 if self.widening == "zext" else -1
        return body.value(f"and i64 {body.opaque(wide)}, {known}")


def widens(step: Step) -> bool:
    """Whether all that a step does is to make wide what has been loaded."""
    return step.op in (Op.SEXT, Op.ZEXT) and step.args[0].op is Op.LOAD


Memory = FlatMemory | PagedMemory  # what makes host addresses of guest addresses
MEMORIES: dict[Mode, Callable[[Accesses], Memory]] = {Mode.FLAT: FlatMemory, Mode.PAGED: PagedMemory}


class Accesses(Frame):
    """The part of a unit's writer that speaks of memory."""

    plans: Plan  # of the block being written
    planned_blocks: dict[int, Plan]  # of all
    order: list[Block]  # in which blocks are written: those whose checks others rely on come first
    memory: Memory
    table: Table | None  # of the jump at the end of the block being written
    entry_number: Value
    copied: Collection[int] = ()  # blocks that have a copy: its stride is seen in registers as the block finds them
    stride: object = None  # of the copy of a loop that is being written: there all has been checked before

    def _begin_accesses(self) -> None:
        """Begin the unit."""
        self._plan_blocks()
        self.memory = MEMORIES[self.layout.mode](self)
        self.memory.prologue()

    def _plan_blocks(self) -> None:
        """Plan all blocks, each behind the one from which alone it is reached, if there is one."""
        self.order, self.planned_blocks = list[Block](), dict[int, Plan]()
        within = self._within()
        behind = {pc for inner in within.values() for pc in inner}
        largest = LARGEST[self.layout.mode]
        for root in self.blocks:
            known = {} if root.pc in self.copied else self.before.get(root.pc, {})
            pending = [] if root.pc in behind else [(root, Planner(largest, Tracker(known), {}))]
            while pending:
                block, planner = pending.pop()
                self.order.append(block)
                table = self.function.tables.get(block.pc)
                self.planned_blocks[block.pc] = planner.plan(block, table and table.place)
                for pc in within.get(block.pc, ()):
                    known = _left_by(table, pc) | self.before.get(pc, {})
                    pending.append((self.function.blocks[pc], planner.behind(known)))

    def _within(self) -> dict[int, list[int]]:
        """For every block those that are reached from it alone, and where what it has checked still holds."""
        if self.layout.mode is not Mode.FLAT:
            return {}
        before: dict[int, list[Block]] = {self.entry: [self.blocks[0]] * 2}
        for block in self.blocks:
            for successor in self.function.successors(block):
                before.setdefault(successor, []).append(block)
        within: dict[int, list[int]] = {}
        for pc, blocks in before.items():
            (first, *more) = blocks
            plain = first.kind in ("goto", "branch", "back", "indirect") and not {pc, first.pc} & set(self.copied)
            if plain and not more:
                within.setdefault(first.pc, []).append(pc)
        return within

    def again_here(self, memory: Memory) -> str | None:
        """The label of a cold block that does the rest of this block with `memory`; None where that would be much."""
        raise NotImplementedError

    def pointer_in_copy(self, access: Access, group: Group) -> Value:
        """The host address in such a copy."""
        raise NotImplementedError

    def _plan_accesses(self, block: Block) -> None:
        """Begin a block."""
        self.table = self.function.tables.get(block.pc)
        self.plans = self.planned_blocks[block.pc]
        self.memory.begin()

    def planned(self) -> tuple[Access, Group]:
        """The access of the current instruction and the group that it belongs to."""
        return self.plans[self.here.pc]

    def trap(self, cause: int, value: Value, when: Value | None) -> None:
        """The interpreter executes an instruction that traps; here it only has to be left."""
        if cause == Cause.ILLEGAL and self.here.instruction.step(Op.FLOAT) is not None:
            return  # a reserved rounding mode in frm: units never run with one
        body, go_on = self.body, self.body.name("fine")
        body.branch("true" if when is None else when, self.exit_here(), go_on, likely=False)
        body.label(go_on)

    def pointer(self, address: Value, size: int, cause: Cause) -> Value:
        """The host address of the current instruction's access."""
        if self.stride is not None:
            return self.pointer_in_copy(*self.planned())
        return self.memory.pointer(address)

    def entry_of(self, table: Table, address: Value) -> Value:
        """Where the jump that follows has its entry, having left where that is in no such table; keeps its number."""
        body = self.body
        offset, within = body.value(f"sub i64 {address}, {table.start}"), body.name("entry")
        conditions = [f"icmp ult i64 {offset}, {len(table.targets) * table.size}"]
        conditions.append(f"icmp eq i64 {body.value(f'and i64 {offset}, {table.size - 1}')}, 0")
        conditions += [
            f"icmp eq i64 {self.registers.get(register)}, {value}" for register, value in table.holds.items()
        ]
        fine = "true"
        for condition in conditions:
            fine = body.value(f"and i1 {fine}, {body.value(condition)}")
        body.branch(fine, within, self.exit_here(), likely=True)
        body.label(within)
        self.entry_number = body.value(f"lshr exact i64 {offset}, {table.size.bit_length() - 1}")
        return body.value(f"getelementptr i8, ptr {self.read_only()}, i64 {address}")

    def load(self, address: Value, step: Step) -> Value:
        """What the current instruction loads, made wide if that is all it does with it."""
        steps, kind = self.here.instruction.steps, f"i{step.width}"
        widening = next((WIDENINGS[user.op] for user in steps if widens(user)), "")
        if step.width == 64 and self.here.instruction.step(Op.SET_F) is not None:
            kind, widening = "double", "bitcast"  # to live in a host register of that kind
        load = Load(kind, widening)
        if self.table is not None and self.table.place == self.here.pc:
            return load.read(self.body, self.entry_of(self.table, address))
        if self.stride is None:
            return self.memory.load(address, load)
        return load.read(self.body, self.pointer_in_copy(*self.planned()))

    def store(self, address: Value, width: int, value: Value) -> None:
        """Store what the current instruction stores."""
        if self.stride is None:
            self.memory.store(address, width, value)
        else:
            self.body.line(f"store i{width} {value}, ptr {self.pointer(address, width // 8, Cause.STORE)}, align 1")


def _left_by(table: Table | None, target: int) -> dict[int, Known]:
    """The registers that a jump through a table writes on its way to a target: they are constants from there on."""
    leaves = table.leaves.get(target, {}) if table is not None else {}
    return {register: Known(None, value) for register, value in leaves.items()}
