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
import logging
import socket
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Literal, Self

import numpy as np

from denali.isa.engine import Engine, Space
from denali.isa.image import Image
from denali.isa.virtual import Sent
from denali.tlb import flat
from denali.tlb.frames import FRAME, Overdrawn

from . import births, life, loop, reaper, verbs
from .guest import Birth, Guest
from .mailbox import Closed, Mailbox
from .nic import LONGEST, SHORTEST
from .obituary import Obituary
from .outside import Outside
from .records import End, State
from .tables import Tables

log = logging.getLogger("denali.kernel")

FRAMES = 6 << 20  # 24 GiB of address space; the host gives memory when a frame is written to
CAPACITY = 1 << 20
PACKETS = 1 << 18
CHUNKS = 65536
TURN = 1_000_000
ENDLESS = 1 << 62
SOON, LATE = 10_000_000, 100_000_000  # ns until Python looks at running guests, with and without news of hot code
GATEWAY = 0  # its number
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
Pipe = Callable[[bytes], object]
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
    ) -> None:
        """Reserve the tables and start the loop.

        Args:
            gateway: the service that joins host streams to the virtual network; without it there are no streams.
            clock: real, or virtual: then a nanosecond is a retired instruction, and time jumps when every guest waits.
            engine: what executes guests; None: one of its own.
            capacity: how many guests there may ever be.
            frames: 4 KiB frames of the pool.
            packets: frames of the network that may wait at one time, in all.
        """
        self._own_engine = engine is None
        self.engine = engine or Engine()
        sizes = {"capacity": capacity + 1, "frames": frames, "packets": packets, "chunks": CHUNKS}
        self.tables = Tables(**sizes, virtual=clock == "virtual")
        self.tables.record["enter"] = self.engine.enter
        self._batches, self._spaces = births.Batches(), births.Spaces(self.engine, self.tables.address)
        self._obituary, self._mailbox = Obituary(), Mailbox(self.tables.ring)
        self._outside = Outside(self.tables, self._mailbox)
        self.endings = self._obituary.endings
        self._pipes: dict[int, Pipe] = {}
        self._closing, self._closed = False, threading.Lock()
        verbs.watch_alarm(self.tables.address)
        self._thread = threading.Thread(target=self._live, name="denali kernel", daemon=True)
        self._mailbox.thread = self._thread
        self._thread.start()
        _open.add(self)
        if gateway is not None:
            self._open_gateway(gateway)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Guests

    def prepare(self, image: Image, *, memory: int | None = None, progress: Progress | None = None) -> None:
        """Translate an image for guests of this size, from the cache where it can; `spawn` does it otherwise."""
        self._spaces.get(image, births.private_size(image, memory), progress)

    def spawn(
        self,
        image: Image,
        count: int = 1,
        *,
        memory: int | None = None,
        fuel: int | None = None,
        turn: int | None = None,
        start: bool = True,
        pipe: Pipe | None = None,
    ) -> list[Guest]:
        """Make `count` guests of one image.

        Args:
            image: their program.
            count: how many.
            memory: bytes of private memory each has at least; None: data, 64 KiB of stack, the registers page.
            fuel: instructions in a guest's life; None: no limit.
            turn: instructions in one turn.
            start: let them run at once; else `Guest.start` does.
            pipe: called by the kernel's thread with what they write, as it comes; it is then not kept.

        Raises:
            Overdrawn: there are not enough frames or numbers; no guest was made.
            ValueError: an argument makes no sense.
        """
        plan = births.Plan(count, fuel or ENDLESS, turn or TURN, start=start, piped=pipe is not None)
        return self._spawn(image, memory, plan, pipe)

    def _spawn(self, image: Image, memory: int | None, plan: births.Plan, pipe: Pipe | None) -> list[Guest]:
        size = births.private_size(image, memory)
        space = self._spaces.get(image, size, None)
        birth = Birth(image, size, flat.frames_for(size), plan.fuel)
        return self._mailbox.call(lambda: self._bear(birth, space, plan, pipe))

    def _bear(self, birth: Birth, space: Space, plan: births.Plan, pipe: Pipe | None) -> list[Guest]:
        """Make guests; the loop's thread only."""
        first = int(self.tables.record["count"][0])
        made = births.spawn(self.tables.address, birth, space.address, plan)
        self._batches.add(first, made, birth)
        if made < plan.count:
            self._kill(list(range(first, first + made)))
            free, room = self.tables.frames.free, len(self.tables.guests) - first
            asked = f"{plan.count} guests of {birth.frames} frames asked for"
            raise Overdrawn(f"{asked}; {free} frames and {room} numbers are free")
        if pipe is not None:
            self._pipes.update(dict.fromkeys(range(first, first + made), pipe))
        return [Guest(self, number, birth) for number in range(first, first + made)]

    def _open_gateway(self, image: Image) -> None:
        """Spawn the gateway under its number."""
        record = self.tables.record
        size = births.private_size(image, None)
        space, plan = self._spaces.get(image, size, None), births.Plan(1, ENDLESS, TURN, gateway=True)
        birth = Birth(image, size, flat.frames_for(size), plan.fuel)

        def bear() -> None:
            record["count"] = GATEWAY
            self._bear(birth, space, plan, None)
            record["gateway"] = GATEWAY

        self._mailbox.call(bear)

    def guest(self, number: int) -> Guest:
        """The guest of a number.

        Raises:
            KeyError: there has been none.
        """
        return Guest(self, number, self._batches.birth(number))

    def guests(self) -> list[Guest]:
        """Those that live."""
        states = self.tables.guests["state"][: int(self.tables.record["count"][0])]
        numbers = np.flatnonzero((states >= State.HELD) & (states <= State.IDLE))
        return [self.guest(number) for number in numbers.tolist()]

    def start(self, *guests: Guest) -> None:
        """Let held guests run, all from the same moment."""
        self._mailbox.call(lambda: [life.start(self.tables.address, guest.number) for guest in guests])

    def kill(self, *guests: Guest) -> None:
        """End guests' lives; they are over when this returns."""
        numbers = [guest.number for guest in guests]
        self._mailbox.call(lambda: self._kill(numbers))

    def _kill(self, numbers: list[int]) -> None:
        for number in numbers:
            life.kill(self.tables.address, number, End.KILLED)
        self._reap()

    def when_over(self, guests: Iterable[Guest]) -> Future[None]:
        """A future that is done when all of these are over."""
        return self._obituary.when_over(guests)

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
        return self._obituary.news(timeout)

    # Their memory and consoles

    def read_memory(self, guest: Guest, address: int, count: int) -> bytes:
        """See `Guest.read_memory`."""
        return self._mailbox.call(lambda: bytes(self._bytes(guest, address, count, read_only=True)))

    def write_memory(self, guest: Guest, address: int, data: bytes) -> None:
        """See `Guest.write_memory`."""

        def write() -> None:
            self._bytes(guest, address, len(data), read_only=False)[:] = np.frombuffer(data, np.uint8)

        self._mailbox.call(write)

    def _bytes(self, guest: Guest, address: int, count: int, *, read_only: bool) -> memoryview | np.ndarray:
        image, record = guest.image, self.tables.guests[guest.number]
        if read_only and count >= 0 and image.ro_start <= address <= image.ro_end - count:
            return memoryview(image.read_only)[address - image.ro_start :][:count]
        if not State.HELD <= record["state"] <= State.STOPPED:
            raise ValueError(f"guest {guest.number} is over, its memory is gone")
        offset = int(record["first_frame"]) * FRAME
        memory = self.tables.frames.memory
        return flat.locate(memory, offset, image.private_start, address, count, guest.memory)

    def console(self, guest: Guest) -> bytes:
        """See `Guest.console`."""
        ending = self.endings.get(guest.number)
        if ending is not None:
            return ending.console
        return self._mailbox.call(lambda: self._console(guest.number))

    def _console(self, number: int) -> bytes:
        ending = self.endings.get(number)
        return ending.console if ending else reaper.text_of(self.tables, number, clear=False)

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
        return self._outside.publish(port, 80 if guest_port is None else guest_port)

    def connect(self, guest: Guest, port: int = 80) -> socket.socket:
        """A stream to a port of a guest, through the gateway; when nobody listens there it is closed at once.

        Raises:
            ConnectionRefusedError: the guest does not run.
        """
        return self._outside.connect(guest.number, port)

    def send(self, guest: Guest, frame: bytes) -> Sent:
        """Give a guest an Ethernet frame, as if it had come from the network.

        Raises:
            ValueError: it is too short or too long for a frame.
        """
        if not SHORTEST <= len(frame) <= LONGEST:
            raise ValueError(f"a frame has {SHORTEST} to {LONGEST} bytes, not {len(frame)}")
        data = np.frombuffer(frame, np.uint8)

        def send() -> Sent:
            alive = State.HELD <= self.tables.guests["state"][guest.number] <= State.IDLE
            arguments = (self.tables.address, guest.number, data.ctypes.data, len(frame))
            return Sent(verbs.inject(*arguments)) if alive else Sent.NOBODY

        return self._mailbox.call(send)

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
        return totals | {"guests": alive, "clock": int(tables.record["clock"][0])} | free

    def check(self) -> None:
        """Assert the laws of every table, between two turns."""
        self._mailbox.call(self.tables.check)

    # The thread

    def _live(self) -> None:
        """Run guests until the kernel is closed."""
        try:
            while not self._closing:
                self.tables.record["attention"] = 0
                self._attend()
                if not self._closing:
                    loop.run(self.tables.address)
            reason = "the kernel is closed"
        except BaseException as error:
            log.exception("the kernel's loop has failed")
            reason = f"the kernel's loop has failed: {error!r}"
        self._mailbox.shut(reason)
        self._end_everything()

    def _attend(self) -> None:
        """What Python has to do between turns."""
        self._mailbox.serve()
        self._drain_pipes()
        self._reap()
        news = self._spaces.poll()
        self.tables.record["patience"] = SOON if news else LATE

    def _drain_pipes(self) -> None:
        """Hand what piped guests have written to those who read it."""
        for number in [n for n in self._pipes if self.tables.guests["console_chunks"][n]]:
            self._pipes[number](reaper.text_of(self.tables, number, clear=True))

    def _reap(self) -> None:
        over = reaper.reap(self.tables, self._batches)
        for number, _ in over:
            self._pipes.pop(number, None)
            if number == GATEWAY:
                self._outside.close()
        if over:
            self._obituary.publish([(self.guest(number), ending) for number, ending in over])

    def _end_everything(self) -> None:
        with contextlib.suppress(Exception):
            self._drain_pipes()
        self._outside.close()
        verbs.close_streams(self.tables.address)
        life.stop_all(self.tables.address, End.CLOSED)
        self._reap()

    def close(self) -> None:
        """End every guest, close every stream and give everything back; more calls do nothing."""
        self._closing = True
        with contextlib.suppress(Closed):
            self._mailbox.post(lambda: None)
        self._thread.join()
        with self._closed:
            if self not in _open:
                return
            _open.discard(self)
            self.tables.close()
            self._spaces.close()
            if self._own_engine:
                self.engine.close()


@atexit.register
def _close_all() -> None:
    """No kernel outlives the interpreter."""
    for kernel in list(_open):
        kernel.close()
