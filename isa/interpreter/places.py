"""Where the native interpreter's accesses go: flat memory, or the pages of the virtual MMU.

Both are emitted for every instruction that touches memory; which is taken was read from the context when the
interpreter was entered, as it cannot change before it is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from denali.isa.definitions.record import Cause
from denali.isa.interpreter.paged import GATHER, MISSES, NOWHERE, SCATTER, find, found_at
from denali.isa.translator.emit import Body, Value, context_field


class Traps(Protocol):
    """The interpreter, as far as it is needed here."""

    body: Body

    def trap(self, cause: int, value: Value, when: Value | None) -> None:
        """Stop the guest at this instruction if `when`."""
        ...


def place(body: Body, base: Value, offset: Value, limit: Value) -> Value:
    """The ptr at an offset in a region, which has been found below the limit."""
    return body.kept(offset, limit, base) if body.masked else body.value(f"getelementptr i8, ptr {base}, i64 {offset}")


class Places:
    """Emits accesses; each as both realisations of memory."""

    def __init__(self, machine: Traps) -> None:
        self.machine, self.body = machine, machine.body

    def prologue(self) -> None:
        """Read which realisation this guest has."""
        body = self.body
        body.line("%split = alloca i64")
        tlb = body.value(f"load i64, ptr {context_field(body, '%ctx', 'tlb')}")
        body.line(f"%paged = icmp ne i64 {tlb}, 0")

    def pointer(self, address: Value, size: int, cause: Cause) -> Value:
        """A host ptr to the bytes of an access; one to a copy when a load crosses pages."""
        return self._either(
            lambda: self._flat(address, size, cause),
            lambda: self._load(address, size) if cause == Cause.LOAD else self._aligned_store(address, size),
        )

    def store(self, address: Value, value: Value, width: int) -> None:
        """Write `width` bits."""

        def flat() -> Value:
            self.body.line(f"store i{width} {value}, ptr {self._flat(address, width // 8, Cause.STORE)}, align 1")
            return "null"

        self._either(flat, lambda: self._store(address, value, width))

    def code(self, address: Value) -> Value:
        """A host ptr to sixteen bits to be executed."""
        return self._either(lambda: self._flat_code(address), lambda: self._bound_code(address))

    def _either(self, flat: Callable[[], Value], paged: Callable[[], Value]) -> Value:
        body = self.body
        bound, unbound, placed = body.name("bound"), body.name("flat"), body.name("placed")
        body.branch("%paged", bound, unbound)
        body.label(unbound)
        first, origin = flat(), body.block
        body.line(f"br label %{placed}")
        body.label(bound)
        second, other = paged(), body.block
        body.line(f"br label %{placed}")
        body.label(placed)
        return body.value(f"phi ptr [ {first}, %{origin} ], [ {second}, %{other} ]")

    # --- flat ---

    def _flat(self, address: Value, size: int, cause: Cause) -> Value:
        """Private memory first, then (for loads) the read-only bytes; a trap where it is wholly inside neither."""
        body = self.body
        offset = body.value(f"sub i64 {address}, %private_start")
        inside = body.value(f"icmp ult i64 {offset}, %private_limit.{size}")
        if cause != Cause.LOAD:
            self.machine.trap(cause, address, body.value(f"xor i1 {inside}, true"))
            return place(body, "%memory", offset, f"%private_limit.{size}")
        private, other, done = body.name("private"), body.name("read_only"), body.name("loaded")
        body.branch(inside, private, other, likely=True)
        body.label(private)
        first = place(body, "%memory", offset, f"%private_limit.{size}")
        body.line(f"br label %{done}")
        body.label(other)
        distance = body.value(f"sub i64 {address}, %ro_start")
        self.machine.trap(cause, address, body.value(f"icmp uge i64 {distance}, %ro_limit.{size}"))
        second, other = place(body, "%read_only", distance, f"%ro_limit.{size}"), body.block
        body.line(f"br label %{done}")
        body.label(done)
        return body.value(f"phi ptr [ {first}, %{private} ], [ {second}, %{other} ]")

    def _flat_code(self, address: Value) -> Value:
        """Text or private memory; a trap when it is in neither."""
        body = self.body
        offset = body.value(f"sub i64 {address}, %private_start")
        private = body.value(f"icmp ult i64 {offset}, %private_limit.2")
        distance = body.value(f"sub i64 {address}, %text_start")
        limit = body.call("i64 @llvm.usub.sat.i64(i64, i64)", "i64 %text_size, i64 1")
        text = body.value(f"icmp ult i64 {distance}, {limit}")
        outside = body.value(f"xor i1 {body.value(f'or i1 {private}, {text}')}, true")
        self.machine.trap(Cause.FETCH, address, outside)
        near, far = place(body, "%memory", offset, "%private_limit.2"), place(body, "%text", distance, limit)
        return body.value(f"select i1 {private}, ptr {near}, ptr {far}")

    # --- paged ---

    def _find(self, address: Value, size: int, need: Cause) -> tuple[Value, Value]:
        """The host ptr of bytes in one page, and whether there are any."""
        body = self.body
        addend = find(body, "%ctx", address, size, need)
        found = body.value(f"inttoptr i64 {body.value(f'add i64 {address}, {found_at(body, address, addend)}')} to ptr")
        return found, body.value(f"icmp ne i64 {addend}, {NOWHERE}")

    def _load(self, address: Value, size: int) -> Value:
        """The bytes themselves, or what `denali_gather` brought together."""
        body = self.body
        place, found = self._find(address, size, Cause.MISS_READ)
        whole, parts, done = body.name("whole"), body.name("parts"), body.name("gathered")
        body.branch(found, whole, parts, likely=True)
        body.label(parts)
        self._missed(body.call(GATHER, f"ptr %ctx, i64 {address}, i64 {size}, ptr %split"), Cause.MISS_READ)
        end = body.block
        body.line(f"br label %{done}")
        body.label(whole)
        body.line(f"br label %{done}")
        body.label(done)
        return body.value(f"phi ptr [ {place}, %{whole} ], [ %split, %{end} ]")

    def _store(self, address: Value, value: Value, width: int) -> Value:
        """Write the bytes themselves, or have `denali_scatter` do it."""
        body = self.body
        place, found = self._find(address, width // 8, Cause.MISS_WRITE)
        whole, parts, done = body.name("whole"), body.name("parts"), body.name("scattered")
        body.branch(found, whole, parts, likely=True)
        body.label(whole)
        body.line(f"store i{width} {value}, ptr {place}, align 1")
        body.line(f"br label %{done}")
        body.label(parts)
        body.line(f"store i{width} {value}, ptr %split")
        self._missed(body.call(SCATTER, f"ptr %ctx, i64 {address}, i64 {width // 8}, ptr %split"), Cause.MISS_WRITE)
        body.line(f"br label %{done}")
        body.label(done)
        return "null"

    def _missed(self, done: Value, cause: Cause) -> None:
        """Trap, unless it was done, at the address that is already noted as the value."""
        body = self.body
        value = body.value(f"load i64, ptr {context_field(body, '%ctx', 'value')}")
        self.machine.trap(cause, value, body.value(f"xor i1 {done}, true"))

    def _aligned_store(self, address: Value, size: int) -> Value:
        """An atomic access is aligned and so never crosses pages."""
        place, found = self._find(address, size, MISSES[Cause.STORE])
        self.machine.trap(Cause.MISS_WRITE, address, self.body.value(f"xor i1 {found}, true"))
        return place

    def _bound_code(self, address: Value) -> Value:
        """Text, or a page or wired memory that may be executed."""
        place, found = self._find(address, 2, Cause.MISS_EXECUTE)
        self.machine.trap(Cause.MISS_EXECUTE, address, self.body.value(f"xor i1 {found}, true"))
        return place
