"""Translate an image: from guest code to the text of one LLVM module with a function for every unit.

What is in the units is written in unit.py; here it is decided which units there are and what surrounds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from ..context import SPACE, TLB, Mode
from ..image import Image
from .emit import module_text
from .frame import Layout
from .inline import inlined
from .liveness import Calls
from .loops import expectations, loops_of, rest_of
from .registers import TAGS
from .shared import likely_shared
from .strides import LOOPS
from .tables import find_tables
from .threads import threaded
from .unit import Unit
from .units import HIGHEST, Block, Function, Program
from .values import Known

TRIPLE = 'target triple = "x86_64-unknown-linux-gnu"'
DATA_LAYOUT = 'target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"'
SERVE = """define hidden x86_regcallcc i64 @denali_serve(ptr %ctx, i64 %number, i64 %a, i64 %b) #0 noinline {
  %result = call i64 @denali_service(ptr %ctx, i64 %number, i64 %a, i64 %b)
  ret i64 %result
}
declare i64 @denali_service(ptr, i64, i64, i64)
"""
SMALL = 1000  # instructions
COPIES = 8_000  # instructions in units for loops, each of which holds what is reached from there
SIZES = f"!22 = !{{i64 {TLB.itemsize}}}\n!23 = !{{i64 8}}\n!24 = !{{i64 {SPACE.itemsize}}}\n"
METADATA = TAGS + "!15 = !{}\n" + SIZES + LOOPS


class Translation:
    """The translation of one image for one size of private memory; makes the text of modules."""

    def __init__(self, image: Image, private_size: int, mode: Mode = Mode.FLAT, *, masked: bool = False) -> None:
        """Find the functions of `image`; `masked` code makes no access out of bounds speculatively either."""
        self.mode, self.masked = mode, masked
        self.program = Program(image)
        self.image, self.private_size = image, private_size
        self.functions = self.program.functions
        for function in () if masked else self.functions.values():  # masked code has no tables of jumps
            find_tables(function, self.program.text)
        self.calls = Calls(self.functions)
        self.loops = {entry: loops_of(function) for entry, function in self.functions.items()}
        self.expected: dict[int, dict[int, dict[int, Known]]] = {}

    @cached_property
    def homes(self) -> dict[int, tuple[Function, Block]]:
        """Where each instruction stands; in the first place, if in several."""
        homes: dict[int, tuple[Function, Block]] = {}
        for function in reversed(self.functions.values()):
            for block in function.blocks.values():
                homes |= dict.fromkeys((located.pc for located in block.code), (function, block))
        return homes

    @cached_property
    def shared(self) -> frozenset[int]:
        """Loads that probably find read-only bytes."""
        return frozenset(pc for function in self.functions.values() for pc in likely_shared(function, self.image))

    def entries(self) -> list[int]:
        """The units to make ahead of time: one for each function, of a small image also one for each loop.

        The loops of a large one are translated when a guest that was stopped in them has come back often enough.
        """
        sizes = {entry: function.size for entry, function in self.functions.items()}
        copies = sum(len(loops) * sizes[entry] for entry, loops in self.loops.items())
        headers = {header for loops in self.loops.values() for header in loops}
        small = sum(sizes.values()) <= SMALL and copies <= COPIES
        return sorted(self.functions.keys() | (headers if small else set()))

    def module(self, entries: Iterable[int]) -> tuple[str, list[int]]:
        """A module with a unit for each of `entries` that is in known code, and those entries."""
        found = {entry: scope for entry in entries if (scope := self._scope(entry)) is not None}
        there = frozenset(found)
        layout = Layout(self.image, self.private_size, there, self.calls, self.mode, self.shared, self.masked)
        units = [Unit(layout, function, entry, known) for entry, (function, known) in found.items()]
        texts = [unit.text() for unit in units]
        declared = {one for unit in units for one in unit.body.declared}
        rest = module_text([*texts, SERVE], declared, masked=self.masked)
        for kind in ("i32", "void"):
            rest = rest.replace(f"define internal {kind}", f"define internal x86_regcallcc {kind}")
        return "\n".join([TRIPLE, DATA_LAYOUT, METADATA, rest]), list(found)

    def _scope(self, entry: int) -> tuple[Function, dict[int, Known]] | None:
        """What a unit at `entry` holds, and what it may assume: a function, or what of one is reached from there."""
        known = dict[int, Known]()
        if entry in self.functions:
            function = self.functions[entry]
        elif entry in self.homes:
            home, block = self.homes[entry]
            if home.entry not in self.expected:
                self.expected[home.entry] = expectations(home)
            function = rest_of(home, self.loops[home.entry], entry, block)
            known = self.expected[home.entry].get(entry, known)
        elif self.program.text.at(entry) is None:
            return None
        else:
            function = self.program.function(entry, set(self.program.entries))
        return function if max(function.blocks) >= HIGHEST else threaded(inlined(function, self.functions)), known
