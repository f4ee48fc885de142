"""The way into native code and between its parts: `enter`, the stub behind empty entries, service calls.

`enter(CONTEXT*)` runs translated units from the space's table and, where there is none, the interpreter, until the
guest's fuel ends, it traps or it leaves. A unit is a function with the calling convention `x86_regcallcc` whose slots
each hold the same guest register on the way in and out:

    slot   in                        out
    0      x1 (ra)                   x1: the guest returned there, less its lowest bit; or, where the context says
                                     that the unit unwound, what next (`Unwound`): everything is in the context then
    1      the context               nothing
    2..9   x2 (sp), x10..x12 (a0..a2), x8, x9, x18, x19 (s0..s3); both ways
    10     the fuel                  the fuel left, when returned

Who calls through the table has stored the target in the context's pc, for the stub behind empty entries.
"""

from __future__ import annotations

import enum

from denali.isa.context import Status
from denali.isa.translator.emit import Body, Value, context_field, mode_field, space_field
from denali.isa.translator.emit_float import MXCSR_FLAGS, MXCSR_MASKED, control_for, flags_of, get_mxcsr, set_mxcsr

SLOTS = (1, None, 2, 10, 11, 12, 8, 9, 18, 19, "fuel")  # guest register of each slot, or field of the context
SLOT_TYPES = ", ".join(["i64"] * len(SLOTS))
SLOT_ARGUMENTS = ", ".join(f"i64 %s{slot}" for slot in range(len(SLOTS)))
HOT = 50  # dispatches to a pc without a translation until it is wanted
RING = 256  # of wanted pcs
MUCH = 4096  # fuel that frames which unwound gave back, and that is worth going on with translated code
STACK = 512 << 10  # native stack that guest frames may use


class Unwound(enum.IntEnum):
    """Slot 0 of a unit that did not return but left everything in the context."""

    INTERPRET = 1  # execute at least one instruction before looking at the table again; or a service left or trapped
    DISPATCH = 3  # the native stack was short; go on through the table
    FINISH = 5  # less fuel is left than the next checkpoint needs: interpret to its end, unless frames gave back `MUCH`


def dispatcher_text(declared: set[str], *, masked: bool = False) -> list[str]:
    """The functions `enter`, `denali_miss`, `denali_service` and `denali_heat`; adds the declarations they need."""
    writers = (_enter, _miss, _service, _heat)
    texts: list[str] = []
    for write in writers:
        body = Body(declared=declared, masked=masked)
        head = write(body)
        texts.append("\n".join([head, *body.lines, "}"]))
    return texts


def load(body: Body, pointer: Value, kind: str = "i64") -> Value:
    """Read a field."""
    return body.value(f"load {kind}, ptr {pointer}")


def register(body: Body, number: int) -> Value:
    """A ptr to an integer register in the context."""
    return body.value(f"getelementptr i64, ptr {context_field(body, '%ctx', 'x')}, i64 {number}")


def place(body: Body, slot: int | str) -> Value:
    """A ptr to what a slot holds, in the context."""
    return register(body, slot) if isinstance(slot, int) else context_field(body, "%ctx", slot)


def store_slots(body: Body, values: list[Value]) -> None:
    """Write what the slots hold to the context."""
    for number, value in zip(SLOTS, values, strict=True):
        if number is not None:
            body.line(f"store i64 {value}, ptr {place(body, number)}")


def _enter(body: Body) -> str:
    body.label("entry")
    host = get_mxcsr(body)
    frame = body.call("ptr @llvm.frameaddress.p0(i32 immarg)", "i32 0")
    limit = body.value(f"sub i64 {body.value(f'ptrtoint ptr {frame} to i64')}, {STACK}")
    body.line(f"store i64 {limit}, ptr {context_field(body, '%ctx', 'stack_limit')}")
    body.line(f"store i32 0, ptr {context_field(body, '%ctx', 'status')}")
    _take_mxcsr(body, host)
    space = load(body, context_field(body, "%ctx", "space"), "ptr")
    body.line("%context = ptrtoint ptr %ctx to i64")
    body.line("br label %again")
    _pick(body, space)
    _run_unit(body)
    _run_interpreter(body)
    _leave(body, host)
    return "define i64 @enter(ptr %ctx) #0 {"


