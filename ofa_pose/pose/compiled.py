"""Whether decoding's loops are compiled: they are where numba, of the extra `[fast]`, is."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType

enabled = True
"""Whether compiled loops are used where they are available; the results are the same."""


def kernels() -> ModuleType | None:
    """Return the compiled loops, or None where numba is absent or they are turned off."""
    return _kernels() if enabled else None


@lru_cache(maxsize=1)
def _kernels() -> ModuleType | None:
    try:
        from numba import config

        from ofa_pose.pose import _kernels
    except ImportError:
        return None
    return None if config.DISABLE_JIT else _kernels  # pyright: ignore[reportAttributeAccessIssue]
