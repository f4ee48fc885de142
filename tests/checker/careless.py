# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false
"""Translators with one mistake each: a line of the real one is replaced, for the checker to catch.

with mutated(Mutant("off by one", FlatMemory, "_within", "{room + 1}", "{room + 2}")):
    ...  # what is translated here is wrong
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

from denali.isa.translator.accesses import Accesses
from denali.isa.translator.bounds import Planner
from denali.isa.translator.emit import Emitter
from denali.isa.translator.ends import Ends
from denali.isa.translator.flat import FlatMemory
from denali.isa.translator.frame import Frame, Layout
from denali.isa.translator.pages import PagedMemory
from denali.isa.translator.registers import Registers
from denali.isa.translator.strides import Strides
from denali.isa.translator.unit import Unit
from denali.isa.translator.values import Tracker


class Mutant(NamedTuple):
    """What is wrong, where it is, the text that stands there and the text that replaces it."""

    title: str
    owner: Any
    name: str
    old: str
    new: str


@contextmanager
def mutated(mutant: Mutant) -> Generator[None]:
    """Within, the function or method has the mutant's text."""
    before = inspect.getattr_static(mutant.owner, mutant.name)
    function = before.fget if isinstance(before, property) else before
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(mutant.old) >= 1, f"{mutant.title}: {mutant.name} has no {mutant.old!r} any more"
    module = sys.modules[function.__module__]
    names: dict[str, Any] = {}
    exec(
        compile("from __future__ import annotations\n" + source.replace(mutant.old, mutant.new), "<mutant>", "exec"),
        vars(module),
        names,
    )
    setattr(mutant.owner, mutant.name, names[mutant.name])
    try:
        yield
    finally:
        setattr(mutant.owner, mutant.name, before)


def mutants() -> list[Mutant]:
    """The mistakes."""
    from denali.isa.translator import bounds, frame, registers

    within = "icmp ult i64 {moved}, {room + 1}"
    room = "size - group.span"
    return [
        Mutant("no check at all", FlatMemory, "_within", "if room < 0:", 'return "true"\n    if room < 0:'),
        Mutant("one byte too much", FlatMemory, "_within", "{room + 1}", "{room + 2}"),
        Mutant("a signed comparison", FlatMemory, "_within", within, "icmp slt i64 {moved}, {room + 1}"),
        Mutant("a comparison of 32 bits", FlatMemory, "_within", within,
               "icmp ult i32 {self.body.value(f'trunc i64 {moved} to i32')}, {room + 1}"),
        Mutant("the group's span forgotten", FlatMemory, "_fits", room, "size"),
        Mutant("the group's lowest forgotten", FlatMemory, "_fits", "group.low - signed", "0 - signed"),
        Mutant("memory begins a page early", FlatMemory, "_fits", "- start", "- start - 4096"),
        Mutant("read-only bytes without their end", FlatMemory, "_fits", room, f"(1 << 40 if shared else {room})"),
        Mutant("read-only bytes one too many", FlatMemory, "_fits", room, room + " + shared"),
        Mutant("a first region that is not asked for", FlatMemory, "_either", "fits[shared], usual", "'true', usual"),
        Mutant("a second region that is believed", FlatMemory, "_either", "fits[not shared], rare", "'true', rare"),
        Mutant("a load from the region that it is not in", FlatMemory, "_either", "address) if where",
               "address) if not where"),
        Mutant("read-only bytes from elsewhere", Frame, "read_only", "image.ro_start}", "image.ro_start - 8}"),
        Mutant("an index multiplied once more", Emitter, "_step", "1 << int(arguments", "2 << int(arguments"),
        Mutant("an index without what is added", Emitter, "_step", "(*scaled.rest, other)", "scaled.rest"),
        Mutant("stores into read-only bytes", Planner, "_join", "group.private |= access.writes", "pass"),
        Mutant("the group ends with its first", Planner, "_join", "max(high, group.high)\n",
               "max(group.high, group.low + 1)\n"),
        Mutant("the stack's end forgotten", FlatMemory, "private", " - (high - low)", ""),
        Mutant("the stack pointer believed behind calls", Ends, "_call",
               "self.stack is not None", "False"),
        Mutant("registers believed behind calls", frame, "known_before", " and r not in lost", ""),
        Mutant("accesses taken for smaller ones", bounds, "access_of", "step.args[1].width // 8", "1"),
        Mutant("memory behind the wrong record", Layout, "displacement", "CONTEXT.itemsize", "8"),
        Mutant("constant addresses believed", FlatMemory, "_fixed", "self.layout.private(low, high)",
               "not access.address.base"),
        Mutant("a difference taken for a sum", Tracker, "_combine", "values[0].distance - values[1].distance",
               "values[0].distance + values[1].distance"),
        Mutant("no check of the table's index", Ends, "_unit_at", "icmp ult i64 {offset}", "icmp uge i64 -1"),
        Mutant("the table's slots of four bytes", Ends, "_unit_at", "shl i64 {offset}, 2", "shl i64 {offset}, 1"),
        Mutant("the table of another length", Ends, "_unit_at", "image.text_end - image.text_start", "image.text_end"),
        Mutant("every second entry", Ends, "_thread", "i32, ptr {name}", "i64, ptr {name}"),
        Mutant("a jump's table too long", Accesses, "entry_of", "len(table.targets) * table.size", "64"),
        Mutant("a target that is called as it is", Ends, "_unit_at", 'f"load ptr, ptr {slot}"',
               'f"inttoptr i64 {target} to ptr"'),
        Mutant("no look at the native stack", Unit, "_check_stack", "body = self.body", "return"),
        Mutant("units entered without a context", Registers, "arguments", "ptr %ctx", "ptr null"),
        Mutant("registers beside their places", registers, "offset_of", "8 * number", "8 * number - 64"),
        Mutant("the host's address in a register", Registers, "save", "{self.read(register)}",
               "{self.body.value('ptrtoint ptr %ctx to i64')}"),
    ]  # fmt: skip


