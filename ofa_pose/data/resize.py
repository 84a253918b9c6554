"""How a picture becomes a network's input outside of training, and the way back."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ofa_pose.data.geometry import BORDER_RGB, scaling
from ofa_pose.errors import UsageError

_LONG_SIDE_MULTIPLE = 64
_LONGEST = 8  # times the resolution: what a strip of a picture may cost


def resize_for_network(
    image: np.ndarray, resolution: int, *, fit: str = "short"
) -> tuple[np.ndarray, np.ndarray]:
    """Resize a picture with its aspect kept, centred on a canvas of grey.

    `short` (HigherHRNet's way): the short side becomes `resolution`, the canvas's long side the
    next multiple of 64. A square picture fills a square canvas, whatever the resolution. Of a
    strip more than eight times as long as wide the long side becomes eight times `resolution`.
    `long`: the long side becomes `resolution`, the canvas is (resolution, resolution).

    Args:
        image: (H, W, 3) uint8.
        resolution: pixels.
        fit: "short" or "long".

    Returns:
        The canvas, (h, w, 3) uint8, and the (2, 3) float64 affine from canvas to picture
        coordinates, both continuous (pixel i covers [i, i + 1)).
    """
    height, width = image.shape[:2]
    if fit == "short":
        factor = min(resolution / min(height, width), _LONGEST * resolution / max(height, width))
    elif fit == "long":
        factor = resolution / max(height, width)
    else:
        raise UsageError(f"fit must be 'short' or 'long', got {fit!r}")
    new_height, new_width = max(1, round(height * factor)), max(1, round(width * factor))
    canvas_height, canvas_width = (
        resolution if side <= resolution else _next_multiple(side)
        for side in (new_height, new_width)
    )
    shrinks = factor < 1
    resized = (
        image
        if (new_height, new_width) == (height, width)
        else cv2.resize(
            image,
            (new_width, new_height),
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        )
    )
    left, top = (canvas_width - new_width) // 2, (canvas_height - new_height) // 2
    canvas = np.empty((canvas_height, canvas_width, 3), np.uint8)
    canvas[:] = BORDER_RGB
    canvas[top : top + new_height, left : left + new_width] = resized
    back_x, back_y = width / new_width, height / new_height
    return canvas, scaling(back_x, back_y, -left * back_x, -top * back_y)


def _next_multiple(side: int) -> int:
    return math.ceil(side / _LONG_SIDE_MULTIPLE) * _LONG_SIDE_MULTIPLE
