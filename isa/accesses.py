"""A unit's accesses to memory: each confined to the guest's regions by a check of its own or by that of its group."""

from __future__ import annotations

from .bounds import Access, Group, plan
from .emit import Value
from .frame import Frame
from .record import Cause, Op
from .units import Block
from .values import signed


class Accesses(Frame):
    """The part of a unit's writer that makes host addresses of guest addresses."""

    plans: dict[int, tuple[Access, Group]]  # of the block being written, by pc
    deltas: dict[int, Value]  # by group: the distance of the region that the check found, as a ptr

    stride: object = None  # of the copy of a loop that is being written: there all has been checked before

    def pointer_in_copy(self, access: Access, group: Group) -> Value:
        """The host address in such a copy."""
        raise NotImplementedError

    def _plan_accesses(self, block: Block) -> None:
        """Begin a block."""
        self.plans, self.deltas = plan(block), {}

    def trap(self, cause: int, value: Value, when: Value | None) -> None:
        """The interpreter executes an instruction that traps; here it only has to be left."""
        if cause == Cause.ILLEGAL and self.here.instruction.step(Op.FLOAT) is not None:
            return  # a reserved rounding mode in frm: units never run with one
        body, go_on = self.body, self.body.name("fine")
        body.branch("true" if when is None else when, self._exit_here(), go_on, likely=False)
        body.label(go_on)

    def pointer(self, address: Value, size: int, cause: Cause) -> Value:
        """The host address, checked with the group of this access."""
        access, group = self.plans[self.here.pc]
        if access.address.base is None:
            return self._fixed(access)
        if self.stride is not None:
            return self.pointer_in_copy(access, group)
        if group.first == self.here.pc:
            self._check(address, access, group)
        delta = self.deltas.get(group.first)
        if delta is not None:
            return self.body.value(f"getelementptr i8, ptr {delta}, i64 {address}")
        distance = self.body.value(f"add i64 {address}, {self.layout.displacement}")
        return self.body.value(f"getelementptr i8, ptr %ctx, i64 {distance}")

    def load(self, address: Value, width: int) -> Value:
        """A load. One that is alone in its group is done in each region apart, so that the usual one stays simple."""
        floating = width == 64 and self.here.instruction.step(Op.SET_F) is not None
        value = self._load(address, width, "double" if floating else f"i{width}")
        return self.body.value(f"bitcast double {value} to i64") if floating else value

    def _load(self, address: Value, width: int, kind: str) -> Value:
        access, group = self.plans[self.here.pc]
        body = self.body
        if access.address.base is None or group.private or group.count > 1 or self.stride is not None:
            return body.value(f"load {kind}, ptr {self.pointer(address, width // 8, Cause.LOAD)}, align 1")
        fits, exits = self._fits(address, access, group), self._exit_here()
        go_on, loaded = body.name("private"), body.name("loaded")
        theirs = self._read_only(address, access, group, fits, go_on, exits)
        place = body.value(f"getelementptr i8, ptr {theirs}, i64 {address}")
        other = body.value(f"load {kind}, ptr {place}, align 1")
        shared = body.block
        body.line(f"br label %{loaded}")
        body.label(go_on)
        distance = body.value(f"add i64 {address}, {self.layout.displacement}")
        usual = body.value(f"load {kind}, ptr {body.value(f'getelementptr i8, ptr %ctx, i64 {distance}')}, align 1")
        body.line(f"br label %{loaded}")
        body.label(loaded)
        return body.value(f"phi {kind} [ {usual}, %{go_on} ], [ {other}, %{shared} ]")

    def _fixed(self, access: Access) -> Value:
        """A constant address: decided now."""
        low = access.address.distance
        high, body = low + access.size, self.body
        if self.layout.private(low, high):
            return body.value(f"getelementptr i8, ptr %ctx, i64 {low + self.layout.displacement}")
        if not access.writes and self.layout.read_only(low, high):
            start = body.value(f"inttoptr i64 {self._space('read_only')} to ptr")
            return body.value(f"getelementptr i8, ptr {start}, i64 {low - self.layout.image.ro_start}")
        self.trap(int(Cause.LOAD), "0", None)
        return "%ctx"

    def _check(self, address: Value, access: Access, group: Group) -> None:
        """The check of a group, in private memory; loads may also all lie in the read-only bytes."""
        body = self.body
        fits, exits, go_on = self._fits(address, access, group), self._exit_here(), body.name("private")
        if group.private:
            body.branch(fits, go_on, exits, likely=True)
            body.label(go_on)
            return
        here = body.block
        mine = body.value(f"getelementptr i8, ptr %ctx, i64 {self.layout.displacement}")
        theirs = self._read_only(address, access, group, fits, go_on, exits)
        shared = body.block
        body.line(f"br label %{go_on}")
        body.label(go_on)
        self.deltas[group.first] = body.value(f"phi ptr [ {mine}, %{here} ], [ {theirs}, %{shared} ]")

    def _fits(self, address: Value, access: Access, group: Group) -> Value:
        """Whether a group lies in private memory."""
        offset = group.low - signed(access.address.distance) - self.layout.image.private_start
        return self._within(address, offset, self.layout.private_size - group.span)

    def _read_only(self, address: Value, access: Access, group: Group, fits: Value, go_on: str, exits: str) -> Value:
        """Where a group is not private: the distance of the read-only bytes from the guest's addresses, as a ptr."""
        body, image = self.body, self.layout.image
        other, shared = body.name("other"), body.name("shared")
        body.branch(fits, go_on, other, likely=True)
        body.label(other)
        offset = group.low - signed(access.address.distance) - image.ro_start
        body.branch(self._within(address, offset, len(image.read_only) - group.span), shared, exits)
        body.label(shared)
        start = body.value(f"inttoptr i64 {self._space('read_only')} to ptr")
        return body.value(f"getelementptr i8, ptr {start}, i64 {-image.ro_start}")

    def _within(self, address: Value, offset: int, room: int) -> Value:
        """Whether `address + offset` is at most `room`, unsigned."""
        if room < 0:
            return "false"
        moved = self.body.value(f"add i64 {address}, {offset}")
        return self.body.value(f"icmp ult i64 {moved}, {room + 1}")