def careless_copies() -> list[Mutant]:
    """Mistakes of copies of loops, which are checked before they begin."""
    extent, again = "add i64 {way}, {group.span}", "icmp ult i64 {following}, {self.trips}"
    lowest, fits = 'body.value(f"sub i64 {begin}, {way}") if falls else begin', "icmp ule i64 {offset}, {room}"
    both = 'body.value(f"and i1 {fine}, {condition}")'
    return [
        Mutant("a copy that is not checked", Strides, "_begin_copy", both, "fine"),
        Mutant("a copy whose last access has no size", Strides, "_place", extent, "add i64 {way}, 0"),
        Mutant("a copy whose last access is a byte shorter", Strides, "_place", extent,
               extent.replace("group.span", "group.span - 1")),
        Mutant("a copy that is checked for a turn less", Strides, "_place", "{self.trips}, 1", "{self.trips}, 2"),
        Mutant("a copy that is checked for steps of one", Strides, "_place", ", {size}", ", 1"),
        Mutant("a copy that goes down from its lowest", Strides, "_place", lowest, "begin"),
        Mutant("a copy that begins anywhere", Strides, "_region", fits, "icmp uge i64 {offset}, 0"),
        Mutant("a copy that begins anywhere below", Strides, "_region", fits, fits.replace("ule", "sle")),
        Mutant("a copy with room for its first turn", Strides, "_region", "{size}, {extent}", "{size}, 8"),
        Mutant("a copy that is longer than memory", Strides, "_region", "icmp ule i64 {extent}",
               "icmp uge i64 {extent}, 0 ;"),
        Mutant("a copy of as many turns as may be", Strides, "_begin_copy", "str(MOST - 1)", "str((1 << 64) - 2)"),
        Mutant("a copy with steps of any size", Strides, "_place", "icmp ult i64 {body.value",
               "icmp ugt i64 {body.value"),
        Mutant("a copy of a turn more", Strides, "_end_copy", again, again.replace("ult", "ule")),
        Mutant("a copy that forgets where its group begins", Strides, "pointer_in_copy", " - group.low", ""),
        Mutant("a copy that moves twice as far", Strides, "pointer_in_copy", "mul nsw i64 {self.turn}",
               "mul nsw i64 {self.body.value(f'add i64 {self.turn}, {self.turn}')}"),
    ]  # fmt: skip


