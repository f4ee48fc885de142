"""The services of the paged mode: what fits is done, what does not is refused before anything happened."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from denali.isa.virtual import FRAMES_AT, Service, Shared
from denali.kernel.guest import Guest
from denali.kernel.kernel import Kernel
from denali.kernel.records import End, State
from denali.kernel.template import NotFrozen

from .conftest import program
from .programs import SLEEPER

# Data of every guest here: `page` and `other` are whole pages, `array` holds what ALLOCATE wrote.
DATA = """
        .data
        .align 12
page:   .zero 4096
other:  .zero 4096
wired:  .dword 0, 0
array:  .zero 512
asked:  .dword 0, 0
answers:.zero 64
        .text
_start: la s0, array
        la s1, answers
"""
ON = """
        la a0, wired
        la a1, other
        li a2, 8192
        sd a1, 0(a0)
        sd a2, 8(a0)
        li a1, 64
        v.mmu a3, a1, a0
        sd a3, 0(s1)
"""
EXIT = "\n v.exit zero, zero, zero\n"
FOUR = "li a1, 4\n v.allocate a2, s0, a1\n sd a2, 8(s1)\n ld s2, 0(s0)\n"  # s2: the first frame
AT = 0x4000_0000


def run(kernel: Kernel, *parts: str, **options: object) -> Guest:
    (guest,) = kernel.spawn(program(DATA + "\n".join(parts)), **options)  # type: ignore[arg-type]
    assert guest.wait(20)
    return guest


def status(kernel: Kernel, *parts: str, **options: object) -> int:
    guest = run(kernel, *parts, **options)
    assert guest.exit_status is not None, guest.message
    return guest.exit_status


def refusal(kernel: Kernel, *parts: str) -> str:
    guest = run(kernel, *parts)
    assert guest.message is not None, guest.exit_status
    return guest.message


def test_an_entry_is_written_probed_and_dropped(kernel: Kernel) -> None:
    bind = f"li a3, {AT | 3}\n v.bind zero, a3, s2\n v.probe a4, a3, zero\n sub a4, a4, s2"
    assert status(kernel, ON, FOUR, bind, "v.exit zero, a4, zero") == 3
    drop = f"li a3, {AT}\n li a5, 1\n v.drop zero, a3, a5\n v.probe a4, a3, zero"
    assert status(kernel, ON, FOUR, bind, drop, "v.exit zero, a4, zero") == 0
    assert status(kernel, ON, FOUR, bind, "v.drop zero, zero, zero\n v.probe a4, a3, zero\n v.exit zero, a4, zero") == 0


def test_pages_of_a_guests_own_memory_can_be_bound_elsewhere(kernel: Kernel) -> None:
    bind = f"la a1, page\n li a3, {AT | 7}\n v.bind zero, a3, a1\n v.probe a4, a3, zero\n sub a4, a4, a1"
    assert status(kernel, ON, bind, "v.exit zero, a4, zero") == 7


def test_a_batch_is_bound_wholly_or_not_at_all(kernel: Kernel) -> None:
    pair = "la a4, asked\n sd a3, 0(a4)\n sd s2, 8(a4)\n"
    good = f"li a3, {AT | 1}\n{pair} li a5, 1\n v.binds zero, a4, a5\n v.probe a4, a3, zero\n sub a4, a4, s2\n"
    assert status(kernel, ON, FOUR, good, "v.exit zero, a4, zero") == 1
    # The second of two is not this guest's: the handler sees the refusal, and then probes for the first.
    handler = "la a6, handler\n sd a6, 56(tp)\n"
    two = f"li a3, {AT | 1}\n la a4, array\n sd a3, 0(a4)\n sd s2, 8(a4)\n li a6, {AT + 4096 | 1}\n sd a6, 16(a4)\n"
    two += "li a6, -4096\n sd a6, 24(a4)\n li a5, 2\n v.binds zero, a4, a5\n"
    catch = "handler: v.probe a4, a3, zero\n addi a4, a4, 5\n v.exit zero, a4, zero"
    assert status(kernel, handler, ON, FOUR, two, EXIT, catch) == 5


@pytest.mark.parametrize(
    ("page", "physical"),
    [
        (f"li a3, {AT | 2}", "mv a4, s2"),  # write without read
        (f"li a3, {AT}", "mv a4, s2"),  # no right at all
        (f"li a3, {AT | 9}", "mv a4, s2"),  # more than rights in the low bits
        ("li a3, 1", "mv a4, s2"),  # page zero
        ("la a3, _start\n ori a3, a3, 1", "mv a4, s2"),  # read-only bytes
        ("la a3, other\n ori a3, a3, 1", "mv a4, s2"),  # wired memory
        ("li a0, -4096\n and a3, tp, a0\n ori a3, a3, 1", "mv a4, s2"),  # the registers page
        (f"li a3, {AT | 1}", "addi a4, s2, 8"),  # not a page
        (f"li a3, {AT | 1}", "li a4, 4096\n slli a4, a4, 28\n li a0, -4096\n add a4, a4, a0"),  # the last below frames
        (f"li a3, {AT | 1}", "li a0, 3 * 4096\n sub a4, s2, a0"),  # a frame of its own flat memory
        (f"li a3, {AT | 1}", "li a0, 0x7ffffffffffff000\n mv a4, a0"),
        (f"li a3, {AT | 1}", "li a4, -4096"),
        (f"li a3, {AT | 1}", "mv a4, zero"),
        (f"li a3, {AT | 1}", "la a4, _start\n li a0, -4096\n and a4, a4, a0"),  # read-only bytes, to be written
    ],
)
def test_what_may_not_be_bound_is_refused(kernel: Kernel, page: str, physical: str) -> None:
    message = refusal(kernel, ON, FOUR, page, physical.replace("3 * 4096", str(3 * 4096)), "v.bind zero, a3, a4", EXIT)
    assert "a device refused the argument" in message
    assert "(bind)" in message


def test_a_guest_cannot_bind_a_frame_of_another(kernel: Kernel) -> None:
    (holder,) = kernel.spawn(program(DATA + ON + FOUR + "li a0, -1\n v.idle zero, a0, zero"))
    while kernel.guest(holder.number).metrics()["extra_held"] < 4:
        pass
    frame = FRAMES_AT + 4096 * int(kernel.tables.frames.holds.nonzero()[0][0])
    assert "(bind)" in refusal(kernel, ON, f"li a3, {AT | 1}\n li a4, {frame}\n v.bind zero, a3, a4", EXIT)
    assert "(release)" in refusal(kernel, f"li a4, {frame}\n sd a4, 0(s0)\n li a5, 1\n v.release zero, s0, a5", EXIT)
    assert "(share)" in refusal(kernel, f"li a4, {frame | 1}\n v.share zero, a4, zero", EXIT)
    assert status(kernel, f"li a4, {frame}\n v.attach a4, a4, zero\n v.exit zero, a4, zero") == 0


def test_a_frame_given_back_takes_its_bindings_along_and_reads_zero_to_the_next(kernel: Kernel) -> None:
    bind = f"li a3, {AT | 3}\n v.bind zero, a3, s2\n li a5, {AT + 0x7000 | 1}\n v.bind zero, a5, s2\n"
    give = "li a1, 2\n v.release a6, s0, a1\n"
    give += "v.probe a4, a3, zero\n add a6, a6, a4\n v.probe a4, a5, zero\n add a6, a6, a4"
    assert status(kernel, ON, FOUR, bind, give, "v.exit zero, a6, zero") == 2
    kernel.check()


def test_a_frame_named_twice_is_given_back_once(kernel: Kernel) -> None:
    assert status(kernel, FOUR, "sd s2, 8(s0)\n li a1, 2\n v.release a6, s0, a1\n v.exit zero, a6, zero") == 1


def test_frames_run_out_for_the_guest_that_asks_and_not_for_others(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(frames=128)
    more = "li a7, 0\nmore: li a1, 64\n v.allocate a2, s0, a1\n add a7, a7, a2\n bnez a2, more\n v.exit zero, a7, zero"
    assert status(kernel, more, extra=10) == 10
    assert status(kernel, more, extra=0) == 0
    assert 0 < status(kernel, more) < 128
    assert status(kernel, more, extra=70) == 70


def test_the_tlb_counts_against_the_allowance(kernel: Kernel) -> None:
    assert status(kernel, ON, "v.exit zero, a3, zero", extra=0) == -1
    assert status(kernel, ON, FOUR, "v.exit zero, a2, zero", extra=3) == 2


def test_a_shared_frame_lives_until_its_last_holder_is_gone(kernel: Kernel) -> None:
    look = f"ld s2, 0(s0)\n v.attach a4, s2, zero\n {ON} li a3, {AT | 1}\n v.bind zero, a3, s2\n v.probe a5, a3, zero\n"
    (peer,) = kernel.spawn(program(DATA + look + "sub a5, a5, s2\n v.exit zero, a5, zero"), start=False)
    share = (
        f"ori a3, s2, 1\n li a4, {peer.number}\n v.share a5, a3, a4\n sd a5, 16(s1)\n li a0, -1\n v.idle zero, a0, zero"
    )
    (owner,) = kernel.spawn(program(DATA + FOUR + share))
    while int(kernel.tables.frames.accounts["offers"][owner.number]) == 0:
        assert owner.ending is None, owner.message
    kernel.check()
    frames = kernel.tables.frames
    (frame,) = [f for f in frames.holds.nonzero()[0].tolist() if len(_records(kernel, f)) == 2]
    peer.write_memory(peer.image.private_start + 2 * 4096 + 16, (FRAMES_AT + 4096 * frame).to_bytes(8, "little"))
    peer.start()
    assert peer.wait(20)
    assert peer.exit_status == 1, peer.message
    kernel.check()
    owner.kill()
    kernel.check()
    assert frames.holds[frame] == 0


def _records(kernel: Kernel, frame: int) -> list[int]:
    frames, found = kernel.tables.frames, list[int]()
    index = int(frames.holds[frame])
    while index:
        found.append(index)
        index = int(frames.hold_items["next"][index - 1])
    return found


@pytest.mark.parametrize("number", [0, 1, 4000, 1 << 40, (1 << 64) - 1])
def test_an_offer_to_nobody_is_answered_so(kernel: Kernel, number: int) -> None:
    ask = f"ori a3, s2, 1\n li a4, {number}\n v.share a5, a3, a4\n v.exit zero, a5, zero"
    assert status(kernel, FOUR, ask) == Shared.NOBODY


def test_offers_are_bounded(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel()
    kernel.spawn(program(SLEEPER), count=100)
    ask = "li a4, 0\n ori a3, s2, 1\nmore: addi a4, a4, 1\n v.share a5, a3, a4\n beqz a5, more\n v.exit zero, a4, zero"
    assert status(kernel, FOUR, ask) == 64


@pytest.mark.parametrize("beforehand", [ON, FOUR, ON + "v.mmu zero, zero, zero\n"])
def test_a_guest_with_frames_of_its_own_is_not_frozen(kernel: Kernel, beforehand: str) -> None:
    image = program(DATA + beforehand + "v.mark zero, zero, zero\n" + EXIT)
    with pytest.raises(NotFrozen, match=r"refused the argument .* \(mark\)"):
        kernel.warm(image)
    assert status(kernel, beforehand, "v.mark zero, zero, zero\n v.exit zero, zero, zero") == 0


ASK = "la a7, asked\n ld a1, 0(a7)\n ld a2, 8(a7)\n v.{name} a3, a1, a2\n v.exit zero, a3, zero"
WORD = 1 << 64
MARKS = [
    0,
    64,
    4096,
    1 << 12,
    0x10000,
    0x11000,
    0x12000,
    0x13000,
    AT,
    FRAMES_AT,
    FRAMES_AT << 1,
    1 << 31,
    1 << 63,
    WORD,
]


def moved(mark: int, off: int) -> int:
    return (mark + off) % WORD


def named(frame: int, low: int) -> int:
    return FRAMES_AT + 4096 * frame + low


NUMBERS = st.one_of(
    st.builds(moved, st.sampled_from(MARKS), st.integers(-64, 4200)),
    st.integers(0, 300),
    st.builds(named, st.integers(0, 300), st.integers(0, 7)),
    st.integers(0, WORD - 1),
)
MEMORY_SERVICES = [service for service in Service if Service.MMU <= service <= Service.ATTACH]


@pytest.mark.parametrize("on", [False, True])
@pytest.mark.parametrize("service", MEMORY_SERVICES)
def test_any_arguments_are_served_or_refused_and_the_laws_hold(
    make_kernel: Callable[..., Kernel], service: Service, on: bool
) -> None:
    kernel = make_kernel(capacity=1 << 14, frames=512)
    kernel.spawn(program(SLEEPER), count=3)
    image = program(DATA + (ON if on else "") + FOUR + ASK.format(name=service.name.lower()))
    place = image.private_start + 2 * 4096 + 16 + 512

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(NUMBERS, NUMBERS)
    def hold(a: int, b: int) -> None:
        (guest,) = kernel.spawn(image, start=False)
        guest.write_memory(place, a.to_bytes(8, "little") + b.to_bytes(8, "little"))
        guest.start()
        assert guest.wait(20)
        assert guest.ending is not None
        assert guest.ending.end in (End.EXITED, End.TRAPPED)
        if guest.message:
            assert f"({service.name.lower()})" in guest.message or "no TLB entry" in guest.message
        kernel.check()

    hold()


def _reset_and_count(kernel: Kernel, guest: Guest) -> None:
    free = kernel.metrics()["frames_free"]
    kernel.reset(guest)
    assert kernel.metrics()["frames_free"] == free + 4 + 1, "the frames it asked for, and the one of its TLB"


def test_a_reset_takes_virtual_mmu_and_frames_and_the_guest_begins_anew(kernel: Kernel) -> None:
    share = "addi a0, s2, 3\n li a1, {peer}\n v.share a2, a0, a1\n sd a2, 24(s1)\n"
    wait = "li a0, -1\n v.idle zero, a0, zero\n"
    (peer,) = kernel.spawn(program(SLEEPER))
    (guest,) = kernel.spawn(program(DATA + ON + FOUR + share.format(peer=peer.number) + wait), extra=30)
    deadline, turns = time.monotonic() + 20, 0
    for _ in range(3):
        while guest.metrics()["turns"] < turns + 2 or guest.state is not State.IDLE:
            assert guest.ending is None, guest.message
            assert time.monotonic() < deadline
        assert guest.metrics()["extra_held"] == 4
        kernel.revoke(guest, 1, within=60)
        kernel.check()
        turns = guest.metrics()["turns"]
        kernel._call(lambda: _reset_and_count(kernel, guest))  # type: ignore[reportPrivateUsage]
        kernel.check()
    assert kernel.tables.frames.accounts["bonus"][guest.row] == 30 - 256
    guest.kill()
    kernel.check()
