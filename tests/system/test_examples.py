"""The examples that a newcomer tries next do on the kernel what their first lines say."""

from __future__ import annotations

from pathlib import Path

from denali import Guest, Kernel, load


def ask(guest: Guest, method: str, path: str, body: str = "") -> str:
    head = f"{method} {path} HTTP/1.1\r\nHost: guest\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return guest.request((head + body).encode()).decode().partition("\r\n\r\n")[2]


def test_echo_sends_back_what_it_gets(kernel: Kernel, examples: Path) -> None:
    guest = kernel.spawn(load(examples / "echo.py"))[0]
    with guest.connect(80) as stream:
        stream.settimeout(20)
        for text in (b"one", b"two" * 100):
            stream.sendall(text)
            got = b""
            while len(got) < len(text):
                got += stream.recv(4096)
            assert got == text


def test_counters_are_each_guests_own(kernel: Kernel, examples: Path) -> None:
    first, second = kernel.spawn(load(examples / "counter.py"), count=2)
    assert ask(first, "POST", "/add/5") == "5\n"
    assert ask(first, "POST", "/add/7") == "12\n"
    assert ask(second, "GET", "/") == "0\n"


def test_a_store_keeps_what_it_is_given(kernel: Kernel, examples: Path) -> None:
    guest = kernel.spawn(load(examples / "store.py"))[0]
    ask(guest, "PUT", "/colour", "blue")
    assert ask(guest, "GET", "/colour") == "blue"


def test_compute_counts_primes(kernel: Kernel, examples: Path) -> None:
    guest = kernel.spawn(load(examples / "compute.py"))[0]
    assert ask(guest, "GET", "/primes/100000") == "9592\n"


def test_a_token_goes_round_the_ring(kernel: Kernel, examples: Path) -> None:
    ring = kernel.spawn(load(examples / "ring.py"), count=10)
    assert ask(ring[0], "POST", "/token/99") == "taken\n"
    seen = [0]
    while sum(seen) < 100:
        seen = [int(ask(guest, "GET", "/")) for guest in ring]
    assert seen == [10] * 10
