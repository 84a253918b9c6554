"""What the network should predict for a scene: a Gaussian per joint, and where each tag is read.

Coordinates are continuous: the picture spans `[0, W) x [0, H)` and the centre of its first pixel
is (0.5, 0.5). A joint at `(x, y)` lies in the cell `(floor(x / stride), floor(y / stride))` of a
map of that stride; decoding inverts this with the cell's centre, `(cell + 0.5) * stride`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa_pose.errors import DataError, UsageError

MAX_PEOPLE = 30
"""People a scene may have in the tag loss (HigherHRNet's constant)."""


@dataclass(frozen=True)
class Targets:
    """The targets of one scene.

    Attributes:
        heatmaps: for each output `(K, h, w)` float32, 1 at a joint's cell.
        masks: for each output `(h, w)` float32, 1 where the heatmap loss counts, else 0.
        tags: `(max_people, K, 2)` int64: the flat index `(k * h + y) * w + x` of the joint's cell
            in the first output's `(K, h, w)` tag maps, and 1 if the joint is visible, else 0.
            People with a visible joint come first, in the order given.
    """

    heatmaps: tuple[np.ndarray, ...]
    masks: tuple[np.ndarray, ...]
    tags: np.ndarray


def make_targets(
    keypoints: np.ndarray,
    valid: np.ndarray | None,
    *,
    size: tuple[int, int],
    strides: Sequence[int] = (4, 2),
    sigma: float = 2.0,
    max_people: int = MAX_PEOPLE,
) -> Targets:
    """Return heatmaps, loss masks and tag positions of one scene.

    Joints with `v == 0` or outside the picture are left out. Where Gaussians of one joint meet,
    the larger value wins. Source: HigherHRNet (Cheng et al., CVPR 2020), section 3, and its code;
    LitePose follows it.

    Args:
        keypoints: `(P, K, 3)` x, y in pixels of the network's input, and v.
        valid: `(H, W)` bool, True for pixels that count in the heatmap loss; None if all do. A
            cell counts when at least half of its pixels do.
        size: (H, W) of the network's input.
        strides: input pixels a cell, one for each output; the first output carries the tags.
        sigma: standard deviation of the Gaussians, in cells of each output.
        max_people: rows of `tags`; people beyond it are in the heatmaps only.

    Raises:
        DataError: `keypoints` or `valid` has another shape, or a visible joint is not finite.
        UsageError: `size` is not a multiple of a stride.
    """
    keypoints = _checked_keypoints(keypoints)
    if valid is not None and valid.shape != tuple(size):
        raise DataError(f"the mask is {valid.shape}, the network's input {tuple(size)}")
    visible = (
        (keypoints[..., 2] > 0)
        & (keypoints[..., :2] >= 0).all(axis=-1)
        & (keypoints[..., 0] < size[1])
        & (keypoints[..., 1] < size[0])
    )
    patch = _gaussian(float(sigma))
    positions = np.where(visible[..., None], keypoints[..., :2], 0.0)
    joints = keypoints.shape[1]
    if valid is not None and valid.all():
        valid = None
    tags = np.zeros((max_people, joints, 2), dtype=np.int64)
    heatmaps, masks = [], []
    for output, stride in enumerate(strides):
        if size[0] % stride or size[1] % stride:
            raise UsageError(f"an input of {size[0]}x{size[1]} is no multiple of stride {stride}")
        height, width = size[0] // stride, size[1] // stride
        cells = np.floor(positions / stride).astype(np.int64)
        heatmaps.append(_draw(cells, visible, shape=(height, width), patch=patch))
        masks.append(_mask(valid, shape=(height, width), stride=stride))
        if output == 0:
            index = (np.arange(joints) * height + cells[..., 1]) * width + cells[..., 0]
            pairs = np.stack([index * visible, visible], axis=-1)[visible.any(axis=1)][:max_people]
            tags[: len(pairs)] = pairs
    return Targets(heatmaps=tuple(heatmaps), masks=tuple(masks), tags=tags)


def _checked_keypoints(keypoints: np.ndarray) -> np.ndarray:
    """Return `keypoints` as float64; joints without a label may hold anything."""
    keypoints = np.asarray(keypoints, dtype=np.float64)
    if keypoints.ndim != 3 or keypoints.shape[2] != 3:
        raise DataError(f"keypoints must be (people, joints, 3), got {keypoints.shape}")
    if not np.isfinite(keypoints[keypoints[..., 2] != 0]).all():
        raise DataError("a visible keypoint is NaN or infinite")
    return keypoints


@functools.lru_cache(maxsize=8)
def _gaussian(sigma: float) -> np.ndarray:
    """Return the square patch every joint draws: centres are whole cells, so it never changes.

    It reaches 3 sigma and one cell to each side, as in HigherHRNet.
    """
    radius = math.ceil(3 * sigma + 1)
    profile = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    patch = np.outer(profile, profile).astype(np.float32)
    patch.flags.writeable = False
    return patch


def _draw(
    cells: np.ndarray, visible: np.ndarray, *, shape: tuple[int, int], patch: np.ndarray
) -> np.ndarray:
    """Return `(K, *shape)` float32 with `patch` merged by maximum around each visible cell."""
    canvas = np.zeros((cells.shape[1], *shape), dtype=np.float32)
    radius = patch.shape[0] // 2
    people, joints = np.nonzero(visible)
    for joint, (x, y) in zip(joints.tolist(), cells[people, joints].tolist(), strict=True):
        left, top = x - radius, y - radius
        window = canvas[joint, max(top, 0) : y + radius + 1, max(left, 0) : x + radius + 1]
        cut_y, cut_x = max(-top, 0), max(-left, 0)
        height, width = window.shape
        np.maximum(window, patch[cut_y : cut_y + height, cut_x : cut_x + width], out=window)
    return canvas


def _mask(valid: np.ndarray | None, *, shape: tuple[int, int], stride: int) -> np.ndarray:
    """Return `shape` float32, 1 for each cell of which at least half the pixels are valid."""
    if valid is None:
        return np.ones(shape, dtype=np.float32)
    height, width = shape
    blocks = valid.reshape(height, stride, width, stride)
    return (blocks.mean(axis=(1, 3)) >= 0.5).astype(np.float32)
