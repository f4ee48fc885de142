"""One program, every engine: what a semantic test calls so that it holds for all of them.

    outcome = run("translated", Image.raw(code), fuel=100, private_size=8000)

The engines are the reference interpreter ("reference"), the native interpreter ("interpreter") and native code with
everything translated ahead of time ("translated"); each with flat memory or, as "reference-tiny", with one of
`paging.MEMORIES`. The native ones there are also as masked code ("masked", "masked.interpreter"). Whatever the engine,
the outcome is the guest's whole state.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from paging import MEMORIES, MISSES, NativePages, ReferencePages

from denali.isa.context import CONTEXT, Status
from denali.isa.definitions.record import ALL_ONES, Cause
from denali.isa.image import Image
from denali.isa.tools.reference import NO_RESERVATION, Machine, Memory
from denali.isa.virtual import Service

ENGINES = ("reference", "interpreter", "translated")
PAGED = tuple(f"{engine}-{memory}" for engine in ENGINES for memory in MEMORIES)  # with the virtual MMU on
ALL = (*ENGINES, *PAGED)
MASKED = tuple(
    f"{engine}{memory}" for engine in ("masked.interpreter", "masked") for memory in ("", *(f"-{m}" for m in MEMORIES))
)
SP, TP = 2, 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """A stopped guest: `cause` and `value` are None and 0 unless it trapped."""

    status: Status
    pc: int
    cause: Cause | None
    value: int
    x: tuple[int, ...]
    f: tuple[int, ...]
    fcsr: int
    fuel: int
    memory: bytes

    def differences(self, other: Outcome) -> str:
        """Lines that say in what two outcomes differ; empty when they are equal."""
        lines = [f"memory[{n:#x}]: {_word(self, n)} {_word(other, n)}" for n in _apart(self.memory, other.memory)]
        for name, mine, theirs in (("x", self.x, other.x), ("f", self.f, other.f)):
            pairs = enumerate(zip(mine, theirs, strict=True))
            lines += [f"{name}{n}: {a:#x} {b:#x}" for n, (a, b) in pairs if a != b]
        for name in ("status", "pc", "cause", "value", "fcsr", "fuel"):
            if getattr(self, name) != getattr(other, name):
                lines.append(f"{name}: {getattr(self, name)!r} {getattr(other, name)!r}")
        return "\n".join(lines)


def _word(outcome: Outcome, place: int) -> str:
    return outcome.memory[place : place + 8].hex()


def _apart(mine: bytes, theirs: bytes) -> list[int]:
    """Offsets of the first few aligned words in which two memories differ."""
    if mine == theirs:
        return []
    return [n for n in range(0, max(len(mine), len(theirs)), 8) if mine[n : n + 8] != theirs[n : n + 8]][:8]


Read = Callable[[int, int], bytes | None]


class Call:
    """A virtual instruction on its way: its number and arguments, and the ways to end the turn."""

    def __init__(self, number: int, a: int, b: int, read: Read) -> None:
        """The service `number`, asked with `a` and `b`; `read(address, size)` gives bytes of the guest's memory."""
        self.number, self.a, self.b, self.read = number, a, b, read
        self.status, self.cause, self.value = Status.FUEL, None, 0

    def leave(self) -> int:
        """End the turn after this instruction."""
        self.status = Status.LEFT
        return 0

    def trap(self, cause: Cause = Cause.DEVICE, value: int = 0) -> int:
        """End the turn before this instruction."""
        self.status, self.cause, self.value = Status.TRAP, cause, value
        return 0


Serve = Callable[[Call], int]


def exits(call: Call) -> int:
    """The service most tests need: EXIT and YIELD leave, CLOCK says 0, everything else is refused."""
    if call.number in (Service.EXIT, Service.YIELD):
        return call.leave()
    return 0 if call.number == Service.CLOCK else call.trap(value=call.number)


