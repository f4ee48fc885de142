"""A client for tests: sends bytes to a guest through another guest's stack, and reads what comes back."""

from __future__ import annotations

import http.client
import io
from collections.abc import Iterable

import numpy as np

from .world import Guest, World


class Client:
    """One connection from `guest` to a server; `heard` is what it has answered."""

    def __init__(self, world: World, guest: Guest, server: int = 2, port: int = 80) -> None:
        self.world, self.guest = world, guest
        self.heard = bytearray()
        self.ended = self.reset = False
        self.connection = guest.do(guest.tcp.connect, 0x0A010000 + server, port)
        guest.turn = self.turn

    def turn(self, c: int) -> None:
        """Read what has come."""
        tcp, buffer = self.guest.tcp, np.zeros(4096, np.uint8)
        if c != self.connection:
            return
        length = tcp.receive(c, buffer)
        while length > 0:
            self.heard += bytes(buffer[:length])
            length = tcp.receive(c, buffer)
        self.ended |= length == tcp.END
        self.reset |= length == tcp.RESET

    def say(self, data: bytes) -> None:
        """Send bytes, and let the world settle for a second."""
        while data and not self.reset:
            taken = self.guest.do(self.guest.tcp.send, self.connection, np.frombuffer(data, np.uint8), len(data))
            if taken < 0:
                break
            data = data[taken:]
            self.world.run(limit_s=1)
        self.world.run(limit_s=1)

    def close(self) -> None:
        """End it, and let the world settle."""
        self.guest.do(self.guest.tcp.close, self.connection)
        self.world.run(limit_s=5)


def ask(world: World, guest: Guest, *parts: bytes, server: int = 2) -> bytes:
    """What the server answers to a request that comes in these parts on a connection of its own."""
    client = Client(world, guest, server)
    for part in parts:
        client.say(part)
    client.close()
    return bytes(client.heard)


class _Socket:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)


def parse(data: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Status, fields and body of a response, as Python's own client reads them."""
    response = http.client.HTTPResponse(_Socket(data), method=method)  # type: ignore[arg-type]
    response.begin()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def request(method: str, target: str, *fields: str, body: bytes = b"") -> bytes:
    """A request with a Host and these fields."""
    lines: Iterable[str] = (f"{method} {target} HTTP/1.1", "Host: guest", *fields)
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, *length, "", ""]).encode() + body
