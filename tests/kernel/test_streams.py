"""Host streams through a gateway that echoes: who gets in, who is reset, and when."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from denali.isa.virtual import Service, loopback_of
from denali.kernel.kernel import Kernel
from denali.kernel.records import State

from .conftest import program
from .programs import ECHO, SLEEPER


@pytest.fixture
def kernel(make_kernel: Callable[..., Kernel]) -> Kernel:
    return make_kernel(gateway=program(ECHO, "gateway"))


def at(number: int) -> str:
    return socket.inet_ntoa(loopback_of(number).to_bytes(4, "big"))


def echo(number: int, port: int, text: bytes = b"hello") -> bytes:
    with socket.create_connection((at(number), port), timeout=5) as stream:
        stream.sendall(text)
        return b"".join(iter(lambda: stream.recv(4096), b""))


def refused(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=5) as stream:
            stream.sendall(b"x")
            return stream.recv(10) == b""
    except (ConnectionResetError, ConnectionRefusedError, BrokenPipeError):
        return True


def test_a_guests_loopback_address_leads_to_it(kernel: Kernel) -> None:
    guests = kernel.spawn(program(SLEEPER), 3)
    port = kernel.publish(0)
    assert [echo(guest.number, port, b"%d" % guest.number) for guest in guests] == [b"1", b"2", b"3"]
    gateway = kernel.guest(0)
    told = int.from_bytes(gateway.read("target"), "little")
    assert (told & 0xFFFFFFFF, told >> 32) == (int.from_bytes(socket.inet_aton("10.1.0.3"), "big"), 80)


def test_an_address_without_a_living_guest_is_refused_at_once(kernel: Kernel) -> None:
    (guest, _) = kernel.spawn(program(SLEEPER), 2)
    guest.kill()
    port = kernel.publish(0)
    began = time.monotonic()
    for address in (at(guest.number), at(3), at(60000), at(0), "127.0.0.1", "127.9.9.9"):
        assert refused(address, port), address
    assert time.monotonic() - began < 3
    assert kernel.metrics()["streams_refused"] == 6


def test_a_stream_is_reset_when_its_guest_ends(kernel: Kernel) -> None:
    guest, other = kernel.spawn(program(SLEEPER), 2)
    port = kernel.publish(0)
    with socket.create_connection((at(guest.number), port), timeout=5) as stream:
        while kernel.tables.guests["streams"][guest.number] == 0:
            time.sleep(0.001)
        guest.kill()
        with pytest.raises(ConnectionResetError):
            stream.recv(1)
    assert echo(other.number, port) == b"hello"
    deadline = time.monotonic() + 5
    while kernel.metrics()["streams_free"] != 4096 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert kernel.metrics()["streams_free"] == 4096


def test_when_the_gateway_ends_nobody_hangs(kernel: Kernel) -> None:
    (guest,) = kernel.spawn(program(SLEEPER))
    port = kernel.publish(0)
    with socket.create_connection((at(guest.number), port), timeout=5) as stream:
        while kernel.tables.guests["streams"][guest.number] == 0:
            time.sleep(0.001)
        kernel.guest(0).kill()
        with pytest.raises(ConnectionResetError):
            stream.recv(1)
    assert refused(at(guest.number), port)
    assert guest.state is not State.GONE


def test_a_client_that_resets_leaves_nothing_behind(kernel: Kernel) -> None:
    (guest,) = kernel.spawn(program(SLEEPER))
    port = kernel.publish(0)
    for _ in range(20):
        stream = socket.create_connection((at(guest.number), port), timeout=5)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        stream.close()
    assert echo(guest.number, port) == b"hello"
    assert kernel.tables.guests["streams"][guest.number] <= 1


def test_an_answer_arrives_though_the_client_has_more_to_say(kernel: Kernel) -> None:
    (guest,) = kernel.spawn(program(SLEEPER))
    port = kernel.publish(0)
    with socket.create_connection((at(guest.number), port), timeout=5) as stream:
        stream.sendall(b"a" * 4096 + b"b" * 8000)
        answer = b""
        while part := stream.recv(4096):
            answer += part
    assert set(answer) <= set(b"ab")
    assert answer


def test_many_clients_at_once(kernel: Kernel) -> None:
    guests = kernel.spawn(program(SLEEPER), 50)
    port = kernel.publish(0)
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(echo, guests[n % 50].number, port, b"%d" % n) for n in range(300)]
    answers = [one.result() for one in asked]
    assert answers == [b"%d" % n for n in range(300)]


def test_more_clients_than_the_table_holds_wait_until_there_is_room(kernel: Kernel) -> None:
    """The table is made small by taking most of it away."""
    (guest,) = kernel.spawn(program(SLEEPER))
    port = kernel.publish(0)
    pool = kernel.tables.streams.record
    whole = int(pool["capacity"][0])
    pool["capacity"], pool["free"] = 4, 4
    first = [socket.create_connection((at(guest.number), port), timeout=5) for _ in range(10)]
    while kernel.tables.guests["streams"][guest.number] < 4:
        time.sleep(0.001)
    for stream in first:
        stream.sendall(b"hi")
    assert [stream.recv(10) for stream in first] == [b"hi"] * 10
    for stream in first:
        stream.close()
    deadline = time.monotonic() + 5
    while int(pool["free"][0]) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    pool["capacity"], pool["free"] = whole, whole


def test_python_connects_without_the_hosts_network(kernel: Kernel) -> None:
    (guest,) = kernel.spawn(program(SLEEPER))
    assert guest.request(b"ping") == b"ping"
    guest.kill()
    with pytest.raises(ConnectionRefusedError, match=f"guest {guest.number} does not run"):
        guest.request(b"ping")


def test_asyncio_requests_do_not_wait_for_each_other(kernel: Kernel) -> None:
    import asyncio

    guests = kernel.spawn(program(SLEEPER), 20)

    async def ask() -> list[bytes]:
        return await asyncio.gather(*(guest.request_async(b"%d" % guest.number) for guest in guests))

    assert asyncio.run(ask()) == [b"%d" % guest.number for guest in guests]


def test_without_a_gateway_there_are_no_streams(make_kernel: Callable[..., Kernel]) -> None:
    kernel = make_kernel()
    (guest,) = kernel.spawn(program(SLEEPER))
    for attempt in (lambda: kernel.publish(0), lambda: guest.connect()):
        with pytest.raises(RuntimeError, match="no gateway"):
            attempt()


def test_a_port_that_is_taken_is_a_clear_error(kernel: Kernel) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port}: Address already in use"):
            kernel.publish(port)


@pytest.mark.parametrize("service", [Service.READ, Service.WRITE, Service.CLOSE])
@pytest.mark.parametrize("handle", [0, 5, 0xFFFF, 1 << 16, 1 << 31, 0xFFFFFFFF])
def test_a_handle_that_is_none_stops_even_the_gateway(
    make_kernel: Callable[..., Kernel], service: Service, handle: int
) -> None:
    arguments = "mv a0, a3" if service is Service.CLOSE else "ld a0, 24(tp)\n slli a1, a3, 32"
    source = f"_start: li a3, {handle}\n li a1, 0\n {arguments}\n v.{service.name.lower()} a0, a0, a1"
    kernel = make_kernel(gateway=program(source))
    gateway = kernel.guest(0)
    assert gateway.wait(5)
    assert "a device refused the argument" in str(gateway.message)
