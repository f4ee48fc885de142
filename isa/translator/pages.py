"""A unit's accesses under a virtual MMU: where the page of each is, by its window, its entry or a call.

A group is looked up once, by three comparisons of which usually the first holds:

    (base + lowest - home_start)  <u  home_room                             then it is where flat memory would be
    (base + lowest - ro_start)  <u  ro_size - span + 1                      then the read-only bytes', for loads
    (base + highest - 1) & -4096  ==  tag of the entry for base + lowest    then the entry's addend

Spans above `HOME_SLACK` + 1 take from the room what they have more, saturating.

The entry's comparison also says that the group crosses no page: the next page has another entry, as there are two at
least. A group that none of them covers is looked up access by access, by `denali_find`; what that does not know leaves
for the interpreter. All fields are read anew after whatever may have changed them, as they are read from memory and
only within one block.
"""

from __future__ import annotations

from ..context import CONTEXT, ENTRY, HOME_SLACK, TLB
from ..definitions.record import Cause
from ..image import PAGE
from ..interpreter.paged import ENTRY_BITS, NOWHERE, PAGE_BITS, find, right_offset
from .bounds import Access, Group
from .emit import Value, field_offset
from .flat import Home, Writer
from .registers import TLB_TAG
from .values import signed

INVARIANT = ", !invariant.load !15"
TLB_FIELD = field_offset(CONTEXT, "tlb")
NONE = f"inttoptr (i64 {NOWHERE} to ptr)"


