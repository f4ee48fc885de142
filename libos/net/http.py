"""An HTTP/1.1 server for services: `serve(80, answer)` calls `answer()` for each request.

    def answer() -> None:
        if http.get(b"/"):
            http.text(b"Hello from guest ")
            http.integer(machine.number())
        elif http.get(b"/squares/*"):
            http.integer(http.number() ** 2)

What `answer` does not claim gets 404, or 405 where only the method differs; HEAD is GET without the body. Requests and
responses are bounded by `configure`; a request that is too large gets 413 or 431, a response that is, 500.
"""
# pyright: basic

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from denali.libos import machine

from . import request, stack, table, tcp
from .wire import Bytes

HEAD_ROOM = 192  # bytes that the head of any response fits in
IDLE = 200 * table.MILLISECOND  # a client that is silent for so long gives way to a new one

REPLY = np.dtype([(name, "<i4") for name in ("status", "at", "length", "claimed", "allowed", "tail", "html", "row")])

reply = np.zeros(1, REPLY).view(np.recarray)


def configure(*, connections: int = 4, request_bytes: int = 1024, response_bytes: int = 1024) -> None:
    """Size the server, when the service is built; more clients than `connections` take turns."""
    if response_bytes <= HEAD_ROOM:
        raise ValueError(f"a response has more than {HEAD_ROOM} bytes, which its head may take")
    tcp.configure(connections=connections, receive=request_bytes, send=response_bytes)


def serve(port: int, answer: Callable[[], None]) -> None:
    """Answer requests to this port for ever."""
    tcp.listen(port)
    while True:
        c = stack.step(machine.FOREVER)
        if c >= 0 and table.connection[c].port == port:
            attend(c, answer)
        elif c >= 0:
            _overhear(c)
        if table.stack[0].pressed != 0:
            relieve()


def get(path: bytes) -> bool:
    """Whether the request is GET or HEAD for this path; one that ends in `*` stands for whatever follows there."""
    return _claims(request.GET | request.HEAD, path)


def post(path: bytes) -> bool:
    """Whether the request is POST for this path."""
    return _claims(request.POST, path)


def put(path: bytes) -> bool:
    """Whether the request is PUT for this path."""
    return _claims(request.PUT, path)


def delete(path: bytes) -> bool:
    """Whether the request is DELETE for this path."""
    return _claims(request.DELETE, path)


def _claims(methods: int, path: bytes) -> bool:
    """Whether path and method fit; that a path is known with another method is remembered for the 405."""
    one, mine = request.request[0], reply[0]
    fixed = len(path)
    if fixed > 0 and path[fixed - 1] == 42:
        fixed -= 1
    elif one.path_end - one.path != fixed:
        return False
    if one.path_end - one.path < fixed:
        return False
    for i in range(fixed):
        if table.space[one.path + i] != path[i]:
            return False
    mine.allowed |= methods
    mine.tail = one.path + fixed
    mine.claimed |= one.method & methods != 0
    return one.method & methods != 0


def tail() -> Bytes:
    """What stands where the path of `get` has its `*`. Valid until `answer` returns."""
    return table.space[reply[0].tail : request.request[0].path_end]


def number() -> int:
    """The decimal number that stands where the path has its `*`; -1 when there is none."""
    return request.decimal(int(reply[0].tail), int(request.request[0].path_end))


def query() -> Bytes:
    """What follows the question mark. Valid until `answer` returns."""
    one = request.request[0]
    return table.space[min(one.path_end + 1, one.target_end) : one.target_end]


def content() -> Bytes:
    """The request's body. Valid until `answer` returns."""
    one = request.request[0]
    return table.space[one.body : one.end]


def status(code: int) -> None:
    """Answer with this status instead of 200."""
    reply[0].status = code
    reply[0].claimed = 1


def html() -> None:
    """Say that the body is HTML; else it is plain text."""
    reply[0].html = 1


def text(words: bytes) -> None:
    """Append bytes to the body; bytes literals and arrays both do."""
    at, start = int(reply[0].length), _body()
    for i in range(len(words)):
        if at + i < _body_room():
            table.space[start + at + i] = words[i]
    reply[0].length = at + len(words)


def _body() -> int:
    """Where the body is written: in the row of what the connection sends, behind the room for the head."""
    return int(reply[0].row) + HEAD_ROOM


def _body_room() -> int:
    return table.SEND - HEAD_ROOM


def byte(value: int) -> None:
    """Append one byte to the body."""
    at = int(reply[0].length)
    if at < _body_room():
        table.space[_body() + at] = value & 0xFF
    reply[0].length = at + 1


