"""The native interpreter does what the reference interpreter does: instruction by instruction, and at every fuel."""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path

import pytest
from twins import SIZE, Twins, random_state

from denali.isa.context import Status
from denali.isa.definitions.decode import DEFINITIONS
from denali.isa.definitions.instruction import Instruction
from denali.isa.image import Image
from denali.isa.runtime import worker
from denali.isa.runtime.cache import Cache
from denali.isa.runtime.engine import Engine

NOTHING = 0x00000013  # addi x0, x0, 0


def random_word(one: Instruction, source: random.Random) -> int:
    """A word of this instruction, its operands random."""
    while True:
        word = source.getrandbits(8 * one.length) & ~one.mask | one.match
        if one.accepts(word):
            return word


def image_of(words: list[int]) -> Image:
    """The words, each in four bytes, with some read-only bytes behind."""
    return Image.raw(b"".join(struct.pack("<I", word) for word in words) + bytes(range(64)), data=bytes(range(256)))


def check_each(engine: Engine, words: list[int], source: random.Random, *, in_private: bool = False) -> None:
    """Execute each word once, from a random state."""
    twins = Twins(engine, image_of(words))
    image = twins.reference.image
    for index, word in enumerate(words):
        random_state(twins, source)
        pc = image.text_start + 4 * index
        if in_private:
            pc = image.private_start + source.choice((2, 1022, 1026, SIZE - 4, SIZE - 2))
            twins.set_memory(struct.pack("<I", word)[: image.private_start + SIZE - pc], pc - image.private_start)
        twins.set(pc=pc)
        try:
            twins.run(1)
        except AssertionError as difference:
            raise AssertionError(f"{word:#010x}: {difference}") from None
    twins.space.close()


@pytest.mark.parametrize("one", DEFINITIONS, ids=lambda one: one.name)
def test_every_instruction_does_what_the_reference_does(engine: Engine, one: Instruction) -> None:
    source = random.Random(one.name)
    count = 150 if one.extension == "float" else 40
    check_each(engine, [random_word(one, source) for _ in range(count)], source)


@pytest.mark.parametrize("seed", range(3))
def test_any_word_is_executed_or_refused_as_by_the_reference(engine: Engine, seed: int) -> None:
    source = random.Random(seed)
    check_each(engine, [source.getrandbits(32) for _ in range(2000)], source)


def test_private_memory_is_executed_too(engine: Engine) -> None:
    source = random.Random(5)
    words = [random_word(source.choice(DEFINITIONS), source) for _ in range(1000)]
    check_each(engine, words, source, in_private=True)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(40))
def test_every_instruction_at_length(engine: Engine, seed: int) -> None:
    source = random.Random(seed)
    check_each(engine, [random_word(one, source) for one in DEFINITIONS for _ in range(20)], source)


@pytest.mark.full
def test_a_plain_processor_computes_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without fused multiply-add and rounding instructions, the C library's functions stand in."""
    program = "from denali.isa.runtime import compile, worker; compile.host = lambda: ('x86-64', ''); worker.main()"
    monkeypatch.setattr(worker, "COMMAND", [sys.executable, "-c", program])
    source = random.Random(11)
    with Engine(Cache(tmp_path)) as plain:
        for one in DEFINITIONS:
            if one.extension == "float":
                check_each(plain, [random_word(one, source) for _ in range(300)], source)


@pytest.mark.full
def test_every_short_word_is_executed_or_refused_as_by_the_reference(engine: Engine) -> None:
    words = [word for word in range(1 << 16) if word & 3 != 3]
    for start in range(0, len(words), 4096):
        check_each(engine, words[start : start + 4096], random.Random(start))


def random_program(source: random.Random) -> Image:
    """Instructions in a row, most of them valid, whose jumps stay near."""
    code = b""
    while len(code) < 2000:
        one = source.choice(DEFINITIONS)
        word = random_word(one, source) if source.random() < 0.98 else source.getrandbits(8 * one.length)
        code += word.to_bytes(one.length, "little")
    return Image.raw(code, data=bytes(source.randrange(256) for _ in range(512)))


@pytest.mark.parametrize("seed", range(30))
def test_a_program_stops_at_every_fuel_as_the_reference_does(engine: Engine, seed: int) -> None:
    source = random.Random(seed)
    twins = Twins(engine, random_program(source))
    image = twins.reference.image
    for turn in range(60):
        if turn == 0 or twins.reference.status is not Status.FUEL:
            random_state(twins, source)
            twins.set(pc=image.text_start + 2 * source.randrange(len(image.read_only) // 2))
        twins.run(source.choice((1, 1, 2, 3, 5, 20)))
    twins.space.close()


def test_no_fuel_executes_nothing(engine: Engine) -> None:
    twins = Twins(engine, image_of([NOTHING]))
    assert twins.run(0) is Status.FUEL
    twins.space.close()


def test_an_odd_pc_is_a_misaligned_fetch(engine: Engine) -> None:
    twins = Twins(engine, image_of([NOTHING] * 4))
    twins.set(pc=twins.reference.pc + 1)
    assert twins.run(3) is Status.TRAP
    twins.space.close()
