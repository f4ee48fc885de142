"""Any bytes as an image: the loader gives a checked `Image` or one line of reason, in bounded time and memory."""

from __future__ import annotations

import random
import time
import tracemalloc
from pathlib import Path

import images
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from denali.isa.image import BadImage, Image, Segment, Symbol
from denali.isa.tools.elf import PROGRAM, SECTION, SYMTAB, write_elf

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*"))
# Offsets in the ELF header and in the first program headers where a changed number means something
HEADER = [(16, 2), (18, 2), (20, 4), (24, 8), (32, 8), (40, 8), (52, 2), (54, 2), (56, 2), (58, 2), (60, 2), (62, 2)]
FIELDS = HEADER + [(64 + 56 * part + at, size) for part in range(3) for at, size in images.PROGRAM_HEADER]
SECONDS = 10.0  # of processor time, for what takes less than two
NUMBERS = st.one_of(
    st.integers(0, 70000),
    st.sampled_from([1 << n for n in range(64)] + [(1 << n) - 1 for n in range(1, 65)]),
    st.integers(0, (1 << 64) - 1),
)


def changed(content: bytes, changes: list[tuple[tuple[int, int], int]]) -> bytes:
    """`content` with numbers written over some of its fields."""
    out = bytearray(content)
    for (place, size), number in changes:
        out[place : place + size] = (number & (1 << 8 * size) - 1).to_bytes(size, "little")
    return bytes(out[: len(content)])


@pytest.mark.parametrize("file", CORPUS, ids=[one.name for one in CORPUS])
def test_what_was_found_once_is_an_image_or_refused_in_one_line(file: Path) -> None:
    images.check(file.read_bytes())


def test_the_corpus_leads_a_search_behind_the_first_checks() -> None:
    taken = [image for file in CORPUS if (image := images.check(file.read_bytes())) is not None]
    assert len(taken) >= 10
    assert {bool(image.registers) for image in taken} == {bool(image.functions) for image in taken} == {False, True}
    assert any(image.line_at(image.entry) for image in taken)


@pytest.mark.parametrize("name", images.seeds())
def test_an_image_with_each_thing_that_is_read_is_taken_and_damaged_it_is_taken_or_refused(name: str) -> None:
    seed, generator = images.seeds()[name], random.Random(name)
    assert images.check(seed) is not None
    for _ in range(200):
        content = bytearray(seed)
        for _ in range(generator.randrange(1, 6)):
            content[generator.randrange(len(content))] = generator.choice(
                (0, 1, 2, 127, 128, 255, generator.randrange(256))
            )
        images.check(bytes(content))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400))
def test_bytes_without_any_thought_are_refused(content: bytes) -> None:
    images.check(content)
    images.check(images.good()[:64] + content)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(FIELDS), NUMBERS), min_size=1, max_size=4))
def test_headers_with_any_numbers_are_an_image_or_refused(changes: list[tuple[tuple[int, int], int]]) -> None:
    images.check(changed(images.good(), changes))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 40))
def test_bytes_changed_anywhere_are_an_image_or_refused(seed: int, count: int) -> None:
    content, generator = bytearray(images.good()), random.Random(seed)
    for _ in range(count):
        content[generator.randrange(len(content))] = generator.randrange(256)
    images.check(bytes(content))


@pytest.mark.parametrize("length", [*range(0, 700, 13), 1000, 2000, 4000])
def test_a_truncated_file_is_an_image_or_refused(length: int) -> None:
    images.check(images.good()[:length])


def test_a_good_image_is_taken() -> None:
    image = Image.from_elf(images.good(), "good")
    assert image.function_at(image.entry) == "_start"
    with pytest.raises(BadImage, match="not an ELF file"):
        Image.from_elf(b"MZ" + images.good()[2:], "bad")


def with_rows(kind: str, count: int) -> bytes:
    """The good image with so many program headers ("parts") or symbol tables, each of which has the whole file."""
    content = bytearray(images.good())
    whole = len(content) + count * (PROGRAM.size if kind == "parts" else SECTION.size)
    if kind == "parts":
        table = PROGRAM.pack(1, 5, 1, 0x10000, 0x10000, whole - 1, whole - 1, 4096) * count
        changes = [((32, 8), len(content)), ((56, 2), count)]
    else:
        table = SECTION.pack(0, SYMTAB, 0, 0, 0, whole, 0, 0, 8, 24) * count
        changes = [((40, 8), len(content)), ((60, 2), count)]
    return changed(bytes(content + table), changes)


@pytest.mark.parametrize("kind", ["parts", "symbols"])
def test_many_headers_that_share_their_bytes_take_no_more_than_the_bytes(kind: str) -> None:
    content, begin = with_rows(kind, 60_000), time.process_time()
    tracemalloc.start()
    images.check(content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 40 * len(content)
    assert time.process_time() - begin < SECONDS


def test_names_that_share_their_bytes_are_as_if_absent() -> None:
    name = b"n" * 4000
    symbols = [Symbol(name.decode(), 0x10000, 4)] * 3000
    content = write_elf([Segment(0x10000, 4, b"\1\0\1\0", False, True)], entry=0x10000, functions=symbols)
    assert Image.from_elf(content, "names").functions == ()


@pytest.mark.full
@settings(max_examples=50_000, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(FIELDS), NUMBERS), min_size=1, max_size=6))
def test_headers_with_any_numbers_in_great_number(changes: list[tuple[tuple[int, int], int]]) -> None:
    images.check(changed(images.good(), changes))
