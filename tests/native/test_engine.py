"""The engine: translations come from the cache, from workers, or not at all, and the guest never notices."""

from __future__ import annotations

import logging
import random
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from test_interpreter import random_program
from twins import SIZE, Twins, random_state

from denali.isa.context import Status
from denali.isa.image import Image
from denali.isa.runtime.cache import Cache
from denali.isa.runtime.engine import Engine, Space
from denali.isa.runtime.worker import Answer, Failed, Request, Workers

LOOP = struct.pack("<4I", 0x00150513, 0x00A5C5B3, 0xFEC51CE3, 0x00100073)  # count a0 up to a2, then ebreak


class Broken(Workers):
    """Workers that fail every translation."""

    def __init__(self, *, lasting: bool = False) -> None:
        super().__init__()
        self.asked, self.lasting = 0, lasting

    def submit(self, request: Request) -> Future[Answer]:
        if request.kind == "runtime":
            return super().submit(request)
        self.asked += 1
        future = Future[Answer]()
        future.set_exception(Failed("no", lasting=self.lasting))
        return future


@pytest.fixture
def fresh(engine: Engine, tmp_path: Path) -> Iterator[Engine]:
    """An engine with an empty cache but for the runtime."""
    cache = Cache(tmp_path)
    for path, _, _ in engine.cache.entries():
        if path.parent.name == "native" and path.name == engine.runtime_name:
            (tmp_path / "native").mkdir(mode=0o700)
            cache.path("native", path.name).write_bytes(path.read_bytes())
            cache.path("native", path.name).chmod(0o600)
    with Engine(cache) as one:
        yield one


def entries(space: Space) -> set[int]:
    return {
        space.image.text_start + 2 * index
        for index in range(len(space.flat.table))
        if space.flat.table[index] != space.flat.miss
    }


def wait_for(space: Space) -> None:
    deadline = time.monotonic() + 60
    while not space.poll():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_translated_image_has_entries_and_runs_as_before(fresh: Engine) -> None:
    twins = Twins(fresh, Image.raw(LOOP))
    seen: list[tuple[int, int]] = []
    twins.space.translate(lambda done, total: seen.append((done, total)))
    assert entries(twins.space) == {0x10000}
    assert seen == [(0, 1), (1, 1)]
    twins.reference.x[12] = twins.context["x"][0, 12] = 100
    for fuel in (1, 2, 3, 4, 5, 50, 1000):
        twins.run(fuel)
    assert twins.reference.status is Status.TRAP


def test_the_second_start_needs_no_worker(fresh: Engine) -> None:
    first = fresh.space(Image.raw(LOOP), SIZE, 0)
    first.translate()
    with Engine(fresh.cache, Broken()) as again:
        second = again.space(Image.raw(LOOP), SIZE, 0)
        second.translate()
        assert entries(second) == entries(first) == {0x10000}


def test_guests_run_while_the_translation_is_made(fresh: Engine) -> None:
    twins = Twins(fresh, Image.raw(LOOP))
    twins.space.translate(wait=False)
    assert twins.space.translating == 1
    twins.reference.x[12] = twins.context["x"][0, 12] = 100
    twins.run(10)
    while twins.space.translating:
        wait_for(twins.space)
    assert 0x10000 in entries(twins.space)
    twins.run(1000)


def test_quick_code_serves_until_better_code_takes_its_place(fresh: Engine) -> None:
    twins = Twins(fresh, Image.raw(LOOP))
    space = twins.space
    space.translate(wait=False)
    twins.reference.x[12] = twins.context["x"][0, 12] = 1000
    places = list[int]()
    while space.translating or not places:
        if space.poll():
            places.append(int(space.flat.table[0]))
        twins.run(3)
    assert len(places) == 2, "quick code, then better"
    assert places[0] != places[1]
    assert len(space.flat.loaded) == 1
    assert 0 <= places[1] - space.flat.loaded[0].address < space.flat.loaded[0].size


