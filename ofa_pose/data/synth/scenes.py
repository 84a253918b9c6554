"""Scenes of painted people with exact joints, for machines that have no photographs."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from ofa_pose.data.fingerprint import fingerprint_of
from ofa_pose.data.scene import Scene, ground_truth_of
from ofa_pose.data.synth.backdrop import backdrop, cover, texture
from ofa_pose.data.synth.body import Figure, random_figure
from ofa_pose.data.synth.camera import Camera, blur_motion, random_camera
from ofa_pose.data.synth.cloth import dress, smear
from ofa_pose.data.synth.joints import label_joints, mixtures_of
from ofa_pose.data.synth.look import random_look
from ofa_pose.data.synth.paint import PARTS_STEP, Canvas, nearness, paint_figure
from ofa_pose.errors import UsageError
from ofa_pose.pose import BOX_AREA_FACTOR
from ofa_pose.skeleton import Skeleton, load_skeleton

_SEED = 301  # first word of the seeds: no other use of a user's seed shares this stream of numbers
_VERSION = 2  # of what is painted: another number for other pictures of the same seed
_SHAKEN = 0.1  # share of pictures blurred by the camera's motion
_MOVING = 0.08  # share of people blurred by their own
_SEEN_JOINTS = 3  # fewer, and an annotator would not label the person
_BYTE_SPREAD = 73.9  # standard deviation of a random signed byte

Standing = tuple[Figure, dict[str, np.ndarray], float]
"""A figure, its points (x, y in pixels, depth in body heights), its height in pixels."""


class SyntheticScenes:
    """Jointed figures before clutter, several a scene; a pure function of (seed, index).

    Figures hide one another and themselves: v is 2 for a joint that is seen, 1 for one that is
    hidden, 0 for one outside of the picture. A figure of which next to nothing is seen carries no
    labels and is masked out.

    Args:
        seed: of everything.
        count: number of scenes; scene `i` does not depend on it.
        size: side of the square pictures in pixels.
        skeleton: name, path or Skeleton; its joints lie at the figure's points of their names, or
            where its `synthetic` section says.
        people: fewest and most figures a scene.

    Raises:
        UsageError: it is not known where on the figure one of the skeleton's joints lies.
    """

    def __init__(
        self,
        seed: int,
        count: int,
        *,
        size: int = 256,
        skeleton: str | Skeleton,
        people: tuple[int, int] = (1, 5),
    ) -> None:
        self.skeleton = load_skeleton(skeleton)
        self._mixtures = mixtures_of(self.skeleton)
        if count < 1 or size < 32 or not 1 <= people[0] <= people[1]:
            raise UsageError(
                f"synthetic scenes need a count of 1, 32 px and 1 person or more, "
                f"got {count}, {size} px, {people}"
            )
        self.seed = seed
        self.size = size
        self.people = people
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Scene:
        index = range(len(self))[index]
        rng = np.random.default_rng([_SEED, self.seed, index])
        camera = random_camera(rng)
        canvas = Canvas(backdrop(self.size, camera.roll, rng))
        people = int(rng.integers(self.people[0], self.people[1] + 1))
        crowd = _random_crowd(self.size, people, camera, rng)
        boxes = paint_crowd(canvas, crowd, camera, rng)
        if rng.random() < 0.25:
            cover(canvas, rng)
        return self._label(index, _finish(canvas.image, rng), canvas.labels, crowd, boxes)

    def ground_truth(self) -> dict[str, Any]:
        """Paint every scene and return the COCO JSON of its people."""
        return ground_truth_of((self[index] for index in range(len(self))), self.skeleton)

    def fingerprint(self) -> str:
        """Hash seed, count, size, people and skeleton."""
        made = [_VERSION, self.seed, len(self), self.size, self.people]
        return fingerprint_of("synthetic", (made, self.skeleton.to_dict()))

    def _label(
        self,
        index: int,
        image: np.ndarray,
        labels: np.ndarray,
        crowd: list[Standing],
        outlines: list[np.ndarray],
    ) -> Scene:
        keypoints, boxes, areas = [], [], []
        valid = np.ones(labels.shape, bool)
        owner = np.where(labels > 0, (labels - 1) // PARTS_STEP, -1)
        for number, (_, points, _) in enumerate(crowd):
            person = label_joints(self._mixtures, points, labels, number)
            if (person[:, 2] == 2).sum() < min(_SEEN_JOINTS, len(person)):
                valid &= owner != number
                continue
            x, y, w, h = outlines[number]
            low = np.clip([x, y], 0, self.size)
            high = np.clip([x + w, y + h], 0, self.size)
            box = np.concatenate([low, high - low])
            seen = float((owner == number).sum())
            keypoints.append(person)
            boxes.append(box)
            by_box = self.skeleton.area_rule == "bbox0.53"
            areas.append(BOX_AREA_FACTOR * box[2] * box[3] if by_box else seen)
        return Scene(
            image=image,
            keypoints=np.array(keypoints, np.float32).reshape(-1, self.skeleton.num_joints, 3),
            valid=valid,
            image_id=index,
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            areas=np.array(areas, np.float32),
        )


def paint_crowd(
    canvas: Canvas, crowd: list[Standing], camera: Camera, rng: np.random.Generator
) -> list[np.ndarray]:
    """Paint figures, the first one farthest; returns each one's (4,) bounds x, y, width, height."""
    size = len(canvas.labels)
    light = rng.normal(0, 1, 2) + np.array([0.0, -0.8])
    light /= max(1.0, float(np.linalg.norm(light)))
    noise = texture(size, rng)[:, :, 0]
    boxes = []
    for number, (figure, points, unit) in enumerate(crowd):
        moving = rng.random() < _MOVING
        before = canvas.image.copy() if moving else canvas.image
        bounds = paint_figure(
            canvas, figure, points, unit=unit, number=number, look=random_look(rng, light),
            perspective=camera.perspective(unit / size),
        )  # fmt: skip
        dress(canvas, bounds, number=number, light=light, noise=noise, rng=rng)
        if moving:
            length = max(1.5, rng.uniform(0.02, 0.09) * unit)
            degrees = rng.normal(0, 25)
            smear(canvas, before, bounds, number=number, length=length, degrees=degrees)
        boxes.append(bounds)
    return boxes


