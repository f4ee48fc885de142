# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false
"""The memory of a guest that has had no turn is not written yet; nobody can tell but by what it costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from denali.isa.runtime.engine import Engine
from denali.isa.virtual import Event, Sent
from denali.kernel import life
from denali.kernel.guest import Guest
from denali.kernel.kernel import Kernel
from denali.kernel.records import End, State
from denali.kernel.warehouse import resident
from denali.tlb.frames import Overdrawn

from .conftest import opened, program
from .programs import EXIT, RECEIVER, SLEEPER, TABLE
from .test_parking import COUNTS, _without_identity, change, count, settled
from .test_stretches import mapped, memory, own_pages

RUN = 17
PENDING = "_start: lwu a0, 48(tp)\n v.exit zero, a0, zero"


def held(kernel: Kernel, number: int, source: str = SLEEPER, **options: object) -> list[Guest]:
    return list(kernel.spawn(program(source), number, start=False, **options))


def written(kernel: Kernel, guests: list[Guest]) -> list[bool]:
    return [bool(kernel.tables.guests["registers"][guest.row]) for guest in guests]


def ended(guest: Guest) -> End | None:
    return guest.ending.end if guest.ending else None


def owed(kernel: Kernel) -> int:
    return int(kernel.tables.record["owed"][0])


def away(kernel: Kernel, guest: Guest) -> bool:
    """Park a guest whatever its state, as the kernel does with those that wait for a turn when it has no frames."""
    return guest.parked or kernel._call(lambda: kernel._runner.warehouse.park(guest.row))


def test_a_spawn_touches_no_memory_and_a_turn_does(kernel: Kernel) -> None:
    guests = held(kernel, 100)
    assert sum(own_pages(kernel, guest) for guest in guests) == 0
    assert not any(written(kernel, guests))
    assert owed(kernel) == 100 * len(guests[0].birth.template.own)
    assert kernel.metrics()["parked"] == 0
    assert not any(guest.parked for guest in guests)
    kernel.check()
    kernel.start(*guests[:50])
    settled(guests[:50])
    assert written(kernel, guests) == [True] * 50 + [False] * 50
    assert owed(kernel) == 50 * len(guests[0].birth.template.own)
    kernel.check()


def test_those_that_touch_most_of_their_frames_have_them_at_once(kernel: Kernel) -> None:
    guests = held(kernel, 3, memory=2048)
    assert all(written(kernel, guests))
    assert owed(kernel) == 0


def test_guests_of_several_images_begin_in_one_go_as_their_own(kernel: Kernel) -> None:
    frozen, made = kernel.warm(program(TABLE)), list[tuple[int, Guest]]()
    tables = list[Guest]()
    for which in range(150):
        made += [(which % 3, guest) for guest in held(kernel, 1, EXIT.format(status=which % 3))]
        made += [(9, guest) for guest in held(kernel, 1, EXIT.format(status=9), memory=2048)]
        tables += kernel.spawn(frozen, 1, start=False)
    victims, parked = [guest for _, guest in made[::7]], [guest for _, guest in made[2::14]]

    def start_all() -> None:
        for number in sorted(guest.row for guest in [*tables, *(guest for _, guest in made)]):
            life.start(kernel.tables.address, number)
        kernel._runner.kill([guest.number for guest in victims])
        for guest in parked:
            assert kernel._runner.warehouse.park(guest.row)

    kernel._call(start_all)
    assert kernel.wait([guest for _, guest in made], 20)
    settled(tables)
    assert {ended(guest) for guest in victims} == {End.KILLED}
    assert all(guest.exit_status == status for status, guest in made if guest not in victims)
    assert len({memory(guest) for guest in tables}) == 1
    assert mapped(kernel) == 150


def test_a_frame_that_waits_for_a_guest_without_memory_is_an_event_for_it(kernel: Kernel) -> None:
    one, other, receiver = *held(kernel, 2, PENDING), *held(kernel, 1, RECEIVER)
    assert kernel.send(one, bytes(60)) is Sent.QUEUED
    assert kernel.send(receiver, bytes(60)) is Sent.QUEUED
    assert not any(written(kernel, [one, other, receiver]))
    kernel.check()
    kernel.start(one, other, receiver)
    assert kernel.wait([one, other, receiver], 20)
    assert (one.exit_status, other.exit_status) == (int(Event.FRAME), 0)
    assert receiver.metrics()["frames_received"] == 1


def test_a_guest_that_is_killed_before_its_first_turn_gives_back_its_frames(kernel: Kernel) -> None:
    free = kernel.metrics()["frames_free"]
    one, looked_at = held(kernel, 2)
    memory_of = looked_at.read_memory(looked_at.image.private_start, 8)
    assert len(memory_of) == 8
    kernel.send(one, bytes(60))
    kernel.kill(one, looked_at)
    assert str(one.message).replace("guest 1", "guest 2") == looked_at.message
    assert "killed: pc 0x" in str(one.message)
    assert (kernel.metrics()["frames_free"], owed(kernel)) == (free, 0)
    kernel.check()
    with pytest.raises(ValueError, match="is over"):
        one.read_memory(one.image.private_start, 8)
    with pytest.raises(ValueError, match="cannot be reset"):
        one.reset()


def test_a_kernel_is_closed_with_many_that_had_no_turn(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel()
    guests = held(kernel, 3000)
    assert away(kernel, guests[5])
    kernel.close()
    assert {ended(guest) for guest in guests} == {End.CLOSED}
    assert owed(kernel) == 0


def test_frames_that_no_guest_has_touched_are_taken_all_the_same(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(frames=5 * RUN)
    with pytest.raises(Overdrawn):
        held(kernel, 6)
    assert owed(kernel) == 0
    guests = held(kernel, 5)
    with pytest.raises(Overdrawn):
        held(kernel, 1)
    guests[2].kill()
    held(kernel, 1)


def test_whoever_looks_sees_the_template_and_an_identity(kernel: Kernel) -> None:
    frozen = kernel.warm(program(TABLE))
    first, second = kernel.spawn(frozen, 2, start=False)
    assert mapped(kernel) == 0
    expected = first.read_memory(first.image.private_start, first.memory)
    assert mapped(kernel) == 1
    found = second.read_memory(second.image.private_start, second.memory)
    page = len(expected) - 128
    assert expected[:page] == found[:page]
    assert any(expected)
    for guest, content in ((first, expected), (second, found)):
        assert content[page + 8 : page + 12] == guest.number.to_bytes(4, "little")
        assert any(content[page + 32 : page + 48])
    assert expected[page + 32 : page + 48] != found[page + 32 : page + 48]
    second.write_memory(second.image.private_start + 100, b"mine")
    assert first.read_memory(first.image.private_start + 100, 4) == expected[100:104]


def test_those_that_begin_in_one_go_are_random_each_by_itself(kernel: Kernel) -> None:
    guests = held(kernel, 300)
    kernel.start(*guests)
    settled(guests)
    place = guests[0].image.private_start + guests[0].memory - 128 + 32
    random = [guest.read_memory(place, 16) for guest in guests]
    assert len({words[:8] for words in random} | {words[8:] for words in random}) == 600


def test_a_guest_without_a_turn_can_be_written_to_and_reset(kernel: Kernel) -> None:
    one, other = held(kernel, 2, COUNTS)
    one.write_memory(one.image.private_start, (41).to_bytes(8, "little"))
    kernel.send(one, bytes(60))
    other.reset()
    assert (one.state, other.state) == (State.HELD, State.HELD)
    kernel.start(one, other)
    settled([one, other])
    assert (count(one), count(other)) == (42, 0)


@pytest.mark.parametrize("swap", [False, True])
def test_one_is_parked_before_its_first_turn_and_comes_back(
    make_kernel: Callable[..., Kernel], tmp_path, swap: bool
) -> None:
    kernel = make_kernel(swap=tmp_path / "swap", resident=1 << 40) if swap else make_kernel()
    free = kernel.metrics()["frames_free"]
    started, looked_at, killed, left = held(kernel, 4, COUNTS)
    change(kernel, resident=0 if swap else None)
    for guest in (started, looked_at, killed, left):
        assert away(kernel, guest)
        assert guest.parked
    assert kernel.metrics()["parked"] == 4
    assert kernel.metrics()["frames_free"] == free
    kernel.check()
    killed.kill()
    assert "killed: pc 0x" in str(killed.message)
    change(kernel, resident=None)
    kernel.send(started, bytes(60))
    kernel.start(started)
    settled([started])
    assert (count(started), count(looked_at)) == (1, 0)
    assert (started.parked, looked_at.parked, left.parked) == (False, False, True)
    assert owed(kernel) == len(left.birth.template.own)
    kernel.check()


def test_more_that_never_had_a_turn_than_frames_take_turns(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(frames=RUN * 4)
    asleep = held(kernel, 3, COUNTS)
    kernel.start(*asleep)
    settled(asleep)
    assert kernel.park(*asleep) == 3
    waiting = held(kernel, 4, COUNTS)
    kernel.start(*asleep, *waiting)
    for guest in asleep:
        kernel.send(guest, bytes(60))
    for guest in waiting:
        kernel.send(guest, bytes(60))
    settled([*asleep, *waiting])
    assert [count(guest) for guest in [*asleep, *waiting]] == [1] * 7


def test_revocation_finds_nothing_and_an_allowance_is_kept(kernel: Kernel) -> None:
    (guest,) = held(kernel, 1)
    assert kernel.revoke(guest, 5, within=0.001) == 0
    assert kernel.allow(guest, 3, within=1) == 0
    kernel.check()
    kernel.start(guest)
    settled([guest])
    assert int(kernel.tables.frames.accounts["bonus"][guest.row]) == 3 - 256


def test_names_are_used_again_and_nothing_of_a_guest_is_left_for_the_next(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(capacity=8, frames=8 * RUN)
    names = set[int]()
    for turn in range(20):
        guests = held(kernel, 8)
        names |= {guest.number for guest in guests}
        for guest in guests:
            content = guest.read_memory(guest.image.private_start, guest.memory - 128)
            assert b"secret" not in content
            if guest.number % 3 == 0:
                kernel.send(guest, bytes(60))
            if guest.number % 2:
                guest.write_memory(guest.image.private_start + 5000, b"secret" * 100)
            if (guest.number + turn) % 5 == 0:
                away(kernel, guest)
        last = held_again = guests.pop()
        away(kernel, last)
        kernel.kill(*guests, held_again)
        del guests, guest, last, held_again
        kernel.check()
    assert len(names) == 160


def test_an_interrupt_leaves_none_that_had_no_turn(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel()

    def interrupt(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        held(kernel, 500, wait=20, progress=interrupt)
    assert kernel.guests() == []
    assert owed(kernel) == 0
    kernel.check()


def test_memory_that_is_not_written_yet_counts_for_the_limit(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel(resident=1 << 40)
    before = resident()
    change(kernel, resident=before + (12 << 20))
    guests = held(kernel, 3000, wait=20)
    assert owed(kernel) * 4096 > 20 << 20
    assert resident() < before + (10 << 20)
    with pytest.raises(Overdrawn, match="above its limit"):
        held(kernel, 1, wait=0.2)
    kernel.kill(*guests)
    held(kernel, 1, wait=20)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_happens_before_the_first_turn_is_as_if_memory_had_been_there(
    engine: Engine, data: st.DataObject
) -> None:
    with opened(engine, clock="virtual") as kernel:
        late, early = held(kernel, 2, COUNTS) if data.draw(st.booleans()) else warmed(kernel)
        count(early)
        for verb in data.draw(st.lists(st.sampled_from(["send", "park", "write", "reset", "start"]), max_size=8)):
            where, content = late.image.private_start + data.draw(st.integers(2048, 8192)), data.draw(st.binary())
            for guest in (late, early):
                if verb == "send":
                    kernel.send(guest, bytes(60))
                elif verb == "park" and guest is late:
                    away(kernel, guest)
                elif verb == "write":
                    guest.write_memory(where, content)
                elif verb == "reset":
                    guest.reset()
                elif verb == "start":
                    guest.start()
            settled([late, early])
        kernel.start(late, early)
        settled([late, early])
        assert _without_identity(kernel, late) == _without_identity(kernel, early)


def warmed(kernel: Kernel) -> list[Guest]:
    return list(kernel.spawn(kernel.warm(program(TABLE)), 2, start=False))
