"""Sends to its neighbours as fast as the machine takes frames, and never reads what comes."""

import numpy as np

from denali.isa.virtual import address_of
from denali.libos import machine
from denali.libos.net import wire

NEIGHBOURS = 64

frame = np.zeros(1514, np.uint8)


def main() -> None:
    """Never stop."""
    n = 0
    while True:
        n += 1
        wire.put16(frame, 0, 0x0200)
        wire.put32(frame, 2, address_of(max(1, machine.number() - NEIGHBOURS // 2 + n % NEIGHBOURS)))
        wire.put16(frame, 12, 0x0800)
        machine.send(frame, len(frame))
