"""Several figures in one picture: where each stands, how all are painted, what is labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa_pose.data.synth.backdrop import texture
from ofa_pose.data.synth.body import Figure, random_figure
from ofa_pose.data.synth.camera import Camera
from ofa_pose.data.synth.cloth import dress, smear
from ofa_pose.data.synth.joints import Mixture, label_joints
from ofa_pose.data.synth.look import random_look
from ofa_pose.data.synth.paint import (
    PARTS_STEP,
    Canvas,
    bounds_of,
    clipped,
    nearness,
    paint_figure,
)
from ofa_pose.pose import BOX_AREA_FACTOR
from ofa_pose.skeleton import Skeleton

PAINTING = 3  # version of what is painted: another number for other scenes of the same seed
SEEN_JOINTS = 3  # fewer, and an annotator would not label the person
_MOVING = 0.08  # share of people blurred by their own motion
_FINEST_PX = 512  # side of the noise that folds are cut from, at most


@dataclass(frozen=True)
class Standing:
    """A figure and where it is in the picture.

    Attributes:
        figure: its shape.
        points: name to (3,): x, y in pixels, depth in body heights.
        unit: its height in pixels, were it upright.
        perspective: how much larger a part one body height nearer appears.
    """

    figure: Figure
    points: dict[str, np.ndarray]
    unit: float
    perspective: float

    @classmethod
    def random(
        cls, camera: Camera, *, unit: float, side: int, rng: np.random.Generator
    ) -> Standing:
        """Draw a figure `unit` px tall in a picture of `side` px; its pelvis is at 0, 0."""
        figure = random_figure(rng, camera)
        perspective = camera.perspective(unit / side)
        points = {}
        for name, point in figure.points.items():
            flat = point[:2] * nearness(point[2], perspective) * unit
            points[name] = np.append(flat, point[2])
        return cls(figure, points, float(unit), perspective)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest (2,) x, y of the points."""
        spots = np.array([point[:2] for point in self.points.values()])
        return spots.min(axis=0), spots.max(axis=0)

    def at(self, centre_x: float, bottom: float) -> Standing:
        """Return the figure with its middle at `centre_x` and its lowest point at `bottom`."""
        low, high = self.bounds()
        shift = np.array([centre_x - (low[0] + high[0]) / 2, bottom - high[1], 0])
        points = {name: point + shift for name, point in self.points.items()}
        return Standing(self.figure, points, self.unit, self.perspective)


@dataclass(frozen=True)
class Labels:
    """What is known of the figures of a picture; P of them are labelled.

    Attributes:
        keypoints: (P, K, 3) float32 x, y, v.
        boxes: (P, 4) float32 x, y, width, height: of the whole figure in the picture, seen or not.
        areas: (P,) float32 px².
        painted: (H, W) bool: where one of the P is seen.
        ignored: (H, W) bool: where a figure without labels is seen, of which next to nothing is.
    """

    keypoints: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    painted: np.ndarray
    ignored: np.ndarray


def random_crowd(
    size: int, people: int, camera: Camera, rng: np.random.Generator
) -> list[Standing]:
    """Draw figures and where they stand; the smallest, taken for the farthest, come first."""
    tallest = size * rng.uniform(0.45, 1.25) * (1.0 if people < 3 else 0.8)
    gathered = rng.random() < 0.5
    middle = rng.uniform(0.3, 0.7) * size
    crowd = []
    for unit in sorted(tallest * rng.uniform(0.55, 1.0, people)):
        figure = Standing.random(camera, unit=unit, side=size, rng=rng)
        low, high = figure.bounds()
        centre_x = rng.normal(middle, 0.22 * size) if gathered else rng.uniform(0, size)
        centre_x = float(np.clip(centre_x, 0.08 * size, 0.92 * size))
        bottom = rng.uniform(0.75, 1.0) * size
        if unit > 0.9 * size:  # too tall for the picture: mostly head and torso are in it
            bottom = rng.uniform(0.95, 1.0) * size + rng.uniform(0, 0.8) * (unit - 0.9 * size)
        elif rng.random() < (0.8 if camera.pitch > 15 else 0.3):  # from above, the far stand high
            bottom = rng.uniform(min(1.0, (high[1] - low[1]) / size), 1.0) * size
        crowd.append(figure.at(centre_x, bottom))
    return crowd


def paint_crowd(
    canvas: Canvas, crowd: Sequence[Standing], rng: np.random.Generator
) -> list[np.ndarray]:
    """Paint figures, the first one farthest.

    Returns:
        Each one's (4,) bounds x, y, width, height of what lies in the picture, hidden or not; all
        0 where nothing does.
    """
    light = rng.normal(0, 1, 2) + np.array([0.0, -0.8])
    light /= max(1.0, float(np.linalg.norm(light)))
    height, width = canvas.image.shape[:2]
    noise = texture(min(max(height, width), _FINEST_PX), rng)[:, :, 0]
    boxes = []
    for number, each in enumerate(crowd):
        moving = rng.random() < _MOVING
        before = canvas.image.copy() if moving else canvas.image
        look = random_look(rng, light)
        outlines = paint_figure(
            canvas, each.figure, each.points, unit=each.unit, number=number, look=look,
            perspective=each.perspective,
        )  # fmt: skip
        bounds = bounds_of(outlines)
        dress(canvas, bounds, number=number, light=light, noise=noise, rng=rng)
        if moving:
            length = max(1.5, rng.uniform(0.02, 0.09) * each.unit)
            degrees = rng.normal(0, 25)
            smear(canvas, before, bounds, number=number, length=length, degrees=degrees)
        boxes.append(bounds_of(clipped(outlines, width, height)))
    return boxes


def label_crowd(
    labels: np.ndarray,
    crowd: Sequence[Standing],
    boxes: Sequence[np.ndarray],
    *,
    mixtures: Sequence[Mixture],
    skeleton: Skeleton,
) -> Labels:
    """Return what is known of the figures that are painted.

    Args:
        labels: (H, W), see `Canvas`.
        crowd: the figures.
        boxes: what `paint_crowd` returned.
        mixtures: where the skeleton's joints lie.
        skeleton: whose rule for areas holds.
    """
    owner = np.where(labels > 0, (labels - 1) // PARTS_STEP, -1)
    ignored = np.zeros(labels.shape, bool)
    keypoints, kept, areas = [], [], []
    for number, each in enumerate(crowd):
        person = label_joints(tuple(mixtures), each.points, labels, number)
        if (person[:, 2] == 2).sum() < min(SEEN_JOINTS, len(person)):
            ignored |= owner == number
            continue
        box = boxes[number]
        seen = float((owner == number).sum())
        by_box = skeleton.area_rule == "bbox0.53"
        keypoints.append(person)
        kept.append(box)
        areas.append(BOX_AREA_FACTOR * box[2] * box[3] if by_box else seen)
    return Labels(
        keypoints=np.array(keypoints, np.float32).reshape(-1, skeleton.num_joints, 3),
        boxes=np.array(kept, np.float32).reshape(-1, 4),
        areas=np.array(areas, np.float32),
        painted=(owner >= 0) & ~ignored,
        ignored=ignored,
    )
