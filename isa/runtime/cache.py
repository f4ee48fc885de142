"""What was expensive to make, kept on disk: native code, images, sets of hot entries.

An entry is a file named by what it was made from (`key`), with a checksum of name and content before its content.
Writers never see each other: a file appears whole, by a rename. Readers trust only files of this user that nobody else
can write. The folder is DENALI_CACHE, or the user's cache folder; it is kept below `limit` bytes, the longest unused
going first.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
import tempfile
import time
from functools import lru_cache
from pathlib import Path

log = logging.getLogger("denali.cache")

MAGIC = b"denali-2"
LIMIT = 1 << 30  # bytes
KEEP = 0.75  # of the limit, after a cleaning
SLACK = 16  # a process looks at the size of the whole again after it has written this part of the limit
FRESH = 3600  # seconds within which a use is not noted again
# Of isa/: what no native code is made with; a test holds that the workers do not import it.
UNCONCERNED = frozenset(
    {"tools", "runtime/cache.py", "runtime/engine.py", "runtime/loader.py", "runtime/speculation.py"}
)


def key(*parts: str | bytes | int) -> str:
    """A name for what is made from `parts`; different parts give different names."""
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else str(part).encode()
        digest.update(b"%d:" % len(content) + content)
    return digest.hexdigest()


@lru_cache
def code_version() -> str:
    """Changes whenever the code that makes native code, LLVM or this machine's processor does."""
    home = Path(__file__).parent.parent
    names = sorted(path.relative_to(home).as_posix() for path in home.rglob("*.py"))
    sources = b"".join((home / name).read_bytes() for name in names if is_concerned(name))
    return key(sources, host_version())


def is_concerned(name: str) -> bool:
    """Whether native code may depend on this file, named from isa/ on."""
    return not {name, name.partition("/")[0]} & UNCONCERNED


@lru_cache
def host_version() -> str:
    """Changes whenever LLVM or this machine's processor does."""
    return key(_compiler(), _processor())


def _compiler() -> bytes:
    """Which llvmlite is installed, without importing it."""
    import importlib.util

    found = importlib.util.find_spec("llvmlite")
    if found is None or found.origin is None:
        return b""
    return Path(found.origin).with_name("_version.py").read_bytes()


def _processor() -> str:
    """Model and features of the first processor."""
    try:
        with open("/proc/cpuinfo") as file:
            lines = file.read(8192).split("\n\n")[0].splitlines()
    except OSError:
        lines = []
    return "\n".join(line for line in lines if line.startswith(("model", "flags", "cpu family", "stepping")))


class Cache:
    """A folder of entries. Nothing that goes wrong in it is an error: an entry is then not there."""

    def __init__(self, folder: str | os.PathLike[str] | None = None, limit: int | None = None) -> None:
        """The cache in `folder`, else in DENALI_CACHE, else in the user's; below `limit`, else DENALI_CACHE_LIMIT."""
        self.folder = Path(folder or os.environ.get("DENALI_CACHE") or _user_folder())
        self.limit = limit_of(os.environ.get("DENALI_CACHE_LIMIT")) if limit is None else limit
        self._unseen = self.limit  # bytes written since the size was looked at

    def path(self, kind: str, name: str) -> Path:
        """Where the entry `name` of this kind is, or would be."""
        return self.folder / kind / name

    def get(self, kind: str, name: str) -> bytes | None:
        """The content of an entry, None when there is none that can be trusted."""
        path = self.path(kind, name)
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                content = file.read()
        except FileNotFoundError:
            return None
        except OSError as reason:
            log.warning("cannot read the cache entry %s: %s", path, reason.strerror)
            return None
        fault = _fault(status, content, path)
        if fault:
            log.warning("ignored the cache entry %s: %s", path, fault)
            return None
        if time.time() - status.st_mtime > FRESH:
            with contextlib.suppress(OSError):
                os.utime(path)
        return content[len(MAGIC) + 32 :]

    def put(self, kind: str, name: str, content: bytes) -> None:
        """Keep an entry; whoever looks for it meanwhile finds the old one, none, or the new one."""
        path = self.path(kind, name)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(MAGIC + _seal(path, content) + content)
                os.replace(temporary, path)
            except BaseException:
                os.unlink(temporary)
                raise
            self._unseen += len(content)
            if self._unseen * SLACK > self.limit:
                self.clean()
        except OSError as reason:
            log.warning("cannot keep the cache entry %s: %s", path, reason.strerror)

    def entries(self) -> list[tuple[Path, int, float]]:
        """Path, size and time of last use of each entry, the longest unused first."""
        found: list[tuple[Path, int, float]] = []
        for path in self.folder.rglob("*"):
            with contextlib.suppress(OSError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    found.append((path, status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: entry[2])

    def clean(self, limit: int | None = None) -> int:
        """Remove the longest unused entries when together they exceed the limit; how many went."""
        limit = self.limit if limit is None else limit
        found = self.entries()
        total, removed, self._unseen = sum(size for _, size, _ in found), 0, 0
        if total <= limit:
            return 0
        for path, size, _ in found:
            if total <= limit * KEEP:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                removed += 1
            total -= size
        return removed

    def faults(self) -> list[tuple[Path, str]]:
        """The files that readers ignore, and why; one that goes away meanwhile is none of them."""
        found: list[tuple[Path, str]] = []
        for path, _, _ in self.entries():
            with contextlib.suppress(FileNotFoundError):
                try:
                    fault = _fault(path.stat(), path.read_bytes(), path)
                except PermissionError as reason:
                    fault = f"it cannot be read: {reason.strerror}"
                if fault:
                    found.append((path, fault))
        return found


def limit_of(text: str | None) -> int:
    """A number of bytes, which may end in K, M or G; `LIMIT` when there is none.

    Raises:
        ValueError: it is no such number.
    """
    if not text:
        return LIMIT
    digits, unit = (text[:-1], "KMG".find(text[-1].upper()) + 1) if text[-1].isalpha() else (text, 0)
    if not digits.isascii() or not digits.isdigit() or (unit == 0 and digits != text):
        raise ValueError(f"{text!r} is no size of a cache: bytes, or 500K, 200M, 2G")
    return int(digits) << 10 * unit


def _seal(path: Path, content: bytes | memoryview) -> bytes:
    """What stands before an entry's content, so that neither it nor its name can be another's."""
    seal = hashlib.sha256(f"{path.parent.name}/{path.name}\0".encode())
    seal.update(content)
    return seal.digest()


def _user_folder() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("denali-py")


def _fault(status: os.stat_result, content: bytes, path: Path) -> str | None:
    """Why an entry's file cannot be trusted, if so."""
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others can write it"
    if not content.startswith(MAGIC):
        return "it is none of ours"
    start = len(MAGIC)
    if _seal(path, memoryview(content)[start + 32 :]) != content[start : start + 32]:
        return "it is damaged, or another entry's"
    return None
