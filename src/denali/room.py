"""How much memory this process could still have: what the host has free, and what control groups allow.

A process that takes more is ended by the host without a word, so whoever wants much asks here first.
"""

from __future__ import annotations

from pathlib import Path

# Of version 2 and 1 of control groups: what may be used, what is, the field of `memory.stat` that can be dropped.
_LIMITS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available(root: Path = Path("/")) -> int:
    """Bytes of memory that this process could still have; `root` is where /proc and /sys are."""
    lines = (root / "proc/meminfo").read_text().splitlines()
    free = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return max(min([free, *(room for group in _groups(root) for room in _room(group))]), 0)


def _groups(root: Path) -> list[Path]:
    """The folders of the control groups that this process is in and may look at."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = list[Path]()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = root / "sys/fs/cgroup" / controllers
        inner = top / path.lstrip("/")
        found += [folder for folder in (inner, *inner.parents) if folder == top or top in folder.parents]
    return found


def _room(group: Path) -> list[int]:
    """What a group's limit leaves, if it has one."""
    for limit, used, cached in _LIMITS:
        try:
            most = (group / limit).read_text().strip()
            if most != "max":
                stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                return [int(most) - int((group / used).read_text()) + int(stat.get(cached, 0))]
        except (OSError, ValueError):
            continue
    return []
