"""Several pictures on one canvas, for sets whose pictures show one person each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from ofa_pose.data.augment import drop_outside
from ofa_pose.data.fingerprint import fingerprint_of
from ofa_pose.data.geometry import scaling, transform_boxes, transform_points
from ofa_pose.data.scene import Scene, SceneSource, ground_truth_of, place_in
from ofa_pose.errors import UsageError

# The first words of the seeds, so that no two uses of one user seed share a stream of numbers.
_COUNTS, _ORDER, _LAYOUT = 101, 102, 103
_BLUR_CELLS = 6
_LEAST_SIDE = 8  # of a picture on average, pixels; much smaller ones could have none


class MosaicScenes:
    """Scenes composed of several pictures of another source; a pure function of (seed, index).

    The canvas is cut into as many rectangles as pictures, at random places. Each picture lies in
    its rectangle at a random size and place and is never covered; the rest of the rectangle shows
    its own colours, blurred beyond recognition, so that no straight edge tells where people are.
    Pictures are used in turn: each once before any is used again.

    Args:
        source: where the pictures come from.
        seed: picks pictures, sizes and places.
        count: number of scenes.
        size: side of the canvas in pixels.
        people: fewest and most pictures on a canvas.
        scale: smallest and largest size of a picture, 1 being the largest that fits its rectangle.

    Raises:
        UsageError: an impossible number or size, or more pictures than the canvas has room for.
    """

    def __init__(
        self,
        source: SceneSource,
        *,
        seed: int,
        count: int,
        size: int = 256,
        people: tuple[int, int] = (1, 4),
        scale: tuple[float, float] = (0.6, 1.0),
    ) -> None:
        low, high = people
        if not 1 <= low <= high:
            raise UsageError(f"a mosaic needs 1 <= fewest <= most pictures, got {people}")
        if not 0 < scale[0] <= scale[1] <= 1:
            raise UsageError(f"mosaic scale must be 0 < low <= high <= 1, got {scale}")
        if count < 1 or size < 16:
            raise UsageError(f"a mosaic needs scenes of 16 px or more, got {count} of {size} px")
        least = math.ceil(_LEAST_SIDE * math.sqrt(high))
        if size < least:
            raise UsageError(
                f"a mosaic of {high} pictures needs a canvas of {least} px or more, got {size}"
            )
        self.source = source
        self.skeleton = source.skeleton
        self.seed = seed
        self.size = size
        self.people = people
        self.scale = scale
        counts = np.random.default_rng([_COUNTS, seed]).integers(low, high + 1, size=count)
        self._ends = np.cumsum(counts)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> Scene:
        index = place_in(self, index)
        start = int(self._ends[index - 1]) if index else 0
        pictures = [self._picture(use) for use in range(start, int(self._ends[index]))]
        rng = np.random.default_rng([_LAYOUT, self.seed, index])
        canvas = np.empty((self.size, self.size, 3), np.uint8)
        valid = np.ones((self.size, self.size), bool)
        keypoints, boxes, areas = [], [], []
        cells = _cut((0, 0, self.size, self.size), len(pictures), rng)
        for picture, cell in zip(pictures, cells, strict=True):
            matrix = self._paste(picture, cell, canvas, valid, rng)
            points = picture.keypoints.copy()
            points[:, :, :2] = transform_points(points[:, :, :2], matrix)
            keypoints.append(drop_outside(points, (self.size, self.size)))
            boxes.append(transform_boxes(picture.boxes, matrix, (self.size, self.size)))
            areas.append(picture.areas * np.float32(matrix[0, 0] * matrix[1, 1]))
        return Scene(
            image=canvas,
            keypoints=np.concatenate(keypoints),
            valid=valid,
            image_id=index,
            boxes=np.concatenate(boxes),
            areas=np.concatenate(areas),
            known=_known([picture.known for picture in pictures]),
        )

    def ground_truth(self) -> dict[str, Any]:
        """Compose every scene and return the COCO JSON of its people."""
        return ground_truth_of((self[index] for index in range(len(self))), self.skeleton)

    def fingerprint(self) -> str:
        """Hash the pictures' fingerprint with the seed and what is made of them."""
        scale = [float(side) for side in self.scale]
        made = [self.seed, len(self), self.size, self.people, scale]
        return fingerprint_of("mosaic", (self.source.fingerprint(), made))

    def _picture(self, use: int) -> Scene:
        lap, place = divmod(use, len(self.source))
        if self._order[0] != lap:
            rng = np.random.default_rng([_ORDER, self.seed, lap])
            self._order = (lap, rng.permutation(len(self.source)))
        return self.source[int(self._order[1][place])]

    def _paste(
        self,
        picture: Scene,
        cell: tuple[int, int, int, int],
        canvas: np.ndarray,
        valid: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Draw a picture into its cell (x, y, width, height); returns its (2, 3) affine."""
        x, y, cell_width, cell_height = cell
        height, width = picture.image.shape[:2]
        share, right, down = rng.random(3)
        factor = min(cell_width / width, cell_height / height)
        factor *= self.scale[0] + (self.scale[1] - self.scale[0]) * share
        new_width = min(cell_width, max(1, round(width * factor)))
        new_height = min(cell_height, max(1, round(height * factor)))
        left = x + int(right * (cell_width - new_width + 1))
        top = y + int(down * (cell_height - new_height + 1))
        blurred = cv2.resize(
            picture.image, (_BLUR_CELLS, _BLUR_CELLS), interpolation=cv2.INTER_AREA
        )
        canvas[y : y + cell_height, x : x + cell_width] = cv2.resize(
            blurred, (cell_width, cell_height), interpolation=cv2.INTER_LINEAR
        )
        canvas[top : top + new_height, left : left + new_width] = cv2.resize(
            picture.image,
            (new_width, new_height),
            interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR,
        )
        if not picture.valid.all():
            valid[top : top + new_height, left : left + new_width] = cv2.resize(
                picture.valid.view(np.uint8),
                (new_width, new_height),
                interpolation=cv2.INTER_NEAREST,
            ).astype(bool)
        return scaling(new_width / width, new_height / height, left, top)


def _known(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return the joints that every picture knows of; None if each knows of all."""
    partial = [part for part in parts if part is not None]
    return np.logical_and.reduce(partial) if partial else None


def _cut(
    cell: tuple[int, int, int, int], pieces: int, rng: np.random.Generator
) -> list[tuple[int, int, int, int]]:
    """Cut a rectangle (x, y, width, height) into pieces, each cut across the longer side."""
    if pieces == 1:
        return [cell]
    x, y, width, height = cell
    first = pieces // 2 if pieces % 2 == 0 else pieces // 2 + int(rng.integers(2))
    share = float(np.clip(first / pieces + rng.uniform(-0.15, 0.15), 0.25, 0.75))
    across = width > height or (width == height and rng.random() < 0.5)
    if across:
        part = max(1, round(width * share))
        halves = (x, y, part, height), (x + part, y, width - part, height)
    else:
        part = max(1, round(height * share))
        halves = (x, y, width, part), (x, y + part, width, height - part)
    return _cut(halves[0], first, rng) + _cut(halves[1], pieces - first, rng)
