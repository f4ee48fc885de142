"""A unit's accesses to flat memory: each confined by a check of its own or by that of its group."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..definitions.record import Cause
from .bounds import Access, Group
from .emit import Body, Value
from .frame import Layout
from .loops import STACK
from .units import Located
from .values import signed

if TYPE_CHECKING:
    from .accesses import Realisation


class Home(NamedTuple):
    """Guest memory that one check covers: all of it can be read and written."""

    start: Value
    size: Value
    place: Value  # of the address that was asked for, if it is in there


class Writer(Protocol):
    """The writer of a unit, as a realisation of memory sees it."""

    body: Body
    layout: Layout
    here: Located
    stack: tuple[int, int] | None  # what lies there, from the stack pointer as the unit found it, is private memory

    def planned(self) -> tuple[Access, Group]:
        """The access of the current instruction and the group that it belongs to."""
        ...

    def again_here(self, memory: Realisation) -> str | None:
        """The label of a cold block that does the rest of this block otherwise; None where that would be too much."""
        ...

    def exit_here(self) -> str:
        """The label of a cold block that leaves before the current instruction, which the interpreter executes."""
        ...

    def space(self, name: str) -> Value:
        """A 64-bit field of the space, which never changes."""
        ...

    def trap(self, cause: int, value: Value, when: Value | None) -> None:
        """Leave if `when`."""
        ...


class FlatMemory:
    """Everything is at its own address: private memory, or the image's read-only bytes."""

    def __init__(self, unit: Writer) -> None:
        self.unit, self.body, self.layout = unit, unit.body, unit.layout
        self.deltas: dict[int, Value] = {}

    def prologue(self) -> None:
        """Nothing has to be known."""

    def begin(self) -> None:
        """Begin a block."""
        self.deltas = {}  # by group: the distance of the region that the check found, as a ptr

    def pointer(self, address: Value, size: int, cause: Cause) -> Value:
        """The host address, checked with the group of this access."""
        access, group = self.unit.planned()
        if access.address.base is None:
            return self._fixed(access)
        if access.address.base == STACK and self.unit.stack is not None:
            return self._place(address)
        if group.first == self.unit.here.pc:
            self._check(address, access, group)
        delta = self.deltas.get(group.first)
        if delta is not None:
            return self.body.value(f"getelementptr i8, ptr {delta}, i64 {address}")
        return self._place(address)

    def _place(self, address: Value) -> Value:
        distance = self.body.value(f"add i64 {address}, {self.layout.displacement}")
        return self.body.value(f"getelementptr i8, ptr %ctx, i64 {distance}")

    def private(self, address: Value, low: int, high: int) -> Value:
        """Whether [address + low, address + high) lies in private memory."""
        offset = low - self.layout.image.private_start
        return self._within(address, offset, self.layout.private_size - (high - low))

    def home(self, address: Value) -> Home:
        """Private memory."""
        start, size = self.layout.image.private_start, self.layout.private_size
        return Home(str(start), str(size), self._place(address))

    def load(self, address: Value, width: int, kind: str) -> Value:
        """A load. One that is alone in its group is done in each region apart, so that the usual one stays simple."""
        access, group = self.unit.planned()
        body = self.body
        if access.address.base is None or group.private or group.count > 1:
            return body.value(f"load {kind}, ptr {self.pointer(address, width // 8, Cause.LOAD)}, align 1")
        fits, exits = self._fits(address, access, group), self.unit.exit_here()
        go_on, loaded = body.name("private"), body.name("loaded")
        theirs = self._read_only(address, access, group, fits, go_on, exits)
        place = body.value(f"getelementptr i8, ptr {theirs}, i64 {address}")
        other = body.value(f"load {kind}, ptr {place}, align 1")
        shared = body.block
        body.line(f"br label %{loaded}")
        body.label(go_on)
        usual = body.value(f"load {kind}, ptr {self._place(address)}, align 1")
        body.line(f"br label %{loaded}")
        body.label(loaded)
        return body.value(f"phi {kind} [ {usual}, %{go_on} ], [ {other}, %{shared} ]")

    def store(self, address: Value, width: int, value: Value) -> None:
        """A store."""
        self.body.line(f"store i{width} {value}, ptr {self.pointer(address, width // 8, Cause.STORE)}, align 1")

    def _fixed(self, access: Access) -> Value:
        """A constant address: decided now."""
        low = access.address.distance
        high, body = low + access.size, self.body
        if self.layout.private(low, high):
            return body.value(f"getelementptr i8, ptr %ctx, i64 {low + self.layout.displacement}")
        if not access.writes and self.layout.read_only(low, high):
            start = body.value(f"inttoptr i64 {self.unit.space('read_only')} to ptr")
            return body.value(f"getelementptr i8, ptr {start}, i64 {low - self.layout.image.ro_start}")
        self.unit.trap(int(Cause.LOAD), "0", None)
        return "%ctx"

    def _check(self, address: Value, access: Access, group: Group) -> None:
        """The check of a group, in private memory; loads may also all lie in the read-only bytes."""
        body = self.body
        fits, exits, go_on = self._fits(address, access, group), self.unit.exit_here(), body.name("private")
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
        start = body.value(f"inttoptr i64 {self.unit.space('read_only')} to ptr")
        return body.value(f"getelementptr i8, ptr {start}, i64 {-image.ro_start}")

    def _within(self, address: Value, offset: int, room: int) -> Value:
        """Whether `address + offset` is at most `room`, unsigned."""
        if room < 0:
            return "false"
        moved = self.body.value(f"add i64 {address}, {offset}")
        return self.body.value(f"icmp ult i64 {moved}, {room + 1}")
