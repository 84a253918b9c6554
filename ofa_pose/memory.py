"""Keeps the memory that one step frees for the next, or gives what was freed back at once."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 256 << 20


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep freed blocks, however large, for the rest of the process.

    By default it returns every block above 32 MB to the system when it is freed, and the system
    clears each page of it when it is next touched. On a CPU a training step frees and asks for
    the same feature maps again and again; at 448 px that costs more time than the convolutions.
    The price is that the process stays at its peak size until it ends.

    Returns:
        Whether it took effect: False where the C library is not glibc.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, _TOP_PAD_BYTES))
    return all(mallopt(option, value) == 1 for option, value in settings)


def give_back_freed_memory() -> None:
    """Return freed memory to the system, where the C library is glibc.

    It would return blocks by itself only from the end of its memory on. After many small objects
    of which a few stay, such as those of a large JSON, hundreds of megabytes can be left.
    """
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _of_glibc(name: str) -> Any:
    """Return a function of the C library; None where there is none of this name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
