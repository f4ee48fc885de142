"""A unit's accesses to flat memory: each confined by a check of its own or by that of its group."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..context import CONTEXT
from ..definitions.record import Cause
from .bounds import Access, Group
from .emit import Body, Value
from .frame import Layout
from .loops import STACK
from .units import Block, Function, Located
from .values import signed

if TYPE_CHECKING:
    from .accesses import Realisation


OF_STACK = 0, 0  # the key of the stack's group, which has no first access


class Home(NamedTuple):
    """Guest memory that one check covers: all of it can be read and written."""

    start: Value
    size: Value
    place: Value  # of the address that was asked for, if it is in there


class Writer(Protocol):
    """The writer of a unit, as a realisation of memory sees it."""

    body: Body
    layout: Layout
    function: Function
    here: Located
    block: Block
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
        self.theirs: Value = ""
        # By group what an access is at: the distance of the region that its check found plus the guest's address; of
        # masked code the host address of its lowest byte, null if the check was only guessed, plus the distance to it.
        self.deltas: dict[tuple[int, int], Value] = {}

    def prologue(self) -> None:
        """The distance of private memory, in one register wherever a check chooses between regions."""
        place = self.body.value(f"getelementptr i8, ptr %ctx, i64 {self.layout.displacement}")
        self.body.line(f'%own = call ptr asm "", "=r,0"(ptr {place})')
        if self.unit.function.joints:  # the same for the read-only bytes, where all cases look for operations
            self.body.line(f'%theirs = call ptr asm "", "=r,0"(ptr {self._shared()})')
            self.theirs = "%theirs"

    def begin(self) -> None:
        """Begin a block; what has been checked before it stays so."""

    def pointer(self, address: Value, size: int, cause: Cause) -> Value:
        """The host address, checked with the group of this access."""
        access, group = self.unit.planned()
        if access.address.base is None:
            return self._fixed(access)
        key, low = (group.block, group.first), group.low
        if access.address.base == STACK and self.unit.stack is not None:
            key, low = OF_STACK, self.unit.stack[0]
        elif key == (self.unit.block.pc, access.pc):
            self._check(address, access, group)
        delta = self.deltas.get(key)
        if delta is None:
            return self._place(address)
        distance = signed(access.address.distance) - low if self.body.masked else address
        return self.body.value(f"getelementptr i8, ptr {delta}, i64 {distance}")

    def _shared(self) -> Value:
        """The distance of the read-only bytes."""
        start = self.body.value(f"inttoptr i64 {self.unit.space('read_only')} to ptr")
        return self.body.value(f"getelementptr i8, ptr {start}, i64 {-self.layout.image.ro_start}")

    def _place(self, address: Value) -> Value:
        distance = self.body.value(f"add i64 {address}, {self.layout.displacement}")
        return self.body.value(f"getelementptr i8, ptr %ctx, i64 {distance}")

    def private(self, address: Value, low: int, high: int) -> Value:
        """Whether [address + low, address + high) lies in private memory; then it is the stack's group."""
        if self.body.masked:
            self.deltas[OF_STACK] = self._masked(address, low, high - low)
        offset = low - self.layout.image.private_start
        return self._within(address, offset, self.layout.private_size - (high - low))

    def home(self, address: Value) -> Home:
        """Private memory."""
        start, size = self.layout.image.private_start, self.layout.private_size
        return Home(str(start), str(size), self._place(address))

    def load(self, address: Value, width: int, kind: str) -> Value:
        """A load."""
        return self.body.value(f"load {kind}, ptr {self.pointer(address, width // 8, Cause.LOAD)}, align 1")

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
        body, go_on, exits = self.body, self.body.name("checked"), self.unit.exit_here()
        private, low = self._fits(address, access, group), group.low - signed(access.address.distance)
        key = group.block, group.first
        if group.private:
            body.branch(private, go_on, exits, likely=True)
            body.label(go_on)
            if body.masked:
                self.deltas[key] = self._masked(address, low, group.span)
            return
        mine, theirs = "%own", "" if body.masked else self.theirs or self._shared()
        first, second = (private, mine, False), (self._fits_shared(address, access, group), theirs, True)
        if access.pc in self.layout.shared:
            first, second = second, first
        here, other, also = body.block, body.name("other"), body.name("also")
        usual = self._masked(address, low, group.span, shared=first[2]) if body.masked else first[1]
        body.branch(first[0], go_on, other, likely=True)
        body.label(other)
        body.branch(second[0], also, exits)
        body.label(also)
        rare = self._masked(address, low, group.span, shared=second[2]) if body.masked else second[1]
        body.line(f"br label %{go_on}")
        body.label(go_on)
        self.deltas[key] = body.value(f"phi ptr [ {usual}, %{here} ], [ {rare}, %{also} ]")

    def _masked(self, address: Value, low: int, span: int, *, shared: bool = False) -> Value:
        """The host address of the first of `span` bytes from `address + low` on, null unless all lie in a region."""
        image = self.layout.image
        start, size = (
            (image.ro_start, len(image.read_only)) if shared else (image.private_start, self.layout.private_size)
        )
        base, behind = "%ctx", CONTEXT.itemsize
        if shared:
            base, behind = self.body.value(f"inttoptr i64 {self.unit.space('read_only')} to ptr"), 0
        offset = self.body.value(f"add i64 {address}, {low - start}")
        return self.body.kept(offset, max(size - span + 1, 0), base, behind)

    def _fits(self, address: Value, access: Access, group: Group) -> Value:
        """Whether a group lies in private memory."""
        offset = group.low - signed(access.address.distance) - self.layout.image.private_start
        return self._within(address, offset, self.layout.private_size - group.span)

    def _fits_shared(self, address: Value, access: Access, group: Group) -> Value:
        """Whether it lies in the read-only bytes."""
        image = self.layout.image
        offset = group.low - signed(access.address.distance) - image.ro_start
        return self._within(address, offset, len(image.read_only) - group.span)

    def _within(self, address: Value, offset: int, room: int) -> Value:
        """Whether `address + offset` is at most `room`, unsigned."""
        if room < 0:
            return "false"
        moved = self.body.value(f"add i64 {address}, {offset}")
        return self.body.value(f"icmp ult i64 {moved}, {room + 1}")
