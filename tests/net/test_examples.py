"""The examples do what their first lines say, here as ordinary Python modules."""

from __future__ import annotations

import pytest

from .client import ask, parse, request
from .world import Guest, World


@pytest.fixture
def world() -> World:
    return World()


def asker(world: World, example: str, *numbers: int) -> Guest:
    """A client, and guests that run an example."""
    for number in numbers or (2,):
        world.guest(number, f"denali.examples.{example}")
    return world.guest(99, connections=16, receive=8192, send=2048)


def test_the_counter_counts_in_each_guest_apart(world: World) -> None:
    client = asker(world, "counter", 2, 3)
    assert parse(ask(world, client, request("POST", "/add/5")))[2] == b"5\n"
    assert parse(ask(world, client, request("POST", "/add/7")))[2] == b"12\n"
    assert parse(ask(world, client, request("GET", "/")))[2] == b"12\n"
    assert parse(ask(world, client, request("GET", "/"), server=3))[2] == b"0\n"
    assert parse(ask(world, client, request("POST", "/add/x")))[0] == 400


def test_echo_sends_back(world: World) -> None:
    client = asker(world, "echo")
    assert ask(world, client, b"one", b"two" * 700) == b"one" + b"two" * 700


def test_the_store_keeps_and_drops(world: World) -> None:
    client = asker(world, "store")
    assert parse(ask(world, client, request("GET", "/a")))[0] == 404
    assert parse(ask(world, client, request("PUT", "/a", body=b"first")))[2] == b"kept\n"
    assert parse(ask(world, client, request("PUT", "/ab", body=b"second")))[2] == b"kept\n"
    assert parse(ask(world, client, request("GET", "/a")))[2] == b"first"
    assert parse(ask(world, client, request("DELETE", "/a")))[2] == b"dropped\n"
    assert parse(ask(world, client, request("GET", "/a")))[0] == 404
    assert parse(ask(world, client, request("GET", "/ab")))[2] == b"second"
    assert parse(ask(world, client, request("PUT", "/" + 30 * "k", body=b"x")))[0] == 413
    assert parse(ask(world, client, request("POST", "/a", body=b"x")))[0] == 405


def test_computing_gives_right_answers(world: World) -> None:
    client = asker(world, "compute")
    assert parse(ask(world, client, request("GET", "/primes/1000")))[2] == b"168\n"
    picture = parse(ask(world, client, request("GET", "/mandelbrot")))[2].split(b"\n")
    assert [len(line) for line in picture] == [72] * 30 + [0]
    assert picture[15].count(b"@") > 20


def test_a_token_goes_round_the_ring(world: World) -> None:
    client = asker(world, "ring", *range(1, 11))
    ask(world, client, request("POST", "/token/25"), server=4)
    seen = [parse(ask(world, client, request("GET", "/"), server=n))[2] for n in range(1, 11)]
    assert [int(text) for text in seen] == [2, 2, 2, 3, 3, 3, 3, 3, 3, 2]
    for number in range(1, 11):
        world.guests[0x0A010000 + number].check()


@pytest.mark.parametrize("name", ["malformed", "spoof"])
def test_hostile_frames_leave_a_neighbour_answering(world: World, name: str) -> None:
    client = asker(world, "hello")
    victim = world.guests[0x0A010002]
    guest = world.guest(3, f"denali.examples.hostile.{name}")
    for _ in range(40):
        guest.now += 100_000
        guest.work()
    del world.guests[0x0A010003]
    for frame in guest.sent:
        victim.deliver(b"".join((frame[:2], bytes([10, 1, 0, 2]), frame[6:30], bytes([10, 1, 0, 2]), frame[34:])))
    world.run(limit_s=4)
    victim.check()
    assert b"Hello" in ask(world, client, request("GET", "/"))
