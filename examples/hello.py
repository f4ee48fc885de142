"""A web server in every guest, each with its own address.

    denali-py spawn examples/hello.py --count 5000
    curl http://127.1.0.17:8080/

It is an ordinary Python module: it compiles to a guest's machine code, and runs under CPython in its tests.
"""

from denali.libos import machine
from denali.libos.net import http


def answer() -> None:
    """Say who is answering."""
    if http.get(b"/"):
        http.text(b"Hello from guest ")
        http.integer(machine.number())
        http.text(b" at ")
        http.dotted(machine.address())
        http.text(b"\n")


def main() -> None:
    """Answer requests for ever."""
    http.serve(80, answer)
