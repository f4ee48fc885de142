# pyright: basic
"""The network card and the switch behind it: three verbs, no tables to learn or to poison.

    send     a frame goes to the guest whose number its destination address spells; `Sent` says what became of it
    peek     bytes of the frame that waits first, so that a guest needs no buffer for a whole one
    receive  the next frame that waits, cut to the buffer

A MAC address is 02:00 and the IPv4 address, which is 10.1.0.0 plus the guest's number. A frame that lies, about its
source or about its IPv4 packet, is refused like any other bad argument: its sender traps. Buffers are shared by all
guests; two limits keep anyone from having them all: a guest's frames that still wait somewhere (its credit), and the
frames that wait for one guest. Both shrink with what is free (after Choudhury and Hahne, "Dynamic queue length
thresholds", 1998), so late comers find room.

    law: a buffer is in exactly one guest's queue, or free; `outstanding` is the number of those a guest has sent
"""

from __future__ import annotations

from typing import Any

from denali.isa.virtual import Sent, address_of
from denali.tlb.native import bytes_at, copy, native, offset_of

from .events import FRAME, raise_event
from .pool import give, take
from .records import NOBODY, PACKET, State, guest_at, named, packet_at, pool_at

SHORTEST, LONGEST = 14, 1514
HEADERS = 34  # of a frame in parts, the first part has these: the switch looks at them
LIES = -1  # instead of a number of `Sent`
CREDIT, QUEUE = 128, 128  # at most, for an ordinary guest
GATEWAY_CREDIT, GATEWAY_QUEUE = 16384, 16384
_NETWORK = address_of(0)
_ETHERNET_HEADER, _IPV4_HEADER = 14, 20
_QUEUED, _NOBODY, _FULL = int(Sent.QUEUED), int(Sent.NOBODY), int(Sent.FULL)
_DATA, _SIZE = offset_of(PACKET, "data"), PACKET.itemsize


@native
def _address(frame: Any, start: int) -> int:
    """Four bytes of a frame, most significant first."""
    high = (int(frame[start]) << 24) | (int(frame[start + 1]) << 16)
    return high | (int(frame[start + 2]) << 8) | int(frame[start + 3])


@native
def destination(kernel: Any, frame: Any) -> int:
    """The living guest that a frame is for, or NOBODY."""
    return named(kernel, _address(frame, 2) - _NETWORK) if frame[0] == 2 and frame[1] == 0 else NOBODY


@native
def alive(kernel: Any, number: int) -> bool:
    """Whether a guest of the table lives."""
    return State.HELD <= guest_at(kernel, number).state <= State.IDLE


@native
def honest(name: int, frame: Any, length: int) -> bool:
    """Whether a frame's source addresses are those of guest `name`, its IPv4 packet whole in its `length` bytes."""
    own = _NETWORK + name
    if frame[6] != 2 or frame[7] != 0 or _address(frame, 8) != own:
        return False
    if frame[12] != 8 or frame[13] != 0:
        return True
    if length < HEADERS or frame[14] >> 4 != 4 or _address(frame, 26) != own:
        return False
    header, total = (int(frame[14]) & 15) << 2, (int(frame[16]) << 8) | int(frame[17])
    return _IPV4_HEADER <= header <= total <= length - _ETHERNET_HEADER


@native
def _has_credit(kernel: Any, number: int) -> bool:
    """Whether a guest may have one more frame waiting somewhere."""
    guest, free = guest_at(kernel, number), pool_at(kernel.packets).free
    if guest.gateway:
        return guest.outstanding < min(GATEWAY_CREDIT, free >> 1)
    return guest.outstanding < min(CREDIT, free >> 4)


@native
def _has_room(kernel: Any, number: int, outstanding: int) -> bool:
    """Whether a guest's queue takes one more frame of a sender that has so many waiting already."""
    guest, free = guest_at(kernel, number), pool_at(kernel.packets).free
    most = min(GATEWAY_QUEUE, free >> 1) if guest.gateway else min(QUEUE, free >> 4)
    room = most - guest.queue_length
    return room > 0 and outstanding <= room


