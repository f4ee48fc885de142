"""What building a service can fail with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class CompileError(Exception):
    """The service uses something that cannot be compiled for a guest; names the place and what to write instead."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"
