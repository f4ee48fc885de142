"""The frame pool: one holder each, zeroed between holders, runs merged when lists cannot serve."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denali.tlb.frames import FRAME, Frames, Overdrawn


@pytest.fixture
def frames() -> Iterator[Frames]:
    made = Frames(64)
    yield made
    made.check()


def test_a_released_run_is_given_out_again_and_reads_zero(frames: Frames) -> None:
    first = frames.take(4, holder=7)
    frames.memory[first * FRAME : (first + 4) * FRAME] = 0xAA
    frames.release(first, 4)
    assert frames.take(4, holder=8) == first
    assert not frames.memory[first * FRAME : (first + 4) * FRAME].any()
    assert frames.free == 60


def test_a_run_that_the_host_does_not_let_go_reads_zero_too(frames: Frames) -> None:
    first = frames.take(2, holder=7)
    place, libc = frames.memory.ctypes.data + first * FRAME, ctypes.CDLL(None)
    if libc.mlock(ctypes.c_void_p(place), ctypes.c_size_t(2 * FRAME)):
        pytest.skip("this host locks no memory")
    frames.memory[first * FRAME : (first + 2) * FRAME] = 0xAA
    frames.release(first, 2)
    assert frames.take(2, holder=8) == first
    assert not frames.memory[first * FRAME : (first + 2) * FRAME].any()
    libc.munlock(ctypes.c_void_p(place), ctypes.c_size_t(2 * FRAME))


def test_running_out_names_the_numbers(frames: Frames) -> None:
    frames.take(60, holder=1)
    with pytest.raises(Overdrawn, match="guest 2 asked for 5 frames; 4 of 64 are free"):
        frames.take(5, holder=2)
    assert frames.free == 4


def test_small_runs_merge_into_a_large_one(frames: Frames) -> None:
    runs = [frames.take(4, holder=n) for n in range(16)]
    for run in runs[1::2] + runs[::2]:
        frames.release(run, 4)
    assert frames.take(64, holder=3) == 0


def test_a_large_run_is_split(frames: Frames) -> None:
    frames.release(frames.take(64, holder=1), 64)
    assert {frames.take(16, holder=n) for n in range(4)} == {0, 16, 32, 48}


def test_what_nobody_or_several_hold_cannot_be_released(frames: Frames) -> None:
    first = frames.take(2, holder=1)
    frames.take(2, holder=2)
    for start, length in ((10, 1), (first, 4), (first, 0)):
        with pytest.raises(ValueError, match="holder's"):
            frames.release(start, length)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5)), max_size=60))
def test_every_frame_has_one_holder_whatever_is_taken_and_released(plan: list[tuple[int, int]]) -> None:
    frames, held = Frames(64), list[tuple[int, int]]()
    for length, choice in plan:
        try:
            held.append((frames.take(length, holder=length), length))
        except Overdrawn:
            assert frames.free < 64
        if choice == 0 and held:
            frames.release(*held.pop(len(held) // 2))
        frames.check()
    assert frames.free == 64 - sum(length for _, length in held)


def longest_free(frames: Frames) -> int:
    lengths = "".join("x" if holder else " " for holder in frames.holder.tolist()).split("x")
    return max(map(len, lengths))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), max_size=120))
def test_guests_that_take_and_release_as_they_like_leave_the_reserve_in_one_piece(
    reserve: int, plan: list[tuple[int, int]]
) -> None:
    frames, held = Frames(64), list[tuple[int, int]]()
    frames.record["reserve"] = reserve
    for length, choice in plan:
        if choice == 0 and held:
            frames.release(*held.pop(len(held) // 2))
        try:
            held.append((frames.take(length, holder=length, spare=True), length))
        except Overdrawn:
            assert frames.free < 64
        assert longest_free(frames) >= reserve
        frames.check()
    assert frames.take(reserve, holder=99) >= 0
    frames.check()


def test_what_is_not_reserved_is_given_to_the_last_frame(frames: Frames) -> None:
    frames.record["reserve"] = 10
    assert len({frames.take(1, holder=n, spare=True) for n in range(54)}) == 54
    with pytest.raises(Overdrawn):
        frames.take(1, holder=54, spare=True)
    frames.release(frames.take(10, holder=55), 10)
    with pytest.raises(Overdrawn):
        frames.take(1, holder=54, spare=True)
    frames.record["reserve"] = 9
    frames.take(1, holder=54, spare=True)
