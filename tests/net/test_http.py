"""The HTTP server: whole requests get whole answers, everything else a plain refusal, and nothing keeps others out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .client import Client, ask, parse, request
from .world import Guest, World, fresh

HELLO = "denali.examples.hello"
HELLO_TEXT = b"Hello from guest 2 at 10.1.0.2\n"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Guest:
    world.guest(2, HELLO)
    return world.guest(1, connections=16, receive=4096, send=4096)


def test_the_newcomers_service_says_who_it_is(world: World, client: Guest) -> None:
    status, fields, body = parse(ask(world, client, request("GET", "/")))
    assert (status, body) == (200, HELLO_TEXT)
    assert fields["content-length"] == str(len(body))


def test_head_is_get_without_the_body(world: World, client: Guest) -> None:
    answer = ask(world, client, request("HEAD", "/"))
    status, fields, _ = parse(answer, "HEAD")
    assert (status, fields["content-length"]) == (200, str(len(HELLO_TEXT)))
    assert answer.endswith(b"\r\n\r\n")


def test_many_requests_share_a_connection(world: World, client: Guest) -> None:
    one = Client(world, client)
    for _ in range(20):
        one.say(request("GET", "/"))
    one.say(request("GET", "/", "Connection: close"))
    assert one.heard.count(HELLO_TEXT) == 21
    assert one.ended


def test_requests_that_come_together_are_answered_in_order(world: World, client: Guest) -> None:
    answer = ask(world, client, request("GET", "/") + request("GET", "/none") + request("GET", "/"))
    assert [line.split()[1] for line in answer.split(b"\n") if line.startswith(b"HTTP/")] == [b"200", b"404", b"200"]


def test_a_request_may_come_byte_by_byte(world: World, client: Guest) -> None:
    parts = [bytes([byte]) for byte in request("GET", "/")]
    assert parse(ask(world, client, *parts))[2] == HELLO_TEXT


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("GET", "/none"), 404),
        (request("GET", "/?a=b"), 200),
        (request("DELETE", "/"), 405),
        (request("BREW", "/"), 405),
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (b"\r\nGET / HTTP/1.0\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / SMTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (request("POST", "/", "Content-Length: x"), 400),
        (request("POST", "/", "Content-Length: -1"), 400),
        (request("POST", "/", "Content-Length: 1", "Content-Length: 2"), 400),
        (request("POST", "/", "Content-Length: 99999"), 413),
        (request("POST", "/", "Transfer-Encoding: chunked"), 501),
        (request("GET", "/" + 2000 * "a"), 431),
        (request("GET", "/", *(f"X-{i}: {i}" for i in range(200))), 431),
    ],
)
def test_every_request_gets_the_status_it_deserves(world: World, client: Guest, data: bytes, status: int) -> None:
    assert parse(ask(world, client, data))[0] == status
    assert parse(ask(world, client, request("GET", "/")))[2] == HELLO_TEXT


def test_a_405_names_the_methods_there_are(world: World, client: Guest) -> None:
    assert parse(ask(world, client, request("PUT", "/", body=b"x")))[1]["allow"] == "GET, HEAD"


def test_silent_clients_give_way_to_new_ones(world: World, client: Guest) -> None:
    for _ in range(6):
        Client(world, client).say(b"GET / HT")
    assert parse(ask(world, client, request("GET", "/")))[2] == HELLO_TEXT


def test_guests_that_hold_connections_leave_a_place_for_the_host(world: World, client: Guest) -> None:
    table, host = world.guests[0x0A010002].table, world.guest(0)
    held = [Client(world, client) for _ in range(2 * table.SLOTS)]
    for _ in range(5):
        for one in held:
            one.say(b"G")  # never silent, and never a whole request
            assert (table.connection["remote"][table.connection["state"] == table.OPEN] == 0x0A010001).sum() <= 3
        assert parse(ask(world, host, request("GET", "/", "Connection: close")))[2] == HELLO_TEXT
    assert host.table.counted[host.table.RETRANSMITTED] == 0, "it was let in when it came first"


def test_a_client_that_vanishes_leaves_nothing(world: World, client: Guest) -> None:
    one = Client(world, client)
    one.say(b"GET ")
    client.do(client.tcp.abort, one.connection)
    world.run()
    server = world.guests[0x0A010002]
    server.check()
    assert (server.table.connection["state"] == server.table.FREE).all()


parser, table = fresh("request", "table")
BEGIN = 77  # where the request lies


def read(data: bytes) -> int:
    table.space[BEGIN : BEGIN + len(data)] = np.frombuffer(data, np.uint8)
    return parser.parse(BEGIN, len(data))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=1024))
def test_no_bytes_confuse_the_parser(data: bytes) -> None:
    assert read(data) in (0, 200, 400, 413, 431, 501, 505)


token = st.text("abcXYZ019-_!", min_size=1, max_size=8)
value = st.text("abc ,;=/19\t", max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    path=st.text("abc/._-%", max_size=20),
    query=st.text("abc=&", max_size=9) | st.none(),
    fields=st.lists(st.tuples(token.map(lambda name: "x-" + name), value), max_size=6),
    body=st.binary(max_size=200),
    extra=st.binary(max_size=20),
)
def test_a_right_request_is_read_as_it_was_meant(
    path: str, query: str | None, fields: list[tuple[str, str]], body: bytes, extra: bytes
) -> None:
    target = f"/{path}" + (f"?{query}" if query is not None else "")
    data = request("POST", target, *(f"{name}:{value}" for name, value in fields), body=body)
    assert read(data + extra) == 200
    one = parser.request[0]
    assert bytes(table.space[one.path : one.path_end]).decode() == f"/{path}"
    assert bytes(table.space[one.body : one.end]) == body
    assert one.end == BEGIN + len(data)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_beginning_of_a_request_is_never_taken_for_a_request(data: st.DataObject) -> None:
    whole = request("PUT", "/a/b?c", "Connection: close", body=b"0123456789")
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert read(whole[:cut]) == 0


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 200), st.integers(0, 255))
def test_one_wrong_byte_is_refused_or_harmless(at: int, byte: int) -> None:
    data = bytearray(request("GET", "/index", "Accept: */*", "Connection: keep-alive"))
    data[at % len(data)] = byte
    if read(bytes(data)) == 200:
        assert parser.request[0].end <= BEGIN + len(data)


def test_no_field_hides_behind_an_attribute_of_numpy() -> None:
    table, segment, request_, http = fresh("table", "segment", "request", "http")
    for record in (table.CONNECTION, table.STACK, segment.SEGMENT, request_.REQUEST, http.REPLY):
        assert not [name for name in record.names if hasattr(np.generic, name)]
