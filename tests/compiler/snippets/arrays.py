"""Module-level arrays, buffers, slices, views, records, bytes."""
# pyright: basic

from collections import namedtuple

import numpy as np

from denali.libos import machine

RECORD = np.dtype([("key", "<i8"), ("small", "u1"), ("port", "<u2"), ("name", "u1", 4)])

numbers = np.arange(12, dtype=np.int64)
grid = np.zeros((3, 4), np.int32)
bytes_ = np.zeros(32, np.uint8)
table = np.zeros(4, RECORD)
rows = np.zeros(4, RECORD).view(np.recarray)
middle = numbers[3:9]
fixed = np.array([3, 1, 4, 1, 5], np.uint8)
fixed.flags.writeable = False
State = namedtuple("State", "counts flags")
state = State(np.zeros(4, np.int64), np.ones(2, np.uint8))
GREETING = b"hello, world"


def reading() -> None:
    print(numbers[0], numbers[-1], len(numbers), numbers.shape[0], numbers.size, middle[0], int(fixed[2]))
    total = 0
    for n in numbers:
        total += n
    print(total, numbers.sum())


def writing() -> None:
    for i in range(3):
        for j in range(4):
            grid[i, j] = i * 10 + j
    grid[1] = 7
    grid[2, 1:3] = 9
    for i in range(3):
        for j in range(4):
            print(grid[i, j])
    middle[0] = 100
    print(numbers[3])
    numbers[3] = 3


def slicing() -> None:
    part = numbers[2:8:2]
    print(len(part), part[0], part[2], numbers[::-1][0], numbers[-3:][0])
    bytes_[4:8] = fixed[:4]
    bytes_[8:12] = 255
    bytes_[12:16] = bytes_[4:8]
    for b in bytes_[:16]:
        print(int(b))


def overlapping() -> None:
    data = machine.buffer(16)
    for i in range(16):
        data[i] = i
    data[2:10] = data[0:8]
    for b in data:
        print(int(b))
    data[0:8] = data[3:11]
    for b in data:
        print(int(b))


def views() -> None:
    data = machine.buffer(16)
    data.view(np.uint32)[1] = 0x04030201
    data[9:13].view(np.uint32)[0] = 0xDDCCBBAA
    for b in data:
        print(int(b))
    print(int(data.view(np.uint64)[0]), data.reshape((4, 4))[1, 0] == 1)


def records() -> None:
    for i in range(len(table)):
        table[i]["key"] = i * 1000
        table[i]["small"] = i
        table[i]["port"] = 65535 - i
        table[i]["name"][1] = 65 + i
    one = table[2]
    one["key"] += 1
    print(table[2]["key"], int(table[3]["small"]), int(table["port"][1]), int(table[0]["name"][1]))
    rows[1].key = 5
    row = rows[1]
    row.port, row.small = 80, 3
    print(rows[1].key, int(rows[1].port), rows["key"][1], int(row.small), rows.port[1] == 80)


def literals() -> None:
    print(len(GREETING), int(GREETING[0]), int(b"xyz"[2]))
    total = 0
    for b in GREETING:
        total += int(b)
    print(total, GREETING[7] == ord("w"))
    bytes_[: len(GREETING)] = np.frombuffer(GREETING, np.uint8)
    print(int(bytes_[4]))


def raise_counts(s, by: int) -> None:  # type: ignore[no-untyped-def]
    for i in range(len(s.counts)):
        s.counts[i] += by + i
    s.flags[0] = 9


def tuples_of_arrays() -> None:
    raise_counts(state, 5)
    print(state.counts[3], int(state.flags[0]), int(state.flags[1]))


def fill(target, value: int) -> int:  # type: ignore[no-untyped-def]
    target[:] = value
    return len(target)


def arguments() -> None:
    data = machine.buffer(8)
    print(fill(data[2:5], 7), int(data[1]), int(data[2]), int(data[4]), int(data[5]))
    print(fill(numbers[0:2], 4), numbers[1])
    numbers[0], numbers[1] = 0, 1


CASES = (
    reading, writing, slicing, overlapping, views, records, literals, tuples_of_arrays, arguments,
)  # fmt: skip
