"""C guests: the header, start-up and small library of `c/`, and whichever RISC-V compiler this host has.

    build(["prog.c"], "prog.elf")

Compilers, in the order in which they are tried: `riscv64-linux-gnu-gcc` (or another RISC-V gcc), `clang` with `ld.lld`,
and `zig cc`, which the PyPI package `ziglang` brings (`pip install 'denali-py[c]'`). Each is called with the same
meaning: RV64GC with Zba, Zbb and Zbs where it knows them, doubles in registers, static, optimised, with debug
information, so that a trap names function and line.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

LIBRARY = Path(__file__).parent / "c"
COMMON = (
    "-std=gnu11", "-O2", "-g", "-fomit-frame-pointer", "-ffreestanding", "-fno-pic", "-fno-stack-protector",
    "-fno-math-errno", "-fno-asynchronous-unwind-tables", "-ffunction-sections", "-fdata-sections",
)  # fmt: skip
AS_LIBRARY = ("-fno-builtin", "-std=gnu11", "-Wall")
LINK = ("-static", "-nostdlib", "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,-T," + str(LIBRARY / "image.ld"))
EXTENSIONS = "_zba_zbb_zbs"


class BuildError(Exception):
    """The program was not built; the message is the compiler's, or says which compiler to install."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """A command that compiles C for the machine, and the options that only it needs."""

    name: str
    command: tuple[str, ...]
    options: tuple[str, ...]
    for_library: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()

    def run(self, arguments: Iterable[str | Path], *, cwd: Path | None = None) -> str:
        """Call it; returns its warnings.

        Raises:
            BuildError: it failed; the message is what it said.
        """
        command = [*self.command, *self.options, *map(str, arguments)]
        result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", check=False)
        if result.returncode:
            said = (result.stderr or result.stdout).strip()
            raise BuildError(said or f"{self.command[0]} failed with status {result.returncode}")
        return result.stderr


def _gcc() -> Compiler | None:
    names = ("riscv64-linux-gnu-gcc", "riscv64-unknown-elf-gcc", "riscv64-none-elf-gcc")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        return None
    own = subprocess.run([path, "-print-file-name=include"], capture_output=True, text=True, check=True).stdout.strip()
    march = "rv64gc" + (EXTENSIONS if _accepts([path, f"-march=rv64gc{EXTENSIONS}"]) else "")
    options = (
        f"-march={march}",
        "-mabi=lp64d",
        "-mcmodel=medlow",
        "-msmall-data-limit=0",
        "-nostdinc",
        f"-isystem{own}",
    )
    return Compiler("gcc", (path,), options, ("-fno-tree-loop-distribute-patterns",), ("-lgcc",))


def _clang() -> Compiler | None:
    versions = ["clang", *(f"clang-{version}" for version in range(22, 13, -1))]
    for path in filter(None, map(shutil.which, versions)):
        target = [path, "--target=riscv64-unknown-elf"]
        suffix = Path(path).name.removeprefix("clang")
        linker = shutil.which(f"ld.lld{suffix}") or shutil.which("ld.lld")
        if linker is None or not _accepts([*target, "-march=rv64gc"]):
            continue
        march = "rv64gc" + (EXTENSIONS if _accepts([*target, f"-march=rv64gc{EXTENSIONS}"]) else "")
        options = (*target[1:], f"-march={march}", "-mabi=lp64d", "-mcmodel=medlow", "-mno-relax", "-nostdlibinc")
        return Compiler("clang", (path,), (*options, f"--ld-path={linker}", "-Wno-unused-command-line-argument"))
    return None


def _zig() -> Compiler | None:
    if find_spec("ziglang") is not None:
        command = (sys.executable, "-m", "ziglang", "cc")
    elif path := shutil.which("zig"):
        command = (path, "cc")
    else:
        return None
    cpu = "generic_rv64+m+a+f+d+c" + EXTENSIONS.replace("_", "+")
    options = ("-target", "riscv64-freestanding-none", f"-mcpu={cpu}", "-mabi=lp64d", "-nostdlibinc")
    return Compiler("zig", command, (*options, "-fno-sanitize=undefined", "-UNDEBUG"))


FINDERS: dict[str, Callable[[], Compiler | None]] = {"gcc": _gcc, "clang": _clang, "zig": _zig}
INSTALL = {
    "gcc": "apt install gcc-riscv64-linux-gnu",
    "clang": "apt install clang lld",
    "zig": "pip install 'denali-py[c]'",
}


def _accepts(command: Sequence[str]) -> bool:
    """Whether a compiler knows these options."""
    full = [*command, "-x", "c", "-c", "-o", "/dev/null", "/dev/null"]
    return subprocess.run(full, capture_output=True, check=False).returncode == 0


def find(name: str | None = None) -> Compiler:
    """The compiler asked for, else the first that is there.

    Raises:
        BuildError: it is not there, and how to install it.
    """
    if name is not None and name not in FINDERS:
        raise BuildError(f"no compiler {name!r}; known are {', '.join(FINDERS)}")
    for compiler in (FINDERS[key]() for key in ([name] if name else FINDERS)):
        if compiler is not None:
            return compiler
    ways = " or ".join(INSTALL[key] for key in ([name] if name else INSTALL))
    missing = {None: "C compiler for RISC-V", "clang": "clang with its ld.lld"}.get(name, name)
    raise BuildError(f"no {missing} found; install one: {ways}")


def build(
    sources: Sequence[str | Path],
    output: str | Path,
    *,
    compiler: str | None = None,
    flags: Sequence[str] = (),
) -> str:
    """Compile and link `sources` (.c, .S, .o) with the library to the ELF file `output`; returns the warnings.

    Raises:
        BuildError: the compiler is missing or refused the program.
    """
    found = find(compiler)
    for source in sources:
        if not Path(source).is_file():
            raise BuildError(f"{source}: no such file")
    include = f"-I{LIBRARY}"
    with tempfile.TemporaryDirectory() as folder:
        library = sorted(LIBRARY.glob("*.c"))
        found.run([*COMMON, *AS_LIBRARY, *found.for_library, include, "-c", *library], cwd=Path(folder))
        objects = sorted(Path(folder).glob("*.o"))
        return found.run([*COMMON, include, *flags, *sources, *objects, *LINK, *found.libraries, "-o", output])
