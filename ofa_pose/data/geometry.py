"""Affine maps between pictures and canvases, all in one pixel convention.

Coordinates are continuous: pixel `i` covers `[i, i + 1)` and its centre lies at `i + 0.5`. So
resizing by `s` multiplies coordinates by `s`, mirroring maps `x` to `width - x`, and the cell of a
joint in a map of stride `s` is `floor(x / s)`. OpenCV's warps put pixel centres at whole numbers;
`warp` converts, nothing else has to.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

# What lies beside a picture: the ImageNet mean, so that it is near zero after normalisation.
BORDER_RGB = (124, 116, 104)

_CORNERS = np.array([(0, 0), (1, 0), (0, 1), (1, 1)], np.float32)


def scaling(
    scale_x: float, scale_y: float, shift_x: float = 0.0, shift_y: float = 0.0
) -> np.ndarray:
    """Return the (2, 3) float64 affine `x' = scale_x * x + shift_x`, and the same for y."""
    return np.array([[scale_x, 0.0, shift_x], [0.0, scale_y, shift_y]], np.float64)


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Return the (2, 3) affine that applies `inner` first, then `outer`."""
    result = outer[:, :2] @ inner
    result[:, 2] += outer[:, 2]
    return result


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map (..., 2) points through a (2, 3) affine; returns float32."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def transform_boxes(boxes: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Map (P, 4) xywh boxes; returns the upright bounds of the mapped corners inside the canvas.

    Args:
        boxes: (P, 4) x, y, width, height.
        matrix: (2, 3) affine.
        size: height and width of the canvas the bounds are clipped to.
    """
    corners = boxes[:, None, :2] + boxes[:, None, 2:] * _CORNERS
    corners = transform_points(corners, matrix)
    limits = np.array([size[1], size[0]], np.float32)
    result = np.empty((len(boxes), 4), np.float32)
    low = result[:, :2] = corners.min(axis=1).clip(0, limits)
    result[:, 2:] = corners.max(axis=1).clip(0, limits) - low
    return result


def scale_of(matrix: np.ndarray) -> float:
    """Return by how much an affine scales lengths (the root of its determinant's magnitude)."""
    (a, b), (c, d) = matrix[:, :2].tolist()
    return math.sqrt(abs(a * d - b * c))


def warp(
    image: np.ndarray,
    matrix: np.ndarray,
    *,
    size: tuple[int, int],
    border: tuple[int, int, int] | int = BORDER_RGB,
    nearest: bool = False,
) -> np.ndarray:
    """Warp a picture onto a canvas.

    Bilinear sampling reads four pixels whatever the scale, so shrinking below a half would alias;
    such a picture is first averaged down by a whole factor.

    Args:
        image: (H, W, C) or (H, W) uint8.
        matrix: (2, 3) affine from picture to canvas coordinates.
        size: height and width of the canvas.
        border: value outside the picture.
        nearest: take the nearest pixel (masks) instead of interpolating.

    Returns:
        (size[0], size[1], C) or (size[0], size[1]) uint8.
    """
    height, width = image.shape[:2]
    factor = int(1 / max(scale_of(matrix), 1e-3) + 1e-6)
    if factor >= 2 and not nearest:
        small = (max(1, width // factor), max(1, height // factor))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        matrix = compose(matrix, scaling(width / small[0], height / small[1]))
    centred = matrix.copy()
    centred[:, 2] += matrix[:, 0] * 0.5 + matrix[:, 1] * 0.5 - 0.5
    return cv2.warpAffine(
        image,
        centred,
        (size[1], size[0]),
        flags=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=border,
    )
