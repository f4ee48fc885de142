"""Loops of one block that go through memory in even strides: a copy that checks everything before it begins.

The copy is driven by a counter of its own, whose bound is the least of what the branch, the fuel and a fixed limit
allow; each access is to a checked base plus the counter times a constant step. So neither fuel nor bounds are looked at
inside, and LLVM may vectorise it. Behind it the branch of its last turn is taken as usual: out of the loop, or to the
plain form, for which turns are left when fuel was short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..definitions.record import Op, Step
from .accesses import Accesses
from .bounds import Access, Group, accesses
from .emit import Value
from .flat import Home
from .frame import Layout
from .liveness import effects_of
from .registers import CONTEXT_TAG
from .units import Block, Function, Located
from .values import Known, Tracker, signed

FEWEST = 8  # turns that are worth the copy's beginning
MOST = 1 << 31  # turns; with the limits of steps nothing that is computed of them overflows
LARGEST_STEP = 1 << 20
TYPED = 8  # bytes; shorter steps are as quick either way, and the checker follows them multiplied
LONGEST = 100  # instructions
REFUSED = frozenset({Op.VIRTUAL, Op.ATOMIC, Op.RESERVE, Op.CONDITIONAL, Op.SET_STATUS, Op.FENCE_I, Op.COUNTER})
COMPARISONS = {Op.NE: "ne", Op.ULT: "ult", Op.SLT: "slt"}
DENSE, SPARSE = ", !llvm.loop !19", ", !llvm.loop !16"  # both at the beginning of a line of the cache: they turn often
LOOPS = '!16 = distinct !{!16, !17, !18}\n!17 = !{!"llvm.loop.vectorize.enable", i1 false}\n'
LOOPS += '!18 = !{!"llvm.loop.align", i32 64}\n!19 = distinct !{!19, !18}\n'
NEXT = "next"  # base of a register that moves by another, after it has moved


class Bound(NamedTuple):
    """The loop goes on while `moving` stands in `relation` (ne, ult, slt, ule, sle) to `limit`, or limit to it."""

    relation: str
    moving: Known
    limit: Known
    down: bool


@dataclass(frozen=True, slots=True)
class Stride:
    """What is known of a loop: by how much its registers move (in a constant, or in a register), when it goes on."""

    steps: dict[int, int | str]
    bound: Bound
    floats: bool  # whether it computes with floating-point numbers
    dense: bool  # whether it writes without gaps: else wide registers would be stored one element at a time


def stride_of(block: Block) -> Stride | None:
    """The stride of a block that branches to itself; None where the copy cannot be made."""
    if block.kind != "branch" or block.target != block.pc or len(block.code) > LONGEST or refused(block):
        return None
    written = effects_of(block.code).writes
    tracker, steps = Tracker(), dict[int, int | str]()
    for located in block.code:
        by = _moved_by(located, written, tracker)
        known = tracker.run(located.instruction.steps, located.operands, located.pc, located.word)
        if by is not None:
            steps[by[0]] = f"%x{by[1]}"
            tracker.registers[by[0]] = Known((NEXT, by[0]), 0)
    for register in written & tracker.registers.keys():
        last = tracker.registers[register]
        if last.base == ("x", register) and abs(signed(last.distance)) < LARGEST_STEP:
            steps[register] = signed(last.distance)
        elif last != Known((NEXT, register), 0):
            steps.pop(register, None)
    bound = _bound(block, dict(known), steps, written)
    found = accesses(block)
    stores = {(access.size, steps.get(_register(access.address) or 0, 0)) for access in found if access.writes}
    floats = any(located.instruction.step(Op.FLOAT) is not None for located in block.code)
    scalar = floats and any(step == 0 for _, step in stores)  # nothing to vectorise
    if bound is None or scalar or not all(_even(access, steps, written) for access in found):
        return None
    return Stride(steps, bound, floats, all(step in (size, 0) for size, step in stores))


def refused(block: Block) -> bool:
    """Whether something in the block has to be done by the plain form."""
    for located in block.code:
        steps = located.instruction.steps
        traps = any(step.op is Op.TRAP for step in steps) and located.instruction.step(Op.FLOAT) is None
        fused = any(step.op is Op.FLOAT and step.attribute[0] == "fma" for step in steps)  # type: ignore[index]
        flags = any(step.op is Op.STATUS and step.attribute != "frm" for step in steps)
        if traps or fused or flags or any(step.op in REFUSED for step in steps):
            return True
    return False


def _moved_by(located: Located, written: frozenset[int], tracker: Tracker) -> tuple[int, int] | None:
    """Where the instruction moves a register by one that the loop does not write: (register, by)."""
    last = next(reversed(located.instruction.steps), None)  # a fence has none
    if (
        last is None
        or last.op is not Op.SET_X
        or last.args[0].op is not Op.ADD
        or any(a.op is not Op.X for a in last.args[0].args)
    ):
        return None
    moved, sources = located.number(last), [located.number(a) for a in last.args[0].args]
    others = [source for source in sources if source != moved]
    fresh = tracker.register(moved) == Known(("x", moved), 0)
    return (moved, others[0]) if len(others) == 1 and fresh and moved and others[0] not in written | {0} else None


def _bound(
    block: Block, known: dict[Step, Known], steps: dict[int, int | str], written: frozenset[int]
) -> Bound | None:
    """What the branch at the end asks for."""
    jump = block.code[-1].instruction.step(Op.JUMP)
    assert jump is not None
    condition, inverted = jump.args[1], False
    if condition.op is Op.XOR and known[condition.args[1]].constant == 1:
        condition, inverted = condition.args[0], True
    if condition.op not in COMPARISONS or (condition.op is Op.NE and inverted):
        return None
    left, right = (known[argument] for argument in condition.args)
    relation = COMPARISONS[condition.op]
    if inverted:
        left, right, relation = right, left, relation.replace("lt", "le")
    for moving, limit, down in ((left, right, False), (right, left, True)):
        step = steps.get(_register(moving) or 0)
        fixed = limit.base is None or (_register(limit) is not None and _register(limit) not in written)
        if step in (None, 0) or not fixed:
            continue
        falls = isinstance(step, int) and step < 0
        if relation == "ne" or falls == down:
            return Bound(relation, moving, limit, falls)
    return None


def _register(known: Known) -> int | None:
    return known.base[1] if isinstance(known.base, tuple) else None  # type: ignore[no-any-return]


def _even(access: Access, steps: dict[int, int | str], written: frozenset[int]) -> bool:
    """Whether an access goes through a register that moves evenly or not at all."""
    base = access.address.base
    return base is not None and isinstance(base, tuple) and (base[1] in steps or base[1] not in written)


class Strides(Accesses):
    """The part of a unit's writer that makes such copies."""

    stride: Stride | None = None  # of the copy that is being written
    places: dict[int, Value]  # by group: the host address of its lowest byte in the copy's first turn
    regions: dict[int, tuple[Value, Value, Value]]  # of masked code by group: where that is, the limit, a region's ptr
    moving: dict[int, tuple[Value, int]]  # registers that move by a constant: before the copy, and by how much
    fuel_before: Value
    trips: Value
    turn: Value

    def __init__(self, layout: Layout, function: Function, entry: int, assumed: dict[int, Known] | None = None) -> None:
        """See `Frame`."""
        super().__init__(layout, function, entry, assumed)
        blocks = [] if self.registers.resident else self.blocks
        self.strides = {block.pc: found for block in blocks if (found := stride_of(block))}
        self.copied = self.strides.keys()

    def label_of(self, pc: int) -> str:
        """Where the block goes on at a pc of this unit."""
        if (self.block.pc, pc) in self.fuel.turns:
            return f"paid_{pc:x}"
        return f"stride_{pc:x}" if pc in self.strides and pc != self.block.pc else f"pc_{pc:x}"

    def _begin_copy(self, block: Block, stride: Stride) -> None:
        """Find out how often the copy may run, and whether all it will access is the guest's."""
        body = self.body
        body.label(f"stride_{block.pc:x}")
        plain, worth, begin = f"pc_{block.pc:x}", body.name("worth"), body.name("begin")
        self.fuel_before = self._fuel(self.fuel.paid(block.pc))
        most = self._least(self._turns(stride), str(MOST - 1))
        trips = self._least(body.value(f"add i64 {most}, 1"), self._turns_by_fuel(block))
        body.branch(body.value(f"icmp uge i64 {trips}, {FEWEST}"), worth, plain)
        body.label(worth)
        conditions, self.places, self.regions, self.trips = [], {}, {}, trips
        for group, access in {group.first: (group, access) for access, group in self.plans.values()}.values():
            conditions += self._place(group, access, stride)
        if stride.floats:
            mode = body.value(f"load i32, ptr {self._context('fcsr')}{CONTEXT_TAG}")
            conditions.append(body.value(f"icmp ult i32 {mode}, 32"))
        fine = "true"
        for condition in conditions:
            fine = body.value(f"and i1 {fine}, {condition}")
        body.branch(fine, begin, plain, likely=True)
        body.label(begin)
        body.line("store i64 0, ptr %turn")
        body.line("store i64 0, ptr %seen")
        moving = {register: step for register, step in sorted(stride.steps.items()) if isinstance(step, int)}
        self.moving = {register: (self.registers.get(register), step) for register, step in moving.items()}
        body.line(f"br label %copy_{block.pc:x}")
        body.label(f"copy_{block.pc:x}")
        self.turn = body.value("load i64, ptr %turn")
        for register in moving:
            self.registers.values[register] = self._moved(register, self.turn)

    def _moved(self, register: int, turns: Value) -> Value:
        """What a register holds after some turns of the copy."""
        first, step = self.moving[register]
        return self.body.value(f"add i64 {first}, {self.body.value(f'mul i64 {turns}, {step}')}")

    def _end_copy(self, block: Block) -> None:
        """The next turn; behind the last one the fuel is as if the plain form had taken it for that turn."""
        body, over, written = self.body, self.body.name("over"), set(self.registers.written)
        self.registers.written -= self.moving.keys()
        self.registers.flush()
        following = body.value(f"add nuw nsw i64 {self.turn}, 1")
        body.line(f"store i64 {following}, ptr %turn")
        again = body.value(f"icmp ult i64 {following}, {self.trips}")
        hint = DENSE if self.stride is None or self.stride.dense else SPARSE
        body.line(f"br i1 {again}, label %copy_{block.pc:x}, label %{over}{hint}")
        body.label(over)
        if body.plain_floats:
            body.line(f'call void asm sideeffect "", "r"(i64 {body.value("load i64, ptr %seen")})')
        used = body.value(f"mul i64 {self.trips}, {len(block.code)}")
        left = body.value(f"sub i64 {self.fuel_before}, {used}")
        self._set_fuel(body.value(f"sub i64 {left}, {self.fuel.spare(block)}"))
        for register in sorted(written):
            moved = register in self.moving
            self.registers.write(register, self._moved(register, self.trips) if moved else self.registers.get(register))

    def _turns_by_fuel(self, block: Block) -> Value:
        """For how many turns there is fuel, and then for the longest way behind them."""
        fuel, spare = self.fuel_before, self.fuel.spare(block)
        rest = self.body.call("i64 @llvm.usub.sat.i64(i64, i64)", f"i64 {fuel}, i64 {spare}") if spare else fuel
        return self.body.value(f"udiv i64 {rest}, {len(block.code)}")

    def pointer_in_copy(self, access: Access, group: Group) -> Value:
        """The host address in this turn; where a type says the step, LLVM does not multiply in wide registers."""
        assert self.stride is not None
        body, step = self.body, self.stride.steps.get(_register(access.address) or 0, 0)
        if isinstance(step, int) and abs(step) >= TYPED and self.stride.dense and not body.masked:
            kind, turn = f"[{abs(step)} x i8]", self.turn if step > 0 else body.value(f"sub nsw i64 0, {self.turn}")
        else:
            kind, turn = "i8", body.value(f"mul nsw i64 {self.turn}, {self._step(step)}")
        if body.masked:
            first, limit, base = self.regions[group.first]
            place = body.kept(body.value(f"add i64 {first}, {turn}"), limit, base)
        else:
            place = body.value(f"getelementptr inbounds {kind}, ptr {self.places[group.first]}, i64 {turn}")
        return body.value(f"getelementptr i8, ptr {place}, i64 {signed(access.address.distance) - group.low}")

    def _step(self, step: int | str) -> Value:
        return str(step) if isinstance(step, int) else self.body.value(f"load i64, ptr {step}")

    def _least(self, a: Value, b: Value) -> Value:
        return self.body.call("i64 @llvm.umin.i64(i64, i64)", f"i64 {a}, i64 {b}")

    def _turns(self, stride: Stride) -> Value:
        """How often the branch is taken before it is not, or fewer."""
        body, bound = self.body, stride.bound
        register = _register(bound.moving)
        assert register is not None
        step = self._step(stride.steps[register])
        size = step.removeprefix("-")
        first = body.value(f"add i64 {self.registers.get(register)}, {signed(bound.moving.distance)}")
        if bound.moving.base == (NEXT, register):
            first = body.value(f"add i64 {first}, {step}")
            size = body.call("i64 @llvm.umax.i64(i64, i64)", f"i64 {step}, i64 1")
        limit = str(signed(bound.limit.distance))
        if bound.limit.base is not None:
            limit = body.value(f"add i64 {self.registers.get(_register(bound.limit) or 0)}, {limit}")
        low, high = (limit, first) if bound.down else (first, limit)
        way = body.value(f"sub i64 {high}, {low}")
        if bound.relation == "ne":
            return body.value(f"udiv i64 {way}, {size}")
        if bound.relation.endswith("lt"):
            way = body.value(f"sub i64 {way}, 1")
        turns = body.value(f"add i64 {body.value(f'udiv i64 {way}, {size}')}, 1")
        goes = body.value(f"icmp {bound.relation} i64 {low}, {high}")
        return body.value(f"select i1 {goes}, i64 {turns}, i64 0")

    def _place(self, group: Group, access: Access, stride: Stride) -> list[Value]:
        """Where a group begins, and the conditions under which all of it is within one region in every turn."""
        body, image = self.body, self.layout.image
        register = _register(access.address)
        assert register is not None
        step = stride.steps.get(register, 0)
        size, falls, conditions = str(step).removeprefix("-"), isinstance(step, int) and step < 0, list[Value]()
        if isinstance(step, str):
            size = self._step(step)
            conditions.append(body.value(f"icmp ult i64 {body.value(f'sub i64 {size}, 1')}, {LARGEST_STEP}"))
        base = body.opaque(self.registers.get(register))  # else LLVM moves pointers along outer loops beside it
        begin = body.value(f"add i64 {base}, {group.low}")
        way = body.value(f"mul i64 {body.value(f'sub i64 {self.trips}, 1')}, {size}")
        lowest = body.value(f"sub i64 {begin}, {way}") if falls else begin
        extent = body.value(f"add i64 {way}, {group.span}")
        home = self.memory.home(begin)
        private = self._region(lowest, extent, home.start, home.size)
        self.places[group.first] = home.place
        if body.masked:
            shared_too = None if group.private else private
            self.regions[group.first] = self._masked(begin, group.span, home, shared_too)
        if group.private:
            return [*conditions, private]
        shared = self._region(lowest, extent, str(image.ro_start), str(len(image.read_only)))
        moved = body.value(f"add i64 {self.space('read_only')}, {body.value(f'sub i64 {begin}, {image.ro_start}')}")
        other = body.value(f"inttoptr i64 {moved} to ptr")
        self.places[group.first] = body.value(f"select i1 {private}, ptr {self.places[group.first]}, ptr {other}")
        return [*conditions, body.value(f"or i1 {private}, {shared}")]

    def _masked(self, begin: Value, span: int, home: Home, private: Value | None) -> tuple[Value, Value, Value]:
        """By what accesses are masked in each turn: in one region, or by `private` in the read-only bytes."""
        body, image = self.body, self.layout.image
        base = body.value(f"ptrtoint ptr {self.memory.home(home.start).place} to i64")
        values = [home.start, self._room(home.size, span), base]
        if private is not None:
            read_only = [str(image.ro_start), self._room(str(len(image.read_only)), span), self.space("read_only")]
            here = body.opaque(body.value(f"sext i1 {private} to i64"))  # all of one region, whichever: no branches
            for place, (mine, other) in enumerate(zip(values, read_only, strict=True)):
                differ = body.value(f"and i64 {body.value(f'xor i64 {mine}, {other}')}, {here}")
                values[place] = body.value(f"xor i64 {differ}, {other}")
        first = body.value(f"sub i64 {begin}, {values[0]}")
        return first, values[1], body.value(f"inttoptr i64 {values[2]} to ptr")

    def _room(self, size: Value, span: int) -> Value:
        """Offsets below this have so many bytes behind them in a region."""
        more = self.body.value(f"add i64 {size}, 1")
        return self.body.call("i64 @llvm.usub.sat.i64(i64, i64)", f"i64 {more}, i64 {span}")

    def _region(self, lowest: Value, extent: Value, start: Value, size: Value) -> Value:
        """Whether `extent` bytes from `lowest` lie in a region."""
        body = self.body
        room, offset = body.value(f"sub i64 {size}, {extent}"), body.value(f"sub i64 {lowest}, {start}")
        small = body.value(f"icmp ule i64 {extent}, {size}")
        return body.value(f"and i1 {small}, {body.value(f'icmp ule i64 {offset}, {room}')}")
