"""Take HTTP requests apart, byte by byte: method, path, headers, their lengths."""

import numpy as np

REQUEST = np.frombuffer(
    b"GET /guests/17/console?from=4096 HTTP/1.1\r\nHost: 127.1.0.17:8080\r\nUser-Agent: curl/8.5.0\r\n"
    b"Accept: text/html, application/json;q=0.9, */*;q=0.8\r\nContent-Length: 1729\r\nConnection: keep-alive\r\n\r\n",
    np.uint8,
)
WORK = np.zeros(512, np.uint8)


def parse(work, length):
    """A number that depends on every token of the request."""
    place = 0
    mixed = 0
    while place < length:
        start, name, value = place, 0, 0
        while place < length and work[place] != 13:
            byte = int(work[place])
            if byte == 58 and name == 0:
                name = place - start
            elif 48 <= byte <= 57:
                value = value * 10 + byte - 48 & 0xFFFFFF
            elif 65 <= byte <= 90:
                byte += 32
            mixed = (mixed * 33 ^ byte) & 0xFFFFFFFF
            place += 1
        mixed = (mixed + name * 131 + value) & 0xFFFFFFFF
        place += 2
    return mixed


def kernel(amount, work):
    """Answer what all parsing gave."""
    length = len(REQUEST)
    for place in range(length):
        work[place] = REQUEST[place]
    mixed = 0
    for turn in range(amount):
        work[5 + turn % 8] = 97 + turn % 26
        mixed = (mixed * 31 + parse(work, length)) & 0xFFFFFFFF
    return mixed
