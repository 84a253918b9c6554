"""Pictures as the network's input: stacked in channels_last, and normalised."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch.utils.data import default_collate


def to_tensor(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Stack (H, W, 3) uint8 pictures to an (N, 3, H, W) uint8 tensor in channels_last."""
    return stack(images).permute(0, 3, 1, 2)


def as_images(pixels: np.ndarray) -> torch.Tensor:
    """Return (N, H, W, 3) uint8 pixels as `to_tensor` does, without a copy."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def stack(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    """Stack arrays along a new first axis; in a loader's process, straight into shared memory."""
    return default_collate([torch.from_numpy(array) for array in arrays])


def normalize(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Return (N, 3, H, W) uint8 images as float32, minus `mean`, divided by `std` (RGB, 0..255)."""
    return (images.float() - _constant(tuple(mean), images.device)) / _constant(
        tuple(std), images.device
    )


@lru_cache(maxsize=64)
def _constant(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return (1, 3, 1, 1); kept, as a copy to a GPU makes it wait for all that was asked before."""
    with torch.inference_mode(False):  # or training could not use what an evaluation has made
        return torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1)
