"""LLVM at work in a process of its own: its fatal errors abort, and its lock and memory are nobody else's.

`python -m denali.isa.runtime.worker` reads requests from its standard input and answers on its standard output, each
with its length before it, until the input ends; so it never outlives who started it. `Workers` are the starter's side.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from denali.isa.context import Mode

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from denali.isa.image import Image

COMMAND = [sys.executable, "-m", "denali.isa.runtime.worker"]
LENGTH = struct.Struct("<Q")
LARGEST = 1 << 31  # bytes of a message
SECONDS = 300.0  # of processor time for a request: an image may be made to take LLVM for ever
MEMORY = 4 << 30  # bytes of address space for a worker
LEVEL = 2  # of LLVM's optimisations: 1 takes a tenth less time, and its code of recursive functions a tenth more
QUICK = 0  # none of them: half the speed, a fifth of the time
KILLED = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)  # how a worker ends through no fault of its request


class Failed(Exception):
    """A request that the worker could not serve; the message says why. `lasting`: it would fail again."""

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker is asked for: `runtime`, `plan` (an image's entries in batches) or `translate`."""

    kind: str
    image: Image | None = None
    private_size: int = 0
    entries: tuple[int, ...] = ()
    mode: Mode = Mode.FLAT
    level: int = LEVEL
    masked: bool = False  # of a translation or the runtime: no access out of bounds is made speculatively either


@dataclass(frozen=True, slots=True)
class Answer:
    """What it gives: an ELF object (empty for a plan), and lists of entries."""

    code: bytes
    batches: list[list[int]]


# --- the starter's side ---


class Workers:
    """Up to `count` worker processes, each started when first needed and again after it has died."""

    def __init__(self, count: int | None = None) -> None:
        self.count = count or max(1, min(4, len(os.sched_getaffinity(0))))
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._all: list[_Worker] = []
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def submit(self, request: Request) -> Future[Answer]:
        """Have a request served; the future's result raises `Failed` when that was not possible."""
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.count, "denali-translation")
            return self._pool.submit(self._serve, request)

    def pids(self) -> list[int]:
        """The worker processes there are now."""
        with self._lock:
            return [worker.pid for worker in self._all]

    def close(self) -> None:
        """End all workers, those at work too, and wait until they have gone."""
        with self._lock:
            pool, self._pool = self._pool, None
            for worker in self._all:
                worker.kill()
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        for worker in self._all:
            worker.reap()
        self._all.clear()
        self._idle = queue.SimpleQueue()

    def _serve(self, request: Request) -> Answer:
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            worker = _Worker()
            with self._lock:
                self._all.append(worker)
                if self._pool is None:
                    worker.kill()
        try:
            return worker.ask(request)
        finally:
            if worker.alive:
                self._idle.put(worker)
            else:
                worker.reap()
                with self._lock, contextlib.suppress(ValueError):
                    self._all.remove(worker)


class _Worker:
    """One worker process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._said = bytearray()
        self._listener = threading.Thread(target=self._listen, name="denali-worker-errors", daemon=True)
        self._listener.start()
        self.alive = True

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def ask(self, request: Request) -> Answer:
        """Send a request and wait for its answer."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            _send(process.stdin, pickle.dumps(request))
            return _read_answer(_receive(process.stdout))
        except (OSError, EOFError, ValueError, KeyError, struct.error):
            self.alive = False
            self.kill()
            how = self._epitaph()
            crashed = -self._process.wait() not in (*KILLED, 0)
            raise Failed(f"the translation worker died: {how}", lasting=crashed) from None

    def kill(self) -> None:
        """End it now."""
        self.alive = False
        with contextlib.suppress(OSError):
            self._process.kill()

    def reap(self) -> None:
        """Wait until it has gone, and close the pipes."""
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _epitaph(self) -> str:
        """How it ended, with the last it said."""
        code = self._process.wait()
        self._listener.join()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        if code == -signal.SIGPROF:
            return "it had used up its processor time"
        last = bytes(self._said).decode(errors="replace").strip().splitlines()
        return f"{how}, {last[-1]}" if last else how

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._said += line
            del self._said[:-4096]


def _read_answer(message: bytes) -> Answer:
    (length,) = LENGTH.unpack_from(message)
    head: dict[str, Any] = json.loads(message[LENGTH.size : LENGTH.size + length])
    if "error" in head:
        raise Failed(str(head["error"]), lasting=True)
    return Answer(message[LENGTH.size + length :], [[int(pc) for pc in batch] for batch in head["batches"]])


# --- both sides ---


def _send(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(LENGTH.pack(len(message)))
    pipe.write(message)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(head)
    if length > LARGEST:
        raise ValueError(f"a message of {length} bytes")
    message = pipe.read(length)
    if len(message) < length:
        raise EOFError
    return message


# --- the worker's side ---


def main() -> None:
    """Serve requests until there are no more."""
    from denali.isa.runtime.compile import serve

    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whoever prints does not spoil an answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the starter's business; the end of input is ours
    _limit()
    threading.Thread(target=_end_unheard, args=(answers.fileno(),), daemon=True).start()
    while True:
        try:
            request = pickle.loads(_receive(requests))
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            answer = serve(request)
            head, code = {"batches": answer.batches}, answer.code
        except Exception as error:
            head, code = {"error": f"{type(error).__name__}: {error}"}, b""
        signal.setitimer(signal.ITIMER_PROF, 0)
        text = json.dumps(head).encode()
        _send(answers, LENGTH.pack(len(text)) + text + code)


def _end_unheard(answers: int) -> None:
    """End as soon as nobody can read our answers any more, also in the middle of a request."""
    poll = select.poll()
    poll.register(answers, 0)  # errors are told all the same
    poll.poll()
    os._exit(1)


def _limit() -> None:
    """Take less than others, and never too much: beyond its memory LLVM aborts, beyond its time the timer ends it."""
    with contextlib.suppress(OSError):
        os.nice(5)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most), most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
