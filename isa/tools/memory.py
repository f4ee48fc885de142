"""What a guest's addresses reach, for the reference interpreter: flat memory, and pages bound one by one.

`Flat` and `Paged` are the two realisations of one interface: `read`, `write` and `fetch` do the whole access or raise
`Trapped`, with nothing done, at the first byte that may not be touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ..definitions.record import ALL_ONES, Cause
from ..image import PAGE, Image
from ..virtual import REGISTERS


class Trapped(Exception):
    """The instruction cannot be completed."""

    def __init__(self, cause: Cause, value: int) -> None:
        super().__init__(cause.name, hex(value))
        self.cause = cause
        self.value = value


class Memory:
    """The image's read-only bytes, executable in text, and private memory, all at their own addresses."""

    def __init__(self, image: Image, private_size: int) -> None:
        """Private memory as a guest finds it: data, then zeros."""
        self.image = image
        self.private_start = image.private_start
        self.private = bytearray(image.data) + bytearray(private_size - len(image.data))

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes at `address`; None when they are not wholly inside one region."""
        for start, content in ((self.private_start, self.private), (self.image.ro_start, self.image.read_only)):
            if start <= address and address + size <= start + len(content):
                return bytes(content[address - start : address - start + size])
        return None

    def write(self, address: int, content: bytes) -> bool:
        """Write to private memory; False, and nothing done, when that is not wholly inside it."""
        offset = address - self.private_start
        if offset < 0 or offset + len(content) > len(self.private):
            return False
        self.private[offset : offset + len(content)] = content
        return True

    def in_text(self, address: int, size: int) -> bool:
        """Whether these bytes are text."""
        return self.image.text_start <= address and address + size <= self.image.text_end


class Access(Protocol):
    """How a guest reaches memory."""

    def read(self, address: int, size: int) -> bytes:
        """The bytes there, for a load."""
        ...

    def write(self, address: int, content: bytes) -> None:
        """Change them, for a store."""
        ...

    def check_write(self, address: int, size: int) -> None:
        """Trap where `write` would."""
        ...

    def fetch(self, address: int) -> bytes:
        """The two bytes there, to be executed; the address is even."""
        ...


@dataclass(slots=True)
class Flat:
    """The virtual MMU is off: everything is at its own address."""

    memory: Memory

    def read(self, address: int, size: int) -> bytes:
        """See `Access`."""
        content = self.memory.read(address, size)
        if content is None:
            raise Trapped(Cause.LOAD, address)
        return content

    def write(self, address: int, content: bytes) -> None:
        """See `Access`."""
        if not self.memory.write(address, content):
            raise Trapped(Cause.STORE, address)

    def check_write(self, address: int, size: int) -> None:
        """See `Access`."""
        if not 0 <= address - self.memory.private_start <= len(self.memory.private) - size:
            raise Trapped(Cause.STORE, address)

    def fetch(self, address: int) -> bytes:
        """See `Access`."""
        private = 0 <= address - self.memory.private_start <= len(self.memory.private) - 2
        content = self.memory.read(address, 2) if private or self.memory.in_text(address, 2) else None
        if content is None:
            raise Trapped(Cause.FETCH, address)
        return content


@dataclass(slots=True)
class Binding:
    """An entry of the TLB: the page of `frames` at `offset`, as the guest's page at `page`."""

    page: int
    frames: bytearray
    offset: int
    rights: frozenset[Cause]  # the misses that it prevents


READABLE = frozenset({Cause.MISS_READ})
WRITABLE = READABLE | {Cause.MISS_WRITE}
ALL_RIGHTS = WRITABLE | {Cause.MISS_EXECUTE}
Place = tuple[bytearray | bytes, int]


class Paged:
    """The virtual MMU is on: a page is where its entry says, and a miss traps."""

    def __init__(self, memory: Memory, entries: int, wired_start: int = 0, wired_size: int = 0) -> None:
        """No entry is valid; `entries` is a power of two and at least two."""
        self.memory = memory
        self.entries: list[Binding | None] = [None] * entries
        self.wired = (wired_start, wired_size)

    def bind(self, binding: Binding) -> None:
        """Write the entry of a page."""
        self.entries[(binding.page // PAGE) % len(self.entries)] = binding

    def drop(self, page: int) -> None:
        """Clear the entry that a page has or would have."""
        self.entries[(page // PAGE) % len(self.entries)] = None

    def read(self, address: int, size: int) -> bytes:
        """See `Access`."""
        return b"".join(bytes(frames[at : at + n]) for frames, at, n in self._places(address, size, Cause.MISS_READ))

    def write(self, address: int, content: bytes) -> None:
        """See `Access`."""
        for frames, at, n in list(self._places(address, len(content), Cause.MISS_WRITE)):
            assert isinstance(frames, bytearray)
            frames[at : at + n], content = content[:n], content[n:]

    def check_write(self, address: int, size: int) -> None:
        """See `Access`."""
        list(self._places(address, size, Cause.MISS_WRITE))

    def fetch(self, address: int) -> bytes:
        """See `Access`."""
        ((frames, at, n),) = self._places(address, 2, Cause.MISS_EXECUTE)
        return bytes(frames[at : at + n])

    def _places(self, address: int, size: int, need: Cause) -> Iterator[tuple[bytearray | bytes, int, int]]:
        """Where the parts of an access are that lie in one page each, and how long they are."""
        while size:
            part = min(size, PAGE - address % PAGE)
            place = self._bound(address, need) or self._unbound(address, part, need)
            if place is None:
                raise Trapped(need, address)
            yield *place, part
            address, size = (address + part) & ALL_ONES, size - part

    def _bound(self, address: int, need: Cause) -> Place | None:
        page = address - address % PAGE
        entry = self.entries[(page // PAGE) % len(self.entries)]
        if entry is None or entry.page != page or need not in entry.rights:
            return None
        return entry.frames, entry.offset + address - page

    def _unbound(self, address: int, size: int, need: Cause) -> Place | None:
        """Read-only bytes, wired memory and the registers page need no entry."""
        memory = self.memory
        image, registers = memory.image, memory.image.registers_in(len(memory.private))
        readable = need is Cause.MISS_READ and image.ro_start <= address and address + size <= image.ro_end
        if readable or (need is Cause.MISS_EXECUTE and memory.in_text(address, size)):
            return image.read_only, address - image.ro_start
        for start, length in (self.wired, (registers, REGISTERS.itemsize)):
            if start <= address and address + size <= start + length:
                return memory.private, address - memory.private_start
        return None
