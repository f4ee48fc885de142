"""Loops in even strides, whose copies look at neither bounds nor fuel inside, do what the reference does."""

from __future__ import annotations

import random

import pytest
from engines import Start, guests
from paging import MEMORIES
from test_units import twins_of
from twins import SIZE, random_float

from denali.isa.context import Mode, Status
from denali.isa.definitions.record import ALL_ONES
from denali.isa.image import PAGE, Image
from denali.isa.runtime.engine import Engine
from denali.isa.tools.assembler import assemble
from denali.isa.translator.translate import Translation

ENDS = (
    "bne a1, a2",
    "bne a2, a1",
    "blt a1, a2",
    "bltu a1, a2",
    "bge a2, a1",
    "bgeu a2, a1",
    "blt a2, a1",
    "bge a1, a2",
)
LOADS = {"lb": 1, "lbu": 1, "lh": 2, "lwu": 4, "lw": 4, "ld": 8, "fld": 8, "flw": 4}
STORES = {"sb": 1, "sh": 2, "sw": 4, "sd": 8, "fsd": 8, "fsw": 4}
WORK = (
    "fadd.d fa0, fa1, fa0", "fmul.d fa1, fa0, fa2", "fsub.d fa2, fa1, fa3",
    "fmul.s fa3, fa3, fa1", "fdiv.d fa1, fa2, fa3",
    "fsgnjn.d fa2, fa1, fa1", "add t0, t0, t1", "xor t1, t0, a1",
    "mulw t0, t1, t0", "sltu t1, t0, a3", "feq.d t0, fa0, fa1",
)  # fmt: skip


def loop(source: random.Random) -> str:
    """A loop whose counter is a1, whose limit is a2, with accesses through a3 and a4."""
    step, end = source.choice((1, 1, 2, 4, 8, 3, 12, -1, -8, -6)), source.choice(ENDS)
    lines: list[str] = []
    for _ in range(source.randrange(1, 4)):
        table = source.choice((LOADS, STORES))
        name, place = source.choice(list(table)), source.choice(("a3", "a4", "a1", "a5"))
        value = source.choice(("fa0", "fa1", "fa2")) if name[0] == "f" else source.choice(("t0", "t1"))
        lines.append(f"{name} {value}, {source.randrange(-16, 16)}({place})")
    lines += source.sample(WORK, source.randrange(0, 4))
    lines.append(f"addi a3, a3, {source.choice((1, 2, 4, 8, 8, 8, 24, -8, 0))}")
    lines.append(source.choice(("add a4, a4, a6", "addi a4, a4, 8", "addi a4, a4, 4")))
    source.shuffle(lines)
    lines.append(source.choice((f"addi a1, a1, {step}", f"addi a1, a1, {step}", "add a1, a1, a6")))
    body = "\n".join(f"        {line}" for line in lines)
    head, tail = "        .text\n_start: nop\nagain:\n", "        ebreak\n        .rodata\n        .zero 600\n"
    return f"{head}{body}\n        {end}, again\n{tail}"


@pytest.mark.parametrize("seed", range(12))
def test_a_loop_in_even_strides_ends_and_stops_alike(engine: Engine, seed: int) -> None:
    source = random.Random(seed)
    image = assemble(loop(source)).image()
    twins = twins_of(engine, image)
    for _ in range(40):
        twins.set_memory(source.randbytes(SIZE // 2))
        x = [source.randrange(1 << 64) for _ in range(32)]
        high = source.choice(
            (0, 0, image.private_start, image.private_start, ALL_ONES - 100, (1 << 63) - 100, image.ro_start)
        )
        for register in (11, 12):
            x[register] = (high + source.randrange(-20, 800)) & ALL_ONES
        for register in (13, 14, 15):
            near = source.choice(
                (image.private_start, image.private_start + SIZE // 2, image.private_start + SIZE, image.ro_start)
            )
            x[register] = near + source.randrange(-200, 400)
        x[16] = source.choice((1, 4, 8, 8, 8, 40, 0, ALL_ONES))
        twins.set_registers(x, [random_float(source) for _ in range(32)])
        twins.set(pc=image.entry, fcsr=source.choice((0, 0, 0, 32, 64, 96, 3)))
        for fuel in source.choice(([2000], [17] * 30, [200] * 8, [source.randrange(1, 900) for _ in range(4)])):
            if twins.run(fuel) is Status.TRAP:
                break
    twins.space.close()


def test_such_loops_have_copies() -> None:
    """Else the test above would be about something else."""
    images = [assemble(loop(random.Random(seed))).image() for seed in range(12)]
    texts = [Translation(image, SIZE).module([image.entry])[0] for image in images]
    assert sum("\ncopy_" in text for text in texts) >= 5


PAGES = 6 * PAGE + 1000


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("seed", range(6))
def test_a_loop_in_even_strides_ends_and_stops_alike_behind_a_tlb(memory: str, seed: int) -> None:
    """Its memory is partly at its own place, partly in the window, partly neither; and it crosses between them."""
    source = random.Random(seed)
    image = assemble(loop(source)).image()
    engines = [guests(f"{kind}-{memory}", image, private_size=PAGES) for kind in ("reference", "translated")]
    with engines[0] as reference, engines[1] as translated:
        for _ in range(25):
            start, fuel = a_start(source, image), source.choice((300, 900))
            assert not translated(start, fuel).differences(reference(start, fuel))


def a_start(source: random.Random, image: Image) -> Start:
    """Registers that let the loop run through some of its memory, and often out of it."""
    first, end = image.private_start, image.private_start + PAGES
    marks = [first, first, end, image.ro_start, *range(first, end, PAGE)]
    x = {register: source.choice(marks) + source.randrange(-300, 300) for register in (13, 14, 15)}
    x[11] = source.choice((0, 0, first))
    x |= {12: x[11] + source.randrange(-20, 800), 16: source.choice((1, 4, 8, 8, 40, 0, ALL_ONES))}
    f = {register: random_float(source) for register in range(32)}
    return Start(x=x, f=f, data=source.randbytes(PAGES), turn=source.choice((17, 200, 1 << 62)))


def test_such_loops_have_copies_behind_a_tlb_too() -> None:
    """They look at home, or at the window, before they begin."""
    images = [assemble(loop(random.Random(seed))).image() for seed in range(6)]
    texts = [Translation(image, PAGES, Mode.PAGED).module([image.entry])[0] for image in images]
    assert sum("\ncopy_" in text for text in texts) >= 2
