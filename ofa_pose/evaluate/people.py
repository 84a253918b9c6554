"""From a batch of pictures to the people in them, whoever runs the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ofa_pose.errors import SkeletonError
from ofa_pose.evaluate.pictures import PictureBatch
from ofa_pose.pose import DecodeSettings, Person, decode_outputs
from ofa_pose.skeleton import Skeleton

_DEFAULT = DecodeSettings()


class Mapper(Protocol):
    """A network from its pictures' pixels to its maps: it normalises, and runs where it will."""

    def __call__(self, pixels: np.ndarray, /) -> list[np.ndarray]:
        """Return what the network gives for pictures.

        Args:
            pixels: (N, H, W, 3) uint8 RGB, contiguous.

        Returns:
            Contiguous float32: `(N, 2K, H/4, W/4)` heatmaps then tags, `(N, K, H/2, W/2)`
            heatmaps.
        """
        ...


def find_people(
    mapper: Mapper,
    batch: PictureBatch,
    *,
    skeleton: Skeleton,
    flip: bool = False,
    settings: DecodeSettings = _DEFAULT,
) -> list[list[Person]]:
    """Return the people of each picture of one batch, in the pictures' own pixels.

    Args:
        mapper: of K joints.
        batch: N pictures, perhaps at several scales.
        skeleton: K joints.
        flip: run each picture mirrored as well and average (the flip test).
        settings: constants of decoding.

    Raises:
        SkeletonError: the network predicts another number of joints.
        WeightsError: the network gives NaN or infinite values.
    """
    (outputs, mirrored), *others = run_passes(mapper, batch, flip=flip)
    check_joints(outputs, skeleton)
    found = decode_outputs(
        outputs,
        skeleton,
        size=batch.size,
        flipped_outputs=mirrored,
        other_scales=others,
        settings=settings,
    )
    return [
        [person_in_picture(person, to_picture) for person in persons]
        for persons, to_picture in zip(found, batch.to_picture, strict=True)
    ]


def run_passes(
    mapper: Mapper, batch: PictureBatch, *, flip: bool = False
) -> list[tuple[list[np.ndarray], list[np.ndarray] | None]]:
    """Return what a network gives for a batch at every scale, scale 1 first.

    Args:
        mapper: the network.
        batch: N pictures.
        flip: also for the mirrored pictures.
    """
    return [
        (mapper(pixels), mapper(np.ascontiguousarray(pixels[:, :, ::-1])) if flip else None)
        for pixels in (batch.images, *batch.scaled)
    ]


def check_joints(outputs: Sequence[np.ndarray], skeleton: Skeleton) -> None:
    """Raise a SkeletonError if a network's outputs are not of the skeleton's joints."""
    joints = outputs[0].shape[1] // 2
    if joints != skeleton.num_joints:
        raise SkeletonError(
            f"the network predicts {joints} joints, the scenes are labelled with the "
            f"{skeleton.num_joints} of skeleton {skeleton.name!r}"
        )


def person_in_picture(person: Person, matrix: np.ndarray) -> Person:
    """Move a person from input pixels to picture pixels; joints not found stay all zero."""
    keypoints = person.keypoints.copy()
    found = keypoints[:, 2] > 0
    keypoints[found, :2] = keypoints[found, :2] @ matrix[:, :2].T + matrix[:, 2]
    return Person(keypoints=keypoints, score=person.score)
