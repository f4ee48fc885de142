"""The kernel: spawns guests, runs them in a thread of its own, and answers questions about them.

    with Kernel(gateway=image_of_the_gateway) as kernel:
        guests = kernel.spawn(image, count=5000)
        kernel.publish(8080)
        print(guests[17].request(b"GET / HTTP/1.0\\r\\n\\r\\n"))

The loop is native and holds neither the GIL nor a lock; other threads post what they want done, and it is done between
two turns.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

import numpy as np

from denali.isa.image import Image
from denali.isa.runtime.engine import Engine, Space
from denali.isa.virtual import Sent
from denali.tlb import flat
from denali.tlb.frames import FRAME
from denali.tlb.holds import ALLOWANCE

from . import births, life, parking, reset, revocation, verbs
from .births import ENDLESS
from .gatekeeper import Gatekeeper, Request
from .guest import Birth, Guest, Guests
from .leases import Lease
from .life import LAST_NAME
from .mailbox import Closed
from .nic import LONGEST, SHORTEST
from .records import End, State
from .runner import Pipe, Runner
from .tables import Tables
from .template import Frozen, NotFrozen

FRAMES = 6 << 20  # 24 GiB of address space; the host gives memory when a frame is written to
CAPACITY = 1 << 20
PACKETS = 1 << 18
CHUNKS = 65536
TURN = 1_000_000
LARGEST = {"capacity": LAST_NAME, "frames": 1 << 40, "packets": 1 << 30}
TOTALS = (
    "turns",
    "retired",
    "frames_switched",
    "bytes_switched",
    "traps",
    "sleeps",
    "streams_opened",
    "streams_refused",
    "streams_reset",
)
Progress = Callable[[int, int], None]
_open: weakref.WeakSet[Kernel] = weakref.WeakSet()


class Kernel:
    """One isolation kernel of this process."""

    def __init__(
        self,
        *,
        gateway: Image | None = None,
        clock: Literal["real", "virtual"] = "real",
        engine: Engine | None = None,
        capacity: int = CAPACITY,
        frames: int = FRAMES,
        packets: int = PACKETS,
        resident: int | None = None,
        swap: str | os.PathLike[str] | None = None,
        masked: bool = False,
    ) -> None:
        """Reserve the tables and start the loop.

        Args:
            gateway: the service that joins host streams to the virtual network; without it there are no streams.
            clock: real, or virtual: then a nanosecond is a retired instruction, and time jumps when every guest waits.
            engine: what executes guests; None: one of its own.
            capacity: how many guests there may be at one time, those counted that are over and of which somebody has
                a handle.
            frames: 4 KiB frames of the pool.
            packets: frames of the network that may wait at one time, in all.
            resident: bytes of this process's memory from which on idle guests are parked; None: only when there are no
                frames for somebody.
            swap: a file to be made for the memory of parked guests when it is more than a quarter of that.
            masked: guests' code makes no access out of bounds speculatively either, which takes them longer.

        Raises:
            Overdrawn: the host has not the address space for these sizes, or the gateway not the frames.
            OSError: the swap file cannot be made.
            ValueError: a size makes no sense.
        """
        for name, size in (("capacity", capacity), ("frames", frames), ("packets", packets)):
            if not 1 <= size <= LARGEST[name]:
                raise ValueError(f"{name} is {size}; it must be 1 to {LARGEST[name]}")
        self._own_engine = engine is None
        self.engine = engine or Engine(masked=masked)
        if self.engine.masked != masked:
            raise ValueError(f"masked is {masked}, but the engine was made with {self.engine.masked}")
        sizes = {"capacity": capacity + 1, "frames": frames, "packets": packets, "chunks": CHUNKS}
        self.tables = Tables(**sizes, virtual=clock == "virtual")
        self.tables.record["enter"] = self.engine.enter
        self._closed, self._gatekeeper = threading.Lock(), Gatekeeper()
        try:
            self._runner = Runner(self.tables, self.engine, resident, None if swap is None else Path(swap))
        except BaseException:
            self._let_go()
            raise
        self._call = self._runner.mailbox.call
        self.endings = self._runner.obituary
        _open.add(self)
        if gateway is not None:
            try:
                self._open_gateway(gateway)
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Guests

    def prepare(self, image: Image, *, memory: int | None = None, progress: Progress | None = None) -> None:
        """Have an image translated for guests of this size, and wait for it; `spawn` lets them start interpreted."""
        space = self._runner.spaces.get(image, births.private_size(image, memory), progress, wait=True)
        while space.translating:
            self._call(self._runner.spaces.poll)
            time.sleep(0.01)

    def warm(
        self, image: Image, *, memory: int | None = None, turn: int | None = None, timeout: float | None = 60
    ) -> Frozen:
        """Boot one guest of an image to its mark (`machine.mark()`), and freeze it: `spawn` starts others from there.

        They are that guest as it stood there but for number, address, randomness and time.

        Args:
            image: their program.
            memory: as for `spawn`; guests that start from it have the same.
            turn: as for `spawn`.
            timeout: seconds until it is given up; None: never.

        Raises:
            NotFrozen: it did not come to a mark, or cannot be frozen there; says why.
            Overdrawn: there are not enough frames or numbers.
        """
        plan = births.Plan(1, ENDLESS, turn or TURN, ENDLESS, warming=True)
        (guest,) = self._spawn(image, memory, plan, None)
        if not guest.wait(timeout):
            guest.kill()
        ending = guest.ending
        if ending is None or ending.frozen is None:
            reason = guest.message or f"{guest} exited before it came to a mark"
            raise NotFrozen(f"{reason} (in {timeout} s)" if ending and ending.end is End.KILLED else reason)
        frozen, ending.frozen, number = ending.frozen, None, guest.number
        del guest  # the last that knows of it, so that those who start from it may begin with its number
        self._call(lambda: self._runner.take_back(number))
        return frozen

    def spawn(
        self,
        image: Image | Frozen,
        count: int = 1,
        *,
        memory: int | None = None,
        fuel: int | None = None,
        turn: int | None = None,
        extra: int | None = None,
        watchdog: int | None = None,
        start: bool = True,
        pipe: Pipe | None = None,
        wait: float | None = None,
        progress: Progress | None = None,
    ) -> Guests:
        """Make `count` guests of one image.

        Args:
            image: their program; or that program warmed up, see `warm`.
            count: how many.
            memory: bytes of private memory each has at least; None: its data, and 64 KiB if it brings no stack. A
                warmed image has its own.
            fuel: instructions in a guest's life; None: no limit.
            turn: instructions in one turn.
            extra: frames that each may ask for beyond its memory, for its virtual MMU; None: 256.
            watchdog: instructions after which a guest is stopped that asks the machine for nothing (reading the clock
                does not count); looked at after every turn; None: it may compute for ever.
            start: let them run at once; else `Guest.start` does.
            pipe: called by the kernel's thread with what they write, as it comes; it is then not kept.
            wait: let them in one after the other as there is room, idle guests being parked for them; the seconds after
                which it is given up when nothing moves. None: all at once or not at all.
            progress: told, while it waits, how many of how many there are.

        Raises:
            Overdrawn: there are not enough frames or numbers; no guest was made.
            ValueError: an argument makes no sense.
        """
        if isinstance(image, Frozen) and memory is not None:
            raise ValueError(f"guests of this warmed image have {image.memory} bytes of memory; say it when warming")
        extra = ALLOWANCE if extra is None else extra
        plan = births.Plan(
            count,
            ENDLESS if fuel is None else fuel,
            TURN if turn is None else turn,
            ENDLESS if watchdog is None else watchdog,
            start=start,
            piped=pipe is not None,
            extra=extra,
        )
        return self._spawn(image, memory, plan, pipe, wait, progress)

    def _spawn(
        self,
        image: Image | Frozen,
        memory: int | None,
        plan: births.Plan,
        pipe: Pipe | None,
        wait: float | None = None,
        progress: Progress | None = None,
    ) -> Guests:
        birth, space = self._birth(image, memory, plan.fuel)
        runner = self._runner
        if wait is None:
            made = self._call(lambda: runner.bear(birth, space, plan, pipe))
        else:
            made = self._gatekeeper.admit(
                Request(plan.count, wait, progress),
                lambda count: self._call(lambda: runner.bear_some(birth, space, replace(plan, count=count), pipe)),
                lambda numbers: self._call(lambda: runner.undo(numbers)),
                runner.why_not,
            )
        numbers = births.compact(made)
        return Guests(self, numbers, birth, runner.leases.of(numbers))

    def _birth(self, image: Image | Frozen, memory: int | None, fuel: int) -> tuple[Birth, Space]:
        if not isinstance(image, Frozen | Image):
            raise TypeError(f"{image!r} is no image; make one by `load(path)`")
        if isinstance(image, Frozen):
            template, size, image = image.template, image.memory, image.image
        else:
            size = births.private_size(image, memory)
            template = self._runner.births.booted(image, flat.frames_for(size))
        return Birth(image, size, template.frames, fuel, template), self._runner.spaces.get(image, size)

    def _open_gateway(self, image: Image) -> None:
        birth, space = self._birth(image, None, ENDLESS)
        plan = births.Plan(1, ENDLESS, TURN, ENDLESS, gateway=True)
        self._call(lambda: self._runner.bear_gateway(birth, space, plan))

    def guest(self, number: int) -> Guest:
        """The guest of a number.

        Raises:
            KeyError: there has been none, or it is over, nobody had a handle of it, and its row is another's.
        """
        lease = self._runner.leases.more([number])
        return Guest(self, number, self._runner.births.of(number & self.tables.mask), lease)

    def guests(self) -> list[Guest]:
        """Those that live."""

        def living() -> Lease:
            guests = self.tables.guests[: int(self.tables.record["count"][0])]
            states = guests["state"]
            return self._runner.leases.more(guests["name"][(states >= State.HELD) & (states <= State.IDLE)].tolist())

        with contextlib.suppress(Closed):
            lease, of = self._call(living), self._runner.births.of
            return [Guest(self, number, of(number & self.tables.mask), lease) for number in lease.numbers]
        return []

    def start(self, *guests: Guest) -> None:
        """Let held guests run, all from the same moment."""
        self._call(lambda: [life.start(self.tables.address, guest.row) for guest in guests])

    def kill(self, *guests: Guest) -> None:
        """End guests' lives; they are over when this returns."""
        numbers = [guest.number for guest in guests]
        self._call(lambda: self._runner.kill(numbers))

    def reset(self, guest: Guest) -> None:
        """Set a living guest back to where it began, at its image's start or mark.

        It keeps number and address, and has new randomness and all its fuel; its connections are reset, its console is
        forgotten; its virtual MMU and the frames that it asked for are taken. What this costs are those, and the pages
        that it wrote to since it began or was last reset.

        Raises:
            ValueError: it is over.
        """

        def restore() -> bool:
            self._runner.warehouse.summon(guest.row)
            return bool(reset.restore(self.tables.address, guest.row))

        if not self._call(restore):
            raise ValueError(f"{guest} cannot be reset: it is over")

    def park(self, *guests: Guest) -> int:
        """Pack the memory of those guests that idle now, until they are wanted; how many could be.

        The kernel does so by itself when memory is short. Not parked are the gateway, guests that have used their
        virtual MMU, and those that have written to more than a mebibyte.
        """
        address = self.tables.address

        def park() -> int:
            fit = [guest.row for guest in guests if parking.idle(address, guest.row)]
            return sum(self._runner.warehouse.park(number) for number in fit)

        return self._call(park)

    def revoke(self, guest: Guest, frames: int, *, within: float) -> int:
        """Ask a guest for frames that it asked for itself; after `within` seconds, what it has not released is taken.

        Its flat memory is not touched, nor are its last 8 frames. Asking again takes the place of what was asked.

        Returns:
            How many frames are asked for.
        """
        nanoseconds = int(within * 1e9)
        return self._call(lambda: revocation.ask(self.tables.address, guest.row, frames, nanoseconds))

    def allow(self, guest: Guest, frames: int, *, within: float) -> int:
        """Let a guest hold so many frames from now on; those it holds too many are revoked, as by `revoke`.

        Returns:
            How many frames are asked for.
        """

        def shrink() -> int:
            excess = revocation.allow(self.tables.address, guest.row, frames)
            return self.revoke(guest, excess, within=within) if excess else 0

        if not 0 <= frames <= births.MOST // FRAME:
            raise ValueError(f"a guest may hold 0 to {births.MOST // FRAME} frames, not {frames}")
        return self._call(shrink)

    def when_over(self, guests: Iterable[Guest]) -> Future[None]:
        """A future that is done when all of these are over."""
        return self._runner.obituary.when_over(guests)

    def wait(self, guests: Iterable[Guest] | None = None, timeout: float | None = None) -> bool:
        """Wait until all of these (None: all that live) are over; False when `timeout` seconds passed first."""
        future = self.when_over(self.guests() if guests is None else guests)
        try:
            future.result(timeout)
        except TimeoutError:
            future.cancel()
            return False
        return True

    def stopped(self, timeout: float | None = 0) -> list[Guest]:
        """Guests that a trap or a limit has ended since this was last asked, at most the last thousand.

        Waits up to `timeout` seconds (None: for ever) for the first.
        """
        return [self.guest(number) for number in self._runner.obituary.news(timeout)]

    # Their memory and consoles

    def read_memory(self, guest: Guest, address: int, count: int) -> bytes:
        """See `Guest.read_memory`."""
        return self._call(lambda: bytes(self._bytes(guest, address, count, read_only=True)))

    def write_memory(self, guest: Guest, address: int, data: bytes) -> None:
        """See `Guest.write_memory`."""

        def write() -> None:
            self._bytes(guest, address, len(data), read_only=False)[:] = data

        self._call(write)

    def _bytes(self, guest: Guest, address: int, count: int, *, read_only: bool) -> memoryview:
        image, record = guest.image, self.tables.guests[guest.row]
        self._runner.warehouse.summon(guest.row)
        if read_only and count >= 0 and image.ro_start <= address <= image.ro_end - count:
            return memoryview(image.read_only)[address - image.ro_start :][:count]
        if not record["context"]:
            raise ValueError(f"guest {guest.number} is over, its memory is gone")
        offset = int(record["first_frame"]) * FRAME
        memory = self.tables.frames.memory
        return memoryview(flat.locate(memory, offset, image.private_start, address, count, guest.memory))

    def console(self, guest: Guest) -> bytes:
        """See `Guest.console`."""
        ending = self.endings.get(guest.number)
        if ending is not None:
            return ending.console
        return self._call(lambda: self._runner.console(guest.number))

    # The world outside

    def publish(self, port: int, guest_port: int | None = None) -> int:
        """Let the host's clients reach a port of every guest at 127.1.0.0 + its number, through the gateway.

        Args:
            port: on the host, at every loopback address; 0: one that is free.
            guest_port: of the guests; None: 80.

        Returns:
            The port on the host.

        Raises:
            OSError: the port is taken, or not ours to take.
        """
        return self._runner.outside.publish(port, 80 if guest_port is None else guest_port)

    def connect(self, guest: Guest, port: int = 80) -> socket.socket:
        """A stream to a port of a guest, through the gateway; when nobody listens there it is closed at once.

        Raises:
            ConnectionRefusedError: the guest does not run.
        """
        return self._runner.outside.connect(guest.row, port)

    def send(self, guest: Guest, frame: bytes) -> Sent:
        """Give a guest an Ethernet frame, as if it had come from the network.

        Raises:
            ValueError: it is too short or too long for a frame.
        """
        if not SHORTEST <= len(frame) <= LONGEST:
            raise ValueError(f"a frame has {SHORTEST} to {LONGEST} bytes, not {len(frame)}")
        data = np.frombuffer(frame, np.uint8)

        def send() -> Sent:
            alive = State.HELD <= self.tables.guests["state"][guest.row] <= State.IDLE
            arguments = (self.tables.address, guest.row, data.ctypes.data, len(frame))
            return Sent(verbs.inject(*arguments)) if alive else Sent.NOBODY

        return self._call(send)

    def metrics(self) -> dict[str, int]:
        """Counters of the kernel as a whole, and what it has left."""
        totals = {name: int(self.tables.record[name][0]) for name in TOTALS}
        alive = int(self.tables.record["alive"][0])
        tables = self.tables
        free = {
            "frames_free": tables.frames.free,
            "packets_free": tables.packets.free,
            "streams_free": tables.streams.free,
        }
        parked = int(tables.record["parked_count"][0])
        return totals | {"guests": alive, "parked": parked, "clock": int(tables.record["clock"][0])} | free

    def check(self) -> None:
        """Assert the laws of every table, between two turns."""
        self._call(self.tables.check)

    def close(self) -> None:
        """End every guest, close every stream and give everything back; more calls do nothing."""
        self._runner.close()
        with self._closed:
            if self not in _open:
                return
            _open.discard(self)
            self._runner.spaces.close()
            self._let_go()

    def _let_go(self) -> None:
        """Close descriptors, and the engine if it is ours."""
        self.tables.close()
        if self._own_engine:
            self.engine.close()


@atexit.register
def _close_all() -> None:
    """No kernel outlives the interpreter."""
    for kernel in list(_open):
        kernel.close()
