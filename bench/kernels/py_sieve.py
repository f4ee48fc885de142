"""Count primes below the length of a table, again and again."""

import numpy as np

WORK = np.zeros(1 << 18, np.uint8)


def kernel(amount, work):
    """Answer the sum of the counts."""
    total = 0
    for _ in range(amount):
        work[:] = 1
        for number in range(2, 512):
            if work[number]:
                for multiple in range(number * number, len(work), number):
                    work[multiple] = 0
        for number in range(2, len(work)):
            total += work[number]
    return total
