"""What a thread can ask of the host's processor for itself against reads of what is not there for it."""

from __future__ import annotations

import ctypes

SET_SPECULATION, STORE_BYPASS, DISABLE = 53, 0, 1 << 2  # of prctl(2): PR_SET_SPECULATION_CTRL, PR_SPEC_...


def forbid_store_bypass() -> bool:
    """Have loads of this thread wait for stores whose addresses are not known yet; False where the host has no say.

    Else a load may be given for a moment what was there before, a mask that was put on the stack for one. Threads that
    are begun later inherit it.
    """
    return ctypes.CDLL(None).prctl(SET_SPECULATION, STORE_BYPASS, DISABLE, 0, 0) == 0
