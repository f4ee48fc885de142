"""Every argument of every service may be hostile: what does not fit is refused, and nobody else notices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from denali.isa.context import CONTEXT
from denali.isa.virtual import Service
from denali.kernel.kernel import Kernel
from denali.kernel.records import End

from .conftest import program
from .programs import SLEEPER

ASK = """
        .data
args:   .dword 0, 0
answer: .dword 0
        .text
_start: la s0, args
        ld a0, 0(s0)
        ld a1, 8(s0)
        v.{name} a2, a0, a1
        sd a2, 16(s0)
        v.exit zero, a2, zero
"""
WORD, HALF = 1 << 64, 1 << 32
MEMORY = 8192
ENDS_THE_TURN_OR_THE_LIFE = (
    Service.EXIT,
    Service.IDLE,
    Service.YIELD,
    Service.FAIL,
    Service.RETURN,
    Service.CLOCK,
    Service.MARK,
)
IMAGE = program(ASK.format(name="console"))


def moved(mark: int, off: int) -> int:
    return (mark + off) % WORD


def joined(high: int, low: int) -> int:
    return (high << 32 | low) % WORD


def edges() -> st.SearchStrategy[int]:
    """Numbers at and around the edges of everything, and any others."""
    size = 4096 * 3 - CONTEXT.itemsize
    marks = [0, IMAGE.ro_start, IMAGE.ro_end, IMAGE.private_start, IMAGE.private_start + size, 1 << 31, 1 << 63, WORD]
    near = st.builds(moved, st.sampled_from(marks), st.integers(-1600, 1600))
    halves = st.builds(joined, st.integers(0, 1600), near)
    return st.one_of(near, halves, st.integers(0, 2000), st.integers(0, WORD - 1))


def ask(kernel: Kernel, service: Service, a: int, b: int) -> tuple[End, int | None, str, int]:
    (guest,) = kernel.spawn(program(ASK.format(name=service.name.lower())), memory=MEMORY, start=False)
    guest.write("args", a.to_bytes(8, "little") + b.to_bytes(8, "little"))
    guest.start()
    assert guest.wait(10)
    assert guest.ending is not None
    return guest.ending.end, guest.exit_status, guest.message or "", guest.memory


def both_inside(a: int, b: int, size: int) -> bool:
    regions = ((IMAGE.private_start, size), (IMAGE.ro_start, len(IMAGE.read_only)))
    return all(any(inside(part % HALF, part >> 32, *region) for region in regions) for part in (a, b))


def inside(address: int, count: int, start: int, size: int) -> bool:
    return start <= address and address + count <= start + size


@pytest.mark.parametrize("service", [s for s in Service if s not in ENDS_THE_TURN_OR_THE_LIFE and s < Service.MMU])
def test_an_argument_fits_or_is_refused(make_kernel: Callable[..., Kernel], service: Service) -> None:
    kernel = make_kernel(capacity=1 << 16)
    (witness,) = kernel.spawn(program(SLEEPER), memory=MEMORY)
    before = witness.read_memory(witness.image.private_start, witness.memory - 128)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(edges(), edges())
    def hold(a: int, b: int) -> None:
        end, status, message, size = ask(kernel, service, a, b)
        image = program(ASK.format(name=service.name.lower()))
        private = inside(a, b, image.private_start, size)
        readable = private or inside(a, b, image.ro_start, len(image.read_only))
        fits = {Service.CONSOLE: readable, Service.RECEIVE: private}  # nothing there is a frame of its own
        fits[Service.PEEK] = inside(a, b % HALF, image.private_start, size)
        if fits.get(service, False):
            assert end is End.EXITED
            expected = {Service.CONSOLE: min(b, 4096), Service.RECEIVE: 0, Service.PEEK: 0}
            assert status == expected[service]
        else:
            assert end is End.TRAPPED
            assert "a device refused the argument" in message
            assert f" ({service.name.lower()}" in message

    hold()
    assert witness.read_memory(witness.image.private_start, witness.memory - 128) == before


def test_only_the_gateway_has_streams(kernel: Kernel) -> None:
    for service in (Service.ACCEPT, Service.READ, Service.WRITE, Service.CLOSE):
        end, _, message, _ = ask(kernel, service, IMAGE.private_start, 0)
        assert end is End.TRAPPED
        assert f"refused the argument {service:#x} ({service.name.lower()})" in message


@pytest.mark.parametrize("service", [Service.FAIL, Service.RETURN])
def test_words_that_are_not_there_and_returns_from_nowhere_are_refused(kernel: Kernel, service: Service) -> None:
    end, _, message, _ = ask(kernel, service, 0x10, 5)
    assert end is End.TRAPPED
    assert "refused" in message


def test_yield_and_a_past_time_only_end_the_turn(kernel: Kernel) -> None:
    for service in (Service.YIELD, Service.IDLE):
        end, status, _, _ = ask(kernel, service, 0, 0)
        assert (end, status) == (End.EXITED, 0)


def test_the_clock_goes_forward(kernel: Kernel) -> None:
    first, second = (ask(kernel, Service.CLOCK, 0, 0)[1] for _ in range(2))
    assert 0 < (first or 0) < (second or 0)


def test_a_message_is_cut_at_a_length(kernel: Kernel) -> None:
    end, _, message, _ = ask(kernel, Service.FAIL, IMAGE.private_start, 4000)
    assert end is End.TRAPPED
    assert len(message) < 1200
