"""Compile a Python service to an image: `build(path)` gives the bytes of an ELF executable.

The service is imported and compiled in a process of its own, and the result is kept on disk until one of the sources
it was made from changes. What can be compiled, and what to write instead of the rest, is in docs/python-services.md.
"""

from __future__ import annotations

from denali.libos.compiler.build import Progress, build
from denali.libos.compiler.errors import CompileError

__all__ = ["CompileError", "Progress", "build"]