def integer(value: int) -> None:
    """Append a number in decimal."""
    if value < 0:
        byte(45)
        value = -value
    power = 1
    while value // power >= 10:
        power *= 10
    while power > 0:
        byte(48 + value // power % 10)
        power //= 10


def dotted(address: int) -> None:
    """Append an IPv4 address."""
    for shift in range(24, -8, -8):
        integer(address >> shift & 255)
        if shift > 0:
            byte(46)


def attend(c: int, answer: Callable[[], None]) -> None:
    """Answer the requests that have come whole on this connection, one after the other."""
    if tcp.user(c) == 0:
        tcp.set_user(c, machine.clock())
    while tcp.unsent(c) == 0:
        length = tcp.available(c)
        if length == tcp.NOTHING:
            return
        verdict = request.parse(tcp.front(c), length) if length > 0 else request.INCOMPLETE
        if verdict == request.INCOMPLETE:
            if tcp.peer_finished(c):
                tcp.close(c)
            return
        keep = _respond(c, verdict, answer)
        tcp.set_user(c, machine.clock())
        if not keep:
            tcp.close(c)
            return
        tcp.consume(c, int(request.request[0].end - request.request[0].begin))


def _overhear(c: int) -> None:
    """Drop what comes on a connection that the service opened itself, and close it at its end."""
    length = tcp.available(c)
    if length > 0:
        tcp.consume(c, length)
    elif length < 0:
        tcp.close(c)


def _respond(c: int, verdict: int, answer: Callable[[], None]) -> bool:
    """Send the response to the request that was read; whether the connection may be kept."""
    mine = reply[0]
    mine.status, mine.length, mine.claimed, mine.allowed, mine.html = verdict, 0, 0, 0, 0
    mine.row = table.outgoing(c)
    keep = verdict == request.COMPLETE and request.keeps_open()
    if verdict == request.COMPLETE:
        answer()
        if mine.length > _body_room():
            mine.status, mine.length = 500, 0
        elif mine.claimed == 0:
            mine.status, mine.length = 405 if mine.allowed != 0 else 404, 0
    if mine.status >= 400 and mine.length == 0:
        text(b"sorry\n")
    _write_head(keep)
    if verdict == request.COMPLETE and request.request[0].method == request.HEAD:
        mine.length = 0
    tcp.send_here(c, HEAD_ROOM - int(mine.at), int(mine.at + mine.length))
    return keep


def _write_head(keep: bool) -> None:
    mine = reply[0]
    length = int(mine.length)
    mine.at = 0
    _head(b"HTTP/1.1 ")
    _head_integer(int(mine.status))
    _reason(int(mine.status))
    _head(b"\r\nContent-Type: text/html" if mine.html else b"\r\nContent-Type: text/plain")
    _head(b"\r\nContent-Length: ")
    _head_integer(length)
    if mine.status == 405:
        _allow(int(mine.allowed))
    if not keep:
        _head(b"\r\nConnection: close")
    _head(b"\r\n\r\n")
    start, size = int(mine.row), int(mine.at)
    table.space[_body() - size : _body()] = table.space[start : start + size]


def _head(words: bytes) -> None:
    at = int(reply[0].row + reply[0].at)
    for i in range(len(words)):
        table.space[at + i] = words[i]
    reply[0].at += len(words)


def _head_integer(value: int) -> None:
    """A number of at most nine digits."""
    power = 1
    while value // power >= 10:
        power *= 10
    while power > 0:
        table.space[reply[0].row + reply[0].at] = 48 + value // power % 10
        reply[0].at += 1
        power //= 10


def _allow(methods: int) -> None:
    """The methods that this path has (RFC 9110, 10.2.1)."""
    _head(b"\r\nAllow: ")
    _head(b"GET, HEAD, " if methods & request.GET else b"")
    _head(b"POST, " if methods & request.POST else b"")
    _head(b"PUT, " if methods & request.PUT else b"")
    _head(b"DELETE, " if methods & request.DELETE else b"")
    reply[0].at -= 2


def _reason(code: int) -> None:
    """The words for a status; any other is sent without."""
    if code == 200:
        _head(b" OK")
    elif code == 400:
        _head(b" Bad Request")
    elif code == 404:
        _head(b" Not Found")
    elif code == 405:
        _head(b" Method Not Allowed")
    elif code == 413:
        _head(b" Content Too Large")
    elif code == 431:
        _head(b" Request Header Fields Too Large")
    elif code == 500:
        _head(b" Internal Server Error")
    elif code == 501:
        _head(b" Not Implemented")
    else:
        _head(b" ")


def relieve() -> None:
    """Somebody found no place: close the connection whose client has been silent longest, if that was long."""
    table.stack[0].pressed = 0
    oldest, since = -1, machine.clock() - IDLE
    for c in range(table.SLOTS):
        if tcp.is_open(c) and not table.connection[c].bits & table.RELEASED and 0 < tcp.user(c) < since:
            oldest, since = c, tcp.user(c)
    if oldest >= 0:
        tcp.close(oldest)
