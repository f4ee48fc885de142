# pyright: basic
"""The coverage-guided fuzzer of the image loader (atheris, libFuzzer); a file that it finds belongs into the corpus.

    mkdir -p /tmp/found; python tests/conformance/fuzz_image.py -max_total_time=600 /tmp/found tests/conformance/corpus

The corpus has images that are taken, by which the search comes behind the first checks: libFuzzer's `cov` should be
above a hundred from the beginning.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # pyright: ignore[reportMissingImports]

sys.path.append(str(Path(__file__).parents[1]))  # for tests/line_tables.py
with atheris.instrument_imports(  # pyright: ignore[reportAttributeAccessIssue]
    include=["elftools", "denali.isa.image", "denali.isa.headers", "denali.isa.lines"]
):
    import images


def one_input(content: bytes) -> None:
    """Load it."""
    images.check(content)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
