"""What registers, rounding modes and orderings are called in assembly."""

from __future__ import annotations

from ..definitions.operands import Kind

X_NAMES = (
    *("zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1"),
    *(f"a{i}" for i in range(8)),
    *(f"s{i}" for i in range(2, 12)),
    *(f"t{i}" for i in range(3, 7)),
)
F_NAMES = (
    *(f"ft{i}" for i in range(8)),
    *("fs0", "fs1"),
    *(f"fa{i}" for i in range(8)),
    *(f"fs{i}" for i in range(2, 12)),
    *(f"ft{i}" for i in range(8, 12)),
)
X_NUMBERS = {name: i for i, name in enumerate(X_NAMES)} | {f"x{i}": i for i in range(32)} | {"fp": 8}
F_NUMBERS = {name: i for i, name in enumerate(F_NAMES)} | {f"f{i}": i for i in range(32)}
ROUNDING = {"rne": 0, "rtz": 1, "rdn": 2, "rup": 3, "rmm": 4, "dyn": 7}
ROUNDING_NAMES = {value: name for name, value in ROUNDING.items()}
ORDERS = {"": 0, ".rl": 1, ".aq": 2, ".aqrl": 3}
ORDER_NAMES = {value: name for name, value in ORDERS.items()}
FENCE_BITS = {"i": 8, "o": 4, "r": 2, "w": 1}


def register_number(name: str, kind: Kind) -> int | None:
    """The number of a register of this kind; None when that is no name of one."""
    number = (F_NUMBERS if kind in (Kind.F, Kind.F_SHORT) else X_NUMBERS).get(name)
    return number if number is None or 0 <= number - kind.first < (8 if kind.first else 32) else None


def register_name(number: int, kind: Kind) -> str:
    """The ABI's name of a register."""
    return (F_NAMES if kind in (Kind.F, Kind.F_SHORT) else X_NAMES)[number]


def fence_set(bits: int) -> str:
    """A set of accesses as fence writes it."""
    return "".join(letter for letter, bit in FENCE_BITS.items() if bits & bit)
