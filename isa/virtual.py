"""What is virtual about the machine: the services behind custom-0, and the registers page.

A virtual instruction has the R layout in the opcode custom-0 (0001011) with funct3 zero; funct7 is its number here.
It asks the kernel for a service with the values of rs1 and rs2 and receives one value in rd.
"""

from __future__ import annotations

import enum

import numpy as np

CUSTOM_0 = 0b0001011


class Service(enum.IntEnum):
    """The number, arguments and result of each virtual instruction; a refused argument traps (`Cause.DEVICE`)."""

    EXIT = 0  # rs1: exit status; the guest ends
    IDLE = 1  # rs1: clock value in ns (all ones: no limit); sleeps until then or until an enabled event is pending
    YIELD = 2  # ends this turn; the guest stays ready
    SEND = 3  # rs1: address of an Ethernet frame, rs2: its length (14..1514); rd: a number of `Sent`
    RECEIVE = 4  # rs1: buffer, rs2: its size; rd: length of the frame copied there, 0 when none waits
    CONSOLE = 5  # rs1: bytes, rs2: how many; rd: how many were taken this turn
    CLOCK = 6  # rd: the clock, ns
    FAIL = 7  # rs1: message, rs2: its length; the guest stops with `Cause.FAILED` and this text
    RETURN = 8  # return from the event handler to the saved pc
    ACCEPT = 9  # gateway only: a stream that arrived; rs1: buffer for `STREAM_OPEN`; rd: its handle, or -1 when none
    READ = 10  # gateway only: rs1: buffer, rs2: handle << 32 | size; rd: bytes, 0 at the end, -1 nothing yet, -2 reset
    WRITE = 11  # gateway only: rs1: bytes, rs2: handle << 32 | size; rd: bytes taken, -1 when it would block, -2 reset
    CLOSE = 12  # gateway only: rs1: handle, rs2: a number of `Closing`
    PEEK = 13  # rs1: buffer, rs2: start << 32 | size; rd: bytes copied of the frame that waits first, which stays there
    GATHER = 14  # rs1, rs2: address | size << 32 of a frame's first and second part; rd: a number of `Sent`


class Sent(enum.IntEnum):
    """What became of a frame that a guest sent."""

    QUEUED = 0
    NOBODY = 1  # no running guest has that address
    FULL = 2  # its queue, or the sender's credit, is used up; dropped and counted


class Closing(enum.IntEnum):
    """How the gateway closes a host stream."""

    ORDERLY = 0  # after what was written has been delivered
    RESET = 1  # at once; the client sees "connection reset"
    HALF = 2  # no more will be written; reading goes on


class Event(enum.IntFlag):
    """Bits of the pending and mask registers."""

    FRAME = 1  # a frame waits
    TIMER = 2  # the time given to idle has come
    STREAM = 4  # a host stream has something (gateway)
    QUANTUM = 8  # the turn is about to end; the kernel does not raise it yet


STREAM_OPEN = np.dtype([("address", "<u4"), ("port", "<u4")])  # IPv4 address (host order) and port the client dialled

# The registers page: at the top of a guest's private memory, its address in tp when the guest starts. The kernel
# writes it before each turn; the guest writes the fields marked "guest".
REGISTERS = np.dtype(
    [
        ("clock", "<u8"),  # ns, when this turn began
        ("number", "<u4"),  # which guest this is
        ("address", "<u4"),  # its IPv4 address, host order
        ("memory", "<u8"),  # bytes of private memory
        ("start", "<u8"),  # address of its first byte
        ("random", "<u8", 2),  # fresh for every guest
        ("pending", "<u4"),  # events raised and not yet cleared (guest clears by writing)
        ("mask", "<u4"),  # events that end an idle (guest); all ones when it starts
        ("handler", "<u8"),  # where events and traps are delivered; zero: nowhere (guest)
        ("saved_pc", "<u8"),  # where RETURN continues (kernel writes on delivery, guest may change)
        ("cause", "<u8"),  # why the handler was entered: a `Cause`, or 64 + the event bits
        ("value", "<u8"),  # the cause's value
        ("reserved", "<u8", 5),
    ]
)
assert REGISTERS.itemsize == 128


def address_of(number: int) -> int:
    """The IPv4 address (host order) of guest `number` on the virtual network: 10.1.0.0 + number."""
    return (10 << 24) + (1 << 16) + number


def loopback_of(number: int) -> int:
    """The loopback address (host order) by which the host reaches guest `number`: 127.1.0.0 + number."""
    return (127 << 24) + (1 << 16) + number
