"""Any bits as a program: every engine stops, in time and in the same state; nothing is raised in the host."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from engines import ALL, ENGINES, PAGED, Call, Outcome, Start, exits, guests

from denali.isa.definitions.decode import DEFINITIONS, length_of
from denali.isa.image import TEXT_BASE, Image
from denali.isa.virtual import Service

PRIVATE_SIZE = 8192
FUEL = 3000
STARTS = 6  # places in each program where a guest begins, some of them odd or outside of text


def any_bytes(generator: random.Random) -> bytes:
    """Bytes without any thought."""
    return generator.randbytes(generator.randrange(1, 400))


def near_instructions(generator: random.Random) -> bytes:
    """Instructions with any operands, now and then with a bit turned over: mostly valid, and wild where they go."""
    code = bytearray()
    for _ in range(generator.randrange(1, 120)):
        one = generator.choice(DEFINITIONS)
        word = generator.getrandbits(8 * one.length) & ~one.mask | one.match
        if generator.random() < 0.05:
            word ^= 1 << generator.randrange(8 * one.length)
        code += (word & (1 << 8 * one.length) - 1).to_bytes(one.length, "little")
    return bytes(code)


def near_jumps(generator: random.Random) -> bytes:
    """Short jumps and branches among small integer instructions, so that programs go round and meet themselves."""
    code = bytearray()
    short = [one for one in DEFINITIONS if one.extension in ("integer", "compressed", "bits", "multiply")]
    for _ in range(generator.randrange(2, 60)):
        one = generator.choice(short)
        word = generator.getrandbits(8 * one.length) & ~one.mask | one.match
        if generator.random() < 0.4:
            distance = generator.randrange(-40, 40) * 2
            word = _branch(generator.randrange(8), generator.randrange(32), generator.randrange(32), distance)
        code += word.to_bytes(length_of(word), "little")
    return bytes(code)


def _branch(kind: int, a: int, b: int, distance: int) -> int:
    """The bits of a conditional branch, or where kind is none of them, of jal."""
    if kind in (2, 3):
        immediate = distance >> 20 & 1, distance >> 1 & 0x3FF, distance >> 11 & 1, distance >> 12 & 0xFF
        return immediate[0] << 31 | immediate[1] << 21 | immediate[2] << 20 | immediate[3] << 12 | a << 7 | 0x6F
    high = (distance >> 12 & 1) << 6 | distance >> 5 & 0x3F
    low = (distance >> 1 & 0xF) << 1 | distance >> 11 & 1
    return high << 25 | b << 20 | a << 15 | kind << 12 | low << 7 | 0x63


MAKERS: dict[str, Callable[[random.Random], bytes]] = {
    "bytes": any_bytes,
    "instructions": near_instructions,
    "jumps": near_jumps,
}


def starts(generator: random.Random, image: Image) -> list[Start]:
    """Ways to begin: at the entry, and with any registers at any place."""
    found = [Start(x=dict.fromkeys(range(5, 32), 0))]
    near = [image.private_start, image.text_start, image.text_end, image.private_start + PRIVATE_SIZE - 4, 0, 1 << 63]
    for _ in range(STARTS - 1):
        x = {
            n: generator.choice((generator.choice(near) + generator.randrange(-16, 300), generator.getrandbits(64)))
            for n in range(1, 32)
        }
        pc = image.text_start + generator.randrange(0, len(image.read_only) + 2)
        pc = generator.choice((pc & ~1, pc & ~1, pc & ~1, pc, generator.choice(near)))
        f = {n: generator.getrandbits(64) for n in range(32)}
        found.append(Start(pc, x, f, generator.randrange(256), generator.randbytes(600)))
    return found


def serve(call: Call) -> int:
    """Services that do all they can: leave, refuse, answer, by their number."""
    if call.number == Service.CONSOLE:
        return call.b
    if call.number in (Service.SEND, Service.RECEIVE):
        return call.a ^ call.b
    return exits(call)


def outcomes(engine: str, image: Image, plan: list[Start]) -> list[Outcome]:
    with guests(engine, image, private_size=PRIVATE_SIZE, service=serve, must_translate=False) as start:
        return [start(one, FUEL) for one in plan]


def check(maker: str, seed: int, engines: Sequence[str] = ENGINES) -> None:
    generator = random.Random(f"{maker} {seed}")
    image = Image.raw(MAKERS[maker](generator), name=f"{maker}-{seed}")
    assert image.entry == TEXT_BASE
    plan = starts(generator, image)
    first, *others = (outcomes(engine, image, plan) for engine in engines)
    for engine, other in zip(engines[1:], others, strict=True):
        for number, (mine, theirs) in enumerate(zip(first, other, strict=True)):
            wrong = mine.differences(theirs)
            assert not wrong, f"{engines[0]} and {engine}, {image.name}, start {number} at {plan[number].pc}:\n{wrong}"


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("maker", MAKERS)
def test_every_engine_stops_in_the_same_state(maker: str, seed: int) -> None:
    check(maker, seed)


@pytest.mark.parametrize("seed", range(100, 103))
@pytest.mark.parametrize("maker", MAKERS)
def test_every_engine_stops_in_that_state_behind_a_tlb_too(maker: str, seed: int) -> None:
    check(maker, seed, (ENGINES[0], *PAGED))


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(20))
@pytest.mark.parametrize("maker", MAKERS)
def test_every_engine_stops_in_the_same_state_for_many_programs(maker: str, part: int) -> None:
    for seed in range(1000 + 50 * part, 1050 + 50 * part):
        check(maker, seed, ALL)
