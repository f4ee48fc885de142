"""The virtual MMU in native code: what finds a page without an entry at hand, and accesses that cross pages.

A host address is a guest address plus an addend. The addend of `span` bytes is found in this order: the entry of the
page, the image's read-only bytes, wired memory, the registers page. The order cannot be observed, as the kernel binds
no page that one of the others overlaps.
"""

from __future__ import annotations

from denali.isa.context import CONTEXT, ENTRY, TLB
from denali.isa.definitions.record import Cause
from denali.isa.image import PAGE
from denali.isa.translator.emit import Body, Value, context_field, field_offset, space_field
from denali.isa.virtual import REGISTERS

NOWHERE = 1  # no addend: those are even, as every frame and every page begins at an even address
RIGHTS = {Cause.MISS_READ: "read", Cause.MISS_WRITE: "write", Cause.MISS_EXECUTE: "execute"}
MISSES = {Cause.LOAD: Cause.MISS_READ, Cause.STORE: Cause.MISS_WRITE}
FIND = "preserve_allcc i64 @denali_find(ptr, i64, i64, i64)"
GATHER = "i1 @denali_gather(ptr, i64, i64, ptr)"
SCATTER = "i1 @denali_scatter(ptr, i64, i64, ptr)"
PAGE_BITS = PAGE.bit_length() - 1
ENTRY_BITS = ENTRY.itemsize.bit_length() - 1


def right_offset(need: Cause) -> int:
    """Where in an ENTRY the tag is that prevents this miss."""
    return field_offset(ENTRY, RIGHTS[need])


def tlb_field(body: Body, tlb: Value, name: str) -> Value:
    """A 64-bit field of the TLB's header."""
    place = body.value(f"getelementptr i8, ptr {tlb}, i64 {field_offset(TLB, name)}")
    return body.value(f"load i64, ptr {place}")


def entry_of(body: Body, tlb: Value, mask: Value, address: Value) -> Value:
    """A ptr to the only entry that the page of `address` can have; `mask` is shifted to the size of entries."""
    page = body.value(f"lshr i64 {address}, {PAGE_BITS - ENTRY_BITS}")
    offset = body.value(f"and i64 {page}, {mask}")
    return body.value(
        f"getelementptr i8, ptr {body.value(f'getelementptr i8, ptr {tlb}, i64 {offset}')}, i64 {TLB.itemsize}"
    )


def find(body: Body, context: Value, address: Value, span: Value | int, need: Cause) -> Value:
    """Call `denali_find` for `span` bytes from `address` on: the addend, or `NOWHERE`."""
    arguments = f"ptr {context}, i64 {address}, i64 {span}, i64 {right_offset(need)}"
    return body.call(FIND, arguments, "memory(read)")


def leads_to(body: Body, address: Value, offset: Value, limit: Value, base: Value) -> Value:
    """In masked code: the addend by which an address leads to so far behind `base`, an integer, or to null."""
    place = body.kept(offset, limit, body.value(f"inttoptr i64 {base} to ptr"))
    return body.value(f"sub i64 {body.value(f'ptrtoint ptr {place} to i64')}, {address}")


def found_at(body: Body, address: Value, addend: Value) -> Value:
    """An addend that was found; in masked code one that leads to null if it was only guessed to be not `NOWHERE`."""
    if not body.masked:
        return addend
    addend = body.opaque(addend)
    limit = body.value(f"xor i64 {addend}, {NOWHERE}")
    return leads_to(body, address, "0", limit, body.value(f"add i64 {address}, {addend}"))


def in_page(body: Body, address: Value, tag: Value) -> Value:
    """How far behind the page of a tag an address is; the tag of no page gives all ones."""
    none = body.value(f"sub i64 0, {body.value(f'and i64 {tag}, 1')}")
    return body.value(f"or i64 {body.value(f'sub i64 {address}, {tag}')}, {none}")


def paged_texts(declared: set[str], *, masked: bool = False) -> list[str]:
    """The functions `denali_find`, `denali_gather` and `denali_scatter`; adds the declarations they need."""
    texts: list[str] = []
    for write in (_find, _gather, _scatter):
        body = Body(declared=declared, masked=masked)
        head = write(body)
        texts.append("\n".join([head, *body.lines, "}"]))
    return texts


