"""The training augmentation: one random affine and a mirror, made at the network's resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ofa_pose.data.geometry import (
    compose,
    scale_of,
    scaling,
    transform_boxes,
    transform_points,
    warp,
)
from ofa_pose.data.scene import Scene
from ofa_pose.errors import UsageError
from ofa_pose.skeleton import Skeleton

# HigherHRNet measures scale in units of 200 px: the window is `scale` times the picture's short
# side, and the translation is given in pixels of a 200-px window.
_REFERENCE_PX = 200.0


@dataclass(frozen=True)
class Augmentation:
    """A square window of the picture, randomly placed, turned, sized and mirrored.

    Attributes:
        rotation: largest angle in degrees, either way.
        scale: smallest and largest side of the window, in short sides of the picture; below 1
            people grow, above 1 they shrink.
        translation: largest shift of the window in pixels of a 200-px window, in x and in y.
        flip: probability of a mirror image.
    """

    rotation: float = 30.0
    scale: tuple[float, float] = (0.75, 1.5)
    translation: float = 40.0
    flip: float = 0.5

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise UsageError(f"augmentation scale must be 0 < low <= high, got {self.scale}")
        if not 0 <= self.flip <= 1:
            raise UsageError(f"augmentation flip is a probability, got {self.flip}")
        if self.rotation < 0 or self.translation < 0:
            raise UsageError("augmentation rotation and translation must not be negative")

    def matrix(
        self, size: tuple[int, int], resolution: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, bool]:
        """Draw the (2, 3) affine from picture to canvas, and whether it mirrors.

        Args:
            size: height and width of the picture.
            resolution: side of the square canvas.
            rng: five numbers are drawn from it, always.
        """
        height, width = size
        side, turn, shift_x, shift_y, mirror = rng.random(5)
        window = min(height, width) * (self.scale[0] + (self.scale[1] - self.scale[0]) * side)
        angle = math.radians(self.rotation) * (2 * turn - 1)
        reach = self.translation / _REFERENCE_PX * window
        centre_x = width / 2 + reach * (2 * shift_x - 1)
        centre_y = height / 2 + reach * (2 * shift_y - 1)
        flip = bool(mirror < self.flip)
        cos, sin = (math.cos(angle) * resolution / window, math.sin(angle) * resolution / window)
        middle = resolution / 2
        linear = np.array([[cos, -sin], [sin, cos]])
        shift = middle - linear @ np.array([centre_x, centre_y])
        matrix = np.concatenate([linear, shift[:, None]], axis=1)
        if flip:
            matrix = compose(scaling(-1.0, 1.0, float(resolution), 0.0), matrix)
        return matrix, flip

    def apply(
        self, scene: Scene, resolution: int, rng: np.random.Generator, *, skeleton: Skeleton
    ) -> Scene:
        """Return the (resolution, resolution) scene that a random window shows.

        Beside the picture lies plain grey, which counts as background in the loss; ignored
        regions stay ignored. Joints outside of the canvas get v = 0, people without any joint
        left are dropped. Boxes are the upright bounds of the turned boxes inside the canvas.
        """
        matrix, flip = self.matrix(scene.image.shape[:2], resolution, rng)
        return warp_scene(
            scene, matrix, size=(resolution, resolution), flip=skeleton.flip if flip else None
        )


def warp_scene(
    scene: Scene,
    matrix: np.ndarray,
    *,
    size: tuple[int, int],
    flip: tuple[int, ...] | None = None,
) -> Scene:
    """Map a scene through a (2, 3) affine onto a canvas; grey lies beside the picture.

    Args:
        scene: what to map.
        matrix: picture to canvas coordinates.
        size: height and width of the canvas.
        flip: the skeleton's left-right permutation if the affine mirrors, else None.
    """
    keypoints = scene.keypoints.copy()
    keypoints[:, :, :2] = transform_points(keypoints[:, :, :2], matrix)
    known = scene.known
    if flip is not None:
        keypoints = keypoints[:, list(flip)]
        known = None if known is None else known[list(flip)]
    keypoints = drop_outside(keypoints, size)
    kept = (keypoints[:, :, 2] > 0).any(axis=1)
    if scene.valid.all():
        valid = np.ones(size, bool)
    else:
        ignored = (~scene.valid).view(np.uint8)
        valid = warp(ignored, matrix, size=size, border=0, nearest=True) == 0
    return Scene(
        image=warp(scene.image, matrix, size=size),
        keypoints=keypoints[kept],
        valid=valid,
        image_id=scene.image_id,
        boxes=transform_boxes(scene.boxes, matrix, size)[kept],
        areas=(scene.areas * np.float32(scale_of(matrix) ** 2))[kept],
        known=known,
    )


def drop_outside(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return (P, K, 3) keypoints with zeros for joints outside of a (height, width) canvas."""
    x, y, v = keypoints[:, :, 0], keypoints[:, :, 1], keypoints[:, :, 2]
    inside = (v > 0) & (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0])
    return np.where(inside[:, :, None], keypoints, np.float32(0))
