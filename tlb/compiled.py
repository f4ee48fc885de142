# pyright: basic
"""Native functions whose machine code is kept on disk, under a key made of every source file they came from.

Numba's own cache looks only at the file of the outermost function, so that an edit of a function it calls would go
unnoticed. Here the key is the text of the whole package of the function and of what lies below it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numba
from numba.core import ccallback, config, sigutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

from denali.isa import context, record, virtual
from denali.isa.cache import Cache

_config: Any = config
_HERE = Path(__file__).resolve().parent


@cache
def stamp(folder: Path) -> str:
    """Digest of the sources that functions of `folder` are compiled from, and of the way they are compiled."""
    below = [Path(module.__file__ or "") for module in (context, record, virtual)]
    digest = hashlib.sha256(f"{numba.__version__} {_config.BOUNDSCHECK} {_config.OPT}".encode())
    for file in sorted({*folder.glob("*.py"), *_HERE.glob("*.py")}) + below:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


@cache
def _private_folder(folder: Path) -> str:
    """The folder, if it is this user's alone: what lies in it is run."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid == os.geteuid() and not status.st_mode & 0o022:
            return str(folder)
    except OSError:
        pass
    return tempfile.mkdtemp(prefix="denali-")


class _Locator(_CacheLocator):
    """Says where the machine code of a function is kept, and what makes it stale."""

    def __init__(self, function: Callable[..., object], file: str) -> None:
        self._stamp = stamp(Path(file).resolve().parent)
        self._line = function.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        """One folder for each state of the sources; one of no duration where others could write to it."""
        return _private_folder(Cache().folder / f"numba-{self._stamp[:16]}")

    def get_source_stamp(self) -> str:
        """The digest of the sources."""
        return self._stamp

    def get_disambiguator(self) -> str:
        """The line tells functions of one name apart."""
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Callable[..., object], py_file: str) -> _Locator:
        """The locator of a function."""
        return cls(py_func, py_file)


class _Implementation(CompileResultCacheImpl):
    _locator_classes: ClassVar = [_Locator]


class _Cache(FunctionCache):
    _impl_class = _Implementation


def entry(function: Callable[..., Any]) -> Any:
    """A native function that Python calls: compiled on first use or loaded from disk, the GIL released inside."""
    dispatcher: Any = numba.njit(nogil=True, error_model="numpy")(function)
    dispatcher._cache = _Cache(dispatcher.py_func)
    return dispatcher


def callback(signature: Any, function: Callable[..., Any]) -> Any:
    """A C function pointer (`.address`) to a native function; compiled or loaded from disk at once."""
    options = {"nopython": True, "error_model": "numpy"}
    made: Any = ccallback.CFunc(function, sigutils.normalize_signature(signature), locals={}, options=options)
    made._cache = _Cache(function)
    made.compile()
    return made
