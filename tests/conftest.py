"""What all tests need of the process they run in."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a job in the background; its children would not hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