def _pick(body: Body, space: Value) -> None:
    """Choose between the unit at pc and the interpreter."""
    body.label("again")
    fuel = load(body, context_field(body, "%ctx", "fuel"))
    body.branch(body.value(f"icmp eq i64 {fuel}, 0"), "out", "pick", likely=False)
    body.label("pick")
    mode = body.value(f"lshr i32 {load(body, context_field(body, '%ctx', 'fcsr'), 'i32')}, 5")
    body.branch(body.value(f"icmp ugt i32 {mode}, 3"), "alone", "usual", likely=False)
    body.label("usual")
    pc = "%entered"
    body.line(f"{pc} = load i64, ptr {context_field(body, '%ctx', 'pc')}")
    start, end = (load(body, space_field(body, space, name)) for name in ("text_start", "text_end"))
    offset, size = body.value(f"sub i64 {pc}, {start}"), body.value(f"sub i64 {end}, {start}")
    even = body.value(f"icmp eq i64 {body.value(f'and i64 {pc}, 1')}, 0")
    inside = body.value(f"and i1 {even}, {body.value(f'icmp ult i64 {offset}, {size}')}")
    body.branch(inside, "in_text", "interpret", likely=True)
    body.label("in_text")
    table, miss = (
        load(body, mode_field(body, "%ctx", "table"), "ptr"),
        load(body, space_field(body, space, "miss"), "ptr"),
    )
    offset = body.kept(offset, size)
    slot = body.value(f"getelementptr ptr, ptr {table}, i64 {body.value(f'lshr i64 {offset}, 1')}")
    body.line(f"%unit = load ptr, ptr {slot}")
    body.branch(body.value(f"icmp eq ptr %unit, {miss}"), "no_unit", "run_unit", likely=False)
    body.label("no_unit")
    body.call("void @denali_heat(ptr, i64)", f"ptr %ctx, i64 {pc}")
    body.line("br label %interpret")


def _run_unit(body: Body) -> None:
    """Load the slots, call the unit, and put back what it returns with."""
    body.label("run_unit")
    values = ["%context" if number is None else load(body, place(body, number)) for number in SLOTS]
    arguments = ", ".join(f"i64 {value}" for value in values)
    result = body.value(f"call x86_regcallcc {{ {SLOT_TYPES} }} %unit({arguments})")
    slots = [body.value(f"extractvalue {{ {SLOT_TYPES} }} {result}, {slot}") for slot in range(len(SLOTS))]
    flag = context_field(body, "%ctx", "unwound")
    body.branch(body.value(f"icmp eq i64 {load(body, flag)}, 0"), "returned", "unwound")
    body.label("returned")
    store_slots(body, slots)
    body.line(f"store i64 {body.value(f'and i64 {slots[0]}, -2')}, ptr {context_field(body, '%ctx', 'pc')}")
    body.line("br label %again")
    body.label("unwound")
    body.line(f"store i64 0, ptr {flag}")
    status = load(body, context_field(body, "%ctx", "status"), "i32")
    body.branch(body.value(f"icmp eq i32 {status}, 0"), "go_on", "out")
    body.label("go_on")
    cases = {Unwound.DISPATCH: "short", Unwound.FINISH: "finish"}
    listed = " ".join(f"i64 {int(reason)}, label %{block}" for reason, block in cases.items())
    body.line(f"switch i64 {slots[0]}, label %hand_back [ {listed} ]")
    body.label("short")  # the very unit that ran on an empty stack found it short: only the interpreter gets further
    now = load(body, context_field(body, "%ctx", "pc"))
    body.branch(body.value(f"icmp eq i64 {now}, %entered"), "hand_back", "again", likely=False)
    for block, then in (("finish", "nearly"), ("hand_back", "interpret")):
        body.label(block)
        left = load(body, context_field(body, "%ctx", "fuel"))
        body.branch(body.value(f"icmp eq i64 {left}, 0"), "out", then, likely=False)
    body.label("nearly")
    left = load(body, context_field(body, "%ctx", "fuel"))
    body.branch(body.value(f"icmp ult i64 {left}, {MUCH}"), "alone", "interpret", likely=True)


def _run_interpreter(body: Body) -> None:
    """With the translations, or (`alone`) without looking at them."""
    body.label("alone")
    body.line("br label %interpret_either")
    body.label("interpret")
    body.line("br label %interpret_either")
    body.label("interpret_either")
    body.line("%with = phi i1 [ false, %alone ], [ true, %interpret ]")
    body.call("void @interpret(ptr, i1)", "ptr %ctx, i1 %with")
    after = load(body, context_field(body, "%ctx", "status"), "i32")
    body.branch(body.value(f"icmp eq i32 {after}, {int(Status.FUEL)}"), "again", "out")


def _take_mxcsr(body: Body, host: Value) -> None:
    """The guest's rounding mode and no flags, unless that is what MXCSR has: writing it takes longer than looking."""
    fcsr = load(body, context_field(body, "%ctx", "fcsr"), "i32")
    wanted = body.value(f"or i32 {control_for(body, body.value(f'lshr i32 {fcsr}, 5'))}, {MXCSR_MASKED}")
    body.branch(body.value(f"icmp eq i32 {host}, {wanted}"), "ready", "switch", likely=True)
    body.label("switch")
    set_mxcsr(body, wanted)
    body.line("br label %ready")
    body.label("ready")


