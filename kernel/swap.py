"""A file for the memory of parked guests. Whatever happens to it, reading gives what was written, or says why not.

Places are multiples of 512 bytes; a place that was given back is used again for as many.
"""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from pathlib import Path

BLOCK = 512


class Full(Exception):
    """The file takes no more; the message says why."""


class Unreadable(Exception):
    """What was written cannot be read back; the message says why."""


class Swap:
    """One swap file; it is ours alone and goes when it is closed."""

    def __init__(self, path: Path) -> None:
        """Make the file.

        Raises:
            OSError: it cannot be made, or is there already.
        """
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._end = 0
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        self.is_full = False

    def write(self, data: bytes) -> int:
        """Write bytes down; their place.

        Raises:
            Full: the file system has no room; nothing was written that counts.
        """
        blocks = -(-len(data) // BLOCK)
        reused = bool(self._free[blocks])
        offset = self._free[blocks].pop() if reused else self._end
        try:
            done = os.pwrite(self._descriptor, data, offset)
        except OSError as reason:
            done, words = -1, os.strerror(reason.errno or 0)
        else:
            words = f"{done} of {len(data)} bytes written"
        if done != len(data):
            if reused:
                self._free[blocks].append(offset)
            self.is_full = True
            raise Full(f"{self.path}: {words}")
        self._end = max(self._end, offset + blocks * BLOCK)
        return offset

    def read(self, offset: int, count: int, checksum: int) -> bytes:
        """The bytes at a place.

        Raises:
            Unreadable: they are not all there, or not those that were written.
        """
        try:
            data = os.pread(self._descriptor, count, offset)
        except OSError as reason:
            raise Unreadable(f"{self.path}: {os.strerror(reason.errno or 0)}") from None
        if len(data) != count:
            raise Unreadable(f"{self.path}: {len(data)} of {count} bytes at {offset}: the file was cut short")
        if zlib.crc32(data) != checksum:
            raise Unreadable(f"{self.path}: the checksum of {count} bytes at {offset} is wrong")
        return data

    def free(self, offset: int, count: int) -> None:
        """Give a place back."""
        self._free[-(-count // BLOCK)].append(offset)
        self.is_full = False

    def close(self) -> None:
        """Remove the file; more calls do nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self.path.unlink(missing_ok=True)
