"""Pictures as the network's input: stacked in channels_last, and normalised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import default_collate


def to_tensor(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Stack (H, W, 3) uint8 pictures to an (N, 3, H, W) uint8 tensor in channels_last."""
    return stack(images).permute(0, 3, 1, 2)


def stack(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    """Stack arrays along a new first axis; in a loader's process, straight into shared memory."""
    return default_collate([torch.from_numpy(array) for array in arrays])


def normalize(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Return (N, 3, H, W) uint8 images as float32, minus `mean`, divided by `std` (RGB, 0..255)."""
    shape = (1, 3, 1, 1)
    mean_tensor = torch.tensor(mean, dtype=torch.float32, device=images.device).view(shape)
    std_tensor = torch.tensor(std, dtype=torch.float32, device=images.device).view(shape)
    return (images.float() - mean_tensor) / std_tensor
