# pyright: basic
"""The coverage-guided fuzzer of the image loader (atheris, libFuzzer); a file that it finds belongs into the corpus.

python tests/conformance/fuzz_image.py -max_total_time=600 /tmp/found tests/conformance/corpus
"""

from __future__ import annotations

import sys

import atheris  # pyright: ignore[reportMissingImports]

with atheris.instrument_imports(  # pyright: ignore[reportAttributeAccessIssue]
    include=["elftools", "denali.isa.image", "denali.isa.headers"]
):
    import images


def one_input(content: bytes) -> None:
    """Load it."""
    images.check(content)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
