"""A guest that accepts, hears what it is asked, and never answers."""

from denali.libos.net import tcp


def main() -> None:
    """Wait for ever."""
    tcp.listen(80)
    while True:
        if tcp.available(tcp.wait()) > 0:
            print("asked")
