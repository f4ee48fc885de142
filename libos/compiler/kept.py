# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false
"""Compiled functions on disk: what takes numba seconds is read in milliseconds, whichever service wants it.

An entry is one function for one combination of argument types. It holds as long as the functions it needs return what
they did, and the arrays it shows are there; what these do and hold was not looked at when it was made.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import denali.isa.virtual
from denali.isa.runtime.cache import Cache, key
from denali.libos import machine
from denali.libos.compiler import fingerprint
from denali.libos.compiler.build import digest, tools
from denali.libos.compiler.recording import Need, Record

KIND = "functions"
PATIENCE_S = 60.0  # with others that compile


@dataclass(slots=True)
class Entry:
    """A function as it is kept; see `recording.Record`."""

    name: tuple[str, str, str]  # module, name in it, and what tells it from others of that name
    returns: Any
    modules: list[bytes]
    needs: list[Need]
    arrays: list[str]
    names: dict[str, str]


@cache
def store() -> Cache:
    """Where entries are."""
    return Cache()


@cache
def versions() -> str:
    """What all code depends on: the compiler, numba, and how a machine's functions are called."""
    files = [digest(module.__file__ or "") for module in (machine, denali.isa.virtual)]
    return key(sys.version, *tools(), *files)


def identify(function, arguments, data) -> tuple[str, str | None]:
    """What tells a function's code from that of others of its name, and the key of its entry if it can have one."""
    apart = key(*map(str, arguments))[:12]
    try:
        described = key(versions(), fingerprint.of(function, arguments, data))
    except fingerprint.Unfit:
        return (apart if fingerprint.named(function) else os.urandom(8).hex()), None
    return (apart if fingerprint.named(function) else described), described


def keep(record: Record, compiled) -> None:
    """Put a compiled function on disk."""
    if record.key is not None and fingerprint.is_plain(compiled.signature.return_type):
        made = compiled.fndesc
        name = (made.modname, made.qualname, record.unique)
        parts = (record.modules, record.needs, record.arrays, record.names)
        store().put(KIND, record.key, pickle.dumps(Entry(name, compiled.signature.return_type, *parts)))


def recall(name: str) -> Entry | None:
    """The entry of that key."""
    found = store().get(KIND, name)
    return None if found is None else pickle.loads(found)


@contextmanager
def taking_turns(say: Callable[[str], object]) -> Iterator[None]:
    """Let one process after the other compile, so that each finds what those before it have made.

    Nothing depends on it: who has waited for too long, or cannot wait, goes on.
    """
    turn = -1
    with suppress(OSError):
        folder = store().folder / KIND
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        turn = os.open(folder, os.O_RDONLY)
        deadline = time.monotonic() + PATIENCE_S
        if not _locked(turn):
            say("waiting for the functions of another service")
        while not _locked(turn) and time.monotonic() < deadline:
            time.sleep(0.05)
    try:
        yield
    finally:
        if turn >= 0:
            os.close(turn)


def _locked(turn: int) -> bool:
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
