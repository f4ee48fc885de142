"""One compiler for native code, guests and WebAssembly, so that a ratio tells of engines and not of compilers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from denali.bench.programs import FLAGS, Broken, Unavailable
from denali.libos import cc

NAMES = ("zig", "clang", "gcc")  # in the order in which they are tried; gcc makes no WebAssembly
_WASM = ("-nostdlib", "-mbulk-memory", "-Wl,--no-entry", "-Wl,--export=kernel", "-Wl,-z,stack-size=1048576")


@dataclass(frozen=True, slots=True)
class Compiler:
    """How a compiler that makes guests is called for this host, for this very processor, and for WebAssembly."""

    name: str
    native: tuple[str, ...]
    march: tuple[str, ...]
    wasm: tuple[str, ...] | None


def choose(name: str | None = None) -> Compiler:
    """The compiler asked for, or the first that makes native code and guests.

    Raises:
        Unavailable: there is none.
    """
    for candidate in (name,) if name else NAMES:
        if (compiler := _find(candidate)) is not None:
            return compiler
    wanted, ways = name or "compiler", " or ".join(cc.INSTALL[key] for key in ((name,) if name else NAMES))
    raise Unavailable(f"no {wanted} that makes both native code and guests; install one: {ways}")


def _find(name: str) -> Compiler | None:
    guests = cc.FINDERS[name]()
    if guests is None:
        return None
    if name == "zig":
        zig = (*guests.command, "-fno-sanitize=undefined")
        wasm = (*zig, "-target", "wasm32-freestanding", *_WASM)
        return Compiler(name, (*zig, "-mcpu=baseline"), (*zig, "-mcpu=native"), wasm)
    path = shutil.which(name) if name == "gcc" else guests.command[0]
    if path is None:
        return None
    return Compiler(name, (path,), (path, "-march=native"), _clang_wasm(path) if name == "clang" else None)


def _clang_wasm(path: str) -> tuple[str, ...] | None:
    linker = shutil.which(f"wasm-ld{Path(path).name.removeprefix('clang')}") or shutil.which("wasm-ld")
    return linker and (path, "--target=wasm32-unknown-unknown", f"-fuse-ld={linker}", *_WASM)


def for_wasm(compiler: Compiler) -> tuple[str, ...]:
    """The command for WebAssembly: of this compiler, or of another where it has none.

    Raises:
        Unavailable: there is none.
    """
    for candidate in (compiler, *map(_find, NAMES)):
        if candidate is not None and candidate.wasm is not None:
            return candidate.wasm
    raise Unavailable("no compiler for WebAssembly: apt install clang lld, or pip install 'denali-py[c]'")


def compile_with(command: Sequence[str], *arguments: str | Path) -> None:
    """Call a compiler.

    Raises:
        Broken: it refused.
    """
    result = subprocess.run([*command, *FLAGS, *map(str, arguments)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise Broken(result.stderr.strip())
