"""Hands the machine addresses and lengths that make no sense. The first refusal ends the guest."""

from denali.libos import machine, unsafe

SEND = 3


def main() -> None:
    """Send a frame from a wild address, of a wild length."""
    while True:
        unsafe.service(SEND, machine.random(), machine.random())
