"""The Internet checksum of a packet that changes (RFC 1071)."""

import numpy as np

WORK = np.zeros(1460, np.uint8)


def kernel(amount, work):
    """Answer all checksums, mixed."""
    for place in range(len(work)):
        work[place] = place * 7 & 255
    mixed = 0
    for turn in range(amount):
        work[turn % len(work)] = turn & 255
        total = 0
        for place in range(0, len(work), 2):
            total += int(work[place]) << 8 | int(work[place + 1])
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        mixed = (mixed * 31 + total) & 0xFFFFFFFF
    return mixed
