# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false
"""What the checker takes instructions to do is what the processor does with the translator's own code."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from c_guest import kernel
from elftools.elf.elffile import ELFFile
from native.programs import Program
from processor import REGISTERS, executed, vectors
from test_confinement import everything, whole_pages

from denali.checker import facts, lanes, state
from denali.checker.facts import Below, Within, learn
from denali.checker.machine_code import Function, Instruction, read
from denali.checker.proof import Proof
from denali.checker.scope import same
from denali.checker.state import GENERAL, INVERSE, Flags, State, Step
from denali.checker.sums import MASK, Sum, Term, forget, number, of, signed
from denali.isa.runtime.compile import compile_object
from denali.isa.translator.translate import Translation

LONGEST = 8  # instructions that are run one after the other
TIMES = 6  # from how many states
NOT_ALONE = frozenset({"call", "ret", "push", "pop", "div", "idiv", "ud2", "int3", "pushfq", "popfq"})
EDGES = (0, 1, 7, 8, 31, 32, 63, 64)  # of powers of two
VECTORS = """
define { <4 x i64>, i64 } @vectors(<4 x i64> %a, <4 x i64> %b, i64 %c) {
  %first = insertelement <4 x i64> poison, i64 %c, i64 0
  %all = shufflevector <4 x i64> %first, <4 x i64> poison, <4 x i32> zeroinitializer
  %sum = add <4 x i64> %a, %all
  %times = shl <4 x i64> %sum, splat (i64 3)
  %less = sub <4 x i64> %times, %b
  %one = extractelement <4 x i64> %less, i64 1
  %both = insertvalue { <4 x i64>, i64 } poison, <4 x i64> %less, 0
  %result = insertvalue { <4 x i64>, i64 } %both, i64 %one, 1
  ret { <4 x i64>, i64 } %result
}
"""
SAMPLES = tuple((1 << bits) + more & MASK for bits in EDGES for more in (-1, 0, 1))


class Unknown(Exception):
    """Something that the checker does not know either."""


def evaluated(value: Sum, places: dict[str, int]) -> int:
    """A sum, where the places hold these numbers before."""
    return value.constant + sum(times * _term(one, places) for one, times in value.terms) & MASK


def _term(one: Term, places: dict[str, int]) -> int:
    if one.kind == "in":
        return places[one.identity[0]]
    if one.kind == "select":
        flags, condition, yes, no = one.identity
        return evaluated(yes if holds(flags, condition, places) else no, places)
    if one.kind == "set":
        return int(holds(Flags(*one.identity[:4]), one.identity[4], places))
    if one.kind in ("both", "either", "product"):
        a, b = (evaluated(part, places) for part in one.identity)
        return {"both": a & b, "either": a | b, "product": a * b & MASK}[one.kind]
    if one.kind not in ("low", "and", "shr", "sar", "sext", "high"):
        raise Unknown(one.kind)
    inner, more, *bits = evaluated(one.identity[0], places), *one.identity[1:]
    match one.kind:
        case "low":
            return inner & (1 << more) - 1
        case "and":
            return inner & more
        case "shr":
            return inner >> more
        case "sar":
            return (signed(inner) >> more) & MASK
        case "sext":
            inner &= (1 << more) - 1
            return inner - (inner >> more - 1 << more) & MASK
        case _:
            return inner * more >> bits[0]


def holds(flags: Flags | None, condition: str, places: dict[str, int]) -> bool:
    """Whether flags that came of a comparison fulfil a condition."""
    if flags is None or (flags.partly and condition not in ("e", "ne", "s", "ns")):
        raise Unknown("flags")
    bits = 8 * flags.size
    a, b = (evaluated(part, places) & (1 << bits) - 1 for part in (flags.a, flags.b))
    high = 1 << bits - 1
    less, sign = (a ^ high) < (b ^ high), bool((a - b) & high)
    known = {"e": a == b, "b": a < b, "be": a <= b, "l": less, "le": less or a == b, "s": sign, "o": less != sign}
    if condition in known:
        return known[condition]
    if INVERSE.get(condition) in known:
        return not known[INVERSE[condition]]
    raise Unknown(condition)


def fulfilled(flags: int, condition: str) -> bool:
    """Whether the processor's flags fulfil a condition (Intel's manual, volume 1, appendix B)."""
    carry, zero, sign, overflow = (bool(flags >> bit & 1) for bit in (0, 6, 7, 11))
    met = {"e": zero, "b": carry, "be": carry or zero, "l": sign != overflow, "le": zero or sign != overflow, "s": sign}
    return met[condition] if condition in met else not met[INVERSE[condition]]


@cache
def runs(code: bytes) -> list[tuple[bytes, list[Instruction]]]:
    """All different short runs of an object's instructions that touch neither memory nor the stack."""
    section = ELFFile(io.BytesIO(code)).get_section_by_name(".text")
    assert section is not None
    text = section.data()
    found: dict[tuple[str, ...], tuple[bytes, list[Instruction]]] = {}
    for function in read(code).functions.values():
        for run in _runs(function):
            key = tuple(one.text for one in run)
            found.setdefault(key, (text[run[0].address : run[-1].end], run))
    return list(found.values())


def _runs(function: Function) -> Iterator[list[Instruction]]:
    run: list[Instruction] = []
    for one in function.code:
        if _alone(one):
            run.append(one)
        if run and (not _alone(one) or len(run) == LONGEST):
            yield run
            run = []


