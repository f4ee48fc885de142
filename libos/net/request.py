"""An HTTP/1.1 request (RFC 9112), read where TCP has put it. What is not plainly right is refused.

Every position is one in `table.space`, valid until the connection's owner waits again.
"""
# pyright: basic

from __future__ import annotations

import numpy as np

from . import table

INCOMPLETE, COMPLETE = 0, 200
BAD, TOO_LARGE, FIELDS_TOO_LARGE, NOT_IMPLEMENTED, BAD_VERSION = 400, 413, 431, 501, 505

OTHER, GET, HEAD, POST, PUT, DELETE = 0, 1, 2, 4, 8, 16

TAB, LF, CR, SPACE, COLON, SLASH, QUESTION = 9, 10, 13, 32, 58, 47, 63

REQUEST = np.dtype(
    [
        (name, "<i4")
        for name in (
            *("begin", "method", "path", "path_end", "target_end", "body", "body_length", "end"),
            *("version", "hosts", "lengths", "closes", "keeps"),
        )
    ]
)
request = np.zeros(1, REQUEST).view(np.recarray)


def parse(begin: int, length: int) -> int:
    """Read the request in `length` bytes from `begin`: INCOMPLETE, COMPLETE, or the status to refuse it with."""
    request[0].begin = begin
    start = begin + 2 if length >= 2 and table.space[begin] == CR and table.space[begin + 1] == LF else begin
    stop = _end_of_head(start, begin + length)
    if stop < 0:
        return BAD
    if stop == 0:
        return FIELDS_TOO_LARGE if length == table.RECEIVE else INCOMPLETE
    line = find(start, stop, CR)
    status = _request_line(start, line)
    if status == COMPLETE:
        status = _fields(line + 2, stop - 2)
    if status != COMPLETE:
        return status
    return _body(stop, begin + length)


def _end_of_head(at: int, length: int) -> int:
    """Where the body starts; 0 when the head has not come whole, -1 when it holds what no head may hold."""
    line = at
    while at < length:
        byte = int(table.space[at])
        if byte == CR:
            if at + 1 == length:
                return 0
            if table.space[at + 1] != LF:
                return -1
            if at == line:
                return at + 2
            at += 1
            line = at + 1
        elif (byte < SPACE and byte != TAB) or byte == 127:
            return -1
        at += 1
    return 0


def _request_line(at: int, stop: int) -> int:
    """Method, target and version, one space between them."""
    one = request[0]
    first = find(at, stop, SPACE)
    second = find(first + 1, stop, SPACE)
    if first == at or second >= stop or not _is_token(at, first) or table.space[first + 1] != SLASH:
        return BAD
    one.method = _method(at, first)
    one.path, one.target_end = first + 1, second
    one.path_end = find(first + 1, second, QUESTION)
    if stop - second != 9 or not same(second + 1, stop - 1, b"http/1."):
        return BAD if not same(second + 1, min(second + 6, stop), b"http/") else BAD_VERSION
    one.version = int(table.space[stop - 1]) - 48
    return COMPLETE if 0 <= one.version <= 1 else BAD_VERSION


def _method(at: int, stop: int) -> int:
    """The method's bit; methods are told apart by case."""
    if exact(at, stop, b"GET"):
        return GET
    if exact(at, stop, b"HEAD"):
        return HEAD
    if exact(at, stop, b"POST"):
        return POST
    if exact(at, stop, b"PUT"):
        return PUT
    return DELETE if exact(at, stop, b"DELETE") else OTHER


def _fields(at: int, stop: int) -> int:
    """The header fields that matter: Host, Content-Length, Transfer-Encoding, Connection."""
    one = request[0]
    one.body_length = one.hosts = one.lengths = one.closes = one.keeps = 0
    while at < stop:
        line = find(at, stop, CR)
        colon = find(at, line, COLON)
        if colon in (line, at) or not _is_token(at, colon):
            return BAD
        status = _field(at, colon, line)
        if status != COMPLETE:
            return status
        at = line + 2
    return COMPLETE if one.hosts == 1 or (one.version == 0 and one.hosts == 0) else BAD


def _field(at: int, colon: int, stop: int) -> int:
    """Take notice of one field."""
    one = request[0]
    start = colon + 1
    while start < stop and _is_blank(start):
        start += 1
    while stop > start and _is_blank(stop - 1):
        stop -= 1
    if same(at, colon, b"host"):
        one.hosts += 1
    elif same(at, colon, b"transfer-encoding"):
        return NOT_IMPLEMENTED
    elif same(at, colon, b"connection"):
        one.closes |= same(start, stop, b"close")
        one.keeps |= same(start, stop, b"keep-alive")
    elif same(at, colon, b"content-length"):
        return _length(start, stop)
    return COMPLETE


def _length(start: int, stop: int) -> int:
    """Take the body's length; a second one must agree with the first (request smuggling)."""
    one = request[0]
    value = decimal(start, stop)
    if value < 0 or (one.lengths > 0 and one.body_length != value):
        return BAD
    one.lengths += 1
    one.body_length = value
    return COMPLETE


def _body(start: int, stop: int) -> int:
    """Whether the body has come."""
    one = request[0]
    one.body = start
    one.end = start + one.body_length
    if one.end - one.begin > table.RECEIVE:
        return TOO_LARGE
    return COMPLETE if one.end <= stop else INCOMPLETE


def keeps_open() -> bool:
    """Whether the client wants to send another request on this connection."""
    one = request[0]
    return one.closes == 0 and (one.version == 1 or one.keeps != 0)


def find(at: int, stop: int, byte: int) -> int:
    """Where `byte` is first found; `stop` when it is not."""
    while at < stop and table.space[at] != byte:
        at += 1
    return min(at, stop)


def decimal(start: int, stop: int) -> int:
    """The number that these digits write; -1 when they do not, or write one of more than nine digits."""
    if start >= stop or stop - start > 9:
        return -1
    value = 0
    for at in range(start, stop):
        digit = int(table.space[at]) - 48
        if digit < 0 or digit > 9:
            return -1
        value = 10 * value + digit
    return value


def exact(start: int, stop: int, word: bytes) -> bool:
    """Whether these bytes are `word`."""
    if stop - start != len(word):
        return False
    for i in range(len(word)):  # noqa: SIM110 (a generator would need a heap)
        if table.space[start + i] != word[i]:
            return False
    return True


def same(start: int, stop: int, word: bytes) -> bool:
    """Whether these bytes are `word`, which is in lower case, in whatever case."""
    if stop - start != len(word):
        return False
    for i in range(len(word)):  # noqa: SIM110
        if _lower(int(table.space[start + i])) != word[i]:
            return False
    return True


def _lower(byte: int) -> int:
    return byte + 32 if 65 <= byte <= 90 else byte


def _is_blank(at: int) -> bool:
    return table.space[at] == SPACE or table.space[at] == TAB


def _is_token(start: int, stop: int) -> bool:
    """Whether these bytes may stand in a name (RFC 9110, 5.6.2)."""
    for at in range(start, stop):
        byte = _lower(int(table.space[at]))
        letter = 97 <= byte <= 122 or 48 <= byte <= 57
        mark = byte in (33, 35, 36, 37, 38, 39, 42, 43, 45, 46, 94, 95, 96, 124, 126)
        if not letter and not mark:
            return False
    return True
