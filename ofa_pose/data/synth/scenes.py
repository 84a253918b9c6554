"""Scenes of painted people with exact joints, for machines that have no photographs."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from ofa_pose.data.fingerprint import fingerprint_of
from ofa_pose.data.scene import Scene, ground_truth_of, place_in
from ofa_pose.data.synth.backdrop import backdrop, cover
from ofa_pose.data.synth.camera import blur_motion, random_camera
from ofa_pose.data.synth.crowd import PAINTING, label_crowd, paint_crowd, random_crowd
from ofa_pose.data.synth.joints import mixtures_of
from ofa_pose.data.synth.paint import Canvas
from ofa_pose.errors import UsageError
from ofa_pose.skeleton import Skeleton, load_skeleton

_SEED = 301  # first word of the seeds: no other use of a user's seed shares this stream of numbers
_SHAKEN = 0.1  # share of pictures blurred by the camera's motion
_BYTE_SPREAD = 73.9  # standard deviation of a random signed byte


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
        index = place_in(self, index)
        rng = np.random.default_rng([_SEED, self.seed, index])
        camera = random_camera(rng)
        canvas = Canvas(backdrop(self.size, camera.roll, rng))
        people = int(rng.integers(self.people[0], self.people[1] + 1))
        crowd = random_crowd(self.size, people, camera, rng)
        boxes = paint_crowd(canvas, crowd, rng)
        if rng.random() < 0.25:
            cover(canvas, rng)
        known = label_crowd(
            canvas.labels, crowd, boxes, mixtures=self._mixtures, skeleton=self.skeleton
        )
        return Scene(
            image=_finish(canvas.image, rng),
            keypoints=known.keypoints,
            valid=~known.ignored,
            image_id=index,
            boxes=known.boxes,
            areas=known.areas,
        )

    def ground_truth(self) -> dict[str, Any]:
        """Paint every scene and return the COCO JSON of its people."""
        return ground_truth_of((self[index] for index in range(len(self))), self.skeleton)

    def fingerprint(self) -> str:
        """Hash seed, count, size, people, skeleton and the version of what is painted."""
        made = [PAINTING, self.seed, len(self), self.size, self.people]
        return fingerprint_of("synthetic", (made, self.skeleton.to_dict()))


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
