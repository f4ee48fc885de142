"""Guests that talk to each other: ten at a time form a ring and hand a token on.

    denali-py spawn examples/ring.py --count 10
    curl -X POST http://127.1.0.1:8080/token/1000
    curl http://127.1.0.5:8080/

The token makes a thousand steps from guest to guest; each says how often it has seen one.
"""

import numpy as np

from denali.isa.virtual import address_of
from denali.libos import machine
from denali.libos.net import http, tcp

RING = 10
MESSAGE = b"POST /token/000000000 HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n"
FIRST_DIGIT, DIGITS = 12, 9

message = np.zeros(len(MESSAGE), np.uint8)
seen = np.zeros(1, np.int64)


def hand_on(steps: int) -> None:
    """Send the token to the next guest of this ring."""
    here = machine.number()
    following = (here - 1) // RING * RING + here % RING + 1
    for i in range(len(MESSAGE)):
        message[i] = MESSAGE[i]
    for i in range(FIRST_DIGIT + DIGITS - 1, FIRST_DIGIT - 1, -1):
        message[i] = 48 + steps % 10
        steps //= 10
    c = tcp.connect(address_of(following), 80)
    if c >= 0:
        tcp.send(c, message, len(message))


def answer() -> None:
    """Take a token, or say how many there were."""
    if http.post(b"/token/*"):
        steps = http.number()
        seen[0] += 1
        if steps > 0:
            hand_on(steps - 1)
        http.text(b"taken\n")
    elif http.get(b"/"):
        http.integer(int(seen[0]))
        http.text(b"\n")


def main() -> None:
    """Answer requests for ever."""
    http.serve(80, answer)
