"""What a network might give: perfect for labelled people, noisy for random ones.

For tests and benchmarks of decoding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ofa_pose.pose.targets import make_targets
from ofa_pose.skeleton import Skeleton

TAG_STEP = 2.0
"""Distance of the tags of one person and the next."""


@dataclass(frozen=True)
class RandomScene:
    """A network's outputs for one picture.

    Attributes:
        size: (H, W) of the network's input.
        outputs: `(1, 2K, H/4, W/4)` heatmaps then tags, `(1, K, H/2, W/2)` heatmaps.
        flipped: the same for the mirrored picture, or None.
    """

    size: tuple[int, int]
    outputs: list[Tensor]
    flipped: list[Tensor] | None


def random_scene(
    seed: int,
    skeleton: Skeleton,
    *,
    people: int,
    size: tuple[int, int],
    flip: bool,
    tag_noise: float = 0.3,
    heat_noise: float = 0.01,
    shuffled: bool = False,
) -> RandomScene:
    """Return outputs for people of any size anywhere, some joints missing or beyond the border.

    Each joint is drawn with a height of its own. The tag map around a joint is its person's tag
    and an error of the joint's own; elsewhere it is that of the person in the middle nearest to.

    Args:
        seed: of everything.
        skeleton: K joints.
        people: how many.
        size: (H, W) of the network's input.
        flip: mirrored outputs, too, with errors of their own.
        tag_noise: deviation of a joint's tag from its person's, and a tenth of it in each cell.
        heat_noise: deviation of each cell of the heatmaps.
        shuffled: in the mirrored pass people have one another's tags, not their own again. Then
            people do not lie in a row, and few assignments cost the same.
    """
    rng = np.random.default_rng(seed)
    joints = skeleton.num_joints
    centres = rng.uniform(0, (size[1], size[0]), (people, 1, 2))
    sides = rng.uniform(0.1, 0.5, (people, 1, 1)) * min(size)
    keypoints = np.ones((people, joints, 3))
    keypoints[..., :2] = centres + sides * rng.uniform(-0.5, 0.5, (people, joints, 2))
    keypoints[..., 2] = rng.uniform(size=(people, joints)) < 0.8

    def outputs(points: np.ndarray, middles: np.ndarray, values: np.ndarray) -> list[Tensor]:
        maps = []
        for stride in (4, 2):
            height, width = size[0] // stride, size[1] // stride
            total = np.zeros((joints, height, width))
            for person in points:
                own = make_targets(person[None], None, size=size, strides=(stride,)).heatmaps[0]
                np.maximum(total, own * rng.uniform(0.3, 1, (joints, 1, 1)), out=total)
            maps.append(total + rng.normal(size=total.shape) * heat_noise)
        tags = _tags(points, middles, size, values=values, rng=rng, noise=tag_noise)
        low = np.concatenate([maps[0], tags]).astype(np.float32)
        return [torch.from_numpy(low)[None], torch.from_numpy(maps[1].astype(np.float32))[None]]

    values = TAG_STEP * (np.arange(people) - people / 2)
    plain = outputs(keypoints, centres[:, 0], values)
    if not flip:
        return RandomScene(size, plain, None)
    if shuffled:
        values = rng.permutation(values)
    mirrored = keypoints[:, list(skeleton.flip)] * [-1, 1, 1] + [size[1], 0, 0]
    middles = [size[1], 0] + centres[:, 0] * [-1, 1]
    return RandomScene(size, plain, outputs(mirrored, middles, values))


def _tags(
    points: np.ndarray,
    middles: np.ndarray,
    size: tuple[int, int],
    *,
    values: np.ndarray,
    rng: np.random.Generator,
    noise: float,
) -> np.ndarray:
    joints = points.shape[1]
    rows, columns = np.mgrid[: size[0] // 4, : size[1] // 4] * 4 + 2
    cells = np.stack([columns, rows], axis=-1)
    nearest = np.square(cells[:, :, None] - middles).sum(axis=-1).argmin(axis=-1)
    tags = np.repeat(values[nearest][None], joints, axis=0)
    for person, joint in np.argwhere(points[..., 2] > 0):
        near = np.abs(cells - points[person, joint, :2]).max(axis=-1) < 6
        tags[joint][near] = values[person] + rng.normal() * noise
    return tags + rng.normal(size=tags.shape) * noise / 10


def oracle_outputs(keypoints: np.ndarray, *, size: tuple[int, int]) -> list[Tensor]:
    """Return the targets of both outputs as if predicted, with tags that know whose joint it is.

    Args:
        keypoints: `(P, K, 3)` x, y in pixels of the network's input, and v.
        size: (H, W) of the network's input.

    Returns:
        `(1, 2K, H/4, W/4)` heatmaps then tags, `(1, K, H/2, W/2)` heatmaps.
    """
    low, high = make_targets(keypoints, None, size=size).heatmaps
    tags = oracle_tags(keypoints, (low.shape[1], low.shape[2]), 4)
    return [torch.from_numpy(np.concatenate([low, tags]))[None], torch.from_numpy(high)[None]]


def oracle_tags(keypoints: np.ndarray, shape: tuple[int, int], stride: int) -> np.ndarray:
    """Return `(K, *shape)`: `TAG_STEP` times the person's number on and around their joints.

    Elsewhere it is `-TAG_STEP`. As a network's tags are one value over a whole body, each
    joint's map holds the tag at all of a person's joints; the joint's own cells come last.

    Args:
        keypoints: `(P, K, 3)` x, y in pixels of the network's input, and v.
        shape: of the tag maps.
        stride: pixels a cell.
    """
    tags = np.full((keypoints.shape[1], *shape), -TAG_STEP, dtype=np.float32)
    cells = np.floor(keypoints[..., :2] / stride).astype(int)

    def mark(joints: slice, person: int, joint: int, radius: int) -> None:
        x, y = cells[person, joint]
        rows = slice(max(0, y - radius), max(0, y + radius + 1))
        columns = slice(max(0, x - radius), max(0, x + radius + 1))
        tags[joints, rows, columns] = TAG_STEP * person

    visible = np.argwhere(keypoints[..., 2] > 0)
    for person, joint in visible:
        mark(slice(None), person, joint, 1)
    for radius in (1, 0):
        for person, joint in visible:
            mark(slice(joint, joint + 1), person, joint, radius)
    return tags
