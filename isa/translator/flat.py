"""A unit's accesses to flat memory: each confined by a check of its own or by that of its group."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..context import CONTEXT
from ..definitions.record import Cause
from .bounds import Access, Group
from .emit import Value
from .loops import STACK
from .values import signed

if TYPE_CHECKING:
    from .accesses import Accesses, Load


OF_STACK = 0, 0  # the key of the stack's group, which has no first access


class Home(NamedTuple):
    """Guest memory that one check covers: all of it can be read and written."""

    start: Value
    size: Value
    place: Value  # of the address that was asked for, if it is in there


class FlatMemory:
    """Everything is at its own address: private memory, or the image's read-only bytes."""

    def __init__(self, unit: Accesses) -> None:
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
            self.body.line(f'%theirs = call ptr asm "", "=r,0"(ptr {self.unit.read_only()})')
            self.theirs = "%theirs"

    def begin(self) -> None:
        """Begin a block; what has been checked before it stays so."""

    def pointer(self, address: Value) -> Value:
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

    def _place(self, address: Value) -> Value:
        """The host address in private memory."""
        return self._at("%ctx", address, self.layout.displacement)

    def _at(self, base: Value, address: Value, distance: int = 0) -> Value:
        """A host address, with an index that the guest multiplied left to the host's instruction."""
        body, scaled, moved = self.body, self.body.scaled.get(address), str(distance)
        for value in [address] if scaled is None else scaled.rest:
            moved = body.value(f"add i64 {value}, {moved}")
        place = body.value(f"getelementptr i8, ptr {base}, i64 {moved}")
        return place if scaled is None else body.value(f"getelementptr {scaled.kind}, ptr {place}, i64 {scaled.index}")

    def private(self, address: Value, low: int, high: int) -> Value:
        """Whether [address + low, address + high) lies in private memory; then it is the stack's group."""
        if self.body.masked:
            self.deltas[OF_STACK] = self._masked(address, low, high - low)
        offset = low - self.layout.image.private_start
        return self._within(address, offset, self.layout.private_size - (high - low))

    def home(self, address: Value) -> Home:
        """Private memory."""
        start, size = self._region(shared=False)
        return Home(str(start), str(size), self._place(address))

    def load(self, address: Value, load: Load) -> Value:
        """A load."""
        access, group = self.unit.planned()
        if group.count == 1 and not group.private and access.address.base is not None:
            return self._either(address, access, group, load)
        return load.read(self.body, self.pointer(address))

    def store(self, address: Value, width: int, value: Value) -> None:
        """A store."""
        self.body.line(f"store i{width} {value}, ptr {self.pointer(address)}, align 1")

    def _fixed(self, access: Access) -> Value:
        """A constant address: decided now."""
        low = access.address.distance
        high, body = low + access.size, self.body
        if self.layout.private(low, high):
            return body.value(f"getelementptr i8, ptr %ctx, i64 {low + self.layout.displacement}")
        if not access.writes and self.layout.read_only(low, high):
            return body.value(f"getelementptr i8, ptr {self.unit.read_only()}, i64 {low}")
        self.unit.trap(int(Cause.LOAD), "0", None)
        return "%ctx"

    def _check(self, address: Value, access: Access, group: Group) -> None:
        """The check of a group, in private memory; loads may also all lie in the read-only bytes."""
        if not group.private:
            self.deltas[group.block, group.first] = self._either(address, access, group, None)
            return
        body, go_on, low = self.body, self.body.name("checked"), group.low - signed(access.address.distance)
        body.branch(self._fits(address, access, group), go_on, self.unit.exit_here(), likely=True)
        body.label(go_on)
        if body.masked:
            self.deltas[group.block, group.first] = self._masked(address, low, group.span)

    def _either(self, address: Value, access: Access, group: Group, load: Load | None) -> Value:
        """The distance of the region that a group lies in; with `load` what its only access loads from there."""
        body, low, found = self.body, group.low - signed(access.address.distance), dict[str, Value]()
        usual, other, rare, go_on = (body.name(hint) for hint in ("usual", "other", "rare", "found"))
        fits = self._fits(address, access, group), self._fits(address, access, group, shared=True)
        shared = access.pc in self.layout.shared
        body.branch(fits[shared], usual, other, likely=True)
        body.label(other)
        body.branch(fits[not shared], rare, self.unit.exit_here())
        for label, where in ((usual, shared), (rare, not shared)):
            body.label(label)
            if body.masked:
                place = self._masked(address, low, group.span, shared=where)
            else:
                place = (self.theirs or self.unit.read_only()) if where else "%own"
                if load:
                    place = self._at(place, address) if where else self._place(address)
            found[label] = load.read(body, place, rarely=label == rare) if load else place
            body.line(f"br label %{go_on}")
        body.label(go_on)
        return body.value(f"phi {'i64' if load else 'ptr'} [ {found[usual]}, %{usual} ], [ {found[rare]}, %{rare} ]")

    def _region(self, *, shared: bool) -> tuple[int, int]:
        """The first guest address of the read-only bytes or of private memory, and their number."""
        image = self.layout.image
        return (image.ro_start, len(image.read_only)) if shared else (image.private_start, self.layout.private_size)

    def _masked(self, address: Value, low: int, span: int, *, shared: bool = False) -> Value:
        """The host address of the first of `span` bytes from `address + low` on, null unless all lie in a region."""
        (start, size), base, behind = self._region(shared=shared), "%ctx", CONTEXT.itemsize
        if shared:
            base, behind = self.unit.read_only(), start
        offset = self.body.value(f"add i64 {address}, {low - start}")
        return self.body.kept(offset, max(size - span + 1, 0), base, behind)

    def _fits(self, address: Value, access: Access, group: Group, *, shared: bool = False) -> Value:
        """Whether a group lies in a region."""
        start, size = self._region(shared=shared)
        return self._within(address, group.low - signed(access.address.distance) - start, size - group.span)

    def _within(self, address: Value, offset: int, room: int) -> Value:
        """Whether `address + offset` is at most `room`, unsigned."""
        if room < 0:
            return "false"
        moved = self.body.value(f"add i64 {address}, {offset}")
        return self.body.value(f"icmp ult i64 {moved}, {room + 1}")
