"""denali-py: an isolation kernel. Thousands of small guests on one host, each of which can harm only itself.

    from denali import Image, Kernel, load

    with Kernel() as kernel:
        guests = kernel.spawn(load("service.py"), count=100)
        print(guests[17].request(b"GET / HTTP/1.1\\r\\nHost: guest\\r\\nConnection: close\\r\\n\\r\\n"))

Names are imported on first use: `import denali` itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .isa.image import BadImage, Image
    from .kernel.guest import Guest
    from .system import CompileError, Kernel, load
    from .tlb.frames import Overdrawn

__all__ = ["BadImage", "CompileError", "Guest", "Image", "Kernel", "Overdrawn", "load"]

_HOMES = {
    "BadImage": "isa.image",
    "CompileError": "system",
    "Guest": "kernel.guest",
    "Image": "isa.image",
    "Kernel": "system",
    "Overdrawn": "tlb.frames",
    "load": "system",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'denali' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"denali.{_HOMES[name]}"), name)
