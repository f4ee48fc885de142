"""Work that is worth compiling: prime numbers and the Mandelbrot set, at native speed inside a guest.

denali-py spawn examples/compute.py --count 10
curl http://127.1.0.3:8080/primes/1000000
curl http://127.1.0.3:8080/mandelbrot
"""

import numpy as np

from denali.libos.net import http

MOST = 1 << 20
SHADES = b" .:-=+*#%@"

composite = np.zeros(MOST, np.uint8)

http.configure(response_bytes=4096)


def primes(limit: int) -> int:
    """How many primes lie below a limit (the sieve of Eratosthenes)."""
    composite[:limit] = 0
    count = 0
    for n in range(2, limit):
        if composite[n] == 0:
            count += 1
            for multiple in range(n * n, limit, n):
                composite[multiple] = 1
    return count


def mandelbrot() -> None:
    """Draw 72 by 30 points of the set."""
    for row in range(30):
        for column in range(72):
            http.byte(SHADES[escape(-2.2 + column / 24, -1.25 + row / 12) % len(SHADES)])
        http.text(b"\n")


def escape(x: float, y: float) -> int:
    """After how many steps a point leaves the circle of radius two; 199 when it stays."""
    a, b, steps = 0.0, 0.0, 0
    while a * a + b * b < 4.0 and steps < 199:
        a, b, steps = a * a - b * b + x, 2 * a * b + y, steps + 1
    return steps


def answer() -> None:
    """Compute what is asked for."""
    if http.get(b"/mandelbrot"):
        mandelbrot()
    elif http.get(b"/primes/*"):
        limit = http.number()
        if limit < 0 or limit > MOST:
            http.status(400)
            return
        http.integer(primes(limit))
        http.text(b"\n")
    elif http.get(b"/"):
        http.text(b"ask for /primes/1000000 or /mandelbrot\n")


def main() -> None:
    """Answer requests for ever."""
    http.serve(80, answer)
