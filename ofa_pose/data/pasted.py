"""Synthetic people painted into other scenes: crowds where photographs have none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from ofa_pose.data.fingerprint import fingerprint_of
from ofa_pose.data.scene import (
    Scene,
    SceneSource,
    clear_boxes,
    ground_truth_of,
    image_id_of,
    place_in,
    read_one,
)
from ofa_pose.data.synth.camera import random_camera
from ofa_pose.data.synth.crowd import (
    PAINTING,
    SEEN_JOINTS,
    Labels,
    Standing,
    label_crowd,
    paint_crowd,
)
from ofa_pose.data.synth.joints import mixtures_of
from ofa_pose.data.synth.paint import Canvas
from ofa_pose.errors import UsageError

_SEED = 601  # first word of the seeds: no other use of a user's seed shares this stream of numbers
_VERSION = 2  # of what this file makes of (seed, index)
_BESIDE = 0.6  # share of painted people who rather stand where nobody is
_MEAN_LEVEL = 110  # of the bytes of a photograph in good light


class PastedScenes:
    """Another source's scenes, some of them with painted people in front; pure in (seed, index).

    A painted figure is about as tall as the people who are there. What it covers is labelled as
    an annotator would: a joint under it is hidden (v = 1); a person of whom it leaves next to
    nothing to be seen loses the labels, and the loss does not look into that person's box, except
    at painted people. Boxes and areas of who was there stay; those of painted people are as in
    `SyntheticScenes`. Where a painted person stands in an ignored region, the loss does look.

    Args:
        source: the scenes painted into.
        seed: of which scenes, and of everything in them.
        share: of the scenes that get painted people, above 0 and at most 1.
        people: fewest and most of them.

    Raises:
        UsageError: an impossible share or number, or a skeleton with joints of which it is not
            known where they lie on a figure.
    """

    def __init__(
        self, source: SceneSource, *, seed: int, share: float, people: tuple[int, int] = (1, 3)
    ) -> None:
        if not 0 < share <= 1:
            raise UsageError(
                f"the share of scenes with painted people lies above 0 and is at most 1, "
                f"got {share:g}"
            )
        if not 1 <= people[0] <= people[1]:
            raise UsageError(f"painted people need 1 <= fewest <= most, got {people}")
        self.source = source
        self.skeleton = source.skeleton
        self._mixtures = mixtures_of(self.skeleton)
        self.seed = seed
        self.share = share
        self.people = people

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Scene:
        index = place_in(self, index)
        return self._painted(self.source[index], index)

    def read_one(self, index: int) -> Scene | None:
        """Return this very scene; None where its picture cannot be decoded."""
        scene = read_one(self.source, index)
        return None if scene is None else self._painted(scene, index)

    def image_id(self, index: int) -> int | None:
        """Return the id of a scene's own picture, which is not read; None: it is not known."""
        return image_id_of(self.source, index)

    def ground_truth(self) -> dict[str, Any]:
        """Paint every scene and return the COCO JSON of its people."""
        return ground_truth_of((self[index] for index in range(len(self))), self.skeleton)

    def fingerprint(self) -> str:
        """Hash the source's fingerprint with seed, share, people and the painting's version."""
        made = [_VERSION, PAINTING, self.seed, float(self.share), self.people]
        return fingerprint_of("pasted", (self.source.fingerprint(), made))

    def _painted(self, scene: Scene, index: int) -> Scene:
        rng = np.random.default_rng([_SEED, self.seed, index])
        if rng.random() >= self.share:
            return scene
        crowd = _newcomers(scene, int(rng.integers(self.people[0], self.people[1] + 1)), rng)
        canvas = Canvas(scene.image.copy())
        boxes = paint_crowd(canvas, crowd, rng)
        painted = label_crowd(
            canvas.labels, crowd, boxes, mixtures=self._mixtures, skeleton=self.skeleton
        )
        return add_painted(
            replace(scene, image=_blend(canvas, _light(scene.image), rng)),
            canvas.labels > 0,
            painted,
        )


def add_painted(scene: Scene, covered: np.ndarray, painted: Labels) -> Scene:
    """Return a scene with the labels of the people painted into it.

    Args:
        scene: its picture already shows them; its labels do not know of them.
        covered: (H, W) bool: where a painted figure is seen, labelled or not.
        painted: what is known of the figures.
    """
    keypoints, kept = hide_joints(scene.keypoints, covered)
    valid = scene.valid.copy()
    clear_boxes(valid, scene.boxes[~kept])
    return replace(
        scene,
        keypoints=np.concatenate([keypoints[kept], painted.keypoints]),
        valid=(valid | painted.painted) & ~painted.ignored,
        boxes=np.concatenate([scene.boxes[kept], painted.boxes]),
        areas=np.concatenate([scene.areas[kept], painted.areas]),
    )


