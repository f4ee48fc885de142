"""A guest that accepts and never says a word."""

from denali.libos.net import tcp


def main() -> None:
    """Wait for ever."""
    tcp.listen(80)
    while True:
        tcp.wait()
