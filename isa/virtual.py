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
    PEEK = 13  # rs1: buffer, rs2: start << 32 | size; rd: length of the waiting frame from there; it stays
    GATHER = 14  # rs1, rs2: address | size << 32 of a frame's first and second part; rd: a number of `Sent`
    MARK = 15  # the guest is set up: an image is warmed up to here; rd: 1 in guests that start here, else 0
    MMU = 16  # rs1: entries (a power of two, 16 to 4096; 0: off), rs2: address of `WIRED`; rd: 0, -1 when out of frames
    BIND = 17  # rs1: page | `Right`s, rs2: physical address of a page; the TLB has an entry for the page from now on
    BINDS = 18  # rs1: address of `BINDING` records, rs2: how many (at most 256): `BIND` for each of them
    PROBE = 19  # rs1: address; rd: physical address of its page | `Right`s as the TLB has them, 0 when it has no entry
    DROP = 20  # rs1: page, rs2: how many pages from there on; 0: all; the TLB has no entries for them any more
    ALLOCATE = 21  # rs1: array for physical addresses, rs2: how many (1 to 64); rd: how many zeroed frames were had
    RELEASE = 22  # rs1: array of physical addresses, rs2: how many (1 to 64); rd: how many frames were given back
    SHARE = 23  # rs1: physical address | `Right`s, rs2: a guest's number: offer it that frame; rd: a number of `Shared`
    ATTACH = 24  # rs1: physical address of a frame that was offered; rd: the `Right`s, 0 no offer, -1 no room


class Sent(enum.IntEnum):
    """What became of a frame that a guest sent."""

    QUEUED = 0
    NOBODY = 1  # no running guest has that address
    FULL = 2  # its queue, or the sender's credit, is used up; dropped and counted


class Shared(enum.IntEnum):
    """What became of the offer of a frame."""

    OFFERED = 0  # it waits until that guest attaches it or this one gives the frame up
    NOBODY = 1  # no such guest lives
    FULL = 2  # the frame has as many holders and offers as a frame may have


class Right(enum.IntFlag):
    """What a binding allows; who may write may read."""

    READ = 1
    WRITE = 2
    EXECUTE = 4


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
    REVOKE = 16  # the kernel wants frames back: `revoked` says how many, `revoke_by` says when
    REPOSSESSED = 32  # it has taken frames by force: they are listed at `repossession`


# "Physical" addresses, as bindings name memory: below this, a page of the guest's own private memory at its usual
# address; from here on frames, 4096 apart, which a guest may bind when it holds them.
FRAMES_AT = 1 << 40
WIRED = np.dtype([("start", "<u8"), ("size", "<u8")])  # private memory that needs no entries while the MMU is on
BINDING = np.dtype([("page", "<u8"), ("frame", "<u8")])  # the two arguments of `BIND`
REPOSSESSION = np.dtype([("count", "<u8"), ("room", "<u8")])  # then `room` words: physical addresses of frames lost

STREAM_OPEN = np.dtype([("address", "<u4"), ("port", "<u4")])  # IPv4 address (host order) and port the client dialled

# The registers page: where the image says, else at the top of a guest's private memory; its address is in tp when the
# guest starts, and sp is that, rounded down to 16. The kernel writes the page before each turn; the guest writes the
# fields marked "guest".
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
        ("revoked", "<u8"),  # frames that the kernel wants back and has not got yet
        ("revoke_by", "<u8"),  # the clock when it will take them
        ("repossession", "<u8"),  # address of a `REPOSSESSION` vector; zero: none (guest)
        ("reserved", "<u8", 2),
    ]
)
assert REGISTERS.itemsize == 128


def address_of(number: int) -> int:
    """The IPv4 address (host order) of guest `number` on the virtual network: 10.1.0.0 + number."""
    return (10 << 24) + (1 << 16) + number


def loopback_of(number: int) -> int:
    """The loopback address (host order) by which the host reaches guest `number`: 127.1.0.0 + number."""
    return (127 << 24) + (1 << 16) + number