def _leave(body: Body, host: Value) -> None:
    """Keep the flags that arithmetic raised, and give the host its MXCSR back, without the flags of its own past."""
    body.label("out")
    pointer, guest = context_field(body, "%ctx", "fcsr"), get_mxcsr(body)
    back = body.value(f"and i32 {host}, {0xFFFF & ~MXCSR_FLAGS}")
    body.branch(body.value(f"icmp eq i32 {guest}, {back}"), "done", "restore", likely=True)
    body.label("restore")
    merged = body.value(f"or i32 {load(body, pointer, 'i32')}, {flags_of(body, guest)}")
    body.line(f"store i32 {merged}, ptr {pointer}")
    set_mxcsr(body, back)
    body.line("br label %done")
    body.label("done")
    status = load(body, context_field(body, "%ctx", "status"), "i32")
    body.line(f"ret i64 {body.value(f'zext i32 {status} to i64')}")


def _miss(body: Body) -> str:
    """The unit behind an empty entry: the jump has stored its target in pc; everything else goes to the context."""
    body.label("entry")
    body.line("%ctx = inttoptr i64 %s1 to ptr")
    store_slots(body, [f"%s{slot}" for slot in range(len(SLOTS))])
    body.line(f"store i64 1, ptr {context_field(body, '%ctx', 'unwound')}")
    first = body.value(f"insertvalue {{ {SLOT_TYPES} }} poison, i64 {int(Unwound.INTERPRET)}, 0")
    body.line(f"ret {{ {SLOT_TYPES} }} {first}")
    return f"define x86_regcallcc {{ {SLOT_TYPES} }} @denali_miss({SLOT_ARGUMENTS}) #0 {{"


def _service(body: Body) -> str:
    """Call the kernel in the host's default rounding, so that a guest's mode and flags stay its own."""
    body.label("entry")
    guest = get_mxcsr(body)
    set_mxcsr(body, body.value(f"or i32 {body.value(f'and i32 {guest}, {MXCSR_FLAGS}')}, {MXCSR_MASKED}"))
    space = load(body, context_field(body, "%ctx", "space"), "ptr")
    service = load(body, space_field(body, space, "service"), "ptr")
    result = body.value(f"call i64 {service}(ptr %ctx, i64 %number, i64 %a, i64 %b)")
    set_mxcsr(body, guest)
    body.line(f"ret i64 {result}")
    return "define i64 @denali_service(ptr %ctx, i64 %number, i64 %a, i64 %b) #0 noinline {"


def _heat(body: Body) -> str:
    """Count a dispatch to a pc of the text that has no translation; the HOT-th puts it into the ring of wanted pcs.

    The lowest bit of what stands there says that a guest with a virtual MMU wants it.
    """
    body.label("entry")
    body.line(f"%space = load ptr, ptr {context_field(body, '%ctx', 'space')}")
    start = load(body, space_field(body, "%space", "text_start"))
    offset = body.value(f"sub i64 %pc, {start}")
    if body.masked:
        size = body.value(f"sub i64 {load(body, space_field(body, '%space', 'text_end'))}, {start}")
        offset = body.kept(offset, size)
    index = body.value(f"lshr i64 {offset}, 1")
    slot = body.value(f"getelementptr i16, ptr {load(body, mode_field(body, '%ctx', 'heat'), 'ptr')}, i64 {index}")
    now = load(body, slot, "i16")
    body.branch(body.value(f"icmp ult i16 {now}, {HOT}"), "count", "done")
    body.label("count")
    new = body.value(f"add i16 {now}, 1")
    body.line(f"store i16 {new}, ptr {slot}")
    body.branch(body.value(f"icmp eq i16 {new}, {HOT}"), "want", "done", likely=False)
    body.label("want")
    counter = space_field(body, "%space", "wanted_count")
    count = load(body, counter)
    ring = load(body, space_field(body, "%space", "wanted"), "ptr")
    place = body.value(f"getelementptr i64, ptr {ring}, i64 {body.value(f'and i64 {count}, {RING - 1}')}")
    tlb = load(body, context_field(body, "%ctx", "tlb"))
    paged = body.value(f"zext i1 {body.value(f'icmp ne i64 {tlb}, 0')} to i64")
    body.line(f"store i64 {body.value(f'or i64 %pc, {paged}')}, ptr {place}")
    body.line(f"store i64 {body.value(f'add i64 {count}, 1')}, ptr {counter}")
    body.line("br label %done")
    body.label("done")
    body.line("ret void")
    return "define internal void @denali_heat(ptr %ctx, i64 %pc) #0 noinline {"