class _Finder:
    """Writes `denali_find`: one region after the other, each with its own answer."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.answers: list[tuple[Value, str]] = []

    def answer(self, addend: Value, when: Value) -> None:
        """Give this addend if `when`, else go on."""
        go_on = self.body.name("not_there")
        self.answers.append((addend, self.body.block))
        self.body.branch(when, "found", go_on)
        self.body.label(go_on)

    def region(self, start: Value, size: Value, addend: Value, condition: Value = "true") -> None:
        """Everything within `size` bytes from `start` on has this addend."""
        body = self.body
        offset = body.value(f"sub i64 %address, {start}")
        room = body.value(f"sub i64 {size}, {offset}")
        inside = body.value(f"icmp ult i64 {offset}, {size}")
        fits = body.value(f"and i1 {inside}, {body.value(f'icmp ule i64 %span, {room}')}")
        if body.masked:
            limit = body.call("i64 @llvm.usub.sat.i64(i64, i64)", f"i64 {body.value(f'add i64 {size}, 1')}, i64 %span")
            addend = leads_to(body, "%address", offset, limit, body.value(f"add i64 {addend}, {start}"))
        self.answer(addend, body.value(f"and i1 {fits}, {condition}"))


def _find(body: Body) -> str:
    body.label("entry")
    finder = _Finder(body)
    tlb = body.value(f"load ptr, ptr {context_field(body, '%ctx', 'tlb')}")
    mask = body.value(f"shl i64 {tlb_field(body, tlb, 'mask')}, {ENTRY_BITS}")
    entry = entry_of(body, tlb, mask, "%address")
    last = body.value(f"add i64 %address, {body.value('sub i64 %span, 1')}")
    page = body.value(f"and i64 {last}, -{PAGE}")
    tag = body.value(f"load i64, ptr {body.value(f'getelementptr i8, ptr {entry}, i64 %right')}")
    there = body.value(f"getelementptr i8, ptr {entry}, i64 {field_offset(ENTRY, 'addend')}")
    addend, same = body.value(f"load i64, ptr {there}"), body.value(f"icmp eq i64 {tag}, {page}")
    if body.masked:
        mine, limit = body.opaque(tag), body.value(f"sub i64 {PAGE + 1}, %span")
        base = body.value(f"add i64 {addend}, {mine}")
        addend = leads_to(body, "%address", in_page(body, "%address", mine), limit, base)
    finder.answer(addend, same)
    _find_unbound(finder, tlb)
    body.line("br label %found")
    finder.answers.append((str(NOWHERE), body.block))
    body.label("found")
    body.line(
        f"ret i64 {body.value('phi i64 ' + ', '.join(f'[ {value}, %{block} ]' for value, block in finder.answers))}"
    )
    return "define preserve_allcc i64 @denali_find(ptr %ctx, i64 %address, i64 %span, i64 %right) #0 noinline {"


def _find_unbound(finder: _Finder, tlb: Value) -> None:
    """Read-only bytes, wired memory, the registers page."""
    body = finder.body
    space = body.value(f"load ptr, ptr {context_field(body, '%ctx', 'space')}")

    def known(name: str) -> Value:
        return body.value(f"load i64, ptr {space_field(body, space, name)}")

    reads = body.value(f"icmp eq i64 %right, {right_offset(Cause.MISS_READ)}")
    executes = body.value(f"icmp eq i64 %right, {right_offset(Cause.MISS_EXECUTE)}")
    ro_start = known("ro_start")
    ro_addend = body.value(f"sub i64 {known('read_only')}, {ro_start}")
    finder.region(ro_start, body.value(f"sub i64 {known('ro_end')}, {ro_start}"), ro_addend, reads)
    text_start = known("text_start")
    finder.region(text_start, body.value(f"sub i64 {known('text_end')}, {text_start}"), ro_addend, executes)
    start = known("private_start")
    memory = body.value(f"add i64 {body.value('ptrtoint ptr %ctx to i64')}, {CONTEXT.itemsize}")
    addend = body.value(f"sub i64 {memory}, {start}")
    finder.region(tlb_field(body, tlb, "wired_start"), tlb_field(body, tlb, "wired_size"), addend)
    finder.region(known("registers"), str(REGISTERS.itemsize), addend)


def _gather(body: Body) -> str:
    """Copy the bytes of a load into a buffer; false, with the value of the miss in the context, when one may not be."""
    place = _begin_copy(body, Cause.MISS_READ)
    body.line(f"store i8 {body.value(f'load i8, ptr {place}')}, ptr %own")
    _end_copy(body)
    return "define internal i1 @denali_gather(ptr %ctx, i64 %address, i64 %size, ptr %buffer) #0 noinline {"


def _scatter(body: Body) -> str:
    """Copy the bytes of a store out of a buffer; false, with nothing written, when one may not be written."""
    place = _begin_copy(body, Cause.MISS_WRITE)
    body.line(f"store i8 {body.value('load i8, ptr %own')}, ptr {place}")
    _end_copy(body)
    return "define internal i1 @denali_scatter(ptr %ctx, i64 %address, i64 %size, ptr %buffer) #0 noinline {"


def _begin_copy(body: Body, need: Cause) -> Value:
    """Find both parts of an access that may cross into the next page; begin a loop over the host's byte and `%own`."""
    body.label("entry")
    room = body.value(f"sub i64 {PAGE}, {body.value(f'and i64 %address, {PAGE - 1}')}")
    near = body.call("i64 @llvm.umin.i64(i64, i64)", f"i64 {room}, i64 %size")
    rest = body.value(f"sub i64 %size, {near}")
    first = _find_part(body, "%address", near, need)
    body.branch(body.value(f"icmp eq i64 {rest}, 0"), "copy", "crosses")
    body.label("crosses")
    second, crossed = _find_part(body, body.value(f"add i64 %address, {near}"), rest, need), body.block
    body.line("br label %copy")
    body.label("copy")
    body.line(f"%second = phi i64 [ {first}, %found_near ], [ {second}, %{crossed} ]")
    body.line("br label %byte")
    body.label("byte")
    body.line("%index = phi i64 [ 0, %copy ], [ %next, %byte ]")
    if body.masked:
        return _masked_byte(body, near, first)
    addend = body.value(f"select i1 {body.value(f'icmp ult i64 %index, {near}')}, i64 {first}, i64 %second")
    address = body.value(f"add i64 {body.value('add i64 %address, %index')}, {addend}")
    body.line("%own = getelementptr i8, ptr %buffer, i64 %index")
    return body.value(f"inttoptr i64 {address} to ptr")


