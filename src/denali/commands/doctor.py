"""`denali-py doctor`: what this host offers, and which feature misses what."""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import click

from ._terminal import tables


class Finding(NamedTuple):
    """One line of the report; `needed` says whether guests can run at all without it."""

    what: str
    present: bool
    found: str
    serves: str
    needed: bool = False


def _host() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("Python", sys.version_info >= (3, 11), version, "everything (3.11 or newer)", needed=True)
    machine = f"{platform.system()} {platform.machine()}"
    yield Finding("host", machine == "Linux x86_64", machine, "translated code (Linux on x86-64)", needed=True)
    yield Finding("cores", True, str(len(os.sched_getaffinity(0))), "kernel and translator side by side want two")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    yield Finding("memory", memory >= 1024, f"{memory:,} MiB", "5,000 guests want 1,024 MiB")
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    yield Finding("fused multiply-add", " fma " in flags, "CPU flag fma", "fast fmadd.d; the C library's fma otherwise")


def _limits() -> Iterator[Finding]:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield Finding("open files", files >= 1024, f"{files:,}", "one a connection from the host; ulimit -n raises it")
    yield Finding("loopback only", _binds_to_loopback(), "SO_BINDTODEVICE", "one listening socket that only lo reaches")
    tap = os.access("/dev/net/tun", os.R_OK | os.W_OK)
    yield Finding("TAP", tap, "/dev/net/tun", "frames from a host interface (needs root); not used by any command yet")


def _binds_to_loopback() -> bool:
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        except OSError:
            return False
    return True


def _programs() -> Iterator[Finding]:
    programs = {
        "riscv64-linux-gnu-gcc": "C guests, conformance tests",
        "riscv64-unknown-elf-objdump": "tests: the disassembler against binutils",
        "qemu-riscv64": "tests: instructions against an independent machine",
        "curl": "trying a guest by hand",
        "wrk": "load tests of the gateway",
    }
    for name, serves in programs.items():
        path = shutil.which(name)
        yield Finding(name, path is not None, path or "not on PATH", serves)
    for name, serves in {
        "unicorn": "tests: instructions against a second machine",
        "hypothesis": "property tests",
    }.items():
        yield Finding(name, find_spec(name) is not None, "Python package", serves)


def _cache() -> Iterator[Finding]:
    from ..isa.runtime.cache import Cache

    place = Cache().folder
    try:
        place.mkdir(parents=True, exist_ok=True)
        writable = os.access(place, os.W_OK)
    except OSError:
        writable = False
    yield Finding("cache", writable, str(place), "fast second starts; DENALI_CACHE chooses another folder")


SECTIONS: tuple[Callable[[], Iterator[Finding]], ...] = (_host, _limits, _cache, _programs)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def doctor(as_json: bool) -> None:
    """Say what this host offers and what is missing for what.

    \b
    Exit status 0: guests can run here. 1: something they need is missing.

    \b
    denali-py doctor
    denali-py doctor --json
    """
    findings = [finding for section in SECTIONS for finding in section()]
    missing = [f.what for f in findings if f.needed and not f.present]
    if as_json:
        rows = {f.what: {"present": f.present, "found": f.found, "serves": f.serves} for f in findings}
        click.echo(json.dumps({"ready": not missing, "findings": rows}))
    else:
        _show(findings)
        click.echo(f"Guests cannot run here: {', '.join(missing)}." if missing else "Guests can run here.")
    sys.exit(1 if missing else 0)


def _show(findings: list[Finding]) -> None:
    from rich.table import Table

    table = Table("", "what", "found", "serves", box=None)
    for f in findings:
        mark = "[green]yes[/]" if f.present else "[red]NO[/]" if f.needed else "[yellow]no[/]"
        table.add_row(mark, f.what, f.found, f.serves)
    tables().print(table)
