"""Pictures of scenes for human eyes: skeletons drawn over the image, several on one sheet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ofa_pose.data.augment import warp_scene
from ofa_pose.data.colours import BLACK, COLOURS, WHITE, shade
from ofa_pose.data.geometry import scaling
from ofa_pose.data.resize import resize_for_network
from ofa_pose.data.scene import Scene, SceneSource
from ofa_pose.files import atomic_write
from ofa_pose.sides import joint_sides, limb_sides
from ofa_pose.skeleton import Skeleton

_SUBPIXEL_BITS = 4
_CELL = 384  # side of a picture's place on a sheet, pixels
_SOURCE = "Source"  # a keyword of the PNG specification


def draw_scene(scene: Scene, skeleton: Skeleton, *, zoom: int = 2) -> np.ndarray:
    """Draw a scene's people over its picture; ignored regions are darkened.

    A visible joint is a filled dot, a hidden one (v = 1) a ring; each person has a colour, whose
    light tint is their left side and whose dark shade their right.

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
        colour = COLOURS[number % len(COLOURS)]
        # Drawing functions put pixel centres at whole numbers.
        places = np.round((person[:, :2] * zoom - 0.5) * 2**_SUBPIXEL_BITS).astype(int).tolist()
        for (first, second), side in zip(skeleton.limbs, limb_sides(skeleton), strict=True):
            if person[first, 2] > 0 and person[second, 2] > 0:
                ends = places[first], places[second]
                cv2.line(canvas, *ends, shade(colour, side), 1, cv2.LINE_AA, shift=_SUBPIXEL_BITS)
        for place, visibility, side in zip(
            places, person[:, 2], joint_sides(skeleton), strict=True
        ):
            if visibility > 0:
                thickness = cv2.FILLED if visibility > 1 else 1
                radius = 2 * 2**_SUBPIXEL_BITS
                tint = shade(colour, side)
                cv2.circle(
                    canvas, place, radius, tint, thickness, cv2.LINE_AA, shift=_SUBPIXEL_BITS
                )
    return canvas


def contact_sheet(
    pictures: Sequence[np.ndarray],
    *,
    captions: Sequence[str] | None = None,
    columns: int = 4,
    cell: int = _CELL,
) -> np.ndarray:
    """Return several pictures as one, each letterboxed.

    Args:
        pictures: (H, W, 3) uint8 RGB.
        captions: of the pictures, one each, written over their upper left corners.
        columns: pictures in a row.
        cell: side of a picture's place, pixels.

    Returns:
        (rows * cell, columns * cell, 3) uint8 RGB.
    """
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * cell, columns * cell, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        y, x = number // columns * cell, number % columns * cell
        sheet[y : y + cell, x : x + cell] = resize_for_network(picture, cell, fit="long")[0]
        if captions is not None:
            _write(sheet, captions[number], (x + 6, y + 18))
    return sheet


def _write(canvas: np.ndarray, text: str, place: tuple[int, int]) -> None:
    for colour, thickness in ((BLACK, 3), (WHITE, 1)):
        font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.5
        cv2.putText(canvas, text, place, font, size, colour, thickness, cv2.LINE_AA)


def write_contact_sheet(
    path: str | Path, source: SceneSource, *, most: int = 16, made_of: str = ""
) -> None:
    """Write a PNG of a source's first scenes with their people drawn in.

    Args:
        path: of the PNG; replaced atomically.
        source: whose scenes.
        most: how many scenes are shown.
        made_of: what `source_of_png` tells of the file.

    Raises:
        OfaPoseError: the file cannot be written.
    """
    scenes = (fit_scene(source[index], _CELL) for index in range(min(most, len(source))))
    drawn = [draw_scene(scene, source.skeleton, zoom=1) for scene in scenes]
    write_png(path, contact_sheet(drawn, cell=_CELL), source=made_of)


def fit_scene(scene: Scene, side: int) -> Scene:
    """Return a scene whose longer side is `side` pixels, so that drawn lines are seen in it."""
    height, width = scene.image.shape[:2]
    factor = side / max(height, width)
    size = max(1, round(height * factor)), max(1, round(width * factor))
    return warp_scene(scene, scaling(factor, factor), size=size)


def write_png(path: str | Path, picture: np.ndarray, *, source: str = "") -> None:
    """Write an (H, W, 3) uint8 RGB picture as a PNG, atomically.

    Args:
        path: of the file.
        picture: RGB.
        source: what it was made of, for `source_of_png`; one of no text says nothing.

    Raises:
        OfaPoseError: the file cannot be written.
    """
    told = PngInfo()
    if source:
        told.add_text(_SOURCE, source)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", pnginfo=told)
    atomic_write(Path(path), stream.getvalue())


def source_of_png(path: str | Path) -> str:
    """Return what `write_png` was told that a PNG was made of; empty for any other file."""
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            return str(picture.info.get(_SOURCE, ""))
    except (OSError, ValueError, SyntaxError):
        return ""
