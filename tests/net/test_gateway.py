"""The gateway: what a host client sends reaches its guest and back, and every bad end is a reset on the other side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denali.isa.virtual import Closing, Event
from denali.libos.fake import Stream

from .client import parse, request
from .world import Guest, World

HELLO, GATEWAY = "denali.examples.hello", "denali.libos.gateway"
SERVER = 0x0A010002


class Host:
    """The host's side of a gateway: clients that dial a guest."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.gateway = world.guest(0, GATEWAY)

    def dial(self, data: bytes = b"", address: int = SERVER, port: int = 80) -> Stream:
        stream = self.gateway.connect(address, port)
        stream.arriving += data
        return stream

    def stir(self, limit_s: float = 1.0) -> None:
        """Something happened to a stream; let the world settle."""
        self.gateway.raised |= Event.STREAM
        self.world.run(limit_s=limit_s)

    def empty(self) -> None:
        """Every stream has been closed, and nothing is left of any."""
        self.world.run()
        self.gateway.check()
        assert (self.gateway.table.connection["state"] == 0).all()
        assert self.gateway.service is not None
        assert self.gateway.service.joins[0] == 0
        assert not self.gateway.service.place.any()
        assert all(stream.closed in (Closing.ORDERLY, Closing.RESET) for stream in self.gateway.streams.values())


class Echo:
    """A guest that sends back what it gets, at most `pace` bytes a turn."""

    def __init__(self, guest: Guest, pace: int = 4096) -> None:
        self.guest, self.buffer = guest, np.zeros(pace, np.uint8)
        guest.do(guest.tcp.listen, 80)
        guest.turn = self.turn

    def turn(self, c: int) -> None:
        tcp = self.guest.tcp
        length = tcp.receive(c, self.buffer[: tcp.room(c)])
        if length > 0:
            tcp.send(c, self.buffer, length)
        elif length < 0:
            tcp.close(c)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def host(world: World) -> Host:
    return Host(world)


def test_curl_reaches_a_guest(world: World, host: Host) -> None:
    world.guest(2, HELLO)
    stream = host.dial(request("GET", "/"))
    host.stir()
    assert parse(bytes(stream.written))[2] == b"Hello from guest 2 at 10.1.0.2\n"
    assert stream.closed is None
    stream.ended = True
    host.stir()
    host.empty()
    assert stream.closed == Closing.ORDERLY


def test_a_guest_that_closes_first_ends_the_stream_in_order(world: World, host: Host) -> None:
    world.guest(2, HELLO)
    stream = host.dial(request("GET", "/", "Connection: close"))
    host.stir(0.1)
    assert stream.closed == Closing.HALF
    stream.ended = True
    host.stir()
    host.empty()
    assert stream.closed == Closing.ORDERLY


def test_a_client_that_sends_no_more_still_gets_its_answer(world: World, host: Host) -> None:
    Echo(world.guest(2), pace=100)
    stream = host.dial(bytes(range(250)) * 40)
    stream.ended = True
    host.stir(60)
    host.empty()
    assert bytes(stream.written) == bytes(range(250)) * 40
    assert stream.closed == Closing.ORDERLY


@pytest.mark.parametrize(("address", "port"), [(SERVER, 81), (SERVER + 9, 80)])
def test_nobody_there_is_a_reset_at_once(world: World, host: Host, address: int, port: int) -> None:
    world.guest(2, HELLO)
    stream = host.dial(request("GET", "/"), address, port)
    before = world.now
    host.stir()
    assert stream.closed == Closing.RESET
    assert world.now - before < 1_000_000
    host.empty()


def test_a_guest_that_dies_is_a_reset_as_soon_as_it_is_noticed(world: World, host: Host) -> None:
    world.guest(2, HELLO)
    stream = host.dial(request("GET", "/"))
    host.stir()
    del world.guests[SERVER]
    stream.arriving += request("GET", "/")
    host.stir()
    assert stream.closed == Closing.RESET
    host.empty()


