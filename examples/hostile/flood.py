"""Sends to its neighbours as fast as the machine takes frames, and never reads what comes."""

import numpy as np

from denali.isa.virtual import address_of
from denali.libos import machine
from denali.libos.net import wire

NEIGHBOURS = 64
EXPERIMENTAL = 0x88B5  # an Ethernet type for local use (IEEE 802)

frame = np.zeros(1514, np.uint8)


def main() -> None:
    """Never stop."""
    n = 0
    while True:
        n += 1
        wire.put16(frame, 0, 0x0200)
        wire.put32(frame, 2, address_of(max(1, machine.number() - NEIGHBOURS // 2 + n % NEIGHBOURS)))
        wire.put16(frame, 6, 0x0200)
        wire.put32(frame, 8, machine.address())
        wire.put16(frame, 12, EXPERIMENTAL)
        machine.send(frame, len(frame))
