"""Sends its neighbours random bytes under headers of TCP; one in 64 lies of its length, which the switch refuses."""

import numpy as np

from denali.isa.virtual import address_of
from denali.libos import machine
from denali.libos.net import wire

NEIGHBOURS = 64

frame = np.zeros(1514, np.uint8)


def main() -> None:
    """Go on until the machine refuses a frame."""
    while True:
        length = 34 + machine.random() % 1480
        for i in range(length):
            frame[i] = machine.random() & 0xFF
        target = address_of(max(1, machine.number() - NEIGHBOURS // 2 + machine.random() % NEIGHBOURS))
        head(target, length)
        if machine.random() % 64 == 0:
            wire.put16(frame, 16, 0xFFFF)
        machine.send(frame, length)
        machine.idle(machine.clock() + 100_000)


def head(target: int, length: int) -> None:
    """Make the frame one for TCP at the target, its checksum of IPv4 right."""
    wire.put16(frame, 0, 0x0200)
    wire.put32(frame, 2, target)
    wire.put16(frame, 6, 0x0200)
    wire.put32(frame, 8, machine.address())
    wire.put32(frame, 12, 0x08004500)
    wire.put16(frame, 16, length - 14)
    wire.put32(frame, 20, 0x00004006)
    wire.put16(frame, 24, 0)
    wire.put32(frame, 26, machine.address())
    wire.put32(frame, 30, target)
    wire.put16(frame, 24, wire.checksum(wire.total(frame, 14, 20)))
