"""The virtual instructions, in the opcode custom-0: each asks the kernel for a service (see `virtual`).

They are written `v.send rd, rs1, rs2`; an operand that a service does not use may be any register.
"""

from __future__ import annotations

from ..virtual import CUSTOM_0, Service
from .instruction import instruction
from .machine import Machine
from .operands import Reg


def serve(cpu: Machine, rd: Reg, rs1: Reg, rs2: Reg, *, service: Service) -> None:
    """rd = what the kernel's service answers to rs1 and rs2."""
    cpu[rd] = cpu.virtual(service, cpu[rs1], cpu[rs2])


DESCRIPTIONS = {
    Service.EXIT: "End this guest with the exit status rs1.",
    Service.IDLE: "Sleep until the clock reaches rs1 ns (all ones: no limit) or an enabled event is pending.",
    Service.YIELD: "End this turn; the guest stays ready.",
    Service.SEND: "Send the Ethernet frame of rs2 bytes at rs1; rd = 0 queued, 1 nobody has that address, 2 full.",
    Service.RECEIVE: "Copy the next frame to the rs2 bytes at rs1; rd = its length, 0 when none waits.",
    Service.CONSOLE: "Write the rs2 bytes at rs1 to the console; rd = how many were taken this turn.",
    Service.CLOCK: "rd = the clock, ns.",
    Service.FAIL: "Stop this guest as failed, with the rs2 bytes at rs1 as the message.",
    Service.RETURN: "Return from the event handler to the saved pc.",
    Service.ACCEPT: "Gateway only: rd = the handle of a stream that arrived, -1 when none did; described at rs1.",
    Service.READ: "Gateway only: read from the stream rs2 >> 32 to the low 32 bits of rs2 bytes at rs1; rd = how many.",
    Service.WRITE: "Gateway only: write the low 32 bits of rs2 bytes at rs1 to the stream rs2 >> 32; rd = how many.",
    Service.CLOSE: "Gateway only: close the stream rs1; rs2 = 0 orderly, 1 reset, 2 half.",
    Service.PEEK: "Copy a waiting frame from byte rs2 >> 32 to the low half of rs2 bytes at rs1; rd = what is there.",
    Service.GATHER: "Send a frame that lies in two parts, size << 32 | address in rs1 and rs2; rd as for v.send.",
    Service.MARK: "Say that this guest is set up: a warmed image starts its guests here; rd = 1 in those, else 0.",
    Service.MMU: "Virtual MMU on: a TLB of rs1 entries (0: off), the memory described at rs2 wired; rd = 0, or -1.",
    Service.BIND: "Write the TLB entry of the page in rs1, with the rights in its low bits: it leads to rs2.",
    Service.BINDS: "`v.bind` for each of the rs2 pairs of page and physical address at rs1, or for none.",
    Service.PROBE: "rd = physical address and rights of the TLB entry for the address rs1, 0 when there is none.",
    Service.DROP: "Drop the TLB entries of rs2 pages from rs1 on; 0: all entries.",
    Service.ALLOCATE: "Ask for rs2 frames; their physical addresses go to the array at rs1; rd = how many there are.",
    Service.RELEASE: "Give back the rs2 frames whose physical addresses are in the array at rs1; rd = how many.",
    Service.SHARE: "Offer the frame rs1, with the rights in its low bits, to guest rs2; rd = 0, 1 nobody, 2 full.",
    Service.ATTACH: "Hold the frame rs1, which was offered, as well; rd = the rights, 0 no offer, -1 no room.",
}

for _service in Service:
    instruction(
        f"{_service:07b} rs2:5 rs1:5 000 rd:5 {CUSTOM_0:07b}",
        name=f"v.{_service.name.lower()}",
        description=DESCRIPTIONS[_service],
        service=_service,
    )(serve)
