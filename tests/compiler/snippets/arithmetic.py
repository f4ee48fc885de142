"""Integers and floats as CPython computes them, where the results fit 64 bits."""
# pyright: basic

import math

import numpy as np


def division() -> None:
    for a in (7, -7, 0, 123456789012345):
        for b in (2, -2, 3, -5):
            print(a // b, a % b, divmod(a, b)[0], divmod(a, b)[1])


def bits() -> None:
    for a in (0, 1, -1, 0x1234_5678_9ABC_DEF0, -(1 << 63)):
        print(a & 0xFF, a | 0xF0, a ^ 0x55, ~a, a >> 3, (a & 0xFFFF) << 5, a.bit_length() if False else 0)


def powers() -> None:
    for base in (-3, 0, 2, 7):
        print(base**2, base**3, base**5)


def narrow() -> None:
    a = np.uint8(200)
    b = np.int16(-5)
    c = np.uint32(4000000000)
    print(int(a) + 100, int(b) * 3, int(c) + 1)
    print(np.uint8(a + np.uint8(5)), np.int8(-100), np.uint16(65535), np.int32(-2147483648))


def comparison() -> None:
    for a in (-1, 0, 5):
        for b in (0, 5, -9):
            print(a < b, a <= b, a == b, a != b, a > b, min(a, b), max(a, b), abs(a), a < b < 10)


def logic() -> None:
    for a in (0, 3):
        for b in (0, 4):
            print(bool(a and b), bool(a or b), not a, (1 if a else 2), bool(a) ^ bool(b))


def floats() -> None:
    x = 0.0
    for i in range(1, 20):
        x += 1.0 / i
    print(int(x * 1e12), int(math.sqrt(x) * 1e12), int(-x), math.floor(-2.5), math.ceil(2.1), round(2.7))
    print(x > 3.0, x == x, int(7.9), float(3) / 2 == 1.5, 7.5 // 2 == 3.0, -7.5 % 2 == 0.5)


def wide() -> None:
    total = 0
    for i in range(200):
        total = (total * 6364136223846793005 + i) & 0xFFFFFFFF
    print(total)


def shifts() -> None:
    for n in range(0, 63, 7):
        print(1 << n, -(1 << n), (1 << 62) >> n)


CASES = (division, bits, powers, narrow, comparison, logic, floats, wide, shifts)