@dataclass(frozen=True, slots=True)
class Start:
    """Where and with what a guest begins; None and what is not named: as the contract of entry says."""

    pc: int | None = None
    x: Mapping[int, int] | None = None
    f: Mapping[int, int] | None = None
    fcsr: int = 0
    data: bytes | None = None  # what private memory begins with, instead of the image's data
    turn: int = 1 << 62  # instructions after which it is stopped and resumed; what became hot is translated between


def run(
    engine: str,
    image: Image,
    *,
    fuel: int,
    private_size: int,
    pc: int | None = None,
    x: Mapping[int, int] | None = None,
    f: Mapping[int, int] | None = None,
    fcsr: int = 0,
    service: Serve = exits,
) -> Outcome:
    """Run a fresh guest of `image` until its first stop.

    Args:
        engine: one of `ENGINES`.
        image: the program.
        fuel: instructions it may retire.
        private_size: bytes of its private memory.
        pc: where to begin, when not at the entry.
        x: registers that are not as at entry.
        f: floating-point registers that are not zero.
        fcsr: rounding mode and flags at the start.
        service: what its virtual instructions reach.
    """
    with guests(engine, image, private_size=private_size, service=service) as start:
        return start(Start(pc, x, f, fcsr), fuel)


@contextmanager
def guests(
    engine: str, image: Image, *, private_size: int, service: Serve = exits, must_translate: bool = True
) -> Generator[Callable[[Start, int], Outcome]]:
    """A function that runs one fresh guest of `image` after another; an image is translated only once."""
    kind, _, mode = engine.partition("-")
    if kind == "reference":
        yield lambda start, fuel: _reference(image, private_size, service, start, fuel, mode)
        return
    callback = _callback(service, image, private_size)
    address = ctypes.cast(callback, ctypes.c_void_p).value
    space = _engine(masked=kind.startswith("masked")).space(image, private_size, address)
    translated = space.paged if mode else space.flat
    try:
        if kind in ("translated", "masked"):
            translated.translate()
            lacking = must_translate and (translated.table == space.flat.miss).all()
            assert not lacking, f"nothing of {image.name} was translated"
        yield lambda start, fuel: _native(space, image, private_size, start, fuel, mode)
    finally:
        space.close()
        del callback


def _reference(image: Image, private_size: int, service: Serve, start: Start, fuel: int, mode: str = "") -> Outcome:
    def read(address: int, size: int) -> bytes | None:
        memory = Memory(image, private_size)
        memory.private[:] = machine.memory.private if pages is None else pages.content()
        return memory.read(address, size)

    def serve(machine: Machine, number: int, a: int, b: int) -> int:
        call = Call(number, a, b, read)
        result = service(call)
        if call.status is not Status.FUEL:
            machine.stop(call.status, call.cause, call.value)
        return result & ALL_ONES

    machine = Machine(image, private_size, serve)
    machine.pc = image.entry if start.pc is None else start.pc
    for registers, given in ((machine.x, start.x), (machine.f, start.f)):
        for number, value in (given or {}).items():
            registers[number] = value & ALL_ONES
    machine.fcsr = start.fcsr
    if start.data is not None:
        machine.memory.private[:] = start.data.ljust(private_size, b"\0")
    pages = ReferencePages(machine.memory, MEMORIES[mode](image, private_size)) if mode else None
    going = True
    while going:
        if pages is not None:
            machine.access = pages.access
        machine.run(min(fuel - machine.retired, start.turn))
        going = machine.status is Status.FUEL and machine.retired < fuel
        if machine.status is Status.TRAP and pages is not None and machine.cause is not None:
            going = pages.handler.handles(machine.cause, machine.value, machine.retired)
    trapped = machine.status is Status.TRAP
    cause = machine.cause if pages is None or machine.cause is None else MISSES.get(machine.cause, machine.cause)
    return Outcome(
        machine.status,
        machine.pc,
        cause if trapped else None,
        machine.value if trapped else 0,
        tuple(machine.x),
        tuple(machine.f),
        machine.fcsr,
        fuel - machine.retired,
        bytes(machine.memory.private) if pages is None else pages.content(),
    )


