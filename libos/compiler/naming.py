"""Readable names for the symbols of an image."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Names:
    """The names under which functions were written, by the names under which they were compiled."""

    readable: dict[str, str] = field(default_factory=dict[str, str])

    def remember(self, mangled: str, name: str) -> None:
        """Note that `mangled` was compiled from `name` (`module.function`)."""
        self.readable[mangled] = name.replace(".<locals>", "")

    def of(self, symbol: str) -> str:
        """The readable name; LLVM's suffixes of copies stay, what we did not compile keeps its name."""
        if symbol in self.readable:
            return self.readable[symbol]
        stem, dot, suffix = symbol.rpartition(".")
        return f"{self.of(stem)}.{suffix}" if dot and stem in self.readable else symbol
