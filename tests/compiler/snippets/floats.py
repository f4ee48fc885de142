"""Floats that are known only at run time."""
# pyright: basic

import math

import numpy as np

values = np.array([0.0, -0.0, 1.5, -2.5, 3.5, 1e300, -7.25, 0.1, 1e-310, 123456789.75])
special = np.array([math.nan, math.inf])


def rounding() -> None:
    for v in values[2:5]:
        print(math.floor(v), math.ceil(v), int(v), round(v), abs(v) > 2)


def remainders() -> None:
    for v in values:
        for w in values:
            if w != 0.0:
                print(int((v % w) * 1000) if abs(v % w) < 1e9 else -1, v % w == v)


def roots() -> None:
    for v in values:
        if v >= 0:
            print(int(math.sqrt(v) * 1000) if v < 1e100 else 0)


def comparisons() -> None:
    nan = special[0]
    for v in values:
        print(v < 1.0, v == 0.0, v != v, v >= nan, min(v, 2.0) == v)


def conversions() -> None:
    for v in values[2:5]:
        print(int(np.float32(v) * 4), int(v * 4) // 3, float(int(v)) == v)


CASES = (rounding, remainders, roots, comparisons, conversions)
