"""Whether decoding's loops are compiled: they are where numba, of the extra `[fast]`, is."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType


@lru_cache(maxsize=1)
def kernels() -> ModuleType | None:
    """Return the compiled loops, or None where numba is absent or turned off."""
    try:
        from numba import config

        from ofa_pose.pose import _kernels
    except ImportError:
        return None
    return None if config.DISABLE_JIT else _kernels  # pyright: ignore[reportAttributeAccessIssue]
