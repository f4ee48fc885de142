"""Whatever the bytes or the text: an answer of ours, never an exception of the host."""

from __future__ import annotations

import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from denali.isa.context import Status
from denali.isa.definitions.decode import BY_NAME, DEFINITIONS, decode
from denali.isa.definitions.instruction import Instruction
from denali.isa.image import Image
from denali.isa.tools.assembler import AssemblyError, assemble
from denali.isa.tools.directives import DIRECTIVES
from denali.isa.tools.disassembler import disassemble, listing
from denali.isa.tools.names import F_NAMES, X_NAMES
from denali.isa.tools.pseudo import PSEUDOS
from denali.isa.tools.reference import Machine

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
HALVES = st.integers(0, (1 << 16) - 1).map(lambda half: half.to_bytes(2, "little"))


def accepted(one: Instruction, noise: int) -> bytes:
    """An encoding of a definition, its operands taken from noise."""
    return ((noise & ~one.mask | one.match) & (1 << 8 * one.length) - 1).to_bytes(one.length, "little")


ACCEPTED = st.builds(accepted, st.sampled_from(DEFINITIONS), st.integers(0, (1 << 32) - 1))
CODE = st.lists(HALVES | ACCEPTED, min_size=1, max_size=40).map(b"".join)


@RELAXED
@given(CODE, st.integers(0, 200), st.integers(0, (1 << 64) - 1))
def test_any_bytes_as_code_halt_trap_or_run_out_of_fuel(code: bytes, fuel: int, value: int) -> None:
    machine = Machine(Image.raw(code), 8192)
    machine.x[5:] = [value] * 27
    machine.f[:] = [value] * 32
    assert machine.run(fuel) in (Status.FUEL, Status.TRAP)
    assert (machine.status is Status.TRAP) == (machine.fuel > 0) or machine.fuel == 0
    assert all(0 <= register < 1 << 64 for register in (*machine.x, *machine.f, machine.pc))
    assert machine.x[0] == 0


@RELAXED
@given(CODE)
def test_any_bytes_can_be_listed(code: bytes) -> None:
    assert list(listing(Image.raw(code)))


@RELAXED
@given(st.integers(0, (1 << 32) - 1))
def test_any_word_has_a_text(word: int) -> None:
    assert disassemble(word).startswith(".") == (decode(word) is None)


WORDS = st.sampled_from(
    [*BY_NAME, *(n for n, _ in PSEUDOS), *DIRECTIVES, *X_NAMES, *F_NAMES, "li", "la", "1f", "1b", "1:", "x", "x:", ".",
     ".text", ".data", ".bss", "%hi", "%lo", "%pcrel_hi", "%pcrel_lo", "0x10", "-1", "99999999999999999999", "fcsr"]
)  # fmt: skip
MARKS = st.sampled_from([" ", " ", ", ", "(", ")", ";", "\n", "+", "-", "<<", "*", "/", '"', "'", "#", "\\", "=", "{"])


@RELAXED
@given(st.lists(WORDS | MARKS | st.text(max_size=3), max_size=30).map("".join))
def test_any_text_is_assembled_or_refused_with_its_place(source: str) -> None:
    with contextlib.suppress(AssemblyError):
        assemble(source)