def _masked_byte(body: Body, near: Value, first: Value) -> Value:
    """The host's byte, of one part or the other, and `%own`: both null where the loop's end was not foreseen."""
    beyond, rest = body.value(f"sub i64 %index, {near}"), body.value(f"sub i64 %size, {near}")
    places: list[Value] = []
    for addend, index, limit, behind in ((first, "%index", near, "0"), ("%second", beyond, rest, near)):
        begin = body.value(f"add i64 {body.value(f'add i64 %address, {behind}')}, {addend}")
        found = body.kept(index, limit, body.value(f"inttoptr i64 {begin} to ptr"))
        places.append(body.value(f"ptrtoint ptr {found} to i64"))
    body.line(f"%own = getelementptr i8, ptr {body.kept('%index', '%size', '%buffer')}, i64 0")
    return body.value(f"inttoptr i64 {body.value(f'or i64 {places[0]}, {places[1]}')} to ptr")


def _find_part(body: Body, address: Value, size: Value, need: Cause) -> Value:
    """The addend of a part; where there is none, the function ends."""
    name = "near" if body.block == "entry" else "far"
    addend = find(body, "%ctx", address, size, need)
    body.branch(body.value(f"icmp eq i64 {addend}, {NOWHERE}"), f"missed_{name}", f"found_{name}", likely=False)
    body.label(f"missed_{name}")
    body.line(f"store i64 {address}, ptr {context_field(body, '%ctx', 'value')}")
    body.line("ret i1 false")
    body.label(f"found_{name}")
    return found_at(body, address, addend)


def _end_copy(body: Body) -> None:
    body.line("%next = add i64 %index, 1")
    body.branch(body.value("icmp ult i64 %next, %size"), "byte", "done")
    body.label("done")
    body.line("ret i1 true")