@native
def _enqueue(kernel: Any, number: int, sender: int, frame: int, length: int, rest: int, more: int) -> bool:
    """Copy the two parts of a frame into a buffer at the end of a guest's queue; False when there is no buffer."""
    index = take(kernel.packets)
    if index < 0:
        return False
    packet, guest = packet_at(kernel, index), guest_at(kernel, number)
    packet.next, packet.length, packet.sender = NOBODY, length + more, sender
    data = pool_at(kernel.packets).items + index * _SIZE + _DATA
    copy(data, frame, length)
    copy(data + length, rest, more)
    if guest.queue_head == NOBODY:
        guest.queue_head = index
    else:
        packet_at(kernel, guest.queue_tail).next = index
    guest.queue_tail = index
    guest.queue_length += 1
    kernel.frames_switched += 1
    kernel.bytes_switched += length + more
    raise_event(kernel, number, FRAME)
    return True


@native
def send(kernel: Any, number: int, address: int, length: int, rest: int, more: int) -> int:
    """Send a frame for guest `number`; the answer is a number of `Sent`, or `LIES`.

    `length` bytes of it, all headers among them, lie at one host address, `more` bytes at another.
    """
    guest, frame = guest_at(kernel, number), bytes_at(address, length)
    if not honest(guest.name, frame, length + more):
        return LIES
    receiver = destination(kernel, frame)
    if receiver == NOBODY:
        guest.sent_to_nobody += 1
        return _NOBODY
    room = _has_room(kernel, receiver, 0 if guest.gateway else guest.outstanding)
    if not (room and _has_credit(kernel, number) and _enqueue(kernel, receiver, number, address, length, rest, more)):
        guest.sent_to_full += 1
        guest_at(kernel, receiver).missed += 1
        return _FULL
    guest.outstanding += 1
    guest.frames_sent += 1
    guest.bytes_sent += length + more
    return _QUEUED


@native
def inject(kernel: Any, number: int, address: int, length: int) -> int:
    """Put a frame from the host into a living guest's queue."""
    if not (_has_room(kernel, number, 0) and _enqueue(kernel, number, NOBODY, address, length, address, 0)):
        guest_at(kernel, number).missed += 1
        return _FULL
    return _QUEUED


@native
def _dequeue(kernel: Any, number: int) -> int:
    """Take the first buffer off a guest's queue and give its sender the credit back; free it after use."""
    guest = guest_at(kernel, number)
    index = guest.queue_head
    packet = packet_at(kernel, index)
    guest.queue_head = packet.next
    guest.queue_length -= 1
    if packet.sender != NOBODY:
        guest_at(kernel, packet.sender).outstanding -= 1
    return index


@native
def peek(kernel: Any, number: int, address: int, start: int, size: int) -> int:
    """Copy at most `size` bytes of the frame that waits first, from byte `start` on; how many there are, 0 for none."""
    index = guest_at(kernel, number).queue_head
    there = packet_at(kernel, index).length - start if index != NOBODY else 0
    if there <= 0:
        return 0
    copy(address, pool_at(kernel.packets).items + index * _SIZE + _DATA + start, min(size, there))
    return there


@native
def receive(kernel: Any, number: int, address: int, size: int) -> int:
    """Copy the next frame, at most `size` bytes of it, to a host address; its length there, 0 when none waits."""
    guest = guest_at(kernel, number)
    if guest.queue_head == NOBODY or size == 0:
        return 0
    index = _dequeue(kernel, number)
    length = min(size, packet_at(kernel, index).length)
    copy(address, pool_at(kernel.packets).items + index * _SIZE + _DATA, length)
    give(kernel.packets, index)
    guest.frames_received += 1
    guest.bytes_received += length
    return length


@native
def drop_queue(kernel: Any, number: int) -> None:
    """Forget the frames that wait for a guest."""
    while guest_at(kernel, number).queue_head != NOBODY:
        give(kernel.packets, _dequeue(kernel, number))
