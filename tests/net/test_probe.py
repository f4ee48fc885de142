"""The probe: every guest of a range is asked once, and the answers are told from everything else."""

from __future__ import annotations

import numpy as np

from denali.isa.virtual import Sent

from .test_frames import SYN
from .world import Guest, World

RECORD = np.dtype([("index", "<u4"), ("latency", "<u4")])
HELLO, PROBE = "denali.examples.hello", "denali.libos.probe"


def probe(world: World, first: int, count: int) -> Guest:
    """A finished probe of these guests."""
    guest = world.guest(1, PROBE)
    assert guest.service is not None
    guest.service.first[0], guest.service.count[0], guest.service.port[0] = first, count, 80
    world.run(lambda: guest.status is not None, limit_s=100)
    return guest


def test_everybody_answers() -> None:
    world = World()
    for number in range(2, 102):
        world.guest(number, HELLO)
    asker = probe(world, 2, 100)
    done, told = asker.service, np.frombuffer(asker.text, RECORD)
    assert done is not None
    assert (done.answered[0], done.failed[0]) == (100, 0)
    assert sorted(told["index"]) == list(range(100))
    assert (told["latency"] > 0).all()
    assert (told["latency"] < 1_000_000_000).all()


def test_who_is_not_there_is_deaf_or_says_something_else_has_failed() -> None:
    world = World()
    world.guest(2, HELLO)
    world.guest(4).main = lambda: None
    world.guest(5)
    rude = world.guest(6)
    rude.do(rude.tcp.listen, 80)

    def shout(c: int) -> None:
        rude.tcp.send(c, np.frombuffer(b"HTTP/1.1 500 no\r\n\r\n", np.uint8), 19)
        rude.tcp.close(c)

    rude.turn = shout
    asker = probe(world, 2, 6)
    done, told = asker.service, np.frombuffer(asker.text, RECORD)
    assert done is not None
    assert (done.answered[0], done.failed[0]) == (1, 5)
    assert {int(r["index"]) for r in told if r["latency"] == done.FAILED} == {1, 2, 3, 4, 5}


def test_a_guest_that_accepts_and_never_answers_does_not_hold_the_probe() -> None:
    world = World()
    silent = world.guest(2)
    silent.do(silent.tcp.listen, 80)
    world.guest(3, HELLO)
    done = probe(world, 2, 2).service
    assert done is not None
    assert (done.answered[0], done.failed[0]) == (1, 1)


def test_no_more_than_so_many_are_asked_at_once() -> None:
    world = World()
    world.answer = lambda frame: Sent.QUEUED
    guest = world.guest(1, PROBE)
    assert guest.service is not None
    guest.service.count[0], guest.service.port[0], guest.service.first[0] = 1000, 80, 2
    guest.work()
    assert len(guest.sent) == guest.service.AT_ONCE
    assert all(len(frame) == len(SYN) + 4 for frame in guest.sent)
