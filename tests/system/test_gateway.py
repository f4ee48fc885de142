"""curl reaches every guest at its own loopback address, and is told at once when there is none."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import resource
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

import pytest

from denali import Guest, Kernel, load
from denali.isa.virtual import loopback_of

CURL = shutil.which("curl")
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed: apt-get install curl")


class Site(NamedTuple):
    kernel: Kernel
    guests: Sequence[Guest]
    port: int

    def url(self, number: int) -> str:
        return f"http://{IPv4Address(loopback_of(number))}:{self.port}/"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def site(kernel: Kernel, examples: Path) -> Site:
    guests = kernel.spawn(load(examples / "hello.py"), count=500)
    port = free_port()
    kernel.publish(port)
    return Site(kernel, guests, port)


def curl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["curl", "--silent", "--show-error", "--max-time", "20", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_curl
def test_two_thousand_requests_to_random_guests_at_fifty_at_a_time_succeed(site: Site) -> None:
    numbers = random.Random(1).choices([guest.number for guest in site.guests], k=2000)

    def ask(number: int) -> str:
        done = curl(site.url(number))
        return "right" if done.stdout.startswith(f"Hello from guest {number} at ") else f"{done.stdout}{done.stderr}"

    with ThreadPoolExecutor(50) as pool:
        assert Counter(pool.map(ask, numbers)) == {"right": 2000}


@needs_curl
def test_who_is_not_there_is_refused_at_once(site: Site) -> None:
    dead, deaf = site.guests[7], site.kernel.spawn(load(Path(__file__).parent / "deaf.py"))[0]
    dead.kill()
    for number in (dead.number, deaf.number, len(site.guests) + 1000):
        begin = time.monotonic()
        done = curl(site.url(number))
        assert done.returncode in (7, 56), done  # 7: could not connect, 56: connection reset
        assert time.monotonic() - begin < 5
    assert curl(site.url(site.guests[8].number)).returncode == 0


@needs_curl
def test_who_dies_while_a_client_waits_resets_it_at_once(site: Site) -> None:
    silent = site.kernel.spawn(load(Path(__file__).parent / "silent.py"))[0]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(curl, site.url(silent.number))
        while not silent.console():  # it has been asked
            assert not waiting.done()
        silent.kill()
        assert waiting.result(10).returncode == 56


def test_without_a_descriptor_left_clients_are_refused_at_once(site: Site) -> None:
    clients = [socket.socket() for _ in range(100)]
    with contextlib.ExitStack() as stack:
        for client in clients:
            stack.enter_context(client).settimeout(10)
        with all_descriptors_taken():
            places = [(str(IPv4Address(loopback_of(number))), site.port) for number in range(1, 101)]
            reasons = [client.connect_ex(place) for client, place in zip(clients, places, strict=True)]
            for client, reason in zip(clients, reasons, strict=True):
                if reason != errno.ECONNRESET:  # it came between the connection and our hearing of it
                    with pytest.raises(ConnectionResetError):
                        client.recv(1)
    assert_served(site.guests[3])


@contextlib.contextmanager
def all_descriptors_taken() -> Generator[None]:
    """This process cannot open anything."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, limits[1]), limits[1]))
    taken: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def assert_served(guest: Guest) -> None:
    answer = guest.request(b"GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"Hello from guest %d at %s\n" % (guest.number, guest.address.encode()))


def test_a_port_in_use_is_a_clear_error(site: Site) -> None:
    with pytest.raises(OSError, match=str(site.port)):
        site.kernel.publish(site.port)


def test_one_listening_socket_serves_all_guests(site: Site) -> None:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{site.port:04X}")]
    assert len(listening) == 1


def other_address() -> str | None:
    """An IPv4 address of this host that is not loopback; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return probe.getsockname()[0]


def test_the_world_beyond_loopback_is_not_let_in(site: Site) -> None:
    address = other_address()
    if address is None or address.startswith("127."):
        pytest.skip("this host has no address but loopback")
    heard = b""
    with contextlib.suppress(OSError), socket.create_connection((address, site.port), timeout=2) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")
        heard = stream.recv(1)
    assert heard == b""
