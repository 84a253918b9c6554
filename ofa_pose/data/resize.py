"""How a picture becomes a network's input outside of training, and the way back."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from numbers import Integral, Real

import cv2
import numpy as np

from ofa_pose.data.geometry import BORDER_RGB, scaling
from ofa_pose.errors import UsageError

_LONG_SIDE_MULTIPLE = 64
_LONGEST = 8  # times the resolution: what a strip of a picture may cost
_SCALED_MULTIPLE = 16  # of the sides at other scales: what networks are strided by
LARGEST_SCALE = 4.0


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

    Raises:
        UsageError: the picture is of another kind, or there is no such resolution or fit.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UsageError(f"a picture is (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")
    if not isinstance(resolution, Integral) or resolution < 1:
        raise UsageError(f"a resolution is a whole number of pixels from 1 on, not {resolution!r}")
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
    left, top = (canvas_width - new_width) // 2, (canvas_height - new_height) // 2
    canvas = _pasted(
        image, (new_height, new_width), corner=(top, left), canvas=(canvas_height, canvas_width)
    )
    back_x, back_y = width / new_width, height / new_height
    return canvas, scaling(back_x, back_y, -left * back_x, -top * back_y)


def resize_to_scales(
    image: np.ndarray, canvas: np.ndarray, to_picture: np.ndarray, scales: Sequence[float]
) -> list[np.ndarray]:
    """Return what `resize_for_network` made of a picture, at other scales.

    The sides are the canvas's times the scale, to the nearest multiple of 16. Everything lies
    where it lies on the canvas, but for a pixel of rounding. Smaller ones are made of the canvas,
    larger ones of the picture, which may have finer detail.

    Args:
        image: (H, W, 3) uint8, the picture.
        canvas: (h, w, 3) uint8, as `resize_for_network` gave it.
        to_picture: (2, 3), likewise.
        scales: above 0; 1 is the canvas's.

    Returns:
        A (h', w', 3) uint8 canvas for each scale.
    """
    height, width = canvas.shape[:2]
    scaled = []
    for scale in scales:
        sides = [
            max(1, round(side * scale / _SCALED_MULTIPLE)) * _SCALED_MULTIPLE
            for side in (height, width)
        ]
        if scale < 1:
            scaled.append(cv2.resize(canvas, (sides[1], sides[0]), interpolation=cv2.INTER_AREA))
            continue
        back = np.diag(to_picture[:, :2])[::-1]  # y, x
        ratio = np.array(sides) / (height, width)
        size = np.maximum(1, np.rint(np.array(image.shape[:2]) / back * ratio)).astype(int)
        corner = np.rint(-to_picture[::-1, 2] / back * ratio).astype(int)
        corner = np.clip(corner, 0, sides - np.minimum(size, sides))
        scaled.append(_pasted(image, np.minimum(size, sides), corner=corner, canvas=sides))
    return scaled


def check_scales(scales: Sequence[float]) -> tuple[float, ...]:
    """Return the scales of a test as a tuple, 1 first, the others as they come.

    Raises:
        UsageError: they are no numbers, 1 is not among them, one comes twice, or one is not in 0
            to `LARGEST_SCALE`.
    """
    listed = isinstance(scales, Collection) and not isinstance(scales, str)
    if not listed or not all(isinstance(scale, Real) for scale in scales):
        raise UsageError(
            f"scales are numbers in a list, such as [1] or [0.5, 1, 2], not {scales!r}"
        )
    given = ", ".join(f"{scale:g}" for scale in scales)
    wrong = [scale for scale in scales if not 0 < scale <= LARGEST_SCALE]
    if wrong:
        raise UsageError(
            f"a scale must be above 0 and at most {LARGEST_SCALE:g}, got {wrong[0]:g} in {given}"
        )
    if len(set(scales)) < len(scales):
        raise UsageError(f"each scale must be given once, got {given}")
    if 1 not in scales:
        raise UsageError(f"1 must be among the scales, since tags are taken from it; got {given}")
    return (1.0, *(float(scale) for scale in scales if scale != 1))


def _pasted(
    image: np.ndarray,
    size: Sequence[int] | np.ndarray,
    *,
    corner: Sequence[int] | np.ndarray,
    canvas: Sequence[int],
) -> np.ndarray:
    """Return a canvas of grey with the picture on it, resized to `size` (h, w)."""
    height, width = (int(side) for side in size)
    if (height, width) != image.shape[:2]:
        shrinks = height * width < image.shape[0] * image.shape[1]
        image = cv2.resize(
            image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
    top, left = (int(side) for side in corner)
    filled = np.empty((*canvas, 3), np.uint8)
    filled[:] = BORDER_RGB
    filled[top : top + height, left : left + width] = image
    return filled


def _next_multiple(side: int) -> int:
    return math.ceil(side / _LONG_SIDE_MULTIPLE) * _LONG_SIDE_MULTIPLE
