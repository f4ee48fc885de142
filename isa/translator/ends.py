"""How the blocks of a unit end: in other blocks, in other units, at the place the guest returns to."""

from __future__ import annotations

from .emit import Value
from .frame import BARRIER, INTERPRET
from .loops import STACK
from .registers import CARRIED, CONTEXT_TAG, RESULT, SLOT_SET
from .strides import Strides
from .units import Block, Table, guest


class Ends(Strides):
    """The part of a unit's writer that passes control on."""

    jumps: dict[int, str]  # by tables, as they are written: the definitions of the host's, empty where it is a `switch`
    status: Value | None = None  # what the service at the end of a block left in CONTEXT

    def jump(self, target: Value, kind: str, when: Value | None) -> None:
        """The end of a block."""
        block, body = self.block, self.body
        if block.kind != "branch" or when is None:
            self._end(block, target)
            return
        assert block.target is not None
        inside = [pc for pc in (block.target, block.after) if pc in self.function.blocks]
        self._show_to(inside)
        if self.stride is not None:
            self._end_copy(block)
        written = set(self.registers.written)
        self.registers.flush()
        labels = [self._way(block, pc) for pc in (block.target, block.after)]
        body.branch(when, *(label for label, _ in labels))
        for (label, own), pc in zip(labels, (block.target, block.after), strict=True):
            if not own:
                continue
            body.label(label)
            if pc in inside:
                self._follow(pc)
                continue
            self._give_back(self.fuel.back(block, pc))
            self.registers.written = set(written)
            self.registers.values = {}
            for register in written:
                self.registers.values[register] = self.registers.get(register)
            self._leave(str(pc), pc)

    def _way(self, block: Block, pc: int) -> tuple[str, bool]:
        """Where a branch goes for the block at `pc`, and whether that is a place of its own before it."""
        if pc in self.function.blocks and not self.fuel.back(block, pc):
            return self.label_of(pc), False
        return self.body.name("way"), True

    def _follow(self, pc: int) -> None:
        """Go on at a block of this unit, with as much fuel taken as that expects."""
        back = self.fuel.back(self.block, pc)
        if back < 0:
            self._take_again(pc, -back, self.fuel.spare(self.block))
        else:
            self._give_back(back, apart=pc in self.function.joints)
        self.body.line(f"br label %{self.label_of(pc)}")

    def _end(self, block: Block, target: Value | None) -> None:
        """End a block that does not end in a conditional branch; `target` where it is computed."""
        match block.kind:
            case "goto":
                assert block.target is not None
                self._go(block.target)
            case "call":
                self._call(block, target)
            case "return":
                self._return()
            case "indirect":
                assert target is not None
                self._indirect(target)
            case "back":
                assert target is not None
                self._back(block, target)
            case "service":
                self._after_service(block)
            case _:
                self.body.line(f"br label %{self._exit(guest(block.after), self._dirty_now())}")

    def _go(self, pc: int) -> None:
        """Go on at a known pc, in this unit or in another."""
        if pc in self.function.blocks:
            self._show_to([pc], after=True)
            self.registers.flush()
            self._follow(pc)
        else:
            self._leave(str(pc), pc)

    def _leave(self, target: Value, pc: int | None) -> None:
        """Go on in another unit, for good: it gets our caller's return address."""
        body, dirty = self.body, self._dirty_now()
        code = self._unit_at(target, pc, dirty)
        self._show(dirty)
        arguments = self.registers.arguments(self._fuel())
        self.registers.save(dirty)
        call = f"musttail call x86_regcallcc {RESULT} {code}({arguments})"
        body.line(f"ret {RESULT} {body.value(call)}")
        self.registers.forget()

    def _unit_at(self, target: Value, pc: int | None, dirty: frozenset[int]) -> Value:
        """The unit to call for a pc: one of this module, or what the table says; outside the text it unwinds."""
        if pc in self.layout.known:
            return f"@pc_{pc:x}"
        body, image = self.body, self.layout.image
        offset, size = body.value(f"sub i64 {target}, {image.text_start}"), image.text_end - image.text_start & -2
        inside = body.value(f"icmp ult i64 {offset}, {size}")
        go_on = body.name("inside")
        body.branch(inside, go_on, self._exit(target, dirty), likely=True)
        body.label(go_on)
        body.line(f"store i64 {target}, ptr %ctx_pc{CONTEXT_TAG}")
        table = body.value(f"inttoptr i64 {self.space(self.layout.table)} to ptr")
        offset = body.kept(offset, size)
        slot = body.value(f"getelementptr i8, ptr {table}, i64 {body.value(f'shl i64 {offset}, 2')}")
        return body.value(f"load ptr, ptr {slot}")

    def _call(self, block: Block, target: Value | None) -> None:
        """Call, go on at the return site if that is where the callee returned to, else stop here too."""
        body, registers, after = self.body, self.registers, guest(block.after)
        dirty, callee = self._dirty_now(), self._callee(block)
        known = block.target if block.target in self.layout.known else None
        where = str(block.target) if block.target is not None else target
        assert where is not None
        code = self._unit_at(where, known, dirty)
        kept = dirty - callee.touched
        self._show(dirty & callee.touched)
        self._show_to([block.after])
        arguments = registers.arguments(self._fuel())
        registers.save(dirty & callee.touched)
        registers.flush()
        before = registers.get(STACK)
        result = body.value(f"call x86_regcallcc {RESULT} {code}({arguments})")
        back = body.value(f"extractvalue {RESULT} {result}, 0")
        returned, elsewhere = body.name("returned"), body.name("elsewhere")
        body.branch(body.value(f"icmp eq i64 {back}, {after}"), returned, elsewhere, likely=True)
        self._elsewhere(elsewhere, result, back, kept)
        body.label(returned)
        if self.stack is not None and STACK in callee.writes:
            self._check_stack_pointer(result, before, after, kept)
        self._set_fuel(registers.take(result, str(after)))
        if self.stack is not None:
            registers.put(STACK, before)
        registers.reload(callee.writes & registers.held - SLOT_SET)
        if block.after in self.function.blocks:
            self._follow(block.after)
        else:
            self.body.line(f"br label %{self._exit(after, kept)}")

    def _elsewhere(self, label: str, result: Value, back: Value, kept: frozenset[int]) -> None:
        """The callee unwound, or came back to a place that is not ours: store what only we hold, unwind too.

        The fuel that was taken for what follows the call is given back.
        """
        body, hot, spare = self.body, self.body.lines, self.fuel.spare(self.block)
        body.lines = []
        unwound, strange = body.name("unwound"), body.name("strange")
        body.label(label)
        for register in sorted(kept):
            self._put_away(register, self.registers.get(register))
        flag = body.value(f"load i64, ptr {self._context('unwound')}{CONTEXT_TAG}")
        body.line(f"br i1 {body.value(f'trunc i64 {flag} to i1')}, label %{unwound}, label %{strange}")
        body.label(unwound)
        if spare:
            left = body.value(f"load i64, ptr %ctx_fuel{CONTEXT_TAG}")
            body.line(f"store i64 {body.value(f'add i64 {left}, {spare}')}, ptr %ctx_fuel{CONTEXT_TAG}")
        self._return_code(back)
        body.label(strange)
        self._resume_at(result, back, body.value(f"and i64 {back}, -2"))
        self.cold += body.lines
        body.lines = hot

    def _resume_at(self, result: Value, ra: Value, pc: Value) -> None:
        """In a cold block: the callee is done, and the guest goes on at `pc` in the interpreter."""
        body = self.body
        body.line(BARRIER)
        fuel = self.registers.take(result, ra)
        self._set_fuel(body.value(f"add i64 {fuel}, {self.fuel.spare(self.block)}"))
        body.line(f"store i64 {pc}, ptr %exit_pc")
        body.line(f"store i64 {INTERPRET}, ptr %exit_code")
        body.line("br label %unwind")

    def _check_stack_pointer(self, result: Value, before: Value, after: int, kept: frozenset[int]) -> None:
        """Whether the callee came back with the stack pointer that it was called with, as the stack's group needs."""
        body, moved, same = self.body, self.body.name("moved"), self.body.name("same")
        pointer = body.value(f"extractvalue {RESULT} {result}, {CARRIED.index(STACK) + 2}")
        body.branch(body.value(f"icmp eq i64 {pointer}, {before}"), same, moved, likely=True)
        body.lines, hot = [], body.lines
        body.label(moved)
        for register in sorted(kept):
            self._put_away(register, self.registers.get(register))
        self._resume_at(result, str(after), str(after))
        self.cold += body.lines
        body.lines = hot
        body.label(same)

    def _return(self) -> None:
        """Return to x1, less its lowest bit: the caller compares it with the even address that it expects."""
        body, dirty = self.body, self._dirty_now()
        self._show(dirty)
        result = self.registers.result(self.registers.read(1), self._fuel())
        self.registers.save(dirty)
        body.line(f"ret {RESULT} {result}")

    def _back(self, block: Block, target: Value) -> None:
        """Return out of a copy inside its caller, or, if to somewhere else, to the interpreter."""
        body, back = self.body, self.body.name("back")
        here = body.value(f"icmp eq i64 {target}, {guest(block.after)}")
        body.branch(here, back, self._exit(target, self._dirty_now(), back=self.fuel.spare(block)), likely=True)
        body.label(back)
        self._go(block.after)

    def _indirect(self, target: Value) -> None:
        """A computed jump: by its table, or to one of the places guessed when the unit was made, else by all units'."""
        body, places = self.body, self.function.successors(self.block)
        if not places:
            self._leave(target, None)
            return
        if self.table is not None:
            self._by_table(self.table, places)
            return
        other = body.name("other")
        ways = {pc: self._way(self.block, pc) for pc in places}
        cases = " ".join(f"i64 {pc}, label %{label}" for pc, (label, _) in ways.items())
        self._show_to(places)
        pending, written = dict(self.registers.values), set(self.registers.written)
        self.registers.flush()
        body.line(f"switch i64 {target}, label %{other} [ {cases} ]")
        for pc, (label, own) in ways.items():
            if own:
                body.label(label)
                self._follow(pc)
        body.label(other)
        self._give_back(self.fuel.spare(self.block))
        self.registers.values, self.registers.written = pending, written
        self._leave(target, None)

    def _by_table(self, table: Table, places: list[int]) -> None:
        """A jump by the number of an entry that was checked to be there; what its copies share is written once.

        They share what is behind them only where that takes its own fuel: what is given back differs by copy.
        """
        body, threads = self.body, self.function.joints.issuperset(places)
        jump = guest(self.block.pc) if threads else self.block.pc
        labels = {pc: f"joint_{jump:x}_{pc:x}" for pc in places}
        self._show_to(places)
        written = set(self.registers.written)
        self.registers.flush()
        first = jump not in self.jumps
        if threads:
            self._thread(jump, [labels[pc] for pc in table.targets])
        else:
            self.jumps[jump] = ""
            cases = " ".join(f"i64 {number}, label %{labels[pc]}" for number, pc in enumerate(table.targets))
            none = body.name("none")
            body.line(f"switch i64 {self.entry_number}, label %{none} [ {cases} ]")
            body.label(none)
            body.line("unreachable")
        for pc, label in labels.items() if first else ():
            body.label(label)
            if threads:
                body.line(BARRIER)
            for register in sorted(written & table.leaves.get(pc, {}).keys()):
                self.registers.put(register, str(table.leaves[pc][register]))
            self._follow(pc)

    def _thread(self, jump: int, labels: list[str]) -> None:
        """A jump of which there are several, see threads.py: LLVM would take a `switch` for the ends of loops."""
        body, name = self.body, f"@jump_{self.entry:x}_{jump:x}"
        here = f"ptrtoint (ptr {name} to i64)"
        at = [f"ptrtoint (ptr blockaddress(@pc_{self.entry:x}, %{label}) to i64)" for label in labels]
        entries = ", ".join(f"i32 trunc (i64 sub (i64 {one}, i64 {here}) to i32)" for one in at)
        self.jumps[jump] = f"{name} = internal externally_initialized constant [{len(at)} x i32] [{entries}]"
        place = body.value(f"getelementptr i32, ptr {name}, i64 {self.entry_number}")
        distance = body.value(f"sext i32 {body.value(f'load i32, ptr {place}, !invariant.load !15')} to i64")
        listed = ", ".join(f"label %{label}" for label in sorted(set(labels)))
        body.line(f"indirectbr ptr {body.value(f'getelementptr i8, ptr {name}, i64 {distance}')}, [ {listed} ]")

    def _after_service(self, block: Block) -> None:
        """A service with status zero goes on; else it ended the turn behind its instruction."""
        assert self.status is not None
        left = self._exit(guest(block.after), self._dirty_now())
        go_on = self.body.name("stayed")
        self.body.branch(self.body.value(f"icmp ne i32 {self.status}, 0"), left, go_on, likely=False)
        self.body.label(go_on)
        self._go(block.after)