def _alone(one: Instruction) -> bool:
    registers = {operand.register for operand in one.operands}
    memory = [operand.memory for operand in one.operands if operand.memory is not None]
    inside = one.name == "lea" and all(
        place.section is None and "rsp" not in (place.base, place.index) for place in memory
    )
    free = not one.name.startswith("j") and one.name not in NOT_ALONE and registers.isdisjoint({"rsp", "esp"})
    return free and (not memory or inside)


def code_of(name: str, folder: Path) -> bytes:
    """The translation of something, or what LLVM makes of `VECTORS`."""
    if name == "vectors":
        return compile_object(VECTORS)
    image = everything() if name == "everything" else Program(3).image() if name == "random" else kernel(name, folder)
    translation = Translation(image, whole_pages(image))
    return compile_object(translation.module(translation.entries())[0])


def test_the_processor_does_what_the_checker_takes_vector_instructions_to_do(tmp_path: Path) -> None:
    assert agreed(code_of("vectors", tmp_path)) == TIMES * len(REGISTERS), "also of the one that a lane goes to"


@pytest.mark.parametrize("name", ["everything", "random", "sha256", "matmul_int", "strings", "bytecode", "mandelbrot"])
def test_the_processor_does_what_the_checker_takes_instructions_to_do(name: str, tmp_path: Path) -> None:
    assert agreed(code_of(name, tmp_path)) > 1000


MISTAKES = {  # in the checker, by what they are about: the table or module, the entry, and what stands there instead
    "lanes are subtracted": (lanes.FUNCTIONS, "vpaddq", Sum.minus),
    "a sum is one more": (state.ACTIONS, "add", state.ACTIONS["adc"]),
    "a choice is the other one": (vars(state), "_chosen", lambda flags, condition, yes, no: no),
    "what is greater is less": (facts.MIRRORED, "b", "b"),
}


@pytest.mark.parametrize("title", MISTAKES)
def test_a_mistake_in_the_checker_is_noticed(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, entry, instead = MISTAKES[title]
    monkeypatch.setitem(table, entry, instead)
    with pytest.raises(AssertionError, match="after"):
        agreed(code_of("vectors" if table is lanes.FUNCTIONS else "matmul_int", tmp_path))


def agreed(code: bytes) -> int:
    """How many registers were compared in all, after all runs of an object's instructions."""
    dice, compared = random.Random(1), 0
    for text, run in runs(code):
        forget()
        _, count, width = vectors()
        places = [*GENERAL, *(f"lane{n}.{lane}" for n in range(count) for lane in range(width))]
        before = State({place: of("in", place) for place in places})
        step = Step(lambda *_: of("in", "memory"), lambda _: frozenset(), lambda _: False)
        for one in run:
            step.run(before, one)
        for _ in range(TIMES):
            compared += _compared(text, run, before, _anything(dice))
    return compared


def _anything(dice: random.Random) -> dict[str, int]:
    _, count, width = vectors()
    places = [*REGISTERS, *(f"lane{n}.{lane}" for n in range(count) for lane in range(width))]
    few = [dice.choice(SAMPLES) + dice.choice((-1, 0, 1)) & MASK for _ in range(2)]
    return {place: dice.choice((dice.getrandbits(64), dice.choice(SAMPLES), *few)) for place in places}


def _compared(code: bytes, run: list[Instruction], before: State, places: dict[str, int]) -> int:
    """Compare what the processor leaves in places with what the checker says; how many it says something of."""
    _, count, width = vectors()
    vector = [[places[f"lane{n}.{lane}"] for lane in range(width)] for n in range(count)]
    registers, vector, flags = executed(code, places, vector)
    after = registers | {f"lane{n}.{lane}": vector[n][lane] for n in range(count) for lane in range(width)}
    compared = 0
    for place, found in after.items():
        try:
            said = evaluated(before.values[place], places)
        except (Unknown, KeyError):
            continue
        compared += place in REGISTERS
        assert said == found, f"{place} after {'; '.join(one.text for one in run)}: {before.values[place]}"
    for condition in INVERSE:
        if condition not in ("o", "no", "p", "np") and before.flags is not None and fulfilled(flags, condition):
            _learned(before.flags, condition, places, run)
    return compared


def _learned(flags: Flags, condition: str, places: dict[str, int], run: list[Instruction]) -> None:
    """All that the checker learns of a condition that holds is so."""
    for fact in learn(flags, condition):
        text = f"{condition} after {'; '.join(one.text for one in run)}: {fact}"
        try:
            if isinstance(fact, Within):
                distance = evaluated(Sum(fact.terms, 0).minus(number(fact.arc.first)), places)
                assert distance < fact.arc.length, text
            elif isinstance(fact, Below):
                a, b = evaluated(fact.a, places), evaluated(fact.b, places)
                assert a <= b if fact.even else a < b, text
        except Unknown:
            continue


def test_choices_by_unknown_flags_go_their_own_ways() -> None:
    """Two of one instruction may be of different rounds of a loop; only what hangs on one comparison goes alike."""
    forget()
    a, b = of("in", "rax"), of("in", "rbx")
    for flags, condition, alike in ((None, 16, 1), (Flags(a, b, 8), "b", 2)):
        one, other = (of("select", flags, condition, a.plus(n), b).terms[0][0] for n in (1, 2))
        scope = SimpleNamespace(facts=lambda other=other: [same(other, a)])
        assert len(Proof._gone(SimpleNamespace(patient=True), one, 0, scope)) == alike
