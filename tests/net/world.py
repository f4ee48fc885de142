"""Several stacks in one process, joined by a network that may lose, double and reorder, on one virtual clock."""

from __future__ import annotations

import heapq
import importlib
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from denali.isa.virtual import Event, Sent
from denali.libos import fake, machine

PACKAGE = "denali.libos.net"


def fresh(*names: str, **sizes: int) -> list[Any]:
    """Newly loaded modules of the stack (they share their own state and no other), sized before they are used."""
    kept = {name: module for name, module in sys.modules.items() if _fresh_needed(name)}
    for name in kept:
        del sys.modules[name]
    try:
        if sizes:
            importlib.import_module(f"{PACKAGE}.table").configure(**sizes)
        return [importlib.import_module(name if "." in name else f"{PACKAGE}.{name}") for name in names]
    finally:
        for name in [name for name in sys.modules if _fresh_needed(name)]:
            del sys.modules[name]
        sys.modules.update(kept)
        _rebind()


def _fresh_needed(name: str) -> bool:
    services = ("denali.libos.gateway", "denali.libos.probe", "denali.examples")
    return name == PACKAGE or name.startswith((f"{PACKAGE}.", *services))


def _rebind() -> None:
    """Let the parent packages name the modules that are imported, not the last copies."""
    for name, module in sys.modules.items():
        if _fresh_needed(name):
            parent, _, child = name.rpartition(".")
            setattr(sys.modules[parent], child, module)


class Asleep(BaseException):
    """The service idles: its world may go on. All its state is in its modules, so `main` can be entered again."""


class Guest(fake.Machine):
    """A machine with a stack of its own; its service is a module's `main`, or `turn` for each connection with news."""

    def __init__(self, world: World, number: int, service: str | None = None, **sizes: int) -> None:
        super().__init__(guest=number, seed=number)
        names = ("tcp", "stack", "table", "timers", "segment", "ip", "http", "request")
        modules = fresh(*names, *([service] if service else []), **sizes)
        self.tcp, self.stack, self.table, self.timers, self.segment, self.ip, self.http, self.request = modules[:8]
        self.service = modules[8] if service else None
        self.network = world.carry
        self.turn: Callable[[int], object] = lambda c: None
        self.main: Callable[[], object] = self.service.main if self.service else self.loop
        self.wake = 0
        self.status: int | None = None

    def loop(self) -> None:
        """Show every connection with news to `turn`."""
        while True:
            c = self.stack.step(machine.FOREVER)
            if c >= 0:
                self.turn(c)

    def idle(self, until: int) -> None:
        """Give the world its turn, unless an event is pending or the time has come."""
        if not self.raised & self.mask and until > self.now:
            self.wake = until
            raise Asleep

    def work(self) -> None:
        """Run the service until it has nothing to do now."""
        with machine.use(self):
            self.table.start()
            try:
                self.main()
                self.deaf()
            except Asleep:
                return
            except fake.Exited as exited:
                self.status = exited.args[0]
                self.wake = machine.FOREVER

    def deaf(self) -> None:
        """A service that has returned without an exit: nothing wakes it."""
        self.waiting.clear()
        self.raised, self.wake = 0, machine.FOREVER

    def do(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a function of this guest's modules."""
        with machine.use(self):
            self.table.start()
            self.wake = 0
            return function(*arguments)

    def check(self) -> None:
        """Every slot of the table is free or findable, and so is every timer."""
        assert self.table.conserved()
        armed = int(self.table.stack[0].armed)
        assert sorted(self.table.connection[self.table.heap[i]].place for i in range(armed)) == list(
            range(1, armed + 1)
        )


@dataclass
class World:
    """The network. `fate` says for a frame after how many ns it arrives, once for each copy; none: it is lost."""

    seed: int = 0
    loss: float = 0.0
    double: float = 0.0
    jitter: int = 0  # ns
    now: int = 1
    guests: dict[int, Guest] = field(default_factory=dict[int, Guest])
    log: list[bytes] = field(default_factory=list[bytes])
    answer: Callable[[bytes], int] | None = None
    _flying: list[tuple[int, int, bytes]] = field(default_factory=list[tuple[int, int, bytes]])
    _serial: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def guest(self, number: int, service: str | None = None, **sizes: int) -> Guest:
        """A new guest with a stack of these sizes, or a service that sizes its own."""
        self.guests[0x0A010000 + number] = guest = Guest(self, number, service, **sizes)
        guest.now = self.now
        return guest

    def carry(self, frame: bytes) -> int:
        """Take a frame from a guest; it is on its way then."""
        self.log.append(frame)
        if self.answer is not None and (told := self.answer(frame)) >= 0:
            return told
        if int.from_bytes(frame[2:6], "big") not in self.guests:
            return Sent.NOBODY
        copies = 0 if self.dice.random() < self.loss else 2 if self.dice.random() < self.double else 1
        for _ in range(copies):
            self._serial += 1
            delay = 1000 + self.dice.randrange(self.jitter + 1)
            heapq.heappush(self._flying, (self.now + delay, self._serial, frame))
        return Sent.QUEUED

    def run(self, until: Callable[[], bool] = lambda: False, *, limit_s: float = 600.0) -> None:
        """Let time pass until the condition holds, nothing is left to happen, or the limit is reached."""
        end = self.now + int(limit_s * 1e9)
        self._wake()
        while not until():
            moments = [guest.wake for guest in self.guests.values()] + [flight[0] for flight in self._flying[:1]]
            if min(moments) > end:
                return
            self.now = max(self.now, min(moments))
            self._arrive()

    def _arrive(self) -> None:
        while self._flying and self._flying[0][0] <= self.now:
            frame = heapq.heappop(self._flying)[2]
            if guest := self.guests.get(int.from_bytes(frame[2:6], "big")):
                guest.waiting.append(frame)
                guest.raised |= Event.FRAME
        self._wake()

    def _wake(self) -> None:
        for guest in self.guests.values():
            guest.now = self.now
            if guest.status is None and (guest.raised & guest.mask or guest.wake <= self.now):
                guest.work()


def modules() -> list[ModuleType]:
    """The stack as imported ordinarily (for functions without state)."""
    return [importlib.import_module(f"{PACKAGE}.{name}") for name in ("wire", "row", "fifo")]
