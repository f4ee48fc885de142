"""A served guest of a web service keeps few pages of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from denali import Guest, Kernel, load
from denali.tlb.frames import FRAME

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.1.0.17:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n{}\r\n"


def written(kernel: Kernel, guest: Guest) -> list[int]:
    """Which frames of a guest's run hold anything."""
    record = kernel.tables.guests[guest.number]
    first, count = int(record["first_frame"]), int(record["frames"])
    memory = kernel.tables.frames.memory
    return [i for i in range(count) if memory[(first + i) * FRAME : (first + i + 1) * FRAME].any()]


@pytest.mark.parametrize("name", ["hello", "counter", "store"])
def test_a_web_service_writes_to_one_page_for_a_client_and_to_two_for_more(
    kernel: Kernel, examples: Path, name: str
) -> None:
    for guest in kernel.spawn(load(examples / f"{name}.py"), count=3):
        for limit in ([0], [0, 1], [0, 1]):  # the next client comes while the one before is still parting
            assert guest.request(REQUEST.replace(b"{}", b"Connection: close\r\n")).startswith(b"HTTP/1.1 200")
            assert written(kernel, guest) in ([0], limit)


def test_many_requests_on_one_connection_stay_in_two_pages(kernel: Kernel, examples: Path) -> None:
    guest = kernel.spawn(load(examples / "hello.py"))[0]
    with guest.connect(80) as stream:
        stream.settimeout(20)
        for _ in range(50):
            stream.sendall(REQUEST.replace(b"{}", b""))
            assert stream.recv(4096).startswith(b"HTTP/1.1 200")
    assert len(written(kernel, guest)) <= 2
