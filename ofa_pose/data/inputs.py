"""Whole pictures as the network's input: normalised batches without augmentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ofa_pose.data.resize import resize_for_network
from ofa_pose.data.scene import SceneSource


def image_batches(
    source: SceneSource,
    resolution: int,
    count: int,
    *,
    batch_size: int,
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
    fit: str = "short",
) -> Iterator[torch.Tensor]:
    """Yield normalised batches of whole pictures, resized as evaluation does, not augmented.

    Made for batch-norm re-calibration. The pictures are spread evenly over the source. Those of
    one size share a batch, so sizes decide the batches' order.

    Args:
        source: the scenes.
        resolution: as in `resize_for_network`.
        count: number of pictures; all of them if the source holds fewer.
        batch_size: most pictures a batch.
        pixel_mean: RGB, in 0..255 units.
        pixel_std: RGB, in 0..255 units.
        fit: as in `resize_for_network`.

    Yields:
        (N, 3, H, W) float32, 1 <= N <= batch_size.
    """
    count = min(count, len(source))
    waiting: dict[tuple[int, ...], list[np.ndarray]] = {}
    for number in range(count):
        image, _ = resize_for_network(
            source[number * len(source) // count].image, resolution, fit=fit
        )
        same = waiting.setdefault(image.shape, [])
        same.append(image)
        if len(same) == batch_size:
            yield normalize(to_tensor(waiting.pop(image.shape)), pixel_mean, pixel_std)
    for same in waiting.values():
        yield normalize(to_tensor(same), pixel_mean, pixel_std)


def to_tensor(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Stack (H, W, 3) uint8 pictures to an (N, 3, H, W) uint8 tensor."""
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())


def normalize(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Return (N, 3, H, W) uint8 images as float32, minus `mean`, divided by `std` (RGB, 0..255)."""
    shape = (1, 3, 1, 1)
    mean_tensor = torch.tensor(mean, dtype=torch.float32, device=images.device).view(shape)
    std_tensor = torch.tensor(std, dtype=torch.float32, device=images.device).view(shape)
    return (images.float() - mean_tensor) / std_tensor
