"""The same guest on two engines, the reference interpreter and native code, started alike and compared in all."""

from __future__ import annotations

import ctypes
import mmap
import random
from typing import Any

import numpy as np

from denali.isa.context import CONTEXT, Status
from denali.isa.definitions.record import ALL_ONES, Cause
from denali.isa.image import Image
from denali.isa.runtime.engine import Engine, Space, address_of
from denali.isa.tools.reference import Machine

FRAMES = 2
SIZE = FRAMES * 4096 - CONTEXT.itemsize
GUEST = 0x600D600D
PLAIN = ("pc", "fuel", "fcsr", "status", "reservation", "reserved_value")
LIBC = ctypes.CDLL(None)
LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
SERVICE = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, *[ctypes.c_uint64] * 3)


def guarded(pages: int) -> np.ndarray:
    """Zeroed pages between two that nobody may touch: an access beside them ends the process."""
    memory = mmap.mmap(-1, (pages + 2) * mmap.PAGESIZE)
    whole = np.frombuffer(memory, np.uint8)
    for page in (0, pages + 1):
        assert LIBC.mprotect(address_of(whole) + page * mmap.PAGESIZE, mmap.PAGESIZE, 0) == 0
    return whole[mmap.PAGESIZE : -mmap.PAGESIZE]


def behaviour(number: int, a: int, b: int) -> tuple[int, Status, Cause | None, int]:
    """What the kernel of these tests does: an answer, and sometimes the end of the turn or a trap, by the arguments."""
    answer = (number * 0x9E3779B97F4A7C15 + a * 3 + b) & ALL_ONES
    if (a ^ b) % 5 == 1:
        return answer, Status.LEFT, None, 0
    if (a ^ b) % 5 == 2:
        return answer, Status.TRAP, Cause.DEVICE, a
    return answer, Status.FUEL, None, 0


def reference_service(machine: Machine, number: int, a: int, b: int) -> int:
    """`behaviour`, for the reference interpreter."""
    answer, status, cause, value = behaviour(number, a, b)
    if status is not Status.FUEL:
        machine.stop(status, cause, value)
    return answer


@SERVICE
def native_service(context: int, number: int, a: int, b: int) -> int:
    """`behaviour`, for native code."""
    answer, status, cause, value = behaviour(number, a, b)
    if status is not Status.FUEL:
        at = np.ctypeslib.as_array((ctypes.c_uint8 * CONTEXT.itemsize).from_address(context)).view(CONTEXT)
        at["status"], at["cause"], at["value"] = status, cause or 0, value
    return answer


NATIVE_SERVICE = ctypes.cast(native_service, ctypes.c_void_p).value or 0


class Twins:
    """One guest twice. What is set through `set` is set in both; `run` runs both and says where they differ."""

    def __init__(self, engine: Engine, image: Image, *, space: Space | None = None) -> None:
        self.space = space or engine.space(image, SIZE, NATIVE_SERVICE)
        self.reference = Machine(image, SIZE, reference_service)
        self._pages = guarded(FRAMES)
        self.context: Any = self._pages[: CONTEXT.itemsize].view(CONTEXT)
        self.memory = self._pages[CONTEXT.itemsize :]
        self.enter = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)(engine.enter)
        self.context["space"], self.context["guest"] = self.space.address, GUEST
        self.set_memory(bytes(self.reference.memory.private))
        self.set(pc=image.entry, fcsr=0, reservation=ALL_ONES, reserved_value=0)
        self.set_registers(self.reference.x, self.reference.f)

    def set(self, **fields: int) -> None:
        """Set plain fields."""
        for name, value in fields.items():
            setattr(self.reference, name, value)
            self.context[name] = value

    def set_registers(self, x: list[int], f: list[int]) -> None:
        """Set all registers; x[0] is zero."""
        self.reference.x[:], self.reference.f[:] = [0, *x[1:]], f
        self.context["x"][0, :], self.context["f"][0, :] = self.reference.x, f

    def set_memory(self, content: bytes, offset: int = 0) -> None:
        """Set private memory from `offset` on."""
        self.reference.memory.private[offset : offset + len(content)] = content
        self.memory[offset : offset + len(content)] = np.frombuffer(content, np.uint8)

    def run(self, fuel: int) -> Status:
        """Give both `fuel` instructions, and compare them when they stop."""
        status = self.reference.run(fuel)
        self.context["fuel"], self.context["limit"] = fuel, self.reference.limit
        assert self.enter(address_of(self.context)) == int(self.context["status"][0])
        assert not self.differences(), "\n".join(self.differences())
        return status

    def differences(self) -> list[str]:
        """Where the two are not alike."""
        expected, got = self.reference, self.context[0]
        pairs = [(name, int(getattr(expected, name)), int(got[name])) for name in PLAIN]
        if expected.status is Status.TRAP:
            pairs += [
                ("cause", int(expected.cause or 0), int(got["cause"])),
                ("value", expected.value, int(got["value"])),
            ]
        for file in ("x", "f"):
            values = zip(getattr(expected, file), got[file].tolist(), strict=True)
            pairs += [(f"{file}{number}", wanted, found) for number, (wanted, found) in enumerate(values)]
        result = [
            f"{name}: reference {wanted:#x}, native {found:#x}" for name, wanted, found in pairs if wanted != found
        ]
        if self.memory.tobytes() != bytes(expected.memory.private):
            result.append("private memory differs")
        if got["space"] != self.space.address or got["guest"] != GUEST or got["limit"] != expected.limit:
            result.append("something of the context was overwritten")
        return result


