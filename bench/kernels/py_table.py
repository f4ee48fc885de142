"""Look keys up in a table with open addressing, and count how often each was asked for."""

import numpy as np

WORK = np.zeros(1 << 13, np.int64)


def kernel(amount, work):
    """Answer the counts, mixed; keys are the even places, counts the odd ones."""
    work[:] = 0
    mask = len(work) // 2 - 1
    seed = 12345
    for _ in range(amount):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        key = (seed >> 8) % 3000 + 1
        place = key * 2654435761 >> 8 & mask
        while work[2 * place] != key and work[2 * place] != 0:
            place = place + 1 & mask
        work[2 * place] = key
        work[2 * place + 1] += 1
    mixed = 0
    for place in range(mask + 1):
        mixed = (mixed * 31 + work[2 * place] * work[2 * place + 1]) & 0xFFFFFFFF
    return mixed
