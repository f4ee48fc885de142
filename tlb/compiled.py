"""Native functions that Python calls: compiled in a process of its own, kept on disk, called at their addresses.

The entries of a package become one object; `compiler.py` makes it. Its key is the text of every file that native
functions may come from, so that an edit of a function they call does not go unnoticed. With the object on disk, nothing
of numba or LLVM is loaded.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from denali.isa import context, virtual
from denali.isa.definitions import record
from denali.isa.runtime.cache import Cache, host_version, key
from denali.isa.runtime.loader import Code, Unloadable, load

_HERE = Path(__file__).resolve().parent
_LIBRARY = ("memcpy", "memmove", "memset", "memcmp", "bcmp", "write", "abort")  # what LLVM and checks may call
_entries: dict[str, list[Entry]] = {}
_lock = threading.Lock()


class Failed(Exception):
    """Native functions could not be compiled; the message says why."""


class Entry:
    """A native function for Python: integers and truth values in, one out, the GIL released inside.

    It is also a C function, words in and a word out, at `address`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        module = function.__module__
        self.group = module.rpartition(".")[0] if module.startswith("denali.") else module
        self.symbol = f"{module}.{function.__name__}"
        kinds = dict(function.__annotations__)
        self.result: str = kinds.pop("return")
        self.arguments: list[str] = list(kinds.values())
        self.__doc__ = function.__doc__
        _entries.setdefault(self.group, []).append(self)

    def __call__(self, *arguments: int) -> int:
        """Call it, compiling or loading its package first."""
        return self._pointer(*arguments)

    @cached_property
    def _pointer(self) -> Callable[..., int]:
        result = ctypes.c_bool if self.result == "bool" else ctypes.c_int64
        kind = ctypes.CFUNCTYPE(result, *[ctypes.c_int64] * len(self.arguments))
        return kind(self.address)

    @property
    def address(self) -> int:
        """The host address of the C function."""
        return prepare(self.group).symbols[self.symbol]


def entry(function: Callable[..., Any]) -> Entry:
    """A native function that Python calls; its annotations, int, bool and None, are its signature."""
    return Entry(function)


def entries(group: str) -> list[Entry]:
    """The entries of a package, in an order of their own."""
    return sorted(_entries.get(group, ()), key=lambda entry: entry.symbol)


def modules(group: str) -> list[str]:
    """The modules of a package, or the module itself when it lies in none of ours."""
    if not group.startswith("denali."):
        return [group]
    folder = Path(sys.modules[group].__path__[0]) if group in sys.modules else _HERE.parent / group.split(".")[-1]
    return [f"{group}.{file.stem}" for file in sorted(folder.glob("*.py")) if file.stem != "__init__"]


@cache
def stamp() -> str:
    """Digest of the sources that native functions are compiled from, and of the way they are compiled."""
    files = [Path(module.__file__ or "") for module in (context, record, virtual)]
    for layer in ("tlb", "kernel"):
        files += sorted((_HERE.parent / layer).glob("*.py"))
    texts = [part for file in files for part in (file.name, file.read_bytes())]
    return key(*texts, version("numba"), host_version(), os.environ.get("NUMBA_BOUNDSCHECK", ""))


def prepare(group: str, compiling: Callable[[], object] = lambda: None) -> Code:
    """The loaded code of a package, compiled first where the cache has none; then `compiling` is called before.

    Raises:
        Failed: it could not be compiled.
    """
    with _lock:
        if group not in _loaded:
            _loaded[group] = _from_cache(group) or _compiled(group, compiling)
        return _loaded[group]


_loaded: dict[str, Code] = {}


def _name(group: str) -> str:
    own = b"" if group.startswith("denali.") else Path(sys.modules[group].__file__ or "").read_bytes()
    return key("kernel", group, stamp(), own)


def _from_cache(group: str) -> Code | None:
    found = Cache().get("native", _name(group))
    try:
        return load(found, _externals()) if found is not None else None
    except Unloadable:
        return None


def _compiled(group: str, compiling: Callable[[], object]) -> Code:
    compiling()
    code = compile_apart(group)
    Cache().put("native", _name(group), code)
    return load(code, _externals())


def compile_apart(group: str) -> bytes:
    """Have a process compile a package."""
    command = [sys.executable, "-P", "-m", "denali.tlb.compiler", group]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise Failed(f"the native functions of {group} could not be compiled: {said}")
    return done.stdout


def _externals() -> dict[str, int]:
    from denali.tlb.native import external_names

    library = ctypes.CDLL(None)
    names = [*_LIBRARY, *external_names]
    return {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in names}