class PagedMemory:
    """The guest's virtual MMU is on."""

    def __init__(self, unit: Writer) -> None:
        self.unit, self.body, self.layout = unit, unit.body, unit.layout
        self.deltas: dict[int, Value] = {}

    def prologue(self) -> None:
        """Begin a unit: what is known of the TLB here lets LLVM read its header before a loop."""
        known = f"{INVARIANT}, !nonnull !15, !noundef !15, !dereferenceable !22, !align !23"
        place = self.body.value(f"getelementptr i8, ptr %ctx, i64 {TLB_FIELD}")
        self.body.line(f"%tlb = load ptr, ptr {place}{known}")

    def begin(self) -> None:
        """Begin a block."""
        self.deltas = {}  # by group: the addend as a ptr, or `NONE`

    def home(self, address: Value) -> Home:
        """Memory at its own place, or the window."""
        body, names = self.body, ("start", "size", "addend")
        start, room = self._context("home_start"), self._context("home_room")
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

    def load(self, address: Value, width: int, kind: str) -> Value:
        """A load."""
        return self.body.value(f"load {kind}, ptr {self.pointer(address, width // 8, Cause.LOAD)}, align 1")

    def pointer(self, address: Value, size: int, cause: Cause) -> Value:
        """The host address, by the addend of its group or by its own."""
        access, group = self.unit.planned()
        if access.address.base is None:
            return self._fixed(access)
        if group.count == 1:
            delta = self._look_up(address, access, group)
        else:
            if group.first == access.pc:
                self.deltas[group.first] = self._look_up(address, access, group)
            delta = self._own(self.deltas[group.first], address, access)
        return self._at(delta, address)

    def _at(self, delta: Value, address: Value) -> Value:
        return self.body.value(f"getelementptr i8, ptr {delta}, i64 {address}")

    def _fixed(self, access: Access) -> Value:
        """A constant address: of the image's read-only bytes it is known where they are."""
        low = access.address.distance
        if not access.writes and self.layout.read_only(low, low + access.size):
            start = self.body.value(f"inttoptr i64 {self.unit.space('read_only')} to ptr")
            return self._at(start, str(low - self.layout.image.ro_start))
        alone = Group(access.pc, signed(low), signed(low) + access.size, access.writes, 1, access.writes)
        return self._at(self._look_up(str(low), access, alone), str(low))

    def _own(self, delta: Value, address: Value, access: Access) -> Value:
        """The addend of one access, where its group has none."""
        body = self.body
        apart, here, go_on = body.name("apart"), body.block, body.name("placed")
        body.branch(body.value(f"icmp eq ptr {delta}, {NONE}"), apart, go_on, likely=False)
        body.label(apart)
        own, origin = self._find(address, access)
        body.line(f"br label %{go_on}")
        body.label(go_on)
        return body.value(f"phi ptr [ {delta}, %{here} ], [ {own}, %{origin} ]")

    def _find(self, address: Value, access: Access) -> tuple[Value, str]:
        """Call `denali_find` for one access, leave if it knows nothing; the addend, and the block it is in."""
        body, found = self.body, self.body.name("found")
        addend = find(body, "%ctx", address, access.size, Cause.MISS_WRITE if access.writes else Cause.MISS_READ)
        body.branch(body.value(f"icmp eq i64 {addend}, {NOWHERE}"), self.unit.exit_here(), found, likely=False)
        body.label(found)
        return body.value(f"inttoptr i64 {addend} to ptr"), found

    def _look_up(self, address: Value, access: Access, group: Group) -> Value:
        """The addend of a group; of one that is more than an access `NONE`, where it has none as a whole."""
        body = self.body
        low = self._moved(address, group.low - signed(access.address.distance))
        done, ways = body.name("looked_up"), list[tuple[Value, str]]()
        self._try_home(low, group, done, ways)
        if not group.private:
            self._try_read_only(low, group, done, ways)
        self._try_entry(low, group, done, ways)
        ways.append(self._find(address, access) if group.count == 1 else (NONE, body.block))
        body.line(f"br label %{done}")
        body.label(done)
        return body.value("phi ptr " + ", ".join(f"[ {value}, %{block} ]" for value, block in ways))

    def _moved(self, address: Value, distance: int) -> Value:
        return self.body.value(f"add i64 {address}, {distance}") if distance else address

    def _field(self, name: str, kind: str = "i64", tag: str = TLB_TAG) -> Value:
        place = self.body.value(f"getelementptr i8, ptr %tlb, i64 {field_offset(TLB, name)}")
        return self.body.value(f"load {kind}, ptr {place}{tag}")

    def _try(self, addend: Value, when: Value, done: str, ways: list[tuple[Value, str]], *, likely: bool) -> None:
        """Be done with this addend if `when`, else go on."""
        other = self.body.name("other")
        ways.append((addend, self.body.block))
        self.body.branch(when, done, other, likely=likely or None)
        self.body.label(other)

    def _try_home(self, low: Value, group: Group, done: str, ways: list[tuple[Value, str]]) -> None:
        body, place = self.body, self._own_place()
        offset, room = body.value(f"sub i64 {low}, {self._context('home_start')}"), self._context("home_room")
        if group.span > HOME_SLACK + 1:
            room = body.call("i64 @llvm.usub.sat.i64(i64, i64)", f"i64 {room}, i64 {group.span - HOME_SLACK - 1}")
        self._try(place, body.value(f"icmp ult i64 {offset}, {room}"), done, ways, likely=True)

    def _try_entry(self, low: Value, group: Group, done: str, ways: list[tuple[Value, str]]) -> None:
        body = self.body
        mask = body.value(f"shl i64 {self._field('mask', tag=INVARIANT)}, {ENTRY_BITS}")
        page = body.value(f"lshr i64 {low}, {PAGE_BITS - ENTRY_BITS}")
        entry = body.value(f"getelementptr i8, ptr %tlb, i64 {body.value(f'and i64 {page}, {mask}')}")
        need = right_offset(Cause.MISS_WRITE if group.writes else Cause.MISS_READ)
        place = body.value(f"getelementptr i8, ptr {entry}, i64 {TLB.itemsize + need}")
        tag = body.value(f"load i64, ptr {place}{TLB_TAG}")
        there = body.value(f"getelementptr i8, ptr {entry}, i64 {TLB.itemsize + field_offset(ENTRY, 'addend')}")
        addend = body.value(f"load ptr, ptr {there}{TLB_TAG}")
        last = body.value(f"and i64 {self._moved(low, group.span - 1)}, -{PAGE}")
        self._try(addend, body.value(f"icmp eq i64 {last}, {tag}"), done, ways, likely=False)

    def _try_read_only(self, low: Value, group: Group, done: str, ways: list[tuple[Value, str]]) -> None:
        body, image = self.body, self.layout.image
        room = len(image.read_only) - group.span
        if room < 0:
            return
        start = body.value(f"inttoptr i64 {self.unit.space('read_only')} to ptr")
        theirs = body.value(f"getelementptr i8, ptr {start}, i64 {-image.ro_start}")
        offset = self._moved(low, -image.ro_start)
        self._try(theirs, body.value(f"icmp ult i64 {offset}, {room + 1}"), done, ways, likely=False)
