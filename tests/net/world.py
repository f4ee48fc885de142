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


class Guest(fake.Machine):
    """A machine whose stack the world steps; `turn` is what its service does with a connection that has news."""

    def __init__(self, world: World, number: int, **sizes: int) -> None:
        super().__init__(guest=number, seed=number)
        self.network = world.carry
        self.tcp, self.stack, self.table, self.timers, self.segment, self.ip = fresh(
            "tcp", "stack", "table", "timers", "segment", "ip", **sizes
        )
        self.turn: Callable[[int], object] = lambda c: None

    def work(self) -> None:
        """Run the stack and its service until they have nothing to do now."""
        with machine.use(self):
            self.table.start()
            more = True
            while more:
                more = self.stack.work()
                c = self.stack.news()
                while c >= 0:
                    self.turn(c)
                    c = self.stack.news()
                self.stack.output.flush()
                more |= not self.stack.fifo.empty(self.table.ready)

    def do(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a function of this guest's modules."""
        with machine.use(self):
            self.table.start()
            return function(*arguments)

    def deadline(self) -> int:
        """When its next timer goes off; -1 when none is armed."""
        first = self.timers.first()
        return int(self.table.connection[first].deadline) if first >= 0 else -1

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

    def guest(self, number: int, **sizes: int) -> Guest:
        """A new guest with a stack of these sizes."""
        self.guests[0x0A010000 + number] = guest = Guest(self, number, **sizes)
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
        for guest in self.guests.values():
            guest.work()
        while not until():
            moments = [guest.deadline() for guest in self.guests.values()]
            moments = [moment for moment in moments if moment >= 0] + [flight[0] for flight in self._flying[:1]]
            if not moments or min(moments) > end:
                return
            self.now = max(self.now, min(moments))
            self._arrive()

    def _arrive(self) -> None:
        while self._flying and self._flying[0][0] <= self.now:
            frame = heapq.heappop(self._flying)[2]
            if guest := self.guests.get(int.from_bytes(frame[2:6], "big")):
                guest.waiting.append(frame)
                guest.raised |= Event.FRAME
        for guest in self.guests.values():
            guest.now = self.now
            if guest.waiting or 0 <= guest.deadline() <= self.now:
                guest.work()


def modules() -> list[ModuleType]:
    """The stack as imported ordinarily (for functions without state)."""
    return [importlib.import_module(f"{PACKAGE}.{name}") for name in ("wire", "ring", "fifo")]
