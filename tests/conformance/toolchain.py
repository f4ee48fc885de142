"""Programs for the conformance tests: assembled or compiled by GCC, run by qemu, kept between runs.

Whatever is missing skips the test, with its reason. Results are kept in pytest's cache under a hash of all that went
in, so that a second run only runs the engines.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GCC = "riscv64-linux-gnu-gcc"
QEMU = "qemu-riscv64"
PACKAGES = {GCC: "gcc-riscv64-linux-gnu", QEMU: "qemu-user", "csmith": "csmith libcsmith-dev"}
MARCH = "rv64gc_zba_zbb_zbs_zifencei"
STATIC = (
    *(f"-march={MARCH}", "-mabi=lp64d", "-static", "-nostdlib", "-nostartfiles", "-fno-pic", "-no-pie"),
    *("-mcmodel=medany", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments", f"-I{HERE}"),
)
CACHE = Path(os.environ.get("DENALI_CONFORMANCE_CACHE", HERE.parent.parent / ".pytest_cache" / "conformance"))
QEMU_CPU = "rv64,zba=true,zbb=true,zbs=true"


def require(*tools: str) -> None:
    """Skip the test unless every tool is installed."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: apt-get install {PACKAGES[tool]}")


def suite(variable: str, repository: str) -> Path:
    """Where a suite was cloned to, as an environment variable says; skips the test when it does not."""
    place = os.environ.get(variable)
    if not place:
        pytest.skip(f"{variable} is not set: git clone {repository} /somewhere, then {variable}=/somewhere")
    if not Path(place).is_dir():
        pytest.skip(f"{variable}={place} is not a folder: git clone {repository} {place}")
    return Path(place)


def compiled(source: Path, *options: str, script: str = "link.ld") -> bytes:
    """The ELF file that GCC makes of `source`, linked as `script` says."""
    require(GCC)
    command = (GCC, *STATIC, f"-T{HERE / script}", *options, str(source))
    return kept("elf", (*command, *_headers(), source.read_bytes()), lambda out: _checked((*command, "-o", str(out))))


def linux_output(elf: bytes, timeout: float = 60) -> bytes:
    """What an ELF file writes to standard output under qemu, the independent machine we compare with."""
    require(QEMU)

    def make(out: Path) -> None:
        program = out.with_suffix(".elf")
        program.write_bytes(elf)
        program.chmod(0o755)
        command = (QEMU, "-cpu", QEMU_CPU, str(program))
        out.write_bytes(_checked(command, timeout=timeout))
        program.unlink()

    return kept("output", (_version(QEMU), QEMU_CPU, elf), make)


def kept(kind: str, inputs: Sequence[str | bytes], make: Callable[[Path], object]) -> bytes:
    """The content of the file that `make` writes, made once for the same inputs."""
    key = hashlib.sha256(repr([kind, *inputs]).encode()).hexdigest()
    place = CACHE / key[:2] / key
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_suffix(f".{os.getpid()}")
        make(fresh)
        fresh.replace(place)
    return place.read_bytes()


def _checked(command: Sequence[str], timeout: float = 300) -> bytes:
    done = subprocess.run(command, capture_output=True, timeout=timeout, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}: status {done.returncode}\n{done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout


@cache
def _headers() -> tuple[bytes, ...]:
    return tuple(one.read_bytes() for pattern in ("*.h", "*.ld") for one in sorted(HERE.glob(pattern)))


@cache
def _version(tool: str) -> bytes:
    return _checked((tool, "--version"))
