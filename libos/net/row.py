"""Bytes in a row: where a connection keeps what it must send again and what its owner has not read yet.

Bytes leave at the front and come in at the end. A row that runs empty begins at its first byte again, so that a quiet
connection dirties little memory; one with no room at its end moves to the front. What is in it always lies together.
"""

from __future__ import annotations

from .wire import Bytes


def settled(space: Bytes, base: int, at: int, length: int, more: int, size: int) -> int:
    """Where the `length` bytes at `base + at` begin once `more` fit behind them within `size`; moved if need be."""
    if length == 0:
        return 0
    if at + length + more <= size:
        return at
    space[base : base + length] = space[base + at : base + at + length]
    return 0
