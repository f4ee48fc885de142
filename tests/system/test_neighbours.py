"""Services that misbehave hurt nobody but themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from denali import Guest, Kernel, load
from denali.survey import survey

REQUEST = b"GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n"

# What each hostile service is stopped for; None: it does nothing that is forbidden, and only gets its share.
STOPPED = {
    "bad_device": "device",
    "console_flood": None,
    "endless_loop": "hung: 1",
    "endless_recursion": "(its stack is used up)",
    "flood": None,
    "illegal": "illegal instruction",
    "malformed": "refused the argument",
    "memory_filler": "inside its event handler",  # it filled its registers page too, the handler's address in it
    "null": "load access fault at 0x0",
    "spoof": "from its own address",
    "wild_jump": "which is not executable",
    "wild_load": "load access fault",
    "wild_store": "store access fault",
}


def hello(kernel: Kernel, examples: Path, count: int) -> Sequence[Guest]:
    return kernel.spawn(load(examples / "hello.py"), count=count)


def assert_answers(guest: Guest) -> None:
    assert guest.request(REQUEST).endswith(b"Hello from guest %d at %s\n" % (guest.number, guest.address.encode()))


def test_every_hostile_service_is_in_the_table(examples: Path) -> None:
    assert set(STOPPED) == {path.stem for path in (examples / "hostile").glob("[!_]*.py")}


@pytest.mark.parametrize("name", STOPPED)
def test_a_hostile_service_harms_only_itself(name: str, kernel: Kernel, examples: Path) -> None:
    neighbours = hello(kernel, examples, 20)
    villains = kernel.spawn(load(examples / "hostile" / f"{name}.py"), count=3, watchdog=10_000_000)
    if STOPPED[name] is not None:
        assert kernel.wait(villains, timeout=60)
        for villain in villains:
            message = villain.message or ""
            assert message.startswith(f"guest {villain.number} ({name}): ")
            assert str(STOPPED[name]) in message
    for neighbour in neighbours:
        assert_answers(neighbour)
    kernel.kill(*villains)


@pytest.mark.parametrize("name", [name for name, cause in STOPPED.items() if cause is not None])
def test_the_message_names_function_file_and_line(name: str, kernel: Kernel, examples: Path) -> None:
    villain = kernel.spawn(load(examples / "hostile" / f"{name}.py"), watchdog=10_000_000)[0]
    assert kernel.wait([villain], timeout=60)
    assert f"{name}.py:" in (villain.message or "")
    assert " pc 0x" in (villain.message or "")


def test_a_thousand_hostile_guests_among_a_thousand_good_ones(kernel: Kernel, examples: Path) -> None:
    each = -(-1000 // len(STOPPED))
    for name in STOPPED:
        kernel.spawn(load(examples / "hostile" / f"{name}.py"), count=each, watchdog=10_000_000)
    report = survey(kernel, load(examples / "hello.py"), 1000)
    assert (report.answered, report.failed) == (1000, 0)
    good = [guest for guest in kernel.guests() if guest.image.name == "hello"]
    assert len(good) == 1000
    kernel.kill(*(guest for guest in kernel.guests() if guest.image.name in STOPPED))
