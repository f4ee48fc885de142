"""The engines that ours is compared with: native code, wasmtime and qemu."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from denali.bench import pythons
from denali.bench.compilers import Compiler, compile_with, for_wasm
from denali.bench.programs import FOLDER, Broken, Run, Sample, Unavailable


class Native:
    """A shared object in this process."""

    def __init__(self, compiler: Compiler, *, march: bool = False) -> None:
        """Plain, or for this very processor."""
        self.command = compiler.march if march else compiler.native
        self.suffix = "-march.so" if march else ".so"

    def prepare(self, name: str, amount: int, folder: Path) -> Run:
        """See `Engine`."""
        if name in pythons.PYTHON:
            return pythons.native(name, amount)
        target = folder / f"{name}{self.suffix}"
        compile_with(self.command, "-shared", "-fPIC", "-fvisibility=hidden", FOLDER / f"{name}.c", "-o", target)
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

    def __init__(self, compiler: Compiler, *, epochs: bool = False) -> None:
        """With `epochs`, code that can be interrupted."""
        if find_spec("wasmtime") is None:
            raise Unavailable("not installed: pip install 'denali-py[bench]'")
        self.epochs = epochs
        self.command = for_wasm(compiler)
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
