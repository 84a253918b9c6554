"""The camera of a scene: from where and how near it looks, and how it blurs what moves."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_NEAREST = 0.55  # of the perspective: nearer, and hands grow as large as their bodies


@dataclass(frozen=True)
class Camera:
    """How a scene is looked at.

    Attributes:
        pitch: degrees; positive looks down on people, negative up at them.
        roll: degrees the camera is turned about its line of sight.
        focal: focal length in sides of the picture; the shorter, the stronger the perspective.
    """

    pitch: float = 0.0
    roll: float = 0.0
    focal: float = 4.0

    def perspective(self, share: float) -> float:
        """Return the growth a body height of nearness brings, for people `share` sides tall."""
        return min(share / self.focal, _NEAREST)


def random_camera(rng: np.random.Generator) -> Camera:
    """Draw a camera: most at eye level and upright, some from high up, from below or tilted."""
    kind = rng.random()
    if kind < 0.16:
        pitch = rng.uniform(15, 55)
    elif kind < 0.26:
        pitch = rng.uniform(-32, -10)
    else:
        pitch = rng.normal(4, 7)
    roll = rng.uniform(-25, 25) if rng.random() < 0.1 else rng.normal(0, 3)
    return Camera(pitch, roll, float(np.exp(rng.uniform(np.log(0.9), np.log(6)))))


def motion_kernel(length: float, degrees: float) -> np.ndarray:
    """Return the (n, n) float32 weights of an even motion; n is odd and the middle stays.

    The kernel is the same when turned by half a turn, so that what is blurred does not move:
    labels say where a point is in the middle of the exposure.

    Args:
        length: of the motion in pixels, at least 1.
        degrees: its direction.
    """
    reach = int(np.ceil(length / 2))
    towards = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    offsets = np.arange(-reach, reach + 1, dtype=np.float64)
    along = offsets[None, :] * towards[0] + offsets[:, None] * towards[1]
    off = np.abs(offsets[None, :] * towards[1] - offsets[:, None] * towards[0])
    weights = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - off, 0, 1)
    return (weights / weights.sum()).astype(np.float32)


def blur_motion(image: np.ndarray, length: float, degrees: float) -> np.ndarray:
    """Return an (H, W) or (H, W, C) picture blurred along a direction."""
    kernel = motion_kernel(length, degrees)
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE)
