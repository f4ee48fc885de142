"""The layers hold: who may import whom, and how much code must be trusted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = {
    "isa": {"isa"},
    "tlb": {"isa", "tlb"},
    "kernel": {"isa", "tlb", "kernel"},
    "libos": {"isa", "libos"},
    "examples": {"isa", "libos", "examples"},  # of isa: constants of the virtual machine
}
# In isa/ but on no guest's path: oracles, and tools for people. What is trusted must not import them.
TOOLS = {
    "assembler", "directives", "disassembler", "elf", "encoding", "expressions", "forms", "manual", "memory", "names",
    "notation", "pseudo", "reference", "softfloat", "syntax",
}  # fmt: skip
# Lines of Python, docstrings and comments included. Raising a budget is a decision: make it in a diff, with a reason.
# isa/ holds two realisations of memory: flat, and the pages of a virtual MMU.
BUDGET = {"isa": 9000, "tlb": 1800, "kernel": 5200}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            yield ".".join(("denali", *base, *(node.module or "").split("."))).rstrip(".")
        elif isinstance(node, ast.ImportFrom) and node.module == "denali":
            yield from (f"denali.{name.name}" for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    for path in modules(layer):
        for name in imports(path):
            parts = name.split(".")
            assert parts[0] not in BUDGET | {"libos": 0}, f"{path}: say denali.{parts[0]}, never a second name for it"
            if parts[0] == "denali":
                assert len(parts) > 1, f"{path}: a layer cannot import the composed package"
                assert parts[1] in LAYERS[layer], f"{path} imports {name}; {layer} may import {sorted(LAYERS[layer])}"


def trusted(layer: str) -> list[Path]:
    return [path for path in modules(layer) if layer != "isa" or path.stem not in TOOLS]


@pytest.mark.parametrize("layer", BUDGET)
def test_what_is_trusted_does_not_import_tools(layer: str) -> None:
    for path in trusted(layer):
        used = {name.removeprefix("denali.isa.").split(".")[0] for name in imports(path)}
        assert not used & TOOLS, f"{path} is trusted and imports {used & TOOLS}"


@pytest.mark.parametrize("layer", BUDGET)
def test_the_trusted_base_stays_within_its_budget(layer: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = sum(len(path.read_text().splitlines()) for path in trusted(layer))
    with capsys.disabled():
        print(f"\ntrusted: {layer}/ {lines} of {BUDGET[layer]} lines", end="")
    assert lines <= BUDGET[layer]
