"""The warehouse: parks guests that have been idle, when memory is short, and brings them back when they are wanted.

The policy, after Denali's working sets and the clock of Multics: nobody is parked before the process has reached its
limit of resident memory, or somebody has no frames. Then a hand goes round the guests; who had a turn since it last
came by is passed over once. When nobody is idle and somebody who is wanted has no frames, those who wait for their turn
are parked as well, so that more guests than fit take turns.
"""

from __future__ import annotations

import logging
import os
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lz4.block
import numpy as np

from denali.tlb.frames import FRAME

from . import crumbs, life, parking
from .mailbox import Closed, Mailbox
from .records import NOBODY, End, State
from .swap import Full, Swap, Unreadable
from .tables import Tables

log = logging.getLogger("denali.kernel")

BATCH = 64  # guests parked or brought back before the others have their turns
PAUSE_S = 1.0  # before the hand goes round again, when it has found nobody
_HELD, _IDLE = int(State.HELD), int(State.IDLE)  # members of enums take long to find
FULL = 4  # part of the crumbs that is kept free where there is a file to write to


class Lost(Exception):
    """A parked guest's memory cannot be had; the message says why."""


class Warehouse:
    """Parks guests and brings them back. The loop's thread only, but for reads from disk."""

    def __init__(self, tables: Tables, mailbox: Mailbox, *, resident: int | None, swap: Path | None) -> None:
        self._tables, self._mailbox = tables, mailbox
        self._state, self._first = tables.guests["state"], tables.guests["first_frame"]
        self._registers = tables.guests["registers"]
        self.resident = resident
        self.swap = Swap(swap) if swap is not None else None
        self.reasons: dict[int, str] = {}
        self._buffer = np.empty(parking.PACKED_MOST, np.uint8)
        self._reader = ThreadPoolExecutor(1, "denali swap")
        self.reading: set[int] = set()
        self._may_interrupt = True  # who waits for a turn may be parked, once between two looks
        self._next_look = 0.0

    def attend(self) -> None:
        """Bring back those wanted, then see to it that memory is within its limit; a bounded number of each."""
        record = self._tables.record
        record["waiting"], self._may_interrupt = 0, True
        for _ in range(BATCH):
            number = int(parking.next_wanted(self._tables.address))
            if number == NOBODY:
                break
            if not self._bring(number):
                parking.want_again(self._tables.address, number)
                record["waiting"] = 1
                break
        if time.monotonic() >= self._next_look and self.is_short and not self.make_room(BATCH, State.IDLE):
            self._next_look = time.monotonic() + PAUSE_S

    @property
    def is_short(self) -> bool:
        """Whether the process has more memory than it should, with what guests will have written when they begin."""
        most = self.resident
        return most is not None and resident() + int(self._tables.record["owed"][0]) * FRAME > most

    @property
    def busy(self) -> bool:
        """Whether there is more to do soon."""
        if int(self._tables.record["wanted_head"][0]) != NOBODY or self.reading:
            return True
        return time.monotonic() >= self._next_look and self.is_short

    def make_room(self, guests: int, lowest: State) -> int:
        """Park so many guests that the clock finds; how many."""
        for done in range(guests):
            number = int(parking.idlest(self._tables.address, lowest))
            if number == NOBODY or not self.park(number):
                return done
        return guests

    def park(self, number: int) -> bool:
        """Park one guest; False when it is too large, or there is no place left for it."""
        address = self._tables.address
        size = int(parking.pack(address, number, self._buffer.ctypes.data))
        if size < 0:
            self._tables.guests["visited"][number] = 1
            return False
        raw = self._buffer[:size]
        packed = lz4.block.compress(raw, store_size=False) if size else b""
        data = np.frombuffer(packed or b"\0", np.uint8)
        where = (data.ctypes.data, len(packed), size)
        if not self._is_full() and parking.put_away(address, number, *where, NOBODY, 0):
            return True
        return self._park_on_disk(number, packed, where)

    def _park_on_disk(self, number: int, packed: bytes, where: tuple[int, int, int]) -> bool:
        address = self._tables.address
        if self.swap is not None and packed:
            try:
                offset = self.swap.write(packed)
                return bool(parking.put_away(address, number, *where, offset, zlib.crc32(packed)))
            except Full as reason:
                log.warning("parked guests stay in memory: %s", reason)
        return bool(parking.put_away(address, number, *where, NOBODY, 0))

    def _is_full(self) -> bool:
        """Whether what is parked from now on goes to disk."""
        pool = self._tables.crumbs
        if self.swap is None or self.swap.is_full:
            return False
        used = (len(pool.items) - pool.free) * crumbs.CRUMB.itemsize
        most = len(pool.items) * crumbs.CRUMB.itemsize if self.resident is None else self.resident
        return used * FULL > most

    def _bring(self, number: int) -> bool:
        """Have a wanted guest go on, now or when its memory has been read; False when there are no frames for it."""
        if not self.is_parked(number):
            parking.go_on(self._tables.address, number)
            return True
        if int(self._tables.parked["offset"][number]) != NOBODY:
            self.reading.add(number)
            self._reader.submit(self._read, number, self._place(number))
            return True
        return self._finish(number, self._kept(number))

    def _place(self, number: int) -> tuple[int, int, int]:
        """Where a guest's packed bytes are on disk, how many, and their checksum."""
        parked = self._tables.parked[number]
        return int(parked["offset"]), int(parked["packed"]), int(parked["checksum"])

    def _read(self, number: int, place: tuple[int, int, int]) -> None:
        """Read from disk, in a thread of its own: nobody waits but the guest."""
        assert self.swap is not None
        try:
            found: bytes | str = self.swap.read(*place)
        except Unreadable as reason:
            found = str(reason)
        try:
            self._mailbox.post(lambda: self._has_read(number, place, found))
        except Closed:
            return

    def _has_read(self, number: int, place: tuple[int, int, int], found: bytes | str) -> None:
        """Go on with what was read, unless the guest is over or somebody has brought it back meanwhile."""
        self.reading.discard(number)
        if self._tables.guests["state"][number] != State.READY:
            return None
        if not self.is_parked(number) or self._place(number) != place:
            done = self._bring(number)
        elif isinstance(found, str):
            return self._lose(number, found)
        else:
            done = self._finish(number, found)
        if not done:
            parking.want_again(self._tables.address, number)
        return None

    def _finish(self, number: int, packed: bytes) -> bool:
        """Put a guest together and let it go on; False when there are no frames for it."""
        try:
            done = self._put_back(number, packed)
        except Lost as reason:
            self._lose(number, str(reason))
            return True
        if done:
            parking.go_on(self._tables.address, number)
        return done

    def _put_back(self, number: int, packed: bytes) -> bool:
        """Give a parked guest its memory again, making room if need be; False when there is none.

        Raises:
            Lost: the bytes are not what was parked.
        """
        size, offset = int(self._tables.parked["size"][number]), int(self._tables.parked["offset"][number])
        try:
            raw = lz4.block.decompress(packed, uncompressed_size=size) if size else b""
        except lz4.block.LZ4BlockError as reason:
            raise Lost(f"its parked memory does not unpack: {reason}") from None
        data = np.frombuffer(raw or b"\0", np.uint8)
        for lowest in (None, State.IDLE, State.READY):
            if lowest is not None and not self._vacate(lowest):
                continue
            answer = int(parking.put_back(self._tables.address, number, data.ctypes.data, size))
            if answer == 2:
                raise Lost("its parked memory makes no sense")
            if answer == 0:
                if self.swap is not None and offset != NOBODY:
                    self.swap.free(offset, len(packed))
                return True
        return False

    def _vacate(self, lowest: State) -> bool:
        """Park somebody for another's sake; whether anybody was."""
        if lowest == State.READY:
            if not self._may_interrupt:
                return False
            self._may_interrupt = False
        return self.make_room(1, lowest) > 0

    def _kept(self, number: int) -> bytes:
        """The packed bytes of a guest that is parked in memory."""
        data = np.empty(max(int(self._tables.parked["packed"][number]), 1), np.uint8)
        return data[: int(crumbs.kept(self._tables.address, number, data.ctypes.data))].tobytes()

    def _lose(self, number: int, reason: str) -> None:
        self.reasons[number] = reason
        life.kill(self._tables.address, number, End.LOST)

    def is_parked(self, number: int) -> bool:
        """Whether a living guest has no frames."""
        return bool(self._first[number] == NOBODY) and _HELD <= self._state[number] <= _IDLE

    def summon(self, number: int) -> None:
        """Have a guest's memory there at once, for somebody who looks at it.

        Raises:
            ValueError: there are no frames for it, or its memory is lost.
        """
        if self.is_parked(number):
            self._fetch(number)
        if self._registers[number] == 0 and _HELD <= self._state[number] <= _IDLE:
            row = np.array([number])
            life.begin(self._tables.address, row.ctypes.data, 1)

    def _fetch(self, number: int) -> None:
        place, self._may_interrupt = self._place(number), True
        try:
            if place[0] == NOBODY:
                packed = self._kept(number)
            else:
                assert self.swap is not None
                packed = self.swap.read(*place)
            if not self._put_back(number, packed):
                raise ValueError(f"guest {self._tables.name(number)} is parked, and there are no frames for it")
        except (Lost, Unreadable) as reason:
            self._lose(number, str(reason))
            raise ValueError(f"guest {self._tables.name(number)}: {reason}") from None

    def bury(self, number: int) -> str | None:
        """A guest is over: give back its place on disk; why it was lost, if it was."""
        if self.swap is not None and self._first[number] == NOBODY:
            offset, packed, _ = self._place(number)
            if offset != NOBODY:
                self.swap.free(offset, packed)
        return self.reasons.pop(number, None)

    def close(self) -> None:
        """No guest lives any more."""
        self._reader.shutdown(wait=True)
        if self.swap is not None:
            self.swap.close()


def resident() -> int:
    """Bytes of memory that this process has, but for mapped files: pages that guests share count in each of them."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        pages, of_files = map(int, file.read().split()[1:3])
        return (pages - of_files) * FRAME


assert os.sysconf("SC_PAGE_SIZE") == FRAME
