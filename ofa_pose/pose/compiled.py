"""Whether decoding's loops are compiled: they are where numba, of the extra `[fast]`, is."""

from __future__ import annotations

import logging
from functools import lru_cache
from types import ModuleType

_LOG = logging.getLogger(__name__)

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
    except RuntimeError as error:  # numba's, where what it compiles can be kept in no folder
        _LOG.warning("decoding is not compiled: %s", error)
        return None
    return None if config.DISABLE_JIT else _kernels  # pyright: ignore[reportAttributeAccessIssue]
