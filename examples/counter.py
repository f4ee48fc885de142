"""A number that lives in each guest, and only there.

denali-py spawn examples/counter.py --count 100
curl -X POST http://127.1.0.7:8080/add/5
curl http://127.1.0.7:8080/
"""

import numpy as np

from denali.libos.net import http

total = np.zeros(1, np.int64)


def answer() -> None:
    """Add to the number, or say it."""
    if http.post(b"/add/*"):
        amount = http.number()
        if amount < 0:
            http.status(400)
            return
        total[0] += amount
        http.integer(int(total[0]))
        http.text(b"\n")
    elif http.get(b"/"):
        http.integer(int(total[0]))
        http.text(b"\n")


def main() -> None:
    """Answer requests for ever."""
    http.serve(80, answer)
