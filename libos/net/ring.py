"""Bytes in a circle: where a connection keeps what it must send again and what its owner has not read yet."""

from __future__ import annotations

from .wire import Bytes


def wrapped(ring: Bytes, at: int) -> int:
    """A position that may have run past the end, by less than one turn."""
    return at - len(ring) if at >= len(ring) else at


def write(ring: Bytes, at: int, data: Bytes, start: int, length: int) -> None:
    """Copy `length` bytes of `data` from `start` into the ring at `at`; the caller knows that they fit."""
    at = wrapped(ring, at)
    head = min(length, len(ring) - at)
    ring[at : at + head] = data[start : start + head]
    if head < length:
        ring[: length - head] = data[start + head : start + length]


def read(ring: Bytes, at: int, data: Bytes, start: int, length: int) -> None:
    """Copy `length` bytes out of the ring from `at` into `data` at `start`."""
    at = wrapped(ring, at)
    head = min(length, len(ring) - at)
    data[start : start + head] = ring[at : at + head]
    if head < length:
        data[start + head : start + length] = ring[: length - head]
