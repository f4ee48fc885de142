"""The native interpreter: one LLVM function generated from every definition, exact in fuel, traps and bounds.

It runs what has no translation, and what a translation hands back: the last instructions of a turn, an access that
left the usual bounds, code outside the image's text. It fetches and executes one instruction after the other until
fuel ends, the guest traps or leaves, or a taken jump reaches a pc that has a translation.
"""

from __future__ import annotations

from collections.abc import Iterable

from denali.isa.context import CONTEXT, Status
from denali.isa.definitions.instruction import Instruction
from denali.isa.definitions.record import Cause, Step
from denali.isa.interpreter.decoder import Decoder, block_name
from denali.isa.interpreter.places import Places, place
from denali.isa.translator.emit import Body, Emitter, Value, context_field, mode_field, space_field

SIZES = (1, 2, 4, 8)


class Interpreter:
    """Writes the function; while an instruction is emitted it is the emitter's `Machine` for it."""

    def __init__(self, *, masked: bool = False) -> None:
        self.body = Body(masked=masked)
        self.emitter = InterpreterEmitter(self)
        self.memory = Places(self)
        self.one: Instruction
        self.left = False

    # --- the emitter's questions ---

    def pc(self) -> Value:
        """The address of this instruction."""
        return self.body.value("load i64, ptr %pc.slot")

    def word(self) -> Value:
        """The instruction itself."""
        return self.body.value("load i64, ptr %word.slot")

    def field(self, name: str) -> Value:
        """An operand's bits, brought together from the word and extended."""
        kind, word, result = self.one.operands[name], self.word(), "0"
        for piece in self.one.pieces:
            if piece.name == name:
                shifted = self.body.value(f"lshr i64 {word}, {piece.shift}")
                masked = self.body.value(f"and i64 {shifted}, {(1 << piece.width) - 1}")
                result = self.body.value(f"or i64 {result}, {self.body.value(f'shl i64 {masked}, {piece.low}')}")
        if kind.is_signed:
            unused = 64 - self.one.bits(name)
            result = self.body.value(f"ashr i64 {self.body.value(f'shl i64 {result}, {unused}')}, {unused}")
        return self.body.value(f"add i64 {result}, {kind.first}") if kind.first else result

    def rounding(self, name: str) -> Value:
        """The rounding-mode operand."""
        return self.field(name)

    def _register(self, file: str, register: str | int) -> Value:
        index = str(register) if isinstance(register, int) else self.field(register)
        first = context_field(self.body, "%ctx", file)
        return self.body.value(f"getelementptr i64, ptr {first}, i64 {index}")

    def read_x(self, register: str | int) -> Value:
        """An integer register; x[0] in the context is always zero."""
        return self.body.value(f"load i64, ptr {self._register('x', register)}")

    def write_x(self, register: str | int, value: Value) -> None:
        """Write it, and then zero to x[0]: cheaper than asking whether it was that one."""
        self.body.line(f"store i64 {value}, ptr {self._register('x', register)}")
        self.body.line(f"store i64 0, ptr {context_field(self.body, '%ctx', 'x')}")

    def read_f(self, register: str | int) -> Value:
        """A floating-point register."""
        return self.body.value(f"load i64, ptr {self._register('f', register)}")

    def write_f(self, register: str | int, value: Value) -> None:
        """Write it."""
        self.body.line(f"store i64 {value}, ptr {self._register('f', register)}")

    def context(self) -> Value:
        """The guest's CONTEXT."""
        return "%ctx"

    def pointer(self, address: Value, size: int, cause: Cause) -> Value:
        """Where an access goes, as the virtual MMU of the guest is off or on; a load that crosses pages is a copy."""
        return self.memory.pointer(address, size, cause)

    def trap(self, cause: int, value: Value, when: Value | None) -> None:
        """Stop with pc at this instruction and its fuel not spent."""
        body = self.body
        stop, go_on = body.name("trap"), body.name("go_on")
        if when is None:
            body.line(f"br label %{stop}")
        else:
            body.branch(when, stop, go_on, likely=False)
        body.label(stop)
        body.line(f"store i32 {int(cause)}, ptr {context_field(body, '%ctx', 'cause')}")
        body.line(f"store i64 {value}, ptr {context_field(body, '%ctx', 'value')}")
        body.line("br label %trapped")
        body.label(go_on)

    def service(self, number: int, a: Value, b: Value) -> Value:
        """Call the kernel with pc and fuel in the context, this instruction counted as retired."""
        body = self.body
        self._save(body.value(f"sub i64 {body.value('load i64, ptr %fuel.slot')}, 1"))
        declaration = "i64 @denali_service(ptr, i64, i64, i64)"
        result = body.call(declaration, f"ptr %ctx, i64 {number}, i64 {a}, i64 {b}")
        status = body.value(f"load i32, ptr {context_field(body, '%ctx', 'status')}")
        trapped, go_on = body.value(f"icmp eq i32 {status}, {int(Status.TRAP)}"), body.name("served")
        body.branch(trapped, "out", go_on, likely=False)
        body.label(go_on)
        self.left = True
        return result

    def retired(self) -> Value:
        """limit - fuel."""
        limit = self.body.value(f"load i64, ptr {context_field(self.body, '%ctx', 'limit')}")
        return self.body.value(f"sub i64 {limit}, {self.body.value('load i64, ptr %fuel.slot')}")

    def status_written(self, part: str) -> None:
        """The interpreter looks at frm each time."""

    def jump(self, target: Value, kind: str, when: Value | None) -> None:
        """Go on at the target by way of `jumped` or, where a loop or a call may begin, `landed`, which counts."""
        body = self.body
        if when is not None:
            taken, passed = body.name("taken"), body.name("passed")
            body.branch(when, taken, passed)
            body.label(passed)
            self._end()
            body.label(taken)
        old = self.pc()
        body.line(f"store i64 {target}, ptr %pc.slot")
        if kind == "branch":
            body.branch(body.value(f"icmp ule i64 {target}, {old}"), "landed", "jumped")
        else:
            body.line("br label %landed")

    # --- the function ---

    def _save(self, fuel: Value) -> None:
        self.body.line(f"store i64 {self.pc()}, ptr {context_field(self.body, '%ctx', 'pc')}")
        self.body.line(f"store i64 {fuel}, ptr {context_field(self.body, '%ctx', 'fuel')}")

    def _end(self) -> None:
        """End an instruction that goes on with the next one, unless a service has ended the turn."""
        body = self.body
        body.line(f"store i64 {body.value(f'add i64 {self.pc()}, {self.one.length}')}, ptr %pc.slot")
        if not self.left:
            body.line("br label %retire")
            return
        status = body.value(f"load i32, ptr {context_field(body, '%ctx', 'status')}")
        body.branch(body.value(f"icmp eq i32 {status}, {int(Status.LEFT)}"), "left", "retire", likely=False)

    def _execute(self, one: Instruction) -> None:
        self.one, self.left = one, False
        self.body.label(block_name(one))
        self.emitter.emit(one.steps)
        last = self.body.lines[-1].lstrip()
        if not last.startswith("br "):
            self._end()

    def text(self, definitions: Iterable[Instruction]) -> str:
        """The text of the function `void @interpret(ptr ctx, i1 to_translations)`."""
        definitions = list(definitions)
        body = self.body
        self._prologue()
        self._fetch()
        decoder = Decoder(body, self.word)
        decoder.decode("short", [one for one in definitions if one.length == 2], 0)
        decoder.decode("long", [one for one in definitions if one.length == 4], 3)
        body.label("illegal")
        self.trap(Cause.ILLEGAL, self.word(), None)
        body.line("unreachable")
        for one in definitions:
            self._execute(one)
        self._epilogue()
        head = "define internal void @interpret(ptr %ctx, i1 %to_translations) #0 {"
        return "\n".join([head, *body.lines, "}"])

    def _prologue(self) -> None:
        body = self.body
        body.label("entry")
        for slot in ("pc", "word", "fuel"):
            body.line(f"%{slot}.slot = alloca i64")
        space = body.value(f"load ptr, ptr {context_field(body, '%ctx', 'space')}")
        for name in ("private_start", "private_size", "ro_start", "ro_end", "text_start", "text_end"):
            body.line(f"%{name} = load i64, ptr {space_field(body, space, name)}")
        for name in ("read_only", "miss"):
            body.line(f"%{name} = load ptr, ptr {space_field(body, space, name)}")
        body.line(f"%table = load ptr, ptr {mode_field(body, '%ctx', 'table')}")
        body.line(f"%memory = getelementptr i8, ptr %ctx, i64 {CONTEXT.itemsize}")
        body.line("%ro_size = sub i64 %ro_end, %ro_start")
        body.line("%text_size = sub i64 %text_end, %text_start")
        body.line("%text_offset = sub i64 %text_start, %ro_start")
        body.line("%text = getelementptr i8, ptr %read_only, i64 %text_offset")
        for size in SIZES:
            self._limit(f"private_limit.{size}", "%private_size", size)
            self._limit(f"ro_limit.{size}", "%ro_size", size)
        self._limit("text_limit", "%text_size", 4)
        for slot in ("pc", "fuel"):
            value = body.value(f"load i64, ptr {context_field(body, '%ctx', slot)}")
            body.line(f"store i64 {value}, ptr %{slot}.slot")
        body.line("store i64 0, ptr %word.slot")
        self.memory.prologue()
        odd = body.value(f"and i64 {self.pc()}, 1")
        self.trap(Cause.MISALIGNED_FETCH, self.pc(), body.value(f"icmp ne i64 {odd}, 0"))
        body.line("br label %next")

    def _limit(self, name: str, size: Value, width: int) -> None:
        """Offsets below this have `width` bytes behind them in a region of `size` bytes."""
        self.body.declared.add("i64 @llvm.usub.sat.i64(i64, i64)")
        self.body.line(f"%{name} = call i64 @llvm.usub.sat.i64(i64 {size}, i64 {width - 1})")

    def _fetch(self) -> None:
        """Where each instruction begins: fuel, then its word from the text, or from wherever it is."""
        body = self.body
        body.label("next")
        body.branch(
            body.value(f"icmp eq i64 {body.value('load i64, ptr %fuel.slot')}, 0"), "leave", "fetch", likely=False
        )
        body.label("fetch")
        offset = body.value(f"sub i64 {self.pc()}, %text_start")
        body.branch(body.value(f"icmp ult i64 {offset}, %text_limit"), "in_text", "elsewhere", likely=True)
        body.label("in_text")
        near = place(body, "%text", offset, "%text_limit")
        first = body.value(f"zext i32 {body.value(f'load i32, ptr {near}, align 1')} to i64")
        body.line("br label %fetched")
        body.label("elsewhere")
        second = self._fetch_elsewhere()
        origin = body.block
        body.line("br label %fetched")
        body.label("fetched")
        word = body.value(f"phi i64 [ {first}, %in_text ], [ {second}, %{origin} ]")
        low = body.value(f"and i64 {word}, 3")
        body.branch(body.value(f"icmp eq i64 {low}, 3"), "is_long", "is_short")
        body.label("is_long")
        body.line(f"store i64 {word}, ptr %word.slot")
        body.line("br label %long")
        body.label("is_short")
        body.line(f"store i64 {body.value(f'and i64 {word}, 65535')}, ptr %word.slot")
        body.line("br label %short")

    def _fetch_elsewhere(self) -> Value:
        """The word from the end of the text, or from private memory, halfword by halfword."""
        body = self.body
        low = self._fetch_half(self.pc())
        more = body.value(f"icmp eq i64 {body.value(f'and i64 {low}, 3')}, 3")
        again, whole, begin = body.name("upper"), body.name("whole"), body.block
        body.branch(more, again, whole)
        body.label(again)
        high = self._fetch_half(body.value(f"add i64 {self.pc()}, 2"))
        joined = body.value(f"or i64 {low}, {body.value(f'shl i64 {high}, 16')}")
        end = body.block
        body.line(f"br label %{whole}")
        body.label(whole)
        return body.value(f"phi i64 [ {low}, %{begin} ], [ {joined}, %{end} ]")

    def _fetch_half(self, address: Value) -> Value:
        """Sixteen bits to be executed."""
        pointer = self.memory.code(address)
        return self.body.value(f"zext i16 {self.body.value(f'load i16, ptr {pointer}, align 1')} to i64")

    def _epilogue(self) -> None:
        """How instructions end: retired, jumped, landed at a place that counts, left, trapped."""
        body = self.body
        body.label("retire")
        self._spend()
        body.line("br label %next")
        body.label("landed")
        self._look_up("counted")
        body.label("counted")
        body.call("void @denali_heat(ptr, i64)", f"ptr %ctx, i64 {self.pc()}")
        body.line("br label %next")
        body.label("jumped")
        self._look_up("next")
        body.label("left")
        self._spend()
        body.line("br label %leave")
        body.label("trapped")
        body.line(f"store i32 {int(Status.TRAP)}, ptr {context_field(body, '%ctx', 'status')}")
        body.line("br label %out")
        body.label("out")
        body.line("br label %leave")
        body.label("leave")
        self._save(body.value("load i64, ptr %fuel.slot"))
        body.line("ret void")

    def _spend(self) -> None:
        fuel = self.body.value("load i64, ptr %fuel.slot")
        self.body.line(f"store i64 {self.body.value(f'sub i64 {fuel}, 1')}, ptr %fuel.slot")

    def _look_up(self, otherwise: str) -> None:
        """Retire a jump; leave when its target has a translation, else go on at the block `otherwise`."""
        body = self.body
        self._spend()
        offset = body.value(f"sub i64 {self.pc()}, %text_start")
        inside = body.value(f"icmp ult i64 {offset}, %text_size")
        asked, look = body.value(f"and i1 {inside}, %to_translations"), body.name("look_up")
        outside = body.name("no_entry")
        body.branch(asked, look, outside, likely=True)
        body.label(look)
        offset = body.kept(offset, "%text_size")
        slot = body.value(f"getelementptr ptr, ptr %table, i64 {body.value(f'lshr i64 {offset}, 1')}")
        entry = body.value(f"load ptr, ptr {slot}")
        body.branch(body.value(f"icmp eq ptr {entry}, %miss"), otherwise, "leave", likely=True)
        body.label(outside)
        body.line("br label %next")


class InterpreterEmitter(Emitter):
    """The emitter of one instruction, which leaves stores to the interpreter's memory."""

    def _store(self, step: Step, address: Value, value: Value) -> Value:
        assert isinstance(self.machine, Interpreter)
        self.machine.memory.store(address, value, step.args[1].width)
        return ""
