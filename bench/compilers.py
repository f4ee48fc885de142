"""One compiler for native code, guests and WebAssembly, so that a ratio tells of engines and not of compilers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from denali.bench.programs import FLAGS, Broken, Unavailable
from denali.libos import cc

NAMES = (
    "zig",
    "clang",
    "gcc",
)  # in the order in which they are tried; gcc makes no WebAssembly
_WASM = ["-nostdlib", "-mbulk-memory", "-Wl,--no-entry", "-Wl,--export=kernel", "-Wl,-z,stack-size=1048576"]


@dataclass(frozen=True, slots=True)
class Compiler:
    """How one compiler is called for this host, plainly and for this very processor, and for WebAssembly."""

    name: str
    native: tuple[str, ...]
    march: tuple[str, ...]
    wasm: tuple[str, ...] | None

    def command(self, flag: str = "") -> tuple[str, ...]:
        """For this host; `flag` is empty or -march=native."""
        return self.march if flag else self.native


def choose(name: str | None = None) -> Compiler:
    """The compiler asked for, or the first that makes native code and guests.

    Raises:
        Unavailable: there is none.
    """
    for candidate in (name,) if name else NAMES:
        compiler = _find(candidate)
        if compiler is not None and cc.FINDERS[candidate]() is not None:
            return compiler
    wanted = name or "compiler that makes both native code and guests"
    raise Unavailable(f"no {wanted}: pip install 'denali-py[c]', or apt install gcc gcc-riscv64-linux-gnu")


def _find(name: str) -> Compiler | None:
    if name == "zig":
        return _zig()
    path = shutil.which(name)
    if path is None:
        return None
    return Compiler(name, (path,), (path, "-march=native"), _clang_wasm() if name == "clang" else None)


def _zig() -> Compiler | None:
    if find_spec("ziglang") is None:
        return None
    zig = (sys.executable, "-m", "ziglang", "cc", "-fno-sanitize=undefined")
    wasm = (*zig, "-target", "wasm32-freestanding", *_WASM)
    return Compiler("zig", (*zig, "-mcpu=baseline"), (*zig, "-mcpu=native"), wasm)


def _clang_wasm() -> tuple[str, ...] | None:
    for suffix in ("", *(f"-{version}" for version in range(22, 13, -1))):
        compiler, linker = shutil.which(f"clang{suffix}"), shutil.which(f"wasm-ld{suffix}")
        if compiler and linker:
            return (compiler, "--target=wasm32-unknown-unknown", f"-fuse-ld={linker}", *_WASM)
    return None


def for_wasm(compiler: Compiler) -> tuple[str, ...]:
    """The command for WebAssembly: of this compiler, or of another where it has none.

    Raises:
        Unavailable: there is none.
    """
    zig = _zig()
    command = compiler.wasm or (zig.wasm if zig is not None else None) or _clang_wasm()
    if command is None:
        raise Unavailable("no compiler for WebAssembly: apt install clang lld, or pip install 'denali-py[c]'")
    return command


def compile_with(command: Sequence[str], *arguments: str | Path) -> None:
    """Call a compiler.

    Raises:
        Broken: it refused.
    """
    result = subprocess.run([*command, *FLAGS, *map(str, arguments)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise Broken(result.stderr.strip())
