"""`denali-py cache`: what is kept on disk between runs, and how much of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

import click

if TYPE_CHECKING:
    from ..isa.runtime.cache import Cache

KINDS = {"native": "native code", "image": "images", "plan": "plans of translations", "hot": "what became hot"}


class Sizes(TypedDict):
    """How much there is of one kind."""

    entries: int
    bytes: int


class Fault(TypedDict):
    """An entry that readers ignore."""

    entry: str
    why: str


class Report(TypedDict):
    """What `--json` prints."""

    folder: str
    limit: int
    entries: int
    bytes: int
    kinds: dict[str, Sizes]
    removed: NotRequired[int]
    faults: NotRequired[list[Fault]]


class Size(click.ParamType[int]):
    """A number of bytes, which may end in K, M or G."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        from ..isa.runtime.cache import limit_of

        try:
            return limit_of(str(value))
        except ValueError as reason:
            self.fail(str(reason), param, ctx)


@click.command()
@click.option("--limit", type=Size(), help="Remove the longest unused entries until so many bytes are left at most.")
@click.option("--clear", is_flag=True, help="Remove all entries.")
@click.option("--verify", is_flag=True, help="Read every entry; status 1 when some would be ignored.")
@click.option("--json", "as_json", is_flag=True, help="One object on stdout.")
def cache(limit: int | None, clear: bool, verify: bool, as_json: bool) -> None:
    """Show where translations and images are kept, and how much room they take.

    The folder is DENALI_CACHE, or the user's cache folder. It is kept below DENALI_CACHE_LIMIT bytes (1G) whenever
    something is added; what was not used for longest goes first. All of this is safe while guests run: who finds an
    entry gone makes it again.

    \b
    denali-py cache --verify
    denali-py cache --limit 200M
    denali-py cache --clear
    """
    from ..isa.runtime.cache import Cache

    try:
        found = Cache()
    except ValueError as reason:
        raise click.ClickException(f"DENALI_CACHE_LIMIT: {reason}") from None
    removed = found.clean(0) if clear else found.clean(limit) if limit is not None else None
    faults = found.faults() if verify else None
    report = _report(found, removed, faults)
    if as_json:
        click.echo(json.dumps(report))
    else:
        _show(report, click.echo)
    if faults:
        raise SystemExit(1)


def _report(found: Cache, removed: int | None, faults: list[tuple[Path, str]] | None) -> Report:
    kinds: dict[str, Sizes] = {}
    entries = found.entries()
    for path, size, _ in entries:
        kind = kinds.setdefault(path.relative_to(found.folder).parts[0], {"entries": 0, "bytes": 0})
        kind["entries"] += 1
        kind["bytes"] += size
    report: Report = {
        "folder": str(found.folder),
        "limit": found.limit,
        "entries": len(entries),
        "bytes": sum(size for _, size, _ in entries),
        "kinds": dict(sorted(kinds.items())),
    }
    if removed is not None:
        report["removed"] = removed
    if faults is not None:
        report["faults"] = [{"entry": str(path.relative_to(found.folder)), "why": why} for path, why in faults]
    return report


def _show(report: Report, say: Callable[[str], None]) -> None:
    say(f"{report['folder']}: {report['entries']} entries, {report['bytes']:,} of at most {report['limit']:,} bytes")
    for kind, sizes in report["kinds"].items():
        say(f"  {KINDS.get(kind, kind)}: {sizes['entries']} entries, {sizes['bytes']:,} bytes")
    if "removed" in report:
        say(f"removed {report['removed']} entries")
    if "faults" in report:
        for fault in report["faults"]:
            say(f"{fault['entry']} is ignored: {fault['why']}")
        say(f"{len(report['faults'])} entries would be ignored")
