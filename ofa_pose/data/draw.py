"""Pictures of scenes for human eyes: skeletons drawn over the image, several on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ofa_pose.data.augment import warp_scene
from ofa_pose.data.geometry import scaling
from ofa_pose.data.resize import resize_for_network
from ofa_pose.data.scene import Scene, SceneSource
from ofa_pose.errors import DataError
from ofa_pose.files import atomic_write
from ofa_pose.skeleton import Skeleton

_COLOURS = (
    (230, 60, 60), (60, 170, 240), (250, 200, 40), (90, 210, 90),
    (220, 90, 220), (250, 140, 40), (60, 220, 210), (160, 120, 250),
)  # fmt: skip
_SUBPIXEL_BITS = 4


def draw_scene(scene: Scene, skeleton: Skeleton, *, zoom: int = 2) -> np.ndarray:
    """Draw a scene's people over its picture; ignored regions are darkened.

    A visible joint is a filled dot, a hidden one (v = 1) a ring; each person has a colour.

    Args:
        scene: what to draw.
        skeleton: names the limbs.
        zoom: enlargement of the picture, so that lines do not hide it.

    Returns:
        (zoom * H, zoom * W, 3) uint8 RGB.
    """
    height, width = scene.image.shape[:2]
    picture = scene.image.copy()
    picture[~scene.valid] //= 3
    canvas = cv2.resize(picture, (width * zoom, height * zoom), interpolation=cv2.INTER_CUBIC)
    for number, person in enumerate(scene.keypoints):
        colour = _COLOURS[number % len(_COLOURS)]
        # Drawing functions put pixel centres at whole numbers.
        places = np.round((person[:, :2] * zoom - 0.5) * 2**_SUBPIXEL_BITS).astype(int).tolist()
        for a, b in skeleton.limbs:
            if person[a, 2] > 0 and person[b, 2] > 0:
                cv2.line(canvas, places[a], places[b], colour, 1, cv2.LINE_AA, shift=_SUBPIXEL_BITS)
        for place, visibility in zip(places, person[:, 2], strict=True):
            if visibility > 0:
                thickness = cv2.FILLED if visibility > 1 else 1
                radius = 2 * 2**_SUBPIXEL_BITS
                cv2.circle(
                    canvas, place, radius, colour, thickness, cv2.LINE_AA, shift=_SUBPIXEL_BITS
                )
    return canvas


def contact_sheet(pictures: Sequence[np.ndarray], *, columns: int = 4, cell: int = 384):
    """Return one (rows * cell, columns * cell, 3) uint8 picture of several, each letterboxed."""
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * cell, columns * cell, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        y, x = number // columns * cell, number % columns * cell
        sheet[y : y + cell, x : x + cell] = resize_for_network(picture, cell, fit="long")[0]
    return sheet


def write_contact_sheet(path: str | Path, source: SceneSource, *, most: int = 16) -> None:
    """Write a PNG of a source's first scenes with their people drawn in.

    Args:
        path: of the PNG; replaced atomically.
        source: whose scenes.
        most: how many scenes are shown.

    Raises:
        OfaPoseError: the file cannot be written.
    """
    scenes = (source[index] for index in range(min(most, len(source))))
    write_png(path, contact_sheet([draw_scene(scene, source.skeleton) for scene in scenes]))


def fit_scene(scene: Scene, side: int) -> Scene:
    """Return a scene whose longer side is `side` pixels, so that drawn lines are seen in it."""
    height, width = scene.image.shape[:2]
    factor = side / max(height, width)
    size = max(1, round(height * factor)), max(1, round(width * factor))
    return warp_scene(scene, scaling(factor, factor), size=size)


def write_png(path: str | Path, picture: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB picture as a PNG, atomically.

    Raises:
        OfaPoseError: the file cannot be written.
    """
    done, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise DataError(f"{path} cannot be written as a PNG")
    atomic_write(Path(path), encoded.tobytes())