@pytest.mark.parametrize(("lasting", "again"), [(True, 0), (False, 1)])
def test_what_cannot_be_translated_is_tried_again_only_if_that_may_help(
    fresh: Engine, lasting: bool, again: int
) -> None:
    for expected in (1, again):
        with Engine(fresh.cache, workers := Broken(lasting=lasting)) as engine:
            engine.space(Image.raw(LOOP), SIZE, 0).translate()
            assert workers.asked == expected


def test_masked_and_other_code_never_mix(fresh: Engine) -> None:
    fresh.space(Image.raw(LOOP), SIZE, 0).translate()
    with Engine(fresh.cache, Broken(), masked=True) as masked:
        assert masked.runtime_name != fresh.runtime_name
        space = masked.space(Image.raw(LOOP), SIZE, 0)
        space.translate()
        assert not entries(space), "the other's is not taken"


def test_another_size_or_image_is_another_translation(fresh: Engine) -> None:
    fresh.space(Image.raw(LOOP), SIZE, 0).translate()
    with Engine(fresh.cache, Broken()) as again:
        for image, size in ((Image.raw(LOOP), SIZE + 4096), (Image.raw(LOOP + LOOP), SIZE)):
            other = again.space(image, size, 0)
            other.translate()
            assert entries(other) == set()


def test_what_cannot_be_translated_is_interpreted(fresh: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with Engine(fresh.cache, Broken()) as engine, caplog.at_level(logging.WARNING):
        twins = Twins(engine, Image.raw(LOOP))
        twins.space.translate()
        assert "will be interpreted: no" in caplog.text
        twins.reference.x[12] = twins.context["x"][0, 12] = 100
        assert twins.run(1000) is Status.TRAP


def test_a_hot_pc_is_translated_between_turns_and_remembered(fresh: Engine) -> None:
    twins = Twins(fresh, Image.raw(struct.pack("<I", 0x00000013) + LOOP))
    twins.reference.x[12] = twins.context["x"][0, 12] = 1000
    assert not twins.space.poll()
    twins.run(400)
    wait_for(twins.space)
    assert 0x10004 in entries(twins.space)
    twins.run(400)
    with Engine(fresh.cache, Broken()) as again:
        later = again.space(twins.space.image, SIZE, 0)
        later.translate()
        assert 0x10004 in entries(later)


def test_damaged_translations_are_made_again(fresh: Engine) -> None:
    fresh.space(Image.raw(LOOP), SIZE, 0).translate()
    for path, _, _ in fresh.cache.entries():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with Engine(fresh.cache) as again:
        space = again.space(Image.raw(LOOP), SIZE, 0)
        space.translate()
        assert entries(space) == {0x10000}


def test_an_image_that_does_not_fit_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="needs"):
        engine.space(Image.raw(LOOP, zeroed=9000), SIZE, 0)


def test_a_warm_start_does_not_load_llvm(fresh: Engine) -> None:
    fresh.space(Image.raw(LOOP), SIZE, 0).translate()
    program = (
        "import sys; from denali.isa.runtime.engine import Engine; from denali.isa.image import Image\n"
        "from denali.isa.runtime.cache import Cache\n"
        f"with Engine(Cache({str(fresh.cache.folder)!r})) as engine:\n"
        f"    space = engine.space(Image.raw({LOOP!r}), {SIZE}, 0); space.translate()\n"
        "    assert (space.flat.table != space.flat.miss).sum() == 1\n"
        "assert 'llvmlite' not in sys.modules and 'numba' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("seed", range(6))
def test_translated_programs_stop_at_every_fuel_as_the_reference_does(fresh: Engine, seed: int) -> None:
    source = random.Random(seed)
    twins = Twins(fresh, random_program(source))
    twins.space.translate()
    image = twins.reference.image
    for turn in range(300):
        if turn == 0 or twins.reference.status is not Status.FUEL:
            random_state(twins, source)
            twins.set(pc=image.text_start + 2 * source.randrange(len(image.read_only) // 2))
        twins.run(source.choice((1, 1, 2, 3, 5, 20, 100)))
        if turn == 150:
            twins.space.poll()
            twins.space.poll()
