# pyright: basic
"""What the compilation of a function leaves behind, written down while it happens, so that it can be kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple


class Need(NamedTuple):
    """A function that code calls, for argument types; its module is None when its name does not lead to it."""

    key: str
    module: str | None
    name: str
    arguments: tuple[Any, ...]
    returns: Any


@dataclass(slots=True)
class Record:
    """One function at work; `key` is None when what it leaves cannot be kept."""

    function: Any
    unique: str  # what tells its code from that of others of its name
    key: str | None
    modules: list[bytes] = field(default_factory=list[bytes])  # LLVM bitcode
    needs: list[Need] = field(default_factory=list[Need])
    arrays: list[str] = field(default_factory=list[str])  # the variables that hold them
    names: dict[str, str] = field(default_factory=dict[str, str])  # readable ones, by what they became
    helpers: Iterator[int] = field(default_factory=count)


_active: list[Record] = []


@contextmanager
def of(record: Record) -> Iterator[Record]:
    """Write down what happens meanwhile."""
    _active.append(record)
    try:
        yield record
    finally:
        _active.pop()


def current() -> Record | None:
    """The innermost function at work."""
    return _active[-1] if _active else None


def unique(function) -> str:
    """What tells code from that of others of its name: of the function at work, or of a helper of numba's for it."""
    record = _active[-1]
    return record.unique if function is record.function else f"{record.unique}.{next(record.helpers)}"
