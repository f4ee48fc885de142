"""A unit's accesses under a virtual MMU: where the page of each is, by its window, its entry or a call.

A group is looked up once, by three comparisons of which usually the first holds:

    (base + lowest - home_start)  <u  home_room                             then it is where flat memory would be
    (base + lowest - ro_start)  <u  ro_size - span + 1                      then the read-only bytes', for loads
    (base + highest - 1) & -4096  ==  tag of the entry for base + lowest    then the entry's addend

Where a group of several is at home, all is as in flat memory; where it is not, the rest of its block is there once more
(`again_here`), in which each access can be somewhere else. An access alone is written twice. So code whose memory is at
home bears nothing but the comparison.

Spans above `HOME_SLACK` + 1 take from the room what they have more, saturating.

The entry's comparison also says that the group crosses no page: the next page has another entry, as there are two at
least. A group that none of them covers is looked up access by access, by `denali_find`; what that does not know leaves
for the interpreter. All fields are read anew after whatever may have changed them, as they are read from memory and
only within one block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..context import CONTEXT, ENTRY, HOME_SLACK, TLB
from ..definitions.record import Cause
from ..image import PAGE
from ..interpreter.paged import ENTRY_BITS, NOWHERE, PAGE_BITS, find, in_page, right_offset
from .bounds import Access, Group
from .emit import Value, field_offset
from .flat import Home
from .registers import TLB_TAG
from .values import signed

if TYPE_CHECKING:
    from .accesses import Accesses, Load

INVARIANT = ", !invariant.load !15"
TLB_FIELD = field_offset(CONTEXT, "tlb")
NONE = f"inttoptr (i64 {NOWHERE} to ptr)"


class PagedMemory:
    """The guest's virtual MMU is on."""

    def __init__(self, unit: Accesses) -> None:
        self.unit, self.body, self.layout = unit, unit.body, unit.layout
        self.deltas: dict[int, Value] = {}
        self.homes: dict[int, Value] = {}
        self.at_home = True  # groups are tried there first

    def _elsewhere(self) -> PagedMemory:
        """For the rest of a block where a group is not at home: what is known of the groups before it stays."""
        other = PagedMemory(self.unit)
        other.deltas, other.homes, other.at_home = dict(self.deltas), dict(self.homes), False
        return other

    def prologue(self) -> None:
        """Nothing has to be known."""

    def begin(self) -> None:
        """Begin a block."""
        # By group the addend as a ptr, or `NONE`; nothing where it is at home. In masked code not the addend but the
        # host address of the group's lowest byte, null if that was only guessed; where it is at home, in `homes`.
        self.deltas, self.homes = {}, {}
        self.at_home = True

    def private(self, address: Value, low: int, high: int) -> Value:
        """Nothing can: what is bound may change."""
        return "false"

    def home(self, address: Value) -> Home:
        """Memory at its own place, or the window."""
        body, names = self.body, ("start", "size", "addend")
        start, room = self._context("home_start"), self._context("home_room")
        if body.masked:  # a choice is as good as a branch
            return Home(start, room, self._at(self._own_place(), address))
        near = body.value(f"icmp ult i64 {body.value(f'sub i64 {address}, {start}')}, {room}")
        far = [self._field(f"window_{name}", "ptr" if name == "addend" else "i64") for name in names]
        pairs = zip(("i64", "i64", "ptr"), (start, room, self._own_place()), far, strict=True)
        chosen = [body.value(f"select i1 {near}, {kind} {a}, {kind} {b}") for kind, a, b in pairs]
        return Home(chosen[0], chosen[1], self._at(chosen[2], address))

    def _own_place(self) -> Value:
        """The addend of private memory at its own place, as a ptr."""
        return self._at("%ctx", str(self.layout.displacement))

    def _context(self, name: str) -> Value:
        """What CONTEXT says of the guest's bindings."""
        return self.body.value(f"load i64, ptr {self._at('%ctx', str(field_offset(CONTEXT, name)))}{TLB_TAG}")

    def load(self, address: Value, load: Load) -> Value:
        """A load."""
        ways = self._each_way(address, lambda place: load.read(self.body, place))
        values = ", ".join(f"[ {value}, %{block} ]" for value, block in ways)
        return self.body.value(f"phi i64 {values}") if len(ways) > 1 else str(ways[0][0])

    def store(self, address: Value, width: int, value: Value) -> None:
        """A store."""
        self._each_way(address, lambda place: self.body.line(f"store i{width} {value}, ptr {place}, align 1"))

    def _each_way(self, address: Value, do: Callable[[Value], Value | None]) -> list[tuple[Value | None, str]]:
        """Do the current instruction's access; one alone twice, at home and not. What that gave, in which block."""
        access, group = self.unit.planned()
        if access.address.base is None or group.count > 1:
            return [(do(self.pointer(address)), self.body.block)]
        body, done, away = self.body, self.body.name("done"), self._if_home(address, group)
        ways = [(do(self._at_home(address, access, group)), body.block)]
        body.line(f"br label %{done}")
        body.label(away)
        place = self._access(self._look_up(address, access, group), address, access, group)
        ways.append((do(place), body.block))
        body.line(f"br label %{done}")
        body.label(done)
        return ways

    def pointer(self, address: Value) -> Value:
        """The host address, by the addend of its group or by its own."""
        access, group = self.unit.planned()
        if access.address.base is None:
            return self._fixed(access)
        if group.first == access.pc and not self._stays_home(address, access, group):
            self.deltas[group.first] = self._look_up(address, access, group, home=True)
        if group.first not in self.deltas:
            return self._at_home(address, access, group)
        delta = self.deltas[group.first]
        delta = delta if group.count == 1 else self._own(delta, address, access, group)
        return self._access(delta, address, access, group)

    def _access(self, delta: Value, address: Value, access: Access, group: Group) -> Value:
        """The host address of an access by what its group keeps."""
        return self._at(delta, str(signed(access.address.distance) - group.low) if self.body.masked else address)

    def _at_home(self, address: Value, access: Access, group: Group) -> Value:
        """The host address of an access in a group that is at home."""
        if not self.body.masked:
            return self._near(address)
        return self._access(self.homes[group.first], address, access, group)

    def _stays_home(self, address: Value, access: Access, group: Group) -> bool:
        """Whether a group is at home in what is written now, because where it is not something else is written."""
        again = self.unit.again_here(self._elsewhere()) if self.at_home and group.count > 1 else None
        if again is None:
            return False
        near = self.body.name("home")
        low = self._moved(address, group.low - signed(access.address.distance))
        self.body.branch(self._is_home(low, group), near, again, likely=True)
        self.body.label(near)
        self._keep_home(low, group)
        return True

    def _keep_home(self, low: Value, group: Group) -> None:
        if self.body.masked:
            self.homes[group.first] = self._masked_home(low, group)

    def _masked_home(self, low: Value, group: Group) -> Value:
        base = self._at(self._own_place(), self._context("home_start"))
        return self.body.kept(*self._in_home(low, group), base)

    def _if_home(self, address: Value, group: Group) -> str:
        """Begin a block for an access alone that is at home; the label of what to do where it is not."""
        near, away = self.body.name("home"), self.body.name("away")
        self.body.branch(self._is_home(address, group), near, away, likely=True)
        self.body.label(near)
        self._keep_home(address, group)
        return away

    def _near(self, address: Value) -> Value:
        """The host address of private memory at its own place."""
        return self._at("%ctx", self.body.value(f"add i64 {address}, {self.layout.displacement}"))

    def _at(self, delta: Value, address: Value) -> Value:
        return self.body.value(f"getelementptr i8, ptr {delta}, i64 {address}")

    def _fixed(self, access: Access) -> Value:
        """A constant address: of the image's read-only bytes it is known where they are."""
        low = access.address.distance
        if not access.writes and self.layout.read_only(low, low + access.size):
            return self._at(self.unit.read_only(), str(low))
        ends = {"low": signed(low), "high": signed(low) + access.size}
        alone = Group(access.pc, self.unit.block.pc, **ends, private=access.writes, count=1, writes=access.writes)
        return self._access(self._look_up(str(low), access, alone, home=True), str(low), access, alone)

    def _own(self, delta: Value, address: Value, access: Access, group: Group) -> Value:
        """What is kept for one access, where its group has nothing."""
        body = self.body
        apart, here, go_on = body.name("apart"), body.block, body.name("placed")
        body.branch(body.value(f"icmp eq ptr {delta}, {NONE}"), apart, go_on, likely=False)
        body.label(apart)
        own, origin = self._find(address, access, group)
        body.line(f"br label %{go_on}")
        body.label(go_on)
        return body.value(f"phi ptr [ {delta}, %{here} ], [ {own}, %{origin} ]")

    def _find(self, address: Value, access: Access, group: Group) -> tuple[Value, str]:
        """Call `denali_find` for one access, leave if it knows nothing; what is kept, and the block it is in."""
        body, found = self.body, self.body.name("found")
        address = body.opaque(address) if body.masked else address
        addend = find(body, "%ctx", address, access.size, Cause.MISS_WRITE if access.writes else Cause.MISS_READ)
        body.branch(body.value(f"icmp eq i64 {addend}, {NOWHERE}"), self.unit.exit_here(), found, likely=False)
        body.label(found)
        if body.masked:
            addend = body.opaque(addend)
        delta = body.value(f"inttoptr i64 {addend} to ptr")
        if body.masked:
            low = self._moved(address, group.low - signed(access.address.distance))
            delta = body.kept("0", body.value(f"xor i64 {addend}, {NOWHERE}"), self._at(delta, low))
        return delta, found

    def _look_up(self, address: Value, access: Access, group: Group, *, home: bool = False) -> Value:
        """What a group keeps; of one that is more than an access `NONE`, where it has no addend as a whole."""
        body = self.body
        low = self._moved(address, group.low - signed(access.address.distance))
        done, ways = body.name("looked_up"), list[tuple[Value, str]]()
        if home:
            own = self._masked_home(low, group) if body.masked else self._own_place()
            self._try(own, self._is_home(low, group), done, ways, likely=True)
        if not group.private:
            self._try_read_only(low, group, done, ways)
        self._try_entry(low, group, done, ways)
        ways.append(self._find(address, access, group) if group.count == 1 else (NONE, body.block))
        body.line(f"br label %{done}")
        body.label(done)
        return body.value("phi ptr " + ", ".join(f"[ {value}, %{block} ]" for value, block in ways))

    def _moved(self, address: Value, distance: int) -> Value:
        return self.body.value(f"add i64 {address}, {distance}") if distance else address

    def _tlb(self) -> Value:
        """The TLB, asked for where it is needed; what is known of it lets LLVM read its header before a loop."""
        known = f"{INVARIANT}, !nonnull !15, !noundef !15, !dereferenceable !22, !align !23"
        return self.body.value(f"load ptr, ptr {self._at('%ctx', str(TLB_FIELD))}{known}")

    def _field(self, name: str, kind: str = "i64", tag: str = TLB_TAG) -> Value:
        return self.body.value(f"load {kind}, ptr {self._at(self._tlb(), str(field_offset(TLB, name)))}{tag}")

    def _try(self, addend: Value, when: Value, done: str, ways: list[tuple[Value, str]], *, likely: bool) -> None:
        """Be done with this addend if `when`, else go on."""
        other = self.body.name("other")
        ways.append((addend, self.body.block))
        self.body.branch(when, done, other, likely=likely or None)
        self.body.label(other)

    def _is_home(self, low: Value, group: Group) -> Value:
        """Whether a group lies in private memory at its own place that can be read and written."""
        offset, room = self._in_home(low, group)
        return self.body.value(f"icmp ult i64 {offset}, {room}")

    def _in_home(self, low: Value, group: Group) -> tuple[Value, Value]:
        """It does where the first of these is less than the second, unsigned."""
        body = self.body
        offset, room = body.value(f"sub i64 {low}, {self._context('home_start')}"), self._context("home_room")
        if group.span > HOME_SLACK + 1:
            room = body.call("i64 @llvm.usub.sat.i64(i64, i64)", f"i64 {room}, i64 {group.span - HOME_SLACK - 1}")
        return offset, room

    def _try_entry(self, low: Value, group: Group, done: str, ways: list[tuple[Value, str]]) -> None:
        body = self.body
        mask = body.value(f"shl i64 {self._field('mask', tag=INVARIANT)}, {ENTRY_BITS}")
        page = body.value(f"lshr i64 {low}, {PAGE_BITS - ENTRY_BITS}")
        entry = body.value(f"getelementptr i8, ptr {self._tlb()}, i64 {body.value(f'and i64 {page}, {mask}')}")
        need = right_offset(Cause.MISS_WRITE if group.writes else Cause.MISS_READ)
        place = body.value(f"getelementptr i8, ptr {entry}, i64 {TLB.itemsize + need}")
        tag = body.value(f"load i64, ptr {place}{TLB_TAG}")
        there = body.value(f"getelementptr i8, ptr {entry}, i64 {TLB.itemsize + field_offset(ENTRY, 'addend')}")
        addend = body.value(f"load ptr, ptr {there}{TLB_TAG}")
        last = body.value(f"and i64 {self._moved(low, group.span - 1)}, -{PAGE}")
        if body.masked:
            page = body.opaque(tag)
            addend = body.kept(in_page(body, low, page), PAGE + 1 - group.span, self._at(addend, page))
        self._try(addend, body.value(f"icmp eq i64 {last}, {tag}"), done, ways, likely=False)

    def _try_read_only(self, low: Value, group: Group, done: str, ways: list[tuple[Value, str]]) -> None:
        body, image = self.body, self.layout.image
        room = len(image.read_only) - group.span
        if room < 0:
            return
        theirs, offset = self.unit.read_only(), self._moved(low, -image.ro_start)
        if body.masked:
            theirs = body.kept(offset, room + 1, theirs, image.ro_start)
        self._try(theirs, body.value(f"icmp ult i64 {offset}, {room + 1}"), done, ways, likely=False)
