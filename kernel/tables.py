"""The memory of the native kernel, and the laws that hold in it between turns."""

from __future__ import annotations

import os
import select
import time
from collections import Counter
from typing import Any

import numpy as np

from denali.tlb.frames import FRAME, Frames, Overdrawn, refused_space

from .crumbs import CRUMB, PARKED
from .pool import Pool
from .records import ARRIVAL, ARRIVALS, CHUNK, DOOR, GUEST, KERNEL, NOBODY, PACKET, SCRATCH, STREAM, State
from .streams import Phase
from .timers import FOREVER, new_wheel

DOORS = 64
STREAMS = 4096
CRUMBS = 1 << 23  # 2 GiB of address space for packed memory
_ALIVE = (State.HELD, State.READY, State.RUNNING, State.IDLE)


def _pagemap() -> int:
    """The host's account of which pages of this process were touched; -1 where it gives none."""
    try:
        return os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


class Tables:
    """Owns the records and pools that native code knows by address, and the two descriptors of the loop."""

    def __init__(self, *, capacity: int, frames: int, packets: int, chunks: int, virtual: bool) -> None:
        self.frames = Frames(frames, capacity)
        try:
            self._make(capacity, packets, chunks)
        except MemoryError:
            size = capacity * (GUEST.itemsize + PARKED.itemsize) + packets * PACKET.itemsize + CRUMBS * CRUMB.itemsize
            raise Overdrawn(refused_space(f"records of {capacity:,} guests and {packets:,} packets", size)) from None
        self._pagemap, _ = _pagemap(), os.getrandom(1)
        self.poller, self.alarm = select.epoll(), os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.record: Any = np.zeros(1, KERNEL)
        self.address: int = self.record.ctypes.data
        self._fill(virtual=virtual)

    def _make(self, capacity: int, packets: int, chunks: int) -> None:
        self.guests, self.parked = np.zeros(capacity, GUEST), np.zeros(capacity, PARKED)
        self.crumbs = Pool(CRUMB, CRUMBS)
        self.packets, self.chunks, self.streams = Pool(PACKET, packets), Pool(CHUNK, chunks), Pool(STREAM, STREAMS)
        self.doors, self.arrivals, self.wheel = np.zeros(DOORS, DOOR), np.zeros(ARRIVALS, ARRIVAL), new_wheel()
        self.scratch = np.zeros(SCRATCH, np.uint8)

    def _fill(self, *, virtual: bool) -> None:
        record = self.record[0]
        arrays = ("guests", "parked", "doors", "arrivals", "wheel", "scratch")
        pools = ("crumbs", "frames", "packets", "chunks", "streams")
        for name in arrays:
            record[name] = getattr(self, name).ctypes.data
        for name in pools:
            record[name] = getattr(self, name).address
        for name in (
            "ready_head",
            "ready_tail",
            "urgent_head",
            "urgent_tail",
            "stopped_head",
            "gateway",
            "wanted_head",
        ):
            record[name] = NOBODY
        record["capacity"], record["count"] = len(self.guests), 1
        record["mask"] = self.mask = (1 << (len(self.guests) - 1).bit_length()) - 1
        record["asked_by"], record["pagemap"] = FOREVER, self._pagemap
        record["scans"] = self._pagemap >= 0
        record["poller"], record["alarm"], record["virtual"] = self.poller.fileno(), self.alarm, virtual
        record["spare"] = os.eventfd(0, os.EFD_CLOEXEC)
        record["epoch"] = time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def name(self, row: int) -> int:
        """The number by which others know the guest of a row."""
        return int(self.guests["name"][row])

    def ring(self) -> None:
        """Have the loop leave native code; any thread may ask."""
        self.record["attention"] = 1
        os.eventfd_write(self.alarm, 1)

    def close(self) -> None:
        """Close the descriptors of the loop; the loop does not run."""
        self.poller.close()
        os.close(self.alarm)
        if (spare := int(self.record["spare"][0])) != NOBODY:
            os.close(spare)
        if self._pagemap >= 0:
            os.close(self._pagemap)

    def check(self) -> None:
        """Assert the laws of frames, packets, text, streams and timers; between turns only."""
        self.frames.check()
        numbers = np.arange(int(self.record["count"][0]))
        guests = self.guests[numbers]
        living = np.isin(guests["state"], _ALIVE)
        assert int(living.sum()) == int(self.record["alive"][0]), "the count of living guests is wrong"
        self._check_frames(numbers, guests)
        self._check_packets(numbers, living)
        self._check_chunks(numbers)
        self._check_crumbs(guests)
        self._check_streams(numbers)
        self._check_timers(guests)

    def _check_frames(self, numbers: Any, guests: Any) -> None:
        unnamed = np.where(self.frames.holds == 0, self.frames.holder, 0)
        held = np.bincount(unnamed, minlength=len(numbers) + 1)[1:]
        stopped = guests["state"] == State.STOPPED
        present = np.isin(guests["state"], _ALIVE) | stopped
        accounts = self.frames.accounts[numbers]
        parked, begun = guests["first_frame"] == NOBODY, guests["registers"] != 0
        assert ((guests["context"] != 0) == (begun & ~parked))[present].all(), "memory is where none should be, or none"
        for number in numbers[present & ~parked & ~begun].tolist():
            run = self.frames.memory[guests["first_frame"][number] * FRAME :][: guests["frames"][number] * FRAME]
            assert not run.any(), f"guest {number} has had no turn, and its frames are not empty"
        assert (present & ~begun).any() or not self.record["owed"][0], "memory is owed to nobody"
        present &= ~parked
        due = np.where(present, guests["frames"] + accounts["tlb_frames"], 0)
        assert (held == due).all(), f"guests {numbers[held != due][:5]} hold other frames than they should"
        strange = ~(present & (guests["paging"] > 0)) & ((accounts["held"] > 0) | (accounts["tlb"] != 0))
        assert not strange.any(), f"guests {numbers[strange][:5]} are over, or never asked for frames, and hold some"

    def _check_packets(self, numbers: Any, living: Any) -> None:
        self.packets.check()
        queued, senders = list[int](), Counter[int]()
        for number in numbers.tolist():
            guest, index, length = self.guests[number], int(self.guests["queue_head"][number]), 0
            while index != NOBODY and living[number]:
                queued.append(index)
                senders[int(self.packets.items["sender"][index])] += 1
                index, length = int(self.packets.items["next"][index]), length + 1
            assert length == guest["queue_length"], f"guest {number} has {length} frames waiting, not as counted"
        _check_held(self.packets, queued)
        for number in numbers.tolist():
            assert senders[number] == self.guests["outstanding"][number], f"credit of guest {number} is wrong"

    def _check_chunks(self, numbers: Any) -> None:
        self.chunks.check()
        held = list[int]()
        for number in numbers.tolist():
            index = int(self.guests["console_head"][number]) if self.guests["turn"][number] else NOBODY
            while index != NOBODY:
                held.append(index)
                index = int(self.chunks.items["next"][index])
        _check_held(self.chunks, held)

    def _check_crumbs(self, guests: Any) -> None:
        parked = (
            (guests["state"] >= State.HELD) & (guests["state"] <= State.STOPPED) & (guests["first_frame"] == NOBODY)
        )
        assert int(parked.sum()) == int(self.record["parked_count"][0]), "the count of parked guests is wrong"
        held, following = list[int](), self.crumbs.items["next"]
        for number in np.flatnonzero(parked).tolist():
            index = int(self.parked["crumbs"][number])
            while index != NOBODY:
                held.append(index)
                index = int(following[index])
        assert len(set(held)) == len(held) == len(self.crumbs.items) - self.crumbs.free, (
            "crumbs are held twice, or lost"
        )

    def _check_streams(self, numbers: Any) -> None:
        self.streams.check()
        state, target = self.streams.items["state"], self.streams.items["guest"]
        _check_held(self.streams, np.flatnonzero(state != Phase.FREE).tolist())
        leading = np.bincount(target[state == Phase.OPEN], minlength=len(numbers))
        assert (leading == self.guests["streams"][numbers]).all(), "a guest's count of streams is wrong"

    def _check_timers(self, guests: Any) -> None:
        sleeping = (guests["turn"] > 0) & (guests["timer_slot"] != NOBODY)
        assert (guests["state"][sleeping] == State.IDLE).all(), "somebody has a timer and is not idle"
        assert int(sleeping.sum()) == int(self.wheel["sleepers"].sum()), "the wheel's count of sleepers is wrong"


def _check_held(pool: Pool, held: list[int]) -> None:
    """Every item is held once, or free."""
    everything = sorted(held + pool.unheld())
    assert everything == list(range(len(pool.items))), f"{len(held)} of {len(everything)} items are held twice or lost"
