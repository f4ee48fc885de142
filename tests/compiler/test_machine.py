"""The machine's functions in a guest: each reaches its service with the right arguments, or its register."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engines import Call, run

from denali.isa.context import Status
from denali.isa.definitions.record import ALL_ONES
from denali.isa.image import Image
from denali.isa.virtual import REGISTERS, Service
from denali.libos import fake, machine
from denali.libos.compiler import build

from .guest import MEMORY, run_image, run_text, write

CALLS = """
frame = np.arange(100, dtype=np.uint8)
words = np.zeros(8, np.int64)
seen = np.zeros(16, np.int64)


def main() -> int:
    seen[0] = machine.send(frame, 60)
    seen[1] = machine.receive(frame)
    seen[2] = machine.console(frame[10:20])
    seen[3] = machine.clock()
    machine.idle(machine.FOREVER)
    machine.idle(1234)
    machine.yield_()
    seen[4] = machine.accept(words)
    seen[7] = machine.gather(frame, 40, frame[50:60])
    seen[8] = machine.peek(words, 54)
    seen[5] = machine.stream_read(7, words)
    seen[6] = machine.stream_write(8, frame, 33)
    machine.stream_close(9, machine.Closing.HALF)
    machine.exit(42)
    return 1
"""

REGISTERS_READ = """
seen = np.zeros(8, np.int64)


def main() -> int:
    seen[0] = machine.number()
    seen[1] = machine.address()
    seen[2] = machine.memory()
    machine.set_mask(machine.Event.FRAME | machine.Event.STREAM)
    seen[3] = machine.pending()
    machine.clear(0xFFFF)
    seen[4] = machine.random()
    seen[5] = machine.random()
    return 0
"""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image.from_elf(build(write(tmp_path_factory.mktemp("calls"), CALLS)), "service")


def test_each_function_is_its_virtual_instruction(calls: Image) -> None:
    asked: list[tuple[int, int, int]] = []

    def service(call: Call) -> int:
        asked.append((call.number, call.a & ALL_ONES, call.b & ALL_ONES))
        return call.leave() if call.number == Service.EXIT else 100 + len(asked)

    outcome = run("interpreter", calls, fuel=100_000, private_size=MEMORY, service=service)
    assert outcome.status is Status.LEFT
    frame, words = calls.object("service.frame").start, calls.object("service.words").start
    no = [asked[i][2] for i in (3, 4, 5, 6, 7, 13)]  # what the service does not use is whatever the register holds
    assert asked == [
        (Service.SEND, frame, 60),
        (Service.RECEIVE, frame, 100),
        (Service.CONSOLE, frame + 10, 10),
        (Service.CLOCK, asked[3][1], no[0]),
        (Service.IDLE, (1 << 63) - 1, no[1]),
        (Service.IDLE, 1234, no[2]),
        (Service.YIELD, asked[6][1], no[3]),
        (Service.ACCEPT, words, no[4]),
        (Service.GATHER, 40 << 32 | frame, 10 << 32 | frame + 50),
        (Service.PEEK, words, 54 << 32 | 64),
        (Service.READ, words, 7 << 32 | 64),
        (Service.WRITE, frame, 8 << 32 | 33),
        (Service.CLOSE, 9, 2),
        (Service.EXIT, 42, no[5]),
    ]
    seen = calls.object("service.seen")
    at = seen.start - calls.private_start
    results = np.frombuffer(outcome.memory[at : at + 72], "<i8")
    assert list(results) == [101, 102, 103, 104, 108, 111, 112, 109, 110]


@pytest.mark.parametrize("engine", ["reference", "interpreter"])
def test_registers_are_read_and_written_in_their_page(tmp_path: Path, engine: str) -> None:
    image = Image.from_elf(build(write(tmp_path, REGISTERS_READ)), "service")
    end = run_image(image, engine)
    place = image.registers_in(MEMORY) - image.private_start
    page = np.frombuffer(end.private[place : place + REGISTERS.itemsize], REGISTERS)[0]
    seen = end.words("service.seen")
    assert seen[:4] == [0, 0, 0, 0]  # no kernel has filled the page
    assert page["mask"] == machine.Event.FRAME | machine.Event.STREAM
    assert page["pending"] == 0
    assert seen[4] != seen[5]
    assert min(seen[4:6]) > 0


def test_print_writes_everything_to_a_console_that_takes_little(tmp_path: Path) -> None:
    source = "def main() -> int:\n    print(-123, 'text', True, b'bytes')\n    return 0\n"
    end = run_text(tmp_path, source, console_takes=3)
    assert end.console == "-123 text True bytes\n"


def test_main_may_return_nothing(tmp_path: Path) -> None:
    assert run_text(tmp_path, "def main() -> None:\n    print(1)\n").exit_status == 0


def test_a_service_runs_under_cpython_on_a_fake_machine() -> None:
    with machine.use(fake.Machine(guest=5)) as host:
        host.deliver(b"x" * 60, at=1000)
        buffer = machine.buffer(100)
        machine.idle(machine.FOREVER)
        assert (machine.clock(), machine.pending()) == (1000, machine.Event.FRAME)
        assert machine.receive(buffer) == 60
        assert machine.send(buffer, 60) == machine.Sent.QUEUED
        assert host.sent == [b"x" * 60]
        assert machine.console(b"hello") == 5
        assert (bytes(host.text), machine.number()) == (b"hello", 5)


def test_an_idle_that_nothing_ends_is_an_error_under_cpython() -> None:
    with machine.use(fake.Machine()), pytest.raises(fake.Stalled):
        machine.idle(machine.FOREVER)


def test_without_a_machine_the_functions_say_so() -> None:
    with pytest.raises(RuntimeError, match=r"machine\.use"):
        machine.clock()