def _random_crowd(
    size: int, people: int, camera: Camera, rng: np.random.Generator
) -> list[Standing]:
    """Draw figures and where they stand; the smallest, taken for the farthest, come first.

    Returns:
        For each its figure, its points (x, y in pixels, depth in body heights), its height in px.
    """
    tallest = size * rng.uniform(0.45, 1.25) * (1.0 if people < 3 else 0.8)
    gathered = rng.random() < 0.5
    middle = rng.uniform(0.3, 0.7) * size
    crowd = []
    for unit in sorted(tallest * rng.uniform(0.55, 1.0, people)):
        figure = random_figure(rng, camera)
        perspective = camera.perspective(unit / size)
        flat = {
            name: point[:2] * nearness(point[2], perspective) * unit
            for name, point in figure.points.items()
        }
        spots = np.array(list(flat.values()))
        low, high = spots.min(axis=0), spots.max(axis=0)
        centre_x = rng.normal(middle, 0.22 * size) if gathered else rng.uniform(0, size)
        centre_x = float(np.clip(centre_x, 0.08 * size, 0.92 * size))
        bottom = rng.uniform(0.75, 1.0) * size
        if unit > 0.9 * size:  # too tall for the picture: mostly head and torso are in it
            bottom = rng.uniform(0.95, 1.0) * size + rng.uniform(0, 0.8) * (unit - 0.9 * size)
        elif rng.random() < (0.8 if camera.pitch > 15 else 0.3):  # from above, the far stand high
            bottom = rng.uniform(min(1.0, (high[1] - low[1]) / size), 1.0) * size
        shift = np.array([centre_x - (low[0] + high[0]) / 2, bottom - high[1]])
        points = {
            name: np.append(spot + shift, figure.points[name][2]) for name, spot in flat.items()
        }
        crowd.append((figure, points, float(unit)))
    return crowd


def _finish(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give the picture a camera: light, colour cast, grain, blur, motion, JPEG."""
    size = len(image)
    cast = (rng.uniform(0.6, 1.2) * (1 + rng.normal(0, 0.06, 3))).astype(np.float32)
    light = image * cast
    grain = np.frombuffer(rng.bytes(image.size), np.int8).reshape(image.shape)
    light = cv2.scaleAdd(grain.astype(np.float32), rng.uniform(0.5, 8) / _BYTE_SPREAD, light)
    picture = cv2.convertScaleAbs(np.maximum(light, 0, out=light))
    if rng.random() < _SHAKEN:
        picture = blur_motion(picture, rng.uniform(1.5, max(2, size / 22)), rng.uniform(0, 180))
    elif rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, max(0.4, size / 250)))
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))]
        encoded = cv2.imencode(".jpg", picture, quality)[1]
        picture = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return picture
