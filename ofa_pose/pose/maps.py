"""Maps as numpy arrays, whoever ran the network: decoding needs no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Maps: TypeAlias = "np.ndarray | Tensor"
"""What a network gives, from PyTorch on any device or from another runtime."""

Pass: TypeAlias = "tuple[Sequence[Maps], Sequence[Maps] | None]"
"""What a network gave for a batch, and for the mirrored batch or None."""


def as_array(maps: Maps) -> np.ndarray:
    """Return maps as a contiguous float32 array; those that are one already are not copied."""
    if not isinstance(maps, np.ndarray):
        maps = maps.detach().float().cpu().contiguous().numpy()
    return np.ascontiguousarray(maps, dtype=np.float32)
