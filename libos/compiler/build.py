"""Build a service in a process of its own, or take it from the cache on disk."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import denali.libos
from denali.isa.runtime.cache import Cache, key
from denali.libos.compiler.errors import CompileError

Progress = Callable[[str], None]
LIMIT_S = 300  # a service that takes longer to compile is taken for one that never ends


def ignore(text: str) -> None:
    """Say nothing."""


def build(path: str | os.PathLike[str], *, name: str | None = None, progress: Progress | None = None) -> bytes:
    """The ELF image of a service.

    Args:
        path: the Python file with `def main() -> int`.
        name: the module's name in symbols and messages; else the file's.
        progress: told in words what is being done.

    Raises:
        CompileError: the service holds something that cannot be compiled; names file and line.
        FileNotFoundError: there is no such file.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise FileNotFoundError(f"no service at {path}")
    module = name or module_name(file)
    say = progress or ignore
    cache, entry = Cache(), key(str(file), file.read_bytes(), module, platform.python_version(), *tools())
    kept = recall(cache.get("services", entry))
    if kept is not None:
        return kept
    say(f"compiling {file.name}")
    image, sources = compile_apart(file, module, say)
    record = {path: digest(path) for path in sources}
    cache.put("services", entry, json.dumps(record).encode() + b"\n" + image)
    return image


def module_name(file: Path) -> str:
    """The name to import it by: inside denali.libos its own, so that nothing is loaded twice."""
    for home in denali.libos.__path__:
        real = Path(home).resolve()
        if file.is_relative_to(real):
            return ".".join(("denali.libos", *file.relative_to(real).with_suffix("").parts))
    return file.stem


def compile_apart(file: Path, module: str, say: Progress) -> tuple[bytes, list[str]]:
    """Run the worker; gives the image and the sources it depends on."""
    with tempfile.TemporaryDirectory(prefix="denali-") as folder:
        output = Path(folder, "image")
        command = [sys.executable, "-m", "denali.libos.compiler.worker", str(file), module, str(output)]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        with tempfile.TemporaryFile() as complaints:
            worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, env=environment, text=True)
            with limited(worker, LIMIT_S):
                sources = listen(worker, file, say)
                status = worker.wait()
            complaints.seek(0)
            if status or sources is None:
                raise CompileError(str(file), 0, died(status, complaints.read().decode(errors="replace")))
        return output.read_bytes(), sources


@contextmanager
def limited(worker: subprocess.Popen[str], seconds: float) -> Generator[None]:
    """End a process that takes longer, or whose answer is not waited for any more."""
    timer = threading.Timer(seconds, worker.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    except BaseException:
        worker.kill()
        worker.wait()
        raise
    finally:
        timer.cancel()


def listen(worker: subprocess.Popen[str], file: Path, say: Progress) -> list[str] | None:
    """Read the worker's messages to the end."""
    assert worker.stdout is not None
    sources: list[str] | None = None
    failure: CompileError | None = None
    with worker.stdout as lines:
        for line in lines:
            message: dict[str, Any] = json.loads(line)
            if "progress" in message:
                say(f"{file.name}: {message['progress']}")
            if "error" in message:
                failure = CompileError(**message["error"])
            sources = message.get("sources", sources)
    if failure is not None:
        worker.wait()
        raise failure
    return sources


def died(status: int, complaints: str) -> str:
    """What to say of a worker that ended without a word."""
    if status == -signal.SIGKILL:
        return f"the compiler was killed; it has {LIMIT_S} s, import of the service included"
    last = complaints.strip().splitlines()[-1:] or ["it said nothing"]
    return f"the compiler ended with status {status}: {last[0]}"


def digest(path: str | Path) -> str:
    """The SHA-256 of a file's content; of a file that is gone, a word that equals no digest."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return "gone"


def tools() -> list[str]:
    """What turns a service into an image: versions of packages, digests of the compiler's own files."""
    versions = [f"{p} {importlib.metadata.version(p)}" for p in ("numba", "llvmlite", "numpy")]
    return versions + [digest(path) for path in sorted(Path(__file__).parent.glob("*.py"))]


def recall(entry: bytes | None) -> bytes | None:
    """The image of a cache entry, if every source it was made from is as it was."""
    head, _, image = (entry or b"").partition(b"\n")
    sources: dict[str, str] = json.loads(head) if image else {}
    fresh = sources and all(digest(path) == known for path, known in sources.items())
    return image if fresh else None
