"""The way in from the host: listening sockets, and streams handed in by Python. The gateway guest does the rest."""

from __future__ import annotations

import contextlib
import os
import socket

from . import verbs
from .mailbox import Mailbox
from .records import NOBODY
from .tables import DOORS, Tables

BACKLOG = 4096
_LOOPBACK = b"lo\0"


def listener(port: int) -> socket.socket:
    """A socket that listens at every loopback address.

    It is bound to the interface `lo` where the host allows that; the kernel also refuses streams to any address that is
    not 127.x.y.z.

    Raises:
        OSError: the port is taken, or not ours to take.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(PermissionError):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _LOOPBACK)
        made.bind(("0.0.0.0", port))
        made.listen(BACKLOG)
    except OSError as reason:
        made.close()
        raise OSError(reason.errno, f"port {port}: {os.strerror(reason.errno or 0)}; choose another") from None
    return made


class Outside:
    """The listening sockets of a kernel, and the streams that its owner opens."""

    def __init__(self, tables: Tables, mailbox: Mailbox) -> None:
        self._tables, self._mailbox = tables, mailbox
        self._listeners: list[socket.socket] = []

    def publish(self, port: int, guest_port: int) -> int:
        """See `Kernel.publish`."""
        self._need_gateway()
        if not 0 < guest_port < 65536:
            raise ValueError(f"{guest_port} is no port of a guest")
        if not 0 <= port < 65536:
            raise ValueError(f"{port} is no port of the host")
        if len(self._listeners) == DOORS:
            raise ValueError(f"{DOORS} ports are published already")
        made = listener(port)
        self._listeners.append(made)
        self._mailbox.call(lambda: verbs.add_door(self._tables.address, made.fileno(), guest_port))
        return int(made.getsockname()[1])

    def connect(self, number: int, port: int) -> socket.socket:
        """See `Kernel.connect`."""
        self._need_gateway()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        descriptor = theirs.detach()
        if not self._mailbox.call(lambda: verbs.arrive(self._tables.address, descriptor, number, port)):
            os.close(descriptor)
            ours.close()
            raise ConnectionRefusedError(
                f"guest {self._tables.name(number)} does not run, or too many streams wait for the gateway"
            )
        return ours

    def _need_gateway(self) -> None:
        if int(self._tables.record["gateway"][0]) == NOBODY:
            raise RuntimeError("this kernel has no gateway: Kernel(gateway=image)")

    def close(self) -> None:
        """Refuse whoever comes; the loop does not run, or the gateway is over."""
        for made in self._listeners:
            made.close()
        self._listeners.clear()
