"""The thread that runs guests: native code until something asks for attention, then what Python has to do."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from denali.isa.runtime.engine import Engine, Space
from denali.isa.runtime.speculation import forbid_store_bypass
from denali.tlb.frames import Overdrawn

from . import births, life, loop, reaper, verbs
from .gatekeeper import MINIMUM, Numbers
from .guest import Birth
from .leases import Leases
from .mailbox import Closed, Mailbox
from .obituary import Obituary
from .outside import Outside
from .records import End, State
from .tables import Tables
from .warehouse import BATCH, Warehouse

log = logging.getLogger("denali.kernel")

GATEWAY = 0  # its number
HASTE = 1_000_000  # ns until Python looks at running guests when there is parking to do
SOON, LATE = 10_000_000, 100_000_000  # ... until Python looks at running guests, with and without news of hot code
Pipe = Callable[[bytes], object]


class Runner:
    """Owns the loop's thread, and all that only this thread may touch."""

    def __init__(self, tables: Tables, engine: Engine, resident: int | None, swap: Path | None) -> None:
        self.tables = tables
        self.births, self.spaces = births.Births(tables.guests), births.Spaces(engine, tables.address)
        self.leases = Leases(tables)
        self.obituary, self.mailbox = Obituary(tables), Mailbox(tables.ring)
        self.outside = Outside(tables, self.mailbox)
        self.warehouse = Warehouse(tables, self.mailbox, resident=resident, swap=swap)
        self._pipes: dict[int, Pipe] = {}
        self._masked = engine.masked
        self._closing = False
        verbs.watch_alarm(tables.address)
        self._thread = threading.Thread(target=self._live, name="denali kernel", daemon=True)
        self.mailbox.thread = self._thread
        self._thread.start()

    def bear(self, birth: Birth, space: Space, plan: births.Plan, pipe: Pipe | None) -> Numbers:
        """Make guests; their numbers. The loop's thread only.

        Raises:
            Overdrawn: there are not enough frames or numbers; no guest was made.
        """
        hopeless = plan.count > self._numbers_free or plan.count * birth.frames > self.tables.frames.free
        numbers = np.zeros(0, np.int64) if hopeless else self._make(birth, space, plan, pipe)
        if len(numbers) < plan.count:
            self.undo(numbers)
            asked = f"{plan.count:,} guests of {birth.frames:,} frames (4 KiB each) asked for"
            raise Overdrawn(f"{asked}; {self.tables.frames.free:,} frames and {self._numbers_free:,} numbers are free")
        return numbers

    @property
    def _numbers_free(self) -> int:
        """Rows of the tables that new guests may have; those are counted of which somebody may have a handle."""
        record = self.tables.record
        return len(self.tables.guests) - int(record["count"][0]) + int(record["over_count"][0])

    def _make(self, birth: Birth, space: Space, plan: births.Plan, pipe: Pipe | None) -> Numbers:
        """Make as many of these guests as go; their numbers."""
        address = self.births.address(birth, space.address, plan)
        with self.leases.settled():
            numbers = births.spawn(self.tables.address, address, plan.count)
            self.obituary.forget(numbers)
        if pipe is not None:
            self._pipes.update(dict.fromkeys((numbers & self.tables.mask).tolist(), pipe))
        return numbers

    def take_back(self, number: int) -> None:
        """Let the next guest have the number of one that was warmed and is over, where possible."""
        row = number & self.tables.mask
        with self.leases.settled():
            if life.take_back(self.tables.address, row):
                self.obituary.drop(row)

    def bear_some(self, birth: Birth, space: Space, plan: births.Plan, pipe: Pipe | None) -> Numbers:
        """Make as many of these guests as there is room for now; their numbers. The loop's thread only.

        Raises:
            Overdrawn: there are no numbers for them, or fewer frames in all; waiting is no use.
        """
        frames, nobody = self.tables.frames, np.zeros(0, np.int64)
        if self._numbers_free < plan.count or birth.frames + MINIMUM > frames.count:
            asked = f"{plan.count:,} guests of {birth.frames:,} frames (4 KiB each) asked for"
            there = f"{frames.count:,} frames is all there are, of which {MINIMUM} stay free"
            raise Overdrawn(f"{asked}; {self._numbers_free:,} numbers are free, and {there}")
        if self.warehouse.is_short:
            return nobody
        count = min(plan.count, (frames.free - MINIMUM) // birth.frames)
        if count < 1:
            self.warehouse.make_room(BATCH, State.IDLE)
            return nobody
        return self._make(birth, space, replace(plan, count=count), pipe)

    def why_not(self) -> str:
        """What those who wait for frames wait for."""
        frames = self.tables.frames
        words = f"{frames.free} of {frames.count} frames are free, {MINIMUM} stay so"
        if self.warehouse.is_short:
            words += f"; the process is above its limit of {self.warehouse.resident:,} bytes"
        return f"{words}; no idle guest is left to be parked"

    def bear_gateway(self, birth: Birth, space: Space, plan: births.Plan) -> None:
        """Make the gateway, under its number; before any other guest. The loop's thread only."""
        if birth.frames > self.tables.frames.count:
            raise Overdrawn(f"the gateway takes {birth.frames:,} frames; there are {self.tables.frames.count:,}")
        self.tables.record["count"] = GATEWAY
        self.bear(birth, space, plan, None)
        self.tables.record["gateway"] = GATEWAY

    def kill(self, numbers: Iterable[int]) -> None:
        """End guests' lives. The loop's thread only."""
        for number in numbers:
            life.kill(self.tables.address, number & self.tables.mask, End.KILLED)
        self._reap()

    def undo(self, numbers: Numbers) -> None:
        """End guests of which nobody has been told."""
        self.kill(numbers.tolist())
        self.leases.of(numbers.tolist())

    def console(self, number: int) -> bytes:
        """What is kept of a guest's text. The loop's thread only."""
        ending = self.obituary.get(number)
        return ending.console if ending else reaper.text_of(self.tables, number & self.tables.mask, clear=False)

    def _live(self) -> None:
        """Run guests until the kernel is closed."""
        if self._masked and not forbid_store_bypass():
            log.info("this host does not let a thread forbid speculative store bypass")
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
        self.mailbox.shut(reason)
        self._end_everything()

    def _attend(self) -> None:
        """What Python has to do between turns."""
        self.mailbox.serve()
        self._drain_pipes()
        self.warehouse.attend()
        self._reap()
        self.tables.record["patience"] = SOON if self.spaces.poll() else LATE
        if self.warehouse.busy:
            self.tables.record["patience"] = HASTE

    def _drain_pipes(self) -> None:
        """Hand what piped guests have written to those who read it; a reader that raises gets no more."""
        for number in [n for n in self._pipes if self.tables.guests["console_chunks"][n]]:
            try:
                self._pipes[number](reaper.text_of(self.tables, number, clear=True))
            except Exception:
                log.exception("the reader of the console of guest %d has failed", self.tables.name(number))
                self._pipes.pop(number)
                self.tables.guests["piped"][number] = 0

    def _reap(self) -> None:
        self._drain_pipes()
        silent = reaper.bury_silent(self.tables)
        over = reaper.reap(self.tables, self.births, self.warehouse.bury)
        for number, _ in over:
            self._pipes.pop(number & self.tables.mask, None)
            if number == GATEWAY:
                self.outside.close()
        if over or silent:
            self.obituary.publish(over, silent)

    def _end_everything(self) -> None:
        self.outside.close()
        verbs.close_streams(self.tables.address)
        life.stop_all(self.tables.address, End.CLOSED)
        self._drain_pipes()
        self._reap()
        self.obituary.finish()

    def close(self) -> None:
        """End every guest and the thread."""
        self._closing = True
        with contextlib.suppress(Closed):
            self.mailbox.post(lambda: None)
        self._thread.join()
        self.warehouse.close()
