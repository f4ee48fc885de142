"""The native interpreter's decoder: nested switches over the bits in which instructions differ.

Each switch looks at the bits that most of the remaining instructions fix, so that a word is told in two or three; they
derive from the masks, matches and exclusions of the definitions and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

from denali.isa.definitions.instruction import Instruction
from denali.isa.translator.emit import Body, Value

SWITCH_BITS = 10  # widest switch: 2 ** this many cases


def block_name(one: Instruction) -> str:
    """The block that executes an instruction."""
    return f'"do.{one.name}"'


def bits_of(mask: int) -> list[int]:
    """Positions of the ones of `mask`, lowest first."""
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def runs_of(mask: int) -> list[tuple[int, int]]:
    """Runs of ones of `mask` as (position, width), lowest first."""
    runs: list[tuple[int, int]] = []
    for bit in bits_of(mask):
        if runs and sum(runs[-1]) == bit:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((bit, 1))
    return runs


def telling_bits(candidates: list[Instruction], known: int) -> int:
    """Bits not yet known that most candidates fix: the next switch of the decoder looks at these."""
    counts = {bit: sum(one.mask >> bit & 1 for one in candidates) for bit in range(32) if not known >> bit & 1}
    best = max(counts.values(), default=0)
    common = [bit for bit, count in counts.items() if count and 2 * count >= best]
    return sum(1 << bit for bit in sorted(common, key=lambda bit: -counts[bit])[:SWITCH_BITS])


def grouped(candidates: list[Instruction], mask: int) -> dict[tuple[Instruction, ...], list[int]]:
    """Which candidates are left for each value of the bits under `mask`, by what is left."""
    groups: dict[tuple[Instruction, ...], list[int]] = {}
    for value in range(1 << mask.bit_count()):
        spread = sum((value >> i & 1) << bit for i, bit in enumerate(bits_of(mask)))
        fitting = tuple(one for one in candidates if not (spread ^ one.match) & one.mask & mask)
        if fitting:
            groups.setdefault(fitting, []).append(value)
    return groups


class Decoder:
    """Writes the blocks that find out which instruction a word is, and go to its block or to `illegal`."""

    def __init__(self, body: Body, word: Callable[[], Value]) -> None:
        """`word` emits the reading of the word, zero-extended to 64 bits."""
        self.body, self.word = body, word

    def decode(self, label: str, candidates: list[Instruction], known: int) -> None:
        """The block `label`, where it is one of `candidates` or none; the bits `known` have been looked at."""
        body = self.body
        body.label(label)
        word = self.word()
        if not any(one.mask & ~known for one in candidates):
            self._exclude(word, candidates)
            return
        mask = telling_bits(candidates, known)
        groups = grouped(candidates, mask)
        names = {group: body.name("decode") for group in groups}
        cases = " ".join(f"i64 {value}, label %{names[group]}" for group, values in groups.items() for value in values)
        body.line(f"switch i64 {self._gathered(word, mask)}, label %illegal [ {cases} ]")
        for group in groups:
            self.decode(names[group], list(group), known | mask)

    def _gathered(self, word: Value, mask: int) -> Value:
        """The bits of the word under `mask`, moved together."""
        result, position = "0", 0
        for shift, width in runs_of(mask):
            moved = self.body.value(f"lshr i64 {word}, {shift}")
            part = self.body.value(f"and i64 {moved}, {(1 << width) - 1}")
            placed = self.body.value(f"shl i64 {part}, {position}")
            result, position = self.body.value(f"or i64 {result}, {placed}"), position + width
        return result

    def _exclude(self, word: Value, candidates: list[Instruction]) -> None:
        """Go to the first candidate none of whose exclusions the word meets."""
        body = self.body
        for one in candidates:
            skip = body.name("not_this")
            for mask, match in one.exclusions:
                hit = body.value(f"icmp eq i64 {body.value(f'and i64 {word}, {mask}')}, {match}")
                go_on = body.name("accepted")
                body.branch(hit, skip, go_on)
                body.label(go_on)
            body.line(f"br label %{block_name(one)}")
            if not one.exclusions:
                return
            body.label(skip)
        body.line("br label %illegal")
