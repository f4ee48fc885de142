"""What else may hold many small servers on a host, as far as it goes: wasmtime instances, processes, threads.

Each kind is measured in a process of its own: it makes as many as it is asked for, until it fails or its time is over,
then has each of them answer once, and says where it ended and why.
"""

# ruff: noqa: D102  what the methods of each kind mean is said by those of `Members`
from __future__ import annotations

import contextlib
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from denali.room import available

WASM = """(module (memory 1) (func (export "answer") (param i64) (result i64)
  (i64.store (i32.const 0) (local.get 0)) (i64.load (i32.const 0))))"""
SECONDS = 10.0  # for making them
MOST = 100_000  # of each kind
SAMPLE = 50  # processes whose memory is looked at
SPARE = 2 << 30  # bytes of free memory at which making more ends


@dataclass(slots=True)
class Crowd:
    """How far one kind went."""

    name: str
    guests: int
    answered: int
    bytes_per_guest: float
    spawn_ns_per_guest: float
    answer_all_s: float
    ended: str

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


class Members:
    """Those of one kind: how to make one more, how it answers, and what they all take."""

    def make(self) -> None:
        """Make one more."""
        raise NotImplementedError

    def answer(self, index: int) -> bool:
        """Whether one of them answers rightly."""
        raise NotImplementedError

    def bytes(self, before: int, count: int) -> float:
        """What one of them takes; `before` is this process's footprint without them."""
        return (footprint("self") - before) / count

    def end(self) -> None:
        """Let go of all; this process ends soon."""


def footprint(process: str) -> int:
    """Bytes that belong to a process: its proportional set and its page tables."""
    folder = Path("/proc") / process
    lines = [*(folder / "smaps_rollup").read_text().splitlines(), *(folder / "status").read_text().splitlines()]
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Pss:", "VmPTE:")))


class Wasmtime(Members):
    """A store with one instance each, one page of memory."""

    def __init__(self) -> None:
        self.wasmtime = import_module("wasmtime")
        self.engine = self.wasmtime.Engine()
        self.module = self.wasmtime.Module(self.engine, WASM)
        self.made: list[tuple[Any, Any]] = []

    def make(self) -> None:
        store = self.wasmtime.Store(self.engine)
        instance = self.wasmtime.Instance(store, self.module, [])
        self.made.append((store, instance.exports(store)["answer"]))

    def answer(self, index: int) -> bool:
        store, function = self.made[index]
        return bool(function(store, index + 1) == index + 1)


class Processes(Members):
    """Forks of a Python process, each at the end of a pipe."""

    def __init__(self) -> None:
        self.made: list[tuple[int, int, int]] = []

    def make(self) -> None:
        (asked, ask), (told, tell) = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            while word := os.read(asked, 8):
                os.write(tell, word[::-1])
            os._exit(0)
        os.close(asked)
        os.close(tell)
        self.made.append((child, ask, told))

    def answer(self, index: int) -> bool:
        word = index.to_bytes(8, "little")
        os.write(self.made[index][1], word)
        return os.read(self.made[index][2], 8) == word[::-1]

    def bytes(self, before: int, count: int) -> float:
        sample = self.made[:: max(count // SAMPLE, 1)]
        return sum(footprint(str(child)) for child, _, _ in sample) / len(sample)

    def end(self) -> None:
        for child, _, _ in self.made:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        for child, _, _ in self.made:
            os.waitpid(child, 0)


class Threads(Members):
    """Python threads, each at the end of a queue."""

    def __init__(self) -> None:
        self.made: list[tuple[queue.SimpleQueue[int], queue.SimpleQueue[int]]] = []

    def make(self) -> None:
        asked, told = queue.SimpleQueue[int](), queue.SimpleQueue[int]()

        def serve() -> None:
            while True:
                told.put(asked.get() + 1)

        threading.Thread(target=serve, daemon=True).start()
        self.made.append((asked, told))

    def answer(self, index: int) -> bool:
        self.made[index][0].put(index)
        return self.made[index][1].get(timeout=10) == index + 1


KINDS: dict[str, Callable[[], Members]] = {"wasmtime": Wasmtime, "processes": Processes, "threads": Threads}


def gather(name: str, most: int, seconds: float) -> Crowd:
    """Make as many of a kind as go, in this process."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    members = KINDS[name]()
    before, begin = footprint("self"), time.perf_counter()
    count, ended = 0, f"{most:,} were asked for"
    while count < most:
        try:
            members.make()
        except Exception as reason:
            ended = f"{type(reason).__name__}: {str(reason).strip().splitlines()[0][:120]}"
            break
        count += 1
        if time.perf_counter() - begin > seconds:
            ended = f"the {seconds:g} s for making them were over"
            break
        if count % 1000 == 0 and available() < SPARE:
            ended = f"less than {SPARE >> 30} GiB of memory were free"
            break
    made = time.perf_counter()
    answered = sum(members.answer(index) for index in range(count))
    done = time.perf_counter()
    each = members.bytes(before, count) if count else 0.0
    spawn = (made - begin) * 1e9 / count if count else 0.0
    members.end()
    return Crowd(name, count, answered, each, spawn, done - made, ended)


def measure(
    most: int = MOST, seconds: float = SECONDS, progress: Callable[[str], None] = lambda _: None
) -> tuple[list[Crowd], dict[str, str]]:
    """Every kind, each in a process of its own; and for those that could not be measured, why."""
    found, failed = list[Crowd](), dict[str, str]()
    for name in KINDS:
        progress(name)
        command = [sys.executable, "-P", "-m", "denali.bench.crowds", name, str(min(most, MOST)), str(seconds)]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=10 * seconds + 60, check=False)
        except subprocess.TimeoutExpired:
            failed[name] = f"no end after {10 * seconds + 60:g} s"
            continue
        if result.returncode:
            failed[name] = (result.stderr.strip().splitlines() or [f"status {result.returncode}"])[-1]
        else:
            found.append(Crowd(**json.loads(result.stdout)))
    return found, failed


if __name__ == "__main__":
    print(json.dumps(gather(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])).as_dict()), flush=True)
    os._exit(0)  # thousands of threads are not waited for
