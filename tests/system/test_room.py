"""What the host could still give, and that too many guests are refused before they are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from denali import Kernel, Overdrawn, load
from denali import survey as module
from denali.room import available

GIB = 1 << 30


def host(root: Path, groups: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:    4194304 kB\n")
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_what_is_available_is_the_least_that_host_and_groups_allow(tmp_path: Path) -> None:
    assert available(host(tmp_path / "bare", "", {})) == 4 * GIB
    stat = f"anon 5\ninactive_file {GIB // 4}\ntotal_inactive_file {GIB // 4}\n"
    two = {"a/memory.max": str(2 * GIB), "a/memory.current": str(GIB), "a/memory.stat": stat, "a/b/memory.max": "max\n"}
    assert available(host(tmp_path / "two", "0::/a/b\n", two)) == GIB + GIB // 4
    one = {"memory/c/memory.limit_in_bytes": str(GIB), "memory/c/memory.usage_in_bytes": "4096"}
    one["memory/c/memory.stat"] = stat
    assert available(host(tmp_path / "one", "4:memory:/c\n3:cpu:/x\n", one)) == GIB - 4096 + GIB // 4
    over = two | {"a/memory.current": str(3 * GIB)}
    assert available(host(tmp_path / "over", "0::/a\n", over)) == 0


def test_this_host_has_some() -> None:
    assert 0 < available() < 1 << 50


def test_more_guests_than_the_host_has_memory_for_are_refused_with_advice(
    kernel: Kernel, examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "available", lambda: 100_000_000)
    image = load(examples / "hello.py")
    with pytest.raises(
        Overdrawn, match=r"50,000 guests of hello take at least 0\.2 GiB of memory, 0\.1 GiB are free: "
    ):
        module.survey(kernel, image, 50_000)
    with pytest.raises(Overdrawn, match=r"say --count 22\d\d\d at most, or --resident SIZE to have idle ones parked"):
        module.survey(kernel, image, 50_000)
    assert module.survey(kernel, image, 200).answered == 200
