"""What becomes of freed memory: large blocks are used again, instead of being asked of the system anew each step."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

#: mallopt's numbers for M_TRIM_THRESHOLD, M_MMAP_MAX and M_ARENA_MAX, in glibc's malloc.h.
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8


@cache
def keep_freed() -> None:
    """From now on this process keeps what it frees, until :func:`give_back`. Does nothing but with glibc.

    glibc hands each block above 32 MB back to the system, which clears the next one page by page: maps at full size are
    larger, and of a step through the whole picture, forward and backward, that was more than half the time. One arena,
    since those of further threads cannot hold such blocks. Where the user has set malloc's environment variables, it is
    as they say.
    """
    library = _glibc()
    if library is not None and not any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        library.mallopt(ARENA_MAX, 1)
        library.mallopt(MMAP_MAX, 0)
        library.mallopt(TRIM_THRESHOLD, -1)


def give_back() -> None:
    """Hand the system all memory that is free now."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "mallopt") else None
