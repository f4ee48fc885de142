# pyright: basic
"""The host's system calls that native code makes, by symbol, and the layouts of what they read and write.

Every descriptor is non-blocking and every call is made with the GIL released. Results below zero leave the reason in
`error()`.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

from denali.tlb.native import External, carray, native, numbers_at, pointer_to

from .records import NOBODY

_int, _word = "int32", "int64"

accept4 = External("accept4", _int, _int, _word, _word, _int)
getsockname = External("getsockname", _int, _int, _word, _word)
recv = External("recv", _word, _int, _word, _word, _int)
send = External("send", _word, _int, _word, _word, _int)
shutdown = External("shutdown", _int, _int, _int)
close = External("close", _int, _int)
eventfd = External("eventfd", _int, _int, _int)
read = External("read", _word, _int, _word, _word)
setsockopt = External("setsockopt", _int, _int, _int, _int, _word, _int)
epoll_ctl = External("epoll_ctl", _int, _int, _int, _int, _word)
epoll_wait = External("epoll_wait", _int, _int, _word, _int, _int)
getrandom = External("getrandom", _word, _word, _word, _int)
ppoll = External("ppoll", _int, _word, _word, _word, _word)
clock_gettime = External("clock_gettime", _int, _int, _word)
_errno = External("__errno_location", _word)

EAGAIN, EINTR, ENFILE, EMFILE = 11, 4, 23, 24
MSG_DONTWAIT, MSG_NOSIGNAL = 0x40, 0x4000
SOCK_NONBLOCK_CLOEXEC, EFD_CLOEXEC = 0o2004000, 0o2000000
SOL_SOCKET, SO_LINGER, SHUT_WR = 1, 13, 1
EPOLL_ADD = 1
EPOLL_IN, EPOLL_OUT, EPOLL_ERR, EPOLL_HUP, EPOLL_RDHUP, EPOLL_EDGE = 1, 4, 8, 16, 0x2000, 1 << 31
CLOCK_MONOTONIC = 1

_packed = platform.machine() in ("x86_64", "AMD64")
EPOLL_EVENT = np.dtype([("events", "<u4"), ("data", "<i8")], align=not _packed)
POLL = np.dtype([("descriptor", "<i4"), ("wanted", "<i2"), ("got", "<i2"), ("seconds", "<i8"), ("nanoseconds", "<i8")])

_event = pointer_to(EPOLL_EVENT)
_poll = pointer_to(POLL)
_int32 = pointer_to(np.dtype("<i4"))


@native
def error() -> int:
    """The reason why the last call failed."""
    return carray(_int32(_errno()), (1,))[0]


@native
def events_at(address: int, count: int) -> Any:
    """Events that `epoll_wait` wrote."""
    return carray(_event(address), (count,))


@native
def monotonic(scratch: int) -> int:
    """The host's clock, ns."""
    clock_gettime(CLOCK_MONOTONIC, scratch)
    time = numbers_at(scratch, 2)
    return time[0] * 1_000_000_000 + time[1]


@native
def draw(target: int, count: int) -> None:
    """Write random bytes; `Tables` has seen that the host has some, so that it gives all at once or after a signal."""
    while getrandom(target, count, 0) != count:
        continue


@native
def watch(poller: int, descriptor: int, data: int, scratch: int) -> int:
    """Ask for edge-triggered events of a descriptor, marked with `data`."""
    event = events_at(scratch, 1)[0]
    event.events = EPOLL_IN | EPOLL_OUT | EPOLL_RDHUP | EPOLL_EDGE
    event.data = data
    return epoll_ctl(poller, EPOLL_ADD, descriptor, scratch)


@native
def wait_readable(descriptor: int, nanoseconds: int, scratch: int) -> None:
    """Sleep until a descriptor is readable, or until so many nanoseconds have passed (below zero: no limit)."""
    poll = carray(_poll(scratch), (1,))[0]
    poll.descriptor, poll.wanted, poll.got = descriptor, 1, 0
    poll.seconds, poll.nanoseconds = nanoseconds // 1_000_000_000, nanoseconds % 1_000_000_000
    ppoll(scratch, 1, scratch + 8 if nanoseconds >= 0 else 0, 0)


@native
def reset_descriptor(descriptor: int, scratch: int) -> None:
    """Close a connection so that the other side sees it reset."""
    linger = carray(_int32(scratch), (2,))
    linger[0], linger[1] = 1, 0
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, scratch, 8)
    close(descriptor)


@native
def local_address(descriptor: int, scratch: int) -> int:
    """The IPv4 address (host order) at which a connection was accepted; NOBODY when it has none."""
    carray(_int32(scratch), (1,))[0] = 16
    if getsockname(descriptor, scratch + 8, scratch) < 0:
        return NOBODY
    family = carray(_int32(scratch + 8), (1,))[0] & 0xFFFF
    raw = carray(_int32(scratch + 12), (1,))[0] & 0xFFFFFFFF
    swapped = (raw >> 24) | ((raw >> 8) & 0xFF00) | ((raw & 0xFF00) << 8) | ((raw & 0xFF) << 24)
    return swapped if family == 2 else NOBODY
