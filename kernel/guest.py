"""A guest as Python holds it: a number in a kernel, and the questions one may ask about it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from denali.isa.image import Image
from denali.isa.virtual import address_of

from .leases import Lease
from .records import NOBODY, End, State
from .template import Frozen, Template

if TYPE_CHECKING:
    from .kernel import Kernel

COUNTERS = (
    "turns",
    "frames_sent",
    "frames_received",
    "bytes_sent",
    "bytes_received",
    "sent_to_nobody",
    "sent_to_full",
    "missed",
    "events",
    "console_bytes",
    "console_lost",
)


@dataclass(slots=True)
class Birth:
    """What the guests of one spawn have in common."""

    image: Image
    private_size: int
    frames: int
    fuel: int
    template: Template


@dataclass(slots=True)
class Ending:
    """What is left of a guest that is over."""

    end: End
    exit_status: int | None
    message: str | None
    console: bytes
    frozen: Frozen | None = None


@dataclass(slots=True, eq=False, repr=False)
class Guest:
    """One guest; every method may be called from any thread."""

    kernel: Kernel
    number: int
    birth: Birth
    lease: Lease

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Guest) and (self.kernel, self.number) == (other.kernel, other.number)

    def __hash__(self) -> int:
        return hash((id(self.kernel), self.number))

    def __repr__(self) -> str:
        return f"<guest {self.number} ({self.birth.image.name}): {self.state.name.lower()}>"

    @property
    def row(self) -> int:
        """Where it stands in the kernel's tables."""
        return self.number & self.kernel.tables.mask

    @property
    def address(self) -> str:
        """Its IPv4 address on the virtual network."""
        return socket.inet_ntoa(address_of(self.number).to_bytes(4, "big"))

    @property
    def image(self) -> Image:
        """Its program."""
        return self.birth.image

    @property
    def memory(self) -> int:
        """Bytes of its private memory."""
        return self.birth.private_size

    @property
    def state(self) -> State:
        """Where it is in its life, at this moment."""
        return State(int(self.kernel.tables.guests["state"][self.row]))

    @property
    def parked(self) -> bool:
        """Whether its memory is packed at this moment, since it has been idle and memory was short."""
        record = self.kernel.tables.guests[self.row]
        return State.HELD <= record["state"] <= State.IDLE and int(record["first_frame"]) == NOBODY

    @property
    def ending(self) -> Ending | None:
        """How it ended; None while it lives."""
        return self.kernel.endings.get(self.number)

    @property
    def exit_status(self) -> int | None:
        """What it said when it exited; None otherwise."""
        return self.ending.exit_status if self.ending else None

    @property
    def message(self) -> str | None:
        """One line on why it was stopped; None while it lives and after an exit."""
        return self.ending.message if self.ending else None

    def start(self) -> None:
        """Let a guest that was spawned with `start=False` run."""
        self.kernel.start(self)

    def reset(self) -> None:
        """Set it back to where it began; see `Kernel.reset`."""
        self.kernel.reset(self)

    def kill(self) -> None:
        """End its life; nothing happens to one that is over."""
        self.kernel.kill(self)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is over; False when `timeout` seconds passed first."""
        return self.kernel.wait([self], timeout)

    async def ended(self) -> Ending:
        """Wait until it is over, without blocking the event loop."""
        await asyncio.wrap_future(self.kernel.when_over([self]))
        assert self.ending is not None
        return self.ending

    def console(self) -> bytes:
        """What it wrote, as far as the kernel still keeps it: the last 15 KiB."""
        return self.kernel.console(self)

    def metrics(self) -> dict[str, int]:
        """Its counters, `retired`: the instructions it has executed, and what it has beyond its memory."""
        record = self.kernel.tables.guests[self.row]
        account = self.kernel.tables.frames.accounts[self.row]
        extra = {
            "extra_held": account["held"],
            "extra_repossessed": account["repossessed"],
            "tlb": account["tlb_frames"],
        }
        counters = {name: int(record[name]) for name in COUNTERS}
        counters |= {name: int(value) for name, value in extra.items()}
        return counters | {"retired": self.birth.fuel - int(record["fuel"])}

    def read_memory(self, address: int, count: int) -> bytes:
        """`count` bytes of its memory, private or read-only.

        Raises:
            ValueError: they are not all in one region of it, or it is over.
        """
        return self.kernel.read_memory(self, address, count)

    def write_memory(self, address: int, data: bytes) -> None:
        """Change its private memory.

        Raises:
            ValueError: not all of it is inside, or it is over.
        """
        self.kernel.write_memory(self, address, data)

    def read(self, symbol: str) -> bytes:
        """The bytes of a data object of its image, e.g. `module.variable`.

        Raises:
            KeyError: its image has no such object.
        """
        found = self.image.object(symbol)
        return self.read_memory(found.start, found.size)

    def write(self, symbol: str, data: bytes) -> None:
        """Change a data object from its first byte on.

        Raises:
            KeyError: its image has no such object.
            ValueError: it is shorter than `data`.
        """
        found = self.image.object(symbol)
        if len(data) > found.size:
            raise ValueError(f"{symbol} has {found.size} bytes, not {len(data)}")
        self.write_memory(found.start, data)

    def connect(self, port: int = 80) -> socket.socket:
        """A stream to one of its ports, through the gateway; see `Kernel.connect`."""
        return self.kernel.connect(self, port)

    def request(self, data: bytes, port: int = 80, timeout: float | None = 10) -> bytes:
        """Send `data` to one of its ports and read until it closes.

        Raises:
            ConnectionError: it does not live, does not listen, or resets the connection.
            TimeoutError: nothing came for `timeout` seconds.
        """
        with self.connect(port) as stream:
            stream.settimeout(timeout)
            stream.sendall(data)
            answer = b"".join(iter(lambda: stream.recv(65536), b""))
        if not answer:
            raise ConnectionResetError(f"guest {self.number} closed port {port} without an answer")
        return answer

    async def request_async(self, data: bytes, port: int = 80) -> bytes:
        """`request` for asyncio."""
        stream = await asyncio.to_thread(self.connect, port)
        reader, writer = await asyncio.open_connection(sock=stream)
        with contextlib.closing(writer):
            writer.write(data)
            answer = await reader.read()
        if not answer:
            raise ConnectionResetError(f"guest {self.number} closed port {port} without an answer")
        return answer


@dataclass(slots=True, eq=False, repr=False)
class Guests(Sequence[Guest]):
    """The guests of one spawn, in order; a million of them cost no more than one."""

    kernel: Kernel
    numbers: Sequence[int]
    birth: Birth
    lease: Lease

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Guest: ...
    @overload
    def __getitem__(self, index: slice) -> Guests: ...
    def __getitem__(self, index: int | slice) -> Guest | Guests:
        if isinstance(index, slice):
            return Guests(self.kernel, self.numbers[index], self.birth, self.lease)
        return Guest(self.kernel, self.numbers[index], self.birth, self.lease)

    def __add__(self, others: Iterable[Guest]) -> list[Guest]:
        return [*self, *others]

    def __repr__(self) -> str:
        return f"<{len(self)} guests ({self.birth.image.name})>"
