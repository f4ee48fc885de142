"""Workers: what crashes in one is one failed request, and none is left behind."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from denali.isa.image import Image
from denali.isa.runtime import worker as workers
from denali.isa.runtime.worker import Failed, Request, Workers

LOOP = struct.pack("<4I", 0x00150513, 0x00A5C5B3, 0xFEC51CE3, 0x00100073)


def image() -> Image:
    return Image.raw(LOOP)


def exists(pid: int) -> bool:
    """Whether there is such a process, be it a zombie."""
    return os.path.exists(f"/proc/{pid}")


def test_a_translation_is_made() -> None:
    pool = Workers(1)
    plan = pool.submit(Request("plan", image(), 8192)).result().batches
    answer = pool.submit(Request("translate", image(), 8192, tuple(plan[0]))).result()
    assert answer.batches == plan
    assert answer.code.startswith(b"\x7fELF")
    pool.close()


def test_a_request_that_raises_fails_alone() -> None:
    pool = Workers(1)
    with pytest.raises(Failed, match="AssertionError"):
        pool.submit(Request("translate")).result()
    assert pool.submit(Request("plan", image(), 8192)).result().batches
    pool.close()


def test_a_worker_that_is_killed_fails_its_request_and_is_replaced() -> None:
    pool = Workers(1)
    pool.submit(Request("plan", image(), 8192)).result()
    (child,) = pool.pids()
    os.kill(child, signal.SIGABRT)
    with pytest.raises(Failed, match="SIGABRT"):
        pool.submit(Request("plan", image(), 8192)).result()
    assert pool.submit(Request("plan", image(), 8192)).result().batches
    pool.close()


def test_the_message_carries_what_the_worker_said_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "dies.py"
    script.write_text("import os, sys; sys.stderr.write('LLVM ERROR: no\\n'); sys.stderr.flush(); os.abort()")
    monkeypatch.setattr(workers, "COMMAND", [sys.executable, str(script)])
    pool = Workers(1)
    with pytest.raises(Failed, match=r"SIGABRT, LLVM ERROR: no"):
        pool.submit(Request("runtime")).result()
    pool.close()


def test_a_translation_that_takes_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import denali.isa.runtime.worker as worker; worker.SECONDS = 0.05; worker.main()"
    monkeypatch.setattr(workers, "COMMAND", [sys.executable, "-c", program])
    pool = Workers(1)
    with pytest.raises(Failed, match="processor time"):
        pool.submit(Request("runtime")).result()
    pool.close()


def test_a_translation_that_takes_all_memory_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "from denali.isa.runtime import compile, worker; worker.MEMORY = 1 << 28; worker.main()"
    monkeypatch.setattr(workers, "COMMAND", [sys.executable, "-c", program])
    pool = Workers(1)
    with pytest.raises(Failed):
        pool.submit(Request("runtime")).result()
    pool.close()


@pytest.mark.parametrize("output", [b"", b"\1", struct.pack("<Q", 1 << 62), struct.pack("<Q", 3) + b"abc"])
def test_nonsense_from_a_worker_is_a_failed_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: bytes
) -> None:
    script = tmp_path / "lies.py"
    script.write_text(f"import sys; sys.stdout.buffer.write({output!r})")
    monkeypatch.setattr(workers, "COMMAND", [sys.executable, str(script)])
    pool = Workers(1)
    with pytest.raises(Failed, match="died"):
        pool.submit(Request("runtime")).result()
    pool.close()


def test_closing_ends_workers_that_are_at_work_and_leaves_no_zombie() -> None:
    pool = Workers(2)
    futures = [pool.submit(Request("runtime")) for _ in range(2)]
    while len(there := pool.pids()) < 2:
        time.sleep(0.01)
    pool.close()
    assert not any(map(exists, there))
    assert all(future.cancelled() or isinstance(future.exception(), Failed) for future in futures)


def test_a_closed_pool_opens_no_descriptors() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        pool = Workers(1)
        pool.submit(Request("plan", image(), 8192)).result()
        pool.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_worker_ends_with_the_input() -> None:
    pool = Workers(1)
    pool.submit(Request("plan", image(), 8192)).result()
    process = pool._all[0]._process  # pyright: ignore[reportPrivateUsage]
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=10) == 0
    pool.close()


STARTER = """
import sys
from denali.isa.runtime import worker
program = "import sys, time; from denali.isa.runtime import compile, worker; "
program += "compile.serve = lambda request: print('at work', file=sys.stderr) or time.sleep(1000); worker.main()"
worker.COMMAND = [sys.executable, "-c", program]
pool = worker.Workers(1)
pool.submit(worker.Request("runtime"))
while not pool.pids() or b"at work" not in pool._all[0]._said:
    pass
print(pool.pids()[0], flush=True)
pool.submit(worker.Request("runtime")).result()
"""


def test_a_worker_in_the_middle_of_a_request_ends_with_its_starter() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        child = os.pidfd_open(int(starter.stdout.readline()))
        starter.kill()
    ended = select.poll()
    ended.register(child, select.POLLIN)
    assert ended.poll(20_000), "it works on for nobody"
    os.close(child)
