"""The engines that ours is compared with: native code, wasmtime and qemu."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from denali.bench import pythons
from denali.bench.programs import FLAGS, FOLDER, Broken, Run, Sample, Unavailable


def compile_with(command: Sequence[str], *arguments: str | Path) -> None:
    """Call a compiler.

    Raises:
        Broken: it refused.
    """
    result = subprocess.run([*command, *FLAGS, *map(str, arguments)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise Broken(result.stderr.strip())


class Native:
    """A shared object in this process."""

    def __init__(self, *flags: str) -> None:
        """Compiled with these flags beyond the common ones."""
        self.compiler, self.flags = shutil.which("gcc") or shutil.which("clang"), flags
        if self.compiler is None:
            raise Unavailable("no gcc or clang on PATH")

    def prepare(self, name: str, amount: int, folder: Path) -> Run:
        """See `Engine`."""
        if name in pythons.PYTHON:
            return pythons.native(name, amount)
        target = folder / f"{name}{'-'.join(self.flags)}.so"
        shared = ("-shared", "-fPIC", "-fvisibility=hidden", *self.flags)
        compile_with([str(self.compiler)], *shared, FOLDER / f"{name}.c", "-o", target)
        function = ctypes.CDLL(str(target)).kernel
        function.argtypes, function.restype = [ctypes.c_int64], ctypes.c_int64

        def run() -> Sample:
            start = time.thread_time_ns()
            answer = function(amount)
            return Sample((time.thread_time_ns() - start) / 1e9, answer)

        run()
        return run

    def release(self) -> None:
        """Shared objects stay until the process ends."""

    def close(self) -> None:
        """Nothing to give back."""


class Wasmtime:
    """WebAssembly compiled by Cranelift, in this process."""

    def __init__(self, *, epochs: bool = False) -> None:
        """With `epochs`, code that can be interrupted."""
        if find_spec("wasmtime") is None:
            raise Unavailable("not installed: pip install 'denali-py[bench]'")
        self.epochs = epochs
        self.command = _wasm_compiler()
        self.kept: list[Any] = []

    def prepare(self, name: str, amount: int, folder: Path) -> Run:
        """See `Engine`."""
        wasmtime: Any = import_module("wasmtime")
        target = folder / f"{name}.wasm"
        if not target.exists():
            compile_with(self.command, FOLDER / f"{name}.c", "-o", target)
        config = wasmtime.Config()
        config.epoch_interruption = self.epochs
        engine = wasmtime.Engine(config)
        store = wasmtime.Store(engine)
        if self.epochs:
            store.set_epoch_deadline(1 << 40)
        instance = wasmtime.Instance(store, wasmtime.Module.from_file(engine, str(target)), [])
        function = instance.exports(store)["kernel"]
        self.kept = [store, instance]

        def run() -> Sample:
            start = time.thread_time_ns()
            answer = function(store, amount)
            return Sample((time.thread_time_ns() - start) / 1e9, answer)

        run()
        return run

    def release(self) -> None:
        """Drop the store."""
        self.kept.clear()

    def close(self) -> None:
        """Nothing is left by then."""


def _wasm_compiler() -> list[str]:
    link = ["-nostdlib", "-mbulk-memory", "-Wl,--no-entry", "-Wl,--export=kernel", "-Wl,-z,stack-size=1048576"]
    for suffix in ("", *(f"-{version}" for version in range(22, 13, -1))):
        compiler, linker = shutil.which(f"clang{suffix}"), shutil.which(f"wasm-ld{suffix}")
        if compiler and linker:
            return [compiler, "--target=wasm32-unknown-unknown", f"-fuse-ld={linker}", *link]
    if find_spec("ziglang") is not None:
        target = ["-target", "wasm32-freestanding", "-fno-sanitize=undefined"]
        return [sys.executable, "-m", "ziglang", "cc", *target, *link]
    raise Unavailable("no compiler for WebAssembly: apt install clang lld, or pip install 'denali-py[c]'")


class Qemu:
    """qemu's user mode: a process that is told when to call the kernel, and measures itself."""

    def __init__(self) -> None:
        """Needs qemu and a RISC-V compiler with a C library."""
        self.qemu = shutil.which("qemu-riscv64") or shutil.which("qemu-riscv64-static")
        self.compiler = shutil.which("riscv64-linux-gnu-gcc")
        if self.qemu is None:
            raise Unavailable("no qemu-riscv64 on PATH: apt install qemu-user")
        if self.compiler is None:
            raise Unavailable("no riscv64-linux-gnu-gcc on PATH: apt install gcc-riscv64-linux-gnu")
        self.process: subprocess.Popen[str] | None = None

    def prepare(self, name: str, amount: int, folder: Path) -> Run:
        """See `Engine`."""
        target = folder / f"{name}.linux"
        sources = (FOLDER / "_process.c", FOLDER / f"{name}.c")
        compile_with([str(self.compiler)], "-static", "-fno-pic", f"-DN={amount}", *sources, "-o", target)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([str(self.qemu), str(target)], stdin=pipe, stdout=pipe, text=True)
        reader, writer = self.process.stdout, self.process.stdin
        assert reader is not None
        assert writer is not None

        def run() -> Sample:
            writer.write("\n")
            writer.flush()
            line = reader.readline()
            if not line:
                raise Broken("qemu ended")
            nanoseconds, answer = map(int, line.split())
            return Sample(nanoseconds / 1e9, answer)

        run()
        return run

    def release(self) -> None:
        """End the process."""
        if self.process is not None:
            process, self.process = self.process, None
            process.communicate()

    def close(self) -> None:
        """Nothing is left by then."""