def test_a_guest_that_never_answers_is_a_reset_in_the_end(world: World, host: Host) -> None:
    world.guest(2).main = lambda: None
    stream = host.dial(request("GET", "/"))
    host.stir(30)
    assert stream.closed == Closing.RESET
    host.empty()


def test_a_client_that_resets_resets_its_guest_and_nobody_else(world: World, host: Host) -> None:
    server = world.guest(2, HELLO)
    one, other = host.dial(b"GET / HT"), host.dial(b"GET / HT")
    host.stir()
    one.reset = True
    host.stir()
    assert (server.table.connection["state"] == server.table.OPEN).sum() == 1
    other.arriving += request("GET", "/")[8:]
    host.stir()
    assert b"Hello" in other.written
    other.ended = True
    host.stir()
    host.empty()


def test_a_slow_client_holds_its_guest_back_and_loses_nothing(world: World, host: Host) -> None:
    Echo(world.guest(2))
    stream = host.dial(bytes(range(256)) * 100)
    stream.room = 0
    host.stir(60)
    assert len(stream.arriving) > 10_000, "it must not pile up in the middle"
    for room in range(1000, 30_000, 1000):
        stream.room = room
        host.stir(10)
    assert bytes(stream.written) == bytes(range(256)) * 100
    stream.ended = True
    host.stir()
    host.empty()


def test_a_thousand_streams_at_a_time(world: World, host: Host) -> None:
    guests = range(2, 6)
    for number in guests:
        Echo(world.guest(number, connections=300))
    streams = [host.dial(b"stream %d" % i, SERVER + i % 4) for i in range(1000)]
    host.stir(10)
    assert all(stream.written == b"stream %d" % i for i, stream in enumerate(streams))
    for stream in streams:
        stream.ended = True
    host.stir(10)
    host.empty()


def test_more_streams_than_there_is_room_for_are_refused_and_the_others_work(world: World, host: Host) -> None:
    gateway = host.gateway.service
    assert gateway is not None
    Echo(world.guest(2, connections=4000, receive=64, send=64))
    streams = [host.dial(b"x") for _ in range(gateway.STREAMS + 10)]
    host.stir(10)
    assert sum(stream.closed == Closing.RESET for stream in streams) == 10
    assert sum(stream.written == b"x" for stream in streams) == gateway.STREAMS


def test_clients_that_wait_for_nothing_cannot_keep_others_out(world: World, host: Host) -> None:
    gateway = host.gateway.service
    assert gateway is not None
    Echo(world.guest(2, connections=4000, receive=64, send=64))
    silent = [host.dial() for _ in range(gateway.STREAMS - 1)]
    busy = host.dial(b"x")
    host.stir(1)
    world.now += gateway.PATIENCE
    busy.arriving += b"y"
    host.stir(1)
    late = [host.dial(b"late") for _ in range(20)]
    host.stir(1)
    assert all(stream.written == b"late" for stream in late)
    assert sum(stream.closed == Closing.RESET for stream in silent) == len(late)
    assert busy.closed is None


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    loss=st.sampled_from([0.0, 0.1]),
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=5),
    pace=st.sampled_from([7, 500, 4096]),
)
def test_streams_never_mix_and_never_change(seed: int, loss: float, sizes: list[int], pace: int) -> None:
    world = World(seed=seed, loss=loss, jitter=20_000)
    host = Host(world)
    Echo(world.guest(2, connections=8, receive=300, send=300), pace)
    texts = [world.dice.randbytes(size) for size in sizes]
    streams = [host.dial(text) for text in texts]
    for stream in streams:
        stream.ended = True
    host.stir(120)
    for text, stream in zip(texts, streams, strict=True):
        assert text.startswith(bytes(stream.written))
        if stream.closed == Closing.ORDERLY:
            assert bytes(stream.written) == text
        assert stream.closed == Closing.ORDERLY or loss
    host.empty()
