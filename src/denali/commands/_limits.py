"""What a command that serves asks of the host for its own process."""

from __future__ import annotations

import contextlib
import resource

STREAMS_AND_MORE = 8192  # descriptors: the gateway serves 3,072 clients at a time


def take_descriptors() -> None:
    """Have as many descriptors as the gateway can use, where this user may; many hosts give 1,024 at first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = STREAMS_AND_MORE if hard == resource.RLIM_INFINITY else min(STREAMS_AND_MORE, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
