"""perf and gdb, which look at the host from outside, call translated code by the names of the guest's functions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

SERVICE = """
def main() -> int:
    n = 1
    while True:
        for i in range(1000):
            n ^= i * n
"""
KERNEL = """
import sys, time
from denali import Kernel, load
with Kernel() as kernel:
    kernel.spawn(load(sys.argv[1]))
    time.sleep(240)
"""


@pytest.fixture(scope="module")
def pid(tmp_path_factory: pytest.TempPathFactory) -> Generator[int]:
    """A process in which a guest runs translated code, for ever."""
    file = tmp_path_factory.mktemp("outside") / "turner.py"
    file.write_text(SERVICE)
    with subprocess.Popen([sys.executable, "-c", KERNEL, file], env=os.environ | {"DENALI_PERF_MAP": "1"}) as process:
        names = Path(f"/tmp/perf-{process.pid}.map")
        deadline = time.monotonic() + 120
        while not (names.exists() and "turner: turner.main" in names.read_text()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield process.pid
        process.kill()
    names.unlink()


@pytest.fixture(scope="module")
def symbols(pid: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("outside") / "symbols"
    subprocess.run([sys.executable, "-m", "denali", "symbols", str(pid), "-o", file], check=True)
    return file


def test_the_file_of_symbols_places_each_name_in_code(symbols: Path) -> None:
    with symbols.open("rb") as file:
        elf = ELFFile(file)
        table = elf.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        (main,) = [symbol for symbol in table.iter_symbols() if symbol.name == "turner: turner.main"]
        section = elf.get_section(main["st_shndx"])
        assert elf.get_machine_arch() == "x64"
        assert section["sh_addr"] <= main["st_value"] < section["sh_addr"] + section["sh_size"]


def test_gdb_knows_where_translated_code_is(pid: int, symbols: Path) -> None:
    gdb = shutil.which("gdb")
    if gdb is None:
        pytest.skip("gdb is not installed")
    start = next(
        line.split()[0] for line in Path(f"/tmp/perf-{pid}.map").read_text().splitlines() if "turner.m" in line
    )
    asked = ["-ex", f"add-symbol-file {symbols}", "-ex", f"info symbol 0x{start}"]
    said = subprocess.run([gdb, "-batch", *asked], capture_output=True, text=True, check=True).stdout
    assert "turner: turner.main in section .text" in said


def test_perf_finds_the_time_in_the_guests_function(pid: int, tmp_path: Path) -> None:
    perf, data = shutil.which("perf"), tmp_path / "data"
    if perf is None:
        pytest.skip("perf is not installed")
    record = [perf, "record", "-q", "-e", "cpu-clock", "-p", str(pid), "-o", data, "--", "sleep", "1"]
    if subprocess.run(record, check=False, capture_output=True).returncode:
        pytest.skip("perf may not record here: see /proc/sys/kernel/perf_event_paranoid")
    report = subprocess.run([perf, "report", "-i", data, "--stdio"], capture_output=True, text=True, check=True).stdout
    assert "turner: turner.main" in report


def test_a_process_without_names_is_said_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "denali", "symbols", str(os.getpid())], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "DENALI_PERF_MAP=1" in done.stderr