@cache
def _engine(*, masked: bool) -> Any:
    from denali.isa.runtime.engine import Engine

    return Engine(masked=masked)


ENTER = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64)
READERS: dict[int, NativePages] = {}  # by the address of the context: the guests whose virtual MMU is on
SERVICE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, ctypes.c_int64, ctypes.c_uint64, ctypes.c_uint64)


def _callback(service: Serve, image: Image, private_size: int) -> Any:
    def serve(address: int, number: int, a: int, b: int) -> int:
        memory = Memory(image, len(image.data))
        pages = READERS.get(address)
        if pages is not None:
            memory.private = bytearray(pages.content())
        else:
            memory.private = (ctypes.c_uint8 * private_size).from_address(address + CONTEXT.itemsize)  # type: ignore[assignment]
        call = Call(number, a, b, memory.read)
        result = service(call) & ALL_ONES
        if call.status is not Status.FUEL:
            context = _record_at(address)
            context["status"] = call.status
            context["cause"], context["value"] = call.cause or 0, call.value & ALL_ONES
        return result - (result >> 63 << 64)

    return SERVICE(serve)


def _record_at(address: int) -> np.ndarray[Any, Any]:
    raw = (ctypes.c_uint8 * CONTEXT.itemsize).from_address(address)
    return np.frombuffer(memoryview(raw), CONTEXT).reshape(())


def _translate_hot(space: Any) -> None:
    """Translate what has become hot, all of it."""
    space.poll()
    while space.translating:
        time.sleep(0.001)
        space.poll()


def _native(space: Any, image: Image, private_size: int, start: Start, fuel: int, mode: str = "") -> Outcome:
    frames = np.zeros(-(-(CONTEXT.itemsize + private_size) // 8) + 8, np.uint64).view(np.uint8)
    shift = -frames.ctypes.data % 64
    context = frames[shift : shift + CONTEXT.itemsize].view(CONTEXT)[0]
    memory = frames[shift + CONTEXT.itemsize :][:private_size]
    data = image.data if start.data is None else start.data
    memory[: len(data)] = np.frombuffer(data, np.uint8)
    context["pc"] = image.entry if start.pc is None else start.pc
    context["space"], context["reservation"], context["fcsr"] = space.address, NO_RESERVATION, start.fcsr
    context["x"][TP] = image.registers_in(private_size)
    context["x"][SP] = context["x"][TP] & ~np.uint64(15)
    for name, given in (("x", start.x), ("f", start.f)):
        for number, value in (given or {}).items():
            context[name][number] = value & ALL_ONES
    pages = NativePages(context, memory, MEMORIES[mode](image, private_size)) if mode else None
    if pages is not None:
        READERS[frames.ctypes.data + shift] = pages
    retired, going, status, cause = 0, True, Status.FUEL, None
    while going:
        context["fuel"] = min(fuel - retired, start.turn)
        context["limit"] = retired + context["fuel"]
        ENTER(space.engine.enter)(frames.ctypes.data + shift)
        status, retired = Status(int(context["status"])), int(context["limit"]) - int(context["fuel"])
        cause = Cause(int(context["cause"])) if status is Status.TRAP else None
        going = status is Status.FUEL and retired < fuel
        if pages is not None and cause is not None:
            going = pages.handler.handles(cause, int(context["value"]), retired)
        if start.turn < fuel:
            _translate_hot(space)
    READERS.pop(frames.ctypes.data + shift, None)
    return Outcome(
        status,
        int(context["pc"]),
        cause if pages is None or cause is None else MISSES.get(cause, cause),
        int(context["value"]) if cause is not None else 0,
        tuple(int(n) for n in context["x"]),
        tuple(int(n) for n in context["f"]),
        int(context["fcsr"]),
        fuel - retired,
        memory.tobytes() if pages is None else pages.content(),
    )
