"""Send everybody back what they send, many at a time.

denali-py spawn examples/echo.py --count 10
nc 127.1.0.3 8080
"""

import numpy as np

from denali.libos.net import tcp

buffer = np.zeros(1024, np.uint8)


def main() -> None:
    """Echo for ever."""
    tcp.listen(80)
    while True:
        c = tcp.wait()
        length = tcp.receive(c, buffer[: tcp.room(c)])
        if length > 0:
            tcp.send(c, buffer, length)
        elif length < 0:
            tcp.close(c)
