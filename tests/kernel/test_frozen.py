"""Warmed images: what guests that begin at a mark share, and what is each one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from denali.isa.context import CONTEXT
from denali.isa.virtual import address_of
from denali.kernel.guest import Guest
from denali.kernel.kernel import Kernel
from denali.kernel.records import State
from denali.kernel.template import Frozen, NotFrozen
from denali.tlb.frames import FRAME

from .conftest import program
from .programs import SPIN

# Writes a word far up its stack and one in its data, marks, then tells what the mark answered and whether the words
# are still there: the exit status is 100 * answer + words.
WARM = """
.data
word: .dword 0
.text
_start: la s0, word
li s1, 77
sd s1, 0(s0)
lui t0, 2
sub t0, sp, t0
sd s1, 0(t0)
v.mark a0, zero, zero
li t1, 100
mul a0, a0, t1
ld t2, 0(s0)
ld t3, 0(t0)
bne t2, s1, end
bne t3, s1, end
addi a0, a0, 2
end: v.exit zero, a0, zero
"""
# Marks, then stores what its registers page says of it, and sleeps.
TELLS = """
.data
seen: .zero 64
.text
_start: la s0, seen
li s1, 5
v.mark s1, zero, zero
lwu t0, 8(tp)
sd t0, 0(s0)
lwu t0, 12(tp)
sd t0, 8(s0)
ld t0, 32(tp)
sd t0, 16(s0)
ld t0, 40(tp)
sd t0, 24(s0)
v.clock t0, zero, zero
sd t0, 32(s0)
sd s1, 40(s0)
li t0, -1
sleep: v.idle zero, t0, zero
j sleep
"""


def seen(guests: Sequence[Guest]) -> list[list[int]]:
    while any(guest.state is not State.IDLE for guest in guests):
        pass
    return [np.frombuffer(guest.read_memory(guest.image.private_start, 48), np.int64).tolist() for guest in guests]


def test_guests_start_where_the_warmed_one_was_marked(kernel: Kernel) -> None:
    frozen = kernel.warm(program(WARM))
    guests = kernel.spawn(frozen, 50)
    assert kernel.wait(guests, 20)
    assert [guest.exit_status for guest in guests] == [102] * 50
    assert kernel.metrics()["guests"] == 0


def test_who_comes_to_a_mark_or_exits_has_no_debug_information_read(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("denali.kernel.faults.place", lambda image, pc, caller=0: asked.append(pc) or "")  # type: ignore[func-returns-value]
    guest = kernel.spawn(kernel.warm(program(WARM)))[0]
    assert kernel.wait([guest], timeout=10)
    assert asked == []


def test_the_first_that_start_from_a_warmed_image_have_the_first_numbers(kernel: Kernel) -> None:
    guests = kernel.spawn(kernel.warm(program(WARM)), count=2)
    assert [guest.number for guest in guests] == [1, 2]
    assert kernel.wait(guests, 20)
    assert [guest.exit_status for guest in guests] == [102, 102]
    kernel.check()


def test_a_guest_that_was_not_warmed_goes_on_at_its_mark(kernel: Kernel) -> None:
    (guest,) = kernel.spawn(program(WARM))
    assert guest.wait(20)
    assert guest.exit_status == 2


def test_number_address_randomness_and_time_are_fresh(kernel: Kernel) -> None:
    frozen = kernel.warm(program(TELLS))
    guests = kernel.spawn(frozen, 20)
    found = seen(guests)
    later = seen(kernel.spawn(frozen, 1))[0]
    assert [one[0] for one in found] == [guest.number for guest in guests]
    assert [one[1] for one in found] == [address_of(guest.number) for guest in guests]
    words = {word for one in [*found, later] for word in one[2:4]}
    assert len(words) == 42
    assert 0 not in words
    assert all(one[4] < later[4] for one in found)
    assert all(one[5] == 1 for one in found)


def test_all_else_is_as_it_stood_at_the_mark(kernel: Kernel) -> None:
    frozen = kernel.warm(program(WARM))
    guests = kernel.spawn(frozen, 3, start=False)
    size = frozen.memory - 128
    contents = {guest.read_memory(guest.image.private_start, size) for guest in guests}
    assert len(contents) == 1
    assert frozen.template.size < 3000
    assert len(frozen.template.index) <= 3, "pages that nobody wrote are not kept"
    pages = {index: bytes(page) for index, page in zip(frozen.template.index, frozen.template.pages, strict=True)}
    run = b"".join(pages.get(index, bytes(FRAME)) for index in range(frozen.template.frames))
    content = contents.pop()
    assert content.count(77) == 2, "what was written before the mark"
    assert run[CONTEXT.itemsize :][:size] == content


def test_what_a_guest_writes_is_not_seen_by_those_that_follow(kernel: Kernel) -> None:
    frozen = kernel.warm(program(TELLS))
    first, second = kernel.spawn(frozen, 2, start=False)
    before = second.read_memory(second.image.private_start, 4096)
    first.write_memory(first.image.private_start, b"\xff" * 4096)
    assert second.read_memory(second.image.private_start, 4096) == before
    first.kill()
    assert kernel.spawn(frozen, 1, start=False)[0].read_memory(second.image.private_start, 4096) == before


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("_start: v.exit zero, zero, zero", "exited before it came to a mark"),
        ("_start: ld a0, 0(zero)", "load access fault at 0x0"),
        (SPIN, "killed"),
        ("_start: la t0, here\nsd t0, 56(tp)\necall\nhere: v.mark zero, zero, zero", "its mark is inside"),
    ],
)
def test_what_cannot_be_frozen_says_why(kernel: Kernel, source: str, words: str) -> None:
    with pytest.raises(NotFrozen, match=words):
        kernel.warm(program(source), timeout=0.5)
    assert kernel.metrics()["guests"] == 0


def test_a_guest_that_has_a_conversation_is_not_frozen(kernel: Kernel) -> None:
    (peer,) = kernel.spawn(program(TELLS))
    talker = f"""
.data
frame: .byte 2, 0, 10, 1, 0, {peer.number}, 2, 0, 10, 1, 0, {peer.number + 1}, 9, 9
.text
_start: la a0, frame
li a1, 14
v.send a2, a0, a1
v.mark zero, zero, zero
"""
    with pytest.raises(NotFrozen, match=r"guest 2 .* cannot be frozen: it has used the network before its mark"):
        kernel.warm(program(talker))


def test_a_warmed_image_has_its_own_memory(kernel: Kernel) -> None:
    frozen = kernel.warm(program(WARM), memory=100_000)
    assert frozen.memory >= 100_000
    assert kernel.spawn(frozen)[0].memory == frozen.memory
    with pytest.raises(ValueError, match="say it when warming"):
        kernel.spawn(frozen, memory=4096)


def test_a_warmed_image_starts_guests_of_another_kernel(make_kernel: Callable[..., Kernel]) -> None:
    frozen: Frozen = make_kernel().warm(program(WARM))
    (guest,) = make_kernel().spawn(frozen)
    assert guest.wait(20)
    assert guest.exit_status == 102


def test_a_mark_in_any_register_answers(kernel: Kernel) -> None:
    (guest,) = kernel.spawn(kernel.warm(program("_start: v.mark s5, zero, zero\nv.exit zero, s5, zero")))
    assert guest.wait(20)
    assert guest.exit_status == 1
