# pyright: basic
"""The loop: pick, enter, leave, handle, account. No lock, no Python, the GIL released.

It runs until `attention` is set: by another thread that posted something, by a guest that stopped, by a console that
somebody reads. When no guest is ready it sleeps in the host until a stream, the alarm or the next timer.
"""

from __future__ import annotations

from typing import Any

from denali.isa.context import Status
from denali.tlb.compiled import entry
from denali.tlb.flat import context_at, registers_at
from denali.tlb.native import call, native

from . import host, revocation, streams
from .clock import look
from .console import ROOM
from .crumbs import want
from .events import TIMER, deliver, return_from_handler, upcall
from .faults import UPCALLS
from .life import begin_queued, is_parked, stop
from .records import NOBODY, End, State, Wish, guest_at, kernel_at
from .scheduler import charge, pick, ready, ready_ahead
from .timers import FOREVER, due, next_wake, set_timer

POLL = 50_000  # ns between looks at the host while guests run
POLL_TURNS = 64  # the same by the virtual clock
UPCALLS_A_TURN = 1000  # then the others have their turn: a trap costs more than an instruction


@native
def _expire(kernel: Any, now: int) -> None:
    """Wake those whose time has come; only idle guests are in the wheel."""
    number = due(kernel, now)
    while number != NOBODY:
        registers_at(guest_at(kernel, number).registers).pending |= TIMER
        ready_ahead(kernel, number)
        number = due(kernel, now)


@native
def _call_for_python(kernel: Any) -> bool:
    """Have Python bury who is over, bring back who is parked and wanted, many at a time; whether there are any."""
    if kernel.stopped_head == NOBODY and (kernel.wanted_head == NOBODY or kernel.waiting):
        return False
    kernel.attention = 1
    return True


@native
def _poll_now_and_then(kernel: Any, now: int) -> None:
    """Ask the host for news, not at every turn."""
    moment, pause = (kernel.turns, POLL_TURNS) if kernel.virtual else (now, POLL)
    if moment - kernel.polled >= pause:
        kernel.polled = moment
        streams.poll(kernel)
        _call_for_python(kernel)


@native
def _rest(kernel: Any) -> None:
    """Nobody is ready: sleep, or let the virtual clock jump."""
    if streams.poll(kernel) > 0 or _call_for_python(kernel):
        return
    wake, now = min(next_wake(kernel), kernel.asked_by), look(kernel)
    if kernel.virtual and wake != FOREVER:
        kernel.clock = max(now, wake)
        return
    pause = -1 if wake == FOREVER else max(wake - now, 0)
    if kernel.patience and (pause < 0 or pause > kernel.patience):
        pause = kernel.patience
    kernel.sleeps += 1
    host.wait_readable(kernel.poller, pause, kernel.scratch)
    streams.poll(kernel)


@native
def _idle(kernel: Any, number: int) -> None:
    """Lay a guest to rest until the time it named; a time that has passed makes it wait its turn."""
    guest = guest_at(kernel, number)
    if guest.wake < 0 or guest.wake == FOREVER:
        guest.state = State.IDLE
    elif guest.wake <= kernel.clock:
        registers_at(guest.registers).pending |= TIMER
        ready(kernel, number)
    else:
        guest.state = State.IDLE
        set_timer(kernel, number, guest.wake)


@native
def _grant(kernel: Any, number: int, context: Any) -> None:
    """The guest left its turn on purpose: do what it wished."""
    wish = guest_at(kernel, number).wish
    if wish == Wish.IDLE:
        _idle(kernel, number)
    elif wish == Wish.EXIT:
        stop(kernel, number, End.EXITED)
    elif wish == Wish.MARK:
        stop(kernel, number, End.MARKED)
    else:
        if wish == Wish.RETURN:
            return_from_handler(kernel, number, context)
        ready(kernel, number)


@native
def _trapped(kernel: Any, number: int, context: Any) -> None:
    """A trap: the table says whether the guest's own handler may have it."""
    kernel.traps += 1
    cause = context.cause & 31
    if UPCALLS[cause] and upcall(kernel, number, context, context.cause, context.value):
        ready(kernel, number)
    else:
        stop(kernel, number, End.TRAPPED)


@native
def _settle(kernel: Any, number: int, context: Any, status: int) -> None:
    """Decide what follows a turn."""
    guest = guest_at(kernel, number)
    if status == Status.TRAP:
        _trapped(kernel, number, context)
    elif status == Status.LEFT and (guest.fuel > 0 or guest.wish == Wish.EXIT):
        _grant(kernel, number, context)
    elif guest.fuel <= 0:
        stop(kernel, number, End.EXHAUSTED)
    elif guest.silent >= guest.watchdog:
        stop(kernel, number, End.HUNG)
    else:
        ready(kernel, number)


@native
def _goes_on(kernel: Any, number: int, context: Any, status: int) -> bool:
    """Whether what stopped the guest is dealt with at once: a trap for its handler, or the way back."""
    guest = guest_at(kernel, number)
    if context.fuel == 0:
        return False
    if status == Status.TRAP:
        handled = UPCALLS[context.cause & 31] and upcall(kernel, number, context, context.cause, context.value)
        kernel.traps += handled
        return handled
    if status == Status.LEFT and guest.wish == Wish.RETURN:
        return_from_handler(kernel, number, context)
        return True
    return False


@native
def _enter(kernel: Any, number: int, context: Any) -> int:
    """Run the guest, handler and all, until others should have a look; why it stopped."""
    guest = guest_at(kernel, number)
    status = call(kernel.enter, guest.context)
    upcalls = 0
    while upcalls < UPCALLS_A_TURN and _goes_on(kernel, number, context, status):
        status = call(kernel.enter, guest.context)
        upcalls += 1
    return status


@native
def _turn(kernel: Any, number: int) -> None:
    """Let a guest run until its turn's fuel is used up, it traps or it leaves."""
    guest = guest_at(kernel, number)
    context = context_at(guest.context)
    deliver(kernel, number, context)
    fuel = min(guest.turn, guest.fuel)
    context.limit += fuel - context.fuel
    context.fuel, context.status = fuel, Status.FUEL
    registers_at(guest.registers).clock = kernel.clock
    guest.state, guest.wish, guest.console_room, guest.visited = State.RUNNING, Wish.NONE, ROOM, 1
    kernel.turn_fuel, kernel.effort = fuel, 0
    status = _enter(kernel, number, context)
    used = fuel - context.fuel
    guest.fuel -= used
    guest.silent = 0 if guest.silent < 0 else guest.silent + used
    guest.turns += 1
    kernel.turns += 1
    kernel.retired += used
    charge(kernel, number, used)
    if kernel.virtual:
        kernel.clock += used
    _settle(kernel, number, context, status)


@native
def _has_memory(kernel: Any, number: int) -> bool:
    """Whether a guest can have its turn: one that has had none is given its memory, a parked one waits for Python."""
    if is_parked(kernel, number):
        want(kernel, number)
        return False
    if guest_at(kernel, number).context == 0:
        begin_queued(kernel, number)
    return True


@entry
def run(kernel_address: int) -> None:
    """Run guests until something asks for attention."""
    kernel = kernel_at(kernel_address)
    kernel.returned = look(kernel)
    while kernel.attention == 0:
        now = look(kernel)
        _expire(kernel, now)
        revocation.expire(kernel, now)
        _poll_now_and_then(kernel, now)
        if kernel.patience and now - kernel.returned > kernel.patience:
            return
        number = pick(kernel)
        if number == NOBODY:
            _rest(kernel)
        elif _has_memory(kernel, number):
            _turn(kernel, number)