def careless_windows() -> list[Mutant]:
    """Mistakes of such copies under a virtual MMU, which are at home or in the window."""
    home = "(start, room, self._own_place())"
    return [
        Mutant("home as long as the window", PagedMemory, "home", home, "(start, far[1], self._own_place())"),
        Mutant("home where the window leads", PagedMemory, "home", home, "(start, room, far[2])"),
        Mutant("home from the window's beginning", PagedMemory, "home", home, "(far[0], room, self._own_place())"),
    ]


def careless_pagers() -> list[Mutant]:
    """Mistakes of accesses under a virtual MMU."""
    near, last = "icmp ult i64 {offset}, {room}", "self._moved(low, group.span - 1)"
    there, right = (
        "TLB.itemsize + field_offset(ENTRY, 'addend')",
        "Cause.MISS_WRITE if group.writes else Cause.MISS_READ",
    )
    page, index = "i64 {body.value(f'and i64 {page}, {mask}')}", "{PAGE_BITS - ENTRY_BITS"
    same = 'f"icmp eq i64 {last}, {tag}"'
    return [
        Mutant("home without a check", PagedMemory, "_is_home", f'self.body.value(f"{near}")', '"true"'),
        Mutant("home with a signed check", PagedMemory, "_is_home", near, near.replace("ult", "slt")),
        Mutant("home with its last", PagedMemory, "_is_home", near, near.replace("ult", "ule")),
        Mutant("home from elsewhere", PagedMemory, "_in_home", "'home_start'", "'home_room'"),
        Mutant("home for long groups as for short ones", PagedMemory, "_in_home", "HOME_SLACK + 1:", "1 << 20:"),
        Mutant("home for groups that are a byte longer", PagedMemory, "_in_home", "- HOME_SLACK - 1",
               "- HOME_SLACK - 2"),
        Mutant("home from the first access on", PagedMemory, "_stays_home", "group.low - signed", "0 * signed"),
        Mutant("memory at its own place beside it", PagedMemory, "_near", "self.layout.displacement",
               "self.layout.displacement + 128"),
        Mutant("an entry without a check", PagedMemory, "_try_entry", same, same.replace("last", "tag")),
        Mutant("an entry of the first byte's page", PagedMemory, "_try_entry", last, "low"),
        Mutant("an entry of the page before the last byte", PagedMemory, "_try_entry", last,
               last.replace("- 1", "- 2")),
        Mutant("the right to read taken for that to write", PagedMemory, "_try_entry",
               right, "Cause.MISS_READ"),
        Mutant("another entry's addend", PagedMemory, "_try_entry", there, there + " + ENTRY.itemsize"),
        Mutant("a tag taken for an addend", PagedMemory, "_try_entry", there, "TLB.itemsize"),
        Mutant("an entry behind the TLB", PagedMemory, "_try_entry", page, "i64 {page}"),
        Mutant("entries by another bit", PagedMemory, "_try_entry", index, index + " + 1"),
        Mutant("read-only bytes without their end", PagedMemory, "_try_read_only", "{room + 1}", "{1 << 40}"),
        Mutant("stores into read-only bytes", Planner, "_join", "group.private |= access.writes", "pass"),
        Mutant("what was found nowhere", PagedMemory, "_find", "{addend}, {NOWHERE}", "{addend}, 3"),
        Mutant("found for reading", PagedMemory, "_find", "Cause.MISS_WRITE if access.writes else Cause.MISS_READ",
               "Cause.MISS_READ"),
        Mutant("found for fewer bytes", PagedMemory, "_find", '"%ctx", address, access.size', '"%ctx", address, 1'),
        Mutant("found without a context", PagedMemory, "_find", '"%ctx", address', '"null", address'),
        Mutant("home believed behind calls", PagedMemory, "_context", "{TLB_TAG}", "{INVARIANT}"),
    ]  # fmt: skip