# --- random states ---

FLOATS_64 = (
    0, 1 << 63, 0x3FF0 << 48, 0xBFF0 << 48, 0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8 << 48, 0x7FF0000000000001,
    0xFFF8000000001234, 1, 0x8000000000000001, 0x000FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF,
    0x3FE0 << 48, 0x3FF8 << 48, 0x41DFFFFFFFC00000, 0x41E0000000000000, 0xC1E0000000000000, 0xC1E0000000200000,
    0x43E0000000000000, 0xC3E0000000000000, 0x43F0000000000000, 0x3FEFFFFFFFFFFFFF, 0x3FF0000000000001, 0x4004 << 48,
    0xC004 << 48, 0xBFE0 << 48, 0x4330000000000001, 0x380FFFFFE0000000,
)  # fmt: skip
FLOATS_32 = (
    0, 1 << 31, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFC01234, 1, 0x80000001,
    0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x3F000000, 0x3FC00000, 0x4EFFFFFF, 0x4F000000, 0xCF000000, 0xCF000001,
    0x5F000000, 0xDF000000, 0x5F800000, 0x3F7FFFFF, 0x3F800001, 0x40200000, 0xC0200000, 0xBF000000,
)  # fmt: skip


def random_float(source: random.Random) -> int:
    """Raw bits of a register: doubles, boxed singles, and things that are neither."""
    kind = source.randrange(6)
    if kind == 0:
        return source.choice(FLOATS_64)
    if kind == 1:
        return source.choice(FLOATS_32) | ALL_ONES << 32 & ALL_ONES
    if kind == 2:
        return source.getrandbits(64)
    if kind == 3:  # few bits, exponents near one another: exact results, ties and cancellation
        return source.getrandbits(1) << 63 | (1023 + source.randrange(-3, 60)) << 52 | source.getrandbits(3) << 49
    if kind == 4:
        exponent, fraction = 127 + source.randrange(-3, 30), source.getrandbits(3) << 20 | source.getrandbits(1)
        return ALL_ONES << 32 & ALL_ONES | source.getrandbits(1) << 31 | exponent << 23 | fraction
    return ALL_ONES << 32 & ALL_ONES | source.getrandbits(32)


def random_integer(source: random.Random, image: Image) -> int:
    """A register's value: edges, small numbers, noise, and addresses in and around the regions."""
    kind = source.randrange(8)
    if kind == 0:
        return source.choice((0, 1, ALL_ONES, 1 << 63, (1 << 63) - 1, 1 << 31, (1 << 31) - 1, 0xFFFFFFFF80000000))
    if kind == 1:
        return source.getrandbits(64)
    if kind == 2:
        return source.randrange(-70, 70) & ALL_ONES
    if kind == 3:
        edge = source.choice((image.ro_start, image.ro_end, image.private_start, image.private_start + SIZE, 0))
        return edge + source.randrange(-20, 20) & ALL_ONES
    if kind == 4:
        return image.ro_start + source.randrange(len(image.read_only))
    return image.private_start + source.randrange(SIZE) & (-8 if source.getrandbits(1) else -1)


def random_state(twins: Twins, source: random.Random) -> None:
    """Give both random registers, fcsr and reservation."""
    image = twins.reference.image
    x = [random_integer(source, image) for _ in range(32)]
    twins.set_registers(x, [random_float(source) for _ in range(32)])
    reservation = source.choice((ALL_ONES, *x))
    held = twins.reference.memory.read(reservation, source.choice((4, 8))) or b""
    twins.set(
        fcsr=source.choice((0, source.randrange(256))),
        reservation=reservation,
        reserved_value=int.from_bytes(held, "little"),
    )
