"""TCP between two stacks: what one end sends, the other end reads, whatever the network does in between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from denali.isa.virtual import Sent

from .world import Guest, World

FLAGS, ABORT = 14 + 20 + 13, 0x14  # where a frame has TCP's flags; RST with ACK


class Talker:
    """An end that sends `text`, reads to the end, and closes both ways; `pace` bytes are read at a time."""

    def __init__(self, guest: Guest, text: bytes, pace: int = 10_000) -> None:
        self.guest, self.left, self.pace = guest, text, pace
        self.heard = bytearray()
        self.ended = self.reset = self.closed = False
        self.buffer = np.zeros(pace, np.uint8)
        guest.turn = self.turn

    def turn(self, c: int) -> None:
        tcp = self.guest.tcp
        if self.closed:
            return
        length = tcp.receive(c, self.buffer)
        while length > 0:
            self.heard += bytes(self.buffer[:length])
            length = tcp.receive(c, self.buffer)
        self.ended |= length == tcp.END
        self.reset |= length == tcp.RESET
        if self.left and not self.reset:
            taken = tcp.send(c, np.frombuffer(self.left, np.uint8), len(self.left))
            self.left = self.left[taken:]
        if not self.left and not self.reset:
            tcp.finish(c)
        if (self.ended and not self.left) or self.reset:
            tcp.close(c)
            self.closed = True


def pair(world: World, one: bytes, other: bytes, **sizes: int) -> tuple[Talker, Talker]:
    client, server = world.guest(1, None, **sizes), world.guest(2, None, **sizes)
    asking, answering = Talker(client, one), Talker(server, other)
    server.do(server.tcp.listen, 80)
    c = client.do(client.tcp.connect, server.address(), 80)
    client.do(asking.turn, c)
    return asking, answering


def both_closed(*talkers: Talker) -> Callable[[], bool]:
    return lambda: all(talker.closed for talker in talkers)


def settled(world: World, *but: Guest) -> None:
    for guest in world.guests.values():
        guest.check()
        if guest in but:
            continue
        assert (guest.table.connection["state"] == guest.table.FREE).all()
        assert guest.table.stack[0].armed == 0


def test_a_request_and_an_answer_arrive_whole_and_both_ends_forget_each_other() -> None:
    world = World()
    asking, answering = pair(world, b"ping", b"pong")
    world.run()
    assert (bytes(asking.heard), bytes(answering.heard)) == (b"pong", b"ping")
    assert asking.ended
    assert answering.ended
    settled(world)


def test_large_streams_go_both_ways_through_small_buffers() -> None:
    world = World()
    one, other = bytes(range(256)) * 200, bytes(reversed(range(256))) * 100
    asking, answering = pair(world, one, other, connections=2, receive=700, send=900)
    world.run()
    assert bytes(answering.heard) == one
    assert bytes(asking.heard) == other
    settled(world)


def given_up(world: World) -> bool:
    """Whether an end has told the other that it waits no longer."""
    return any(frame[FLAGS] & ABORT == ABORT for frame in world.log)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(seed=476, loss=0.2, double=0.3, jitter=0, lengths=(1, 1205), receive=100, send=100)  # so is the reset
@given(
    seed=st.integers(0, 1 << 30),
    loss=st.sampled_from([0.0, 0.05, 0.2]),
    double=st.sampled_from([0.0, 0.3]),
    jitter=st.sampled_from([0, 5_000, 5_000_000]),
    lengths=st.tuples(st.integers(0, 6000), st.integers(0, 6000)),
    receive=st.sampled_from([100, 512, 3000]),
    send=st.sampled_from([100, 512, 3000]),
)
def test_no_network_can_change_what_arrives(
    seed: int, loss: float, double: float, jitter: int, lengths: tuple[int, int], receive: int, send: int
) -> None:
    world = World(seed=seed, loss=loss, double=double, jitter=jitter)
    one, other = (world.dice.randbytes(length) for length in lengths)
    asking, answering = pair(world, one, other, connections=2, receive=receive, send=send)
    world.run()
    assert one.startswith(bytes(answering.heard))
    assert other.startswith(bytes(asking.heard))
    waiting = [talker for talker in (asking, answering) if not talker.closed]
    if asking.reset or answering.reset or waiting:
        assert loss > 0
    else:
        assert bytes(answering.heard) == one
        assert bytes(asking.heard) == other
    if waiting:  # for an end that gave up, whose reset was lost too: nobody asks whether a peer is still there
        assert given_up(world)
        assert len(waiting) == 1
    settled(world, *(talker.guest for talker in waiting))


def test_losses_are_survived_not_only_tolerated() -> None:
    whole = 0
    for seed in range(20):
        world = World(seed=seed, loss=0.05, jitter=100_000)
        asking, answering = pair(world, bytes(3000), bytes(3000))
        world.run()
        whole += len(asking.heard) == len(answering.heard) == 3000
    assert whole == 20


def test_a_port_nobody_listens_on_is_refused_at_once() -> None:
    world = World()
    client, server = world.guest(1), world.guest(2)
    asking = Talker(client, b"hello")
    client.do(asking.turn, client.do(client.tcp.connect, server.address(), 81))
    world.run()
    assert asking.reset
    assert world.now < 1_000_000
    settled(world)


def test_an_address_without_a_guest_is_refused_at_once() -> None:
    world = World()
    client = world.guest(1)
    asking = Talker(client, b"hello")
    client.do(asking.turn, client.do(client.tcp.connect, 0x0A010063, 80))
    world.run()
    assert asking.reset
    assert world.now < 1_000_000
    settled(world)


def test_a_guest_that_never_answers_is_given_up_in_time() -> None:
    world = World(loss=1.0)
    asking, _ = pair(world, b"hello", b"")
    world.run()
    assert asking.reset
    assert world.now < 12e9
    settled(world)


def test_a_full_network_delays_and_does_not_break() -> None:
    world = World()
    asking, answering = pair(world, b"x" * 5000, b"y" * 5000)
    world.answer = lambda frame: Sent.FULL if world.dice.random() < 0.5 else -1
    world.run()
    assert (len(asking.heard), len(answering.heard)) == (5000, 5000)
    assert world.now < 2e9, "no retransmission timeout was needed"
    settled(world)


def test_a_peer_that_dies_is_noticed_when_something_is_sent() -> None:
    world = World()
    asking, _ = pair(world, b"x" * 50_000, b"")
    world.run(lambda: len(world.log) > 20)
    del world.guests[0x0A010002]
    world.run()
    assert asking.reset
    settled(world)


def test_one_end_may_finish_long_before_the_other() -> None:
    world = World()
    client, server = world.guest(1), world.guest(2)
    asking = Talker(client, b"")
    silent = Talker(server, b"z" * 20_000)
    server.do(server.tcp.listen, 80)
    client.do(asking.turn, client.do(client.tcp.connect, server.address(), 80))
    world.run()
    assert len(asking.heard) == 20_000
    assert silent.ended
    settled(world)


def test_a_reader_that_stops_stops_the_writer_and_nothing_is_lost() -> None:
    world = World()
    client, server = world.guest(1), world.guest(2)
    reading: list[int] = []
    writing = Talker(client, b"w" * 10_000)
    server.turn = reading.append
    server.do(server.tcp.listen, 80)
    client.do(writing.turn, client.do(client.tcp.connect, server.address(), 80))
    world.run(limit_s=30)
    assert len(writing.left) > 10_000 - 3000
    c, total, buffer = reading[0], 0, np.zeros(4096, np.uint8)
    while total < 10_000:
        length = server.do(server.tcp.receive, c, buffer)
        total += max(length, 0)
        world.run(limit_s=5)
    assert not writing.reset
    server.do(server.tcp.close, c)
    world.run()
    settled(world)


def test_a_flood_of_syns_keeps_nobody_out() -> None:
    world = World()
    world.answer = lambda frame: Sent.QUEUED if frame[2:6] == bytes([10, 9, 9, 9]) else -1
    client, server = world.guest(1), world.guest(2)
    server.do(server.tcp.listen, 80)
    client.turn = lambda c: None
    for port in range(2000, 2200):
        client.do(client.table.start)
        client.do(client.segment.send, server.address(), port << 16 | 80, port, 0, 2, 1000, 0)
        if port % 8 == 0:
            client.waiting.clear()
            world.run(limit_s=0.000001)
    asking, answering = Talker(client, b"hello"), Talker(server, b"there")
    client.do(asking.turn, client.do(client.tcp.connect, server.address(), 80))
    world.run()
    assert (bytes(asking.heard), bytes(answering.heard)) == (b"there", b"hello")
    settled(world)


def test_a_second_and_a_thousandth_connection_work_like_the_first() -> None:
    world = World()
    client, server = world.guest(1), world.guest(2)
    server.do(server.tcp.listen, 80)
    for _ in range(100):
        asking, answering = Talker(client, b"hello"), Talker(server, b"there")
        client.do(asking.turn, client.do(client.tcp.connect, server.address(), 80))
        world.run(both_closed(asking, answering))
        assert (bytes(asking.heard), bytes(answering.heard)) == (b"there", b"hello")
    world.run()
    settled(world)


@pytest.mark.parametrize("offset", [-70_000, -1, 1, 50, 900, 70_000, 1 << 31])
def test_only_an_exact_reset_ends_a_connection(offset: int) -> None:
    world = World()
    asking, answering = pair(world, b"first", b"")
    answering.left = b"held back"
    answering.guest.turn = lambda c: None
    world.run(limit_s=0.1)
    server = answering.guest
    one = next(one for one in server.table.connection if one.state == server.table.OPEN)
    sequence = (int(one.receive_next) + offset) & 0xFFFFFFFF
    asking.guest.do(asking.guest.segment.send, server.address(), int(one.remote_port) << 16 | 80, sequence, 0, 4, 0, 0)
    world.run(limit_s=0.1)
    assert one.state == server.table.OPEN
    asking.guest.do(
        asking.guest.segment.send, server.address(), int(one.remote_port) << 16 | 80, int(one.receive_next), 0, 4, 0, 0
    )
    world.run(limit_s=0.1)
    assert one.state == server.table.RESET