def hide_joints(keypoints: np.ndarray, covered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints with v = 1 where something covers them, and who is still seen.

    Where a person's labels call no joint visible, as in sets that do not tell, all that are
    labelled count as seen.

    Args:
        keypoints: (P, K, 3) x, y, v; left as it is.
        covered: (H, W) bool.

    Returns:
        (P, K, 3) keypoints; (P,) bool, False for those whom the cover leaves fewer than three
        seen joints.
    """
    height, width = covered.shape
    x, y, v = np.floor(keypoints[:, :, 0]), np.floor(keypoints[:, :, 1]), keypoints[:, :, 2]
    inside = (v > 0) & (x >= 0) & (y >= 0) & (x < width) & (y < height)
    columns, rows = (np.where(inside, each, 0).astype(np.int64) for each in (x, y))
    under = inside & covered[rows, columns]
    told = (v == 2).any(axis=1, keepdims=True)
    seen = np.where(told, v == 2, v > 0)
    left = (seen & ~under).sum(axis=1)
    hidden = keypoints.copy()
    hidden[:, :, 2] = np.where(under, np.minimum(v, 1), v)
    lost = (seen & under).any(axis=1) & (left < min(SEEN_JOINTS, keypoints.shape[1]))
    return hidden, ~lost


def _newcomers(scene: Scene, people: int, rng: np.random.Generator) -> list[Standing]:
    """Draw figures as tall as who is there, beside and before them; the farthest first."""
    height, width = scene.image.shape[:2]
    side = min(height, width)
    camera = random_camera(rng)
    usual, feet = side * rng.uniform(0.3, 0.9), height * rng.uniform(0.6, 1.0)
    if len(scene.boxes):
        x, y, wide, tall = scene.boxes[rng.integers(len(scene.boxes))].tolist()
        usual, feet = float(np.clip(max(wide, tall), 0.15 * side, 1.1 * side)), y + tall
    crowd = []
    for unit in sorted(usual * rng.uniform(0.7, 1.35, people)):
        figure = Standing.random(camera, unit=unit, side=side, rng=rng)
        # Nearer people are taller and stand lower in the picture.
        bottom = feet + 0.5 * (unit - usual) + rng.normal(0, 0.08) * unit
        bottom = float(np.clip(bottom, 0.3 * unit, height + 0.4 * unit))
        spots = rng.uniform(0, width, 3 if rng.random() < _BESIDE else 1)
        crowd.append(figure.at(_freest(spots, scene.boxes), bottom))
    return crowd


def _freest(spots: np.ndarray, boxes: np.ndarray) -> float:
    """Return the x of (n,) that is farthest from the middles of (P, 4) boxes."""
    middles = boxes[:, 0] + boxes[:, 2] / 2
    away = np.abs(spots[:, None] - middles).min(axis=1, initial=np.inf)
    return float(spots[np.argmax(away)])


def _light(photograph: np.ndarray) -> float:
    """Return how bright a picture is beside one in good light."""
    return float(np.clip(np.sqrt(photograph[::4, ::4].mean() / _MEAN_LEVEL), 0.55, 1.1))


def _blend(canvas: Canvas, light: float, rng: np.random.Generator) -> np.ndarray:
    """Return the picture with its painted people as sharp, bright and grainy as a camera might.

    What is not painted stays as it is, but near the outlines, as far as they are blurred.
    """
    side = min(canvas.labels.shape)
    cast = (light * rng.uniform(0.75, 1.15) * (1 + rng.normal(0, 0.05, 3))).astype(np.float32)
    softness = rng.uniform(0.3, max(0.6, side / 250))
    noise = np.float32(rng.uniform(0, 7))
    rows, columns = (np.flatnonzero((canvas.labels > 0).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return canvas.image
    margin = int(np.ceil(3 * softness))
    region = tuple(
        slice(max(0, int(places[0]) - margin), int(places[-1]) + 1 + margin)
        for places in (rows, columns)
    )
    part = canvas.image[region]
    mask = (canvas.labels[region] > 0).astype(np.float32)
    weight = cv2.GaussianBlur(mask, (0, 0), softness)[:, :, None]
    grain = rng.standard_normal(part.shape, np.float32) * noise
    changed = cv2.GaussianBlur(part * (1 + mask[:, :, None] * (cast - 1)), (0, 0), softness)
    mixed = part + weight * (changed + grain - part)
    canvas.image[region] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
    return canvas.image
