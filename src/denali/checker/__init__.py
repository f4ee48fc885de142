"""An independent checker of translated code: it reads the machine code and proves every access confined.

It trusts neither the translator nor LLVM and shares no code with them: what it knows are the layout of the records
(`isa/context.py`), the numbers of the translation (`Layout`) and x86-64, through the disassembler capstone. It follows
the values of registers and stack slots through each function, collects what comparisons on the way have established,
and demands of each access, jump and call one of the few forms that keep a guest in its memory.

Read `sums` (what a value is), `machine_code` (an object taken apart), `flow` (values at every point), `facts`, `scope`
and `proof` (what is known there), then `rules` and `paging`: the forms that are accepted, which is what the checker
means by confined.
"""

from __future__ import annotations

import re

from denali.checker.rules import Layout, Refusal, Report, check

__all__ = ["Layout", "Refusal", "Report", "check", "keep_checks"]

COMPARISON = re.compile(r"^  (%\S+) = icmp ult i64 (%\S+), (\d+)$", re.MULTILINE)
PAGE = re.compile(r"^  (%\S+) = and i64 (%\S+), (-4096)$", re.MULTILINE)


def keep_checks(text: str) -> str:
    """The text of a translation, with limits and masks of pages that LLVM cannot see, so that it removes no check.

    LLVM drops a comparison whose outcome it can derive, and to follow all it can derive the checker would have to be as
    clever. What it then proves is that the translator asks for every check that is needed; that LLVM leaves out only
    checks that cannot fail is LLVM's promise.
    """
    hidden = r'  \1.limit = call i64 asm "", "=r,0"(i64 \3)\n  \1 = {} i64 \2, \1.limit'
    return PAGE.sub(hidden.format("and"), COMPARISON.sub(hidden.format("icmp ult"), text))
