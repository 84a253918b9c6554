"""What can be wrong with one entry of a COCO-keypoint JSON, in words; nothing is raised."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ofa_pose.data.annotations import LARGEST_ID, is_encodable
from ofa_pose.skeleton import Skeleton

Finding = tuple[str, str]
"""The kind of a fault, and what it was found on."""

_BESIDE = 1.0  # px beside the picture that rounding explains
_FAR = 0.5  # sizes of the box beside it, from which on a joint hardly belongs to it


def number_list(value: Any, count: int) -> np.ndarray | None:
    """Return a flat list of `count` finite numbers as float64; None if it is none."""
    if not isinstance(value, list) or len(value) != count:
        return None
    if any(isinstance(item, bool) or not isinstance(item, int | float) for item in value):
        return None
    try:
        numbers = np.array(value, np.float64)
    except OverflowError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def is_id(value: Any) -> bool:
    """Whether a value can be an id: a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def id_faults(value: Any, name: str, *, what: str) -> Iterator[Finding]:
    """Yield what is wrong with the id of an `image` or an `annotation`, found on `name`."""
    if not is_id(value):
        yield f"{what} ids that are no whole numbers", name
    elif abs(value) > LARGEST_ID:
        yield f"{what} ids of more than 64 bits", name


def image_faults(image: Any) -> Iterator[Finding]:
    """Yield what makes an entry of `images` unusable."""
    if not isinstance(image, dict):
        yield "entries of `images` that are no objects", f"{image!a:.40}"
        return
    name = f"image {image.get('id')!a:.30} ({image.get('file_name')!a:.60})"
    yield from id_faults(image.get("id"), name, what="image")
    file_name = image.get("file_name")
    if not isinstance(file_name, str) or "\0" in file_name or not is_encodable(file_name):
        yield "images without a file name", name
    for key in ("width", "height"):
        side = image.get(key)
        if side is not None and not (is_id(side) and side > 0):
            yield "widths and heights that are no numbers of pixels", f"{name}: {side!a:.30}"
    index = image.get("crowdIndex", 0)
    if isinstance(index, bool) or not isinstance(index, int | float) or not abs(index) < math.inf:
        yield "values of `crowdIndex` that are no numbers", f"{name}: {index!a:.30}"


def person_faults(
    annotation: Mapping[str, Any], skeleton: Skeleton, size: tuple[int, int] | None
) -> Iterator[Finding]:
    """Yield what is wrong with a person's annotation, whose image is known.

    Args:
        annotation: an object of `annotations`.
        skeleton: what it should be annotated with.
        size: height and width of the picture, if known.
    """
    name = f"annotation {annotation.get('id')!a:.30}"
    if annotation.get("iscrowd") not in (None, 0, 1):
        yield "values of `iscrowd` other than 0 and 1", f"{name}: {annotation['iscrowd']!a:.30}"
    given = annotation.get("keypoints")
    points = number_list(given, 3 * skeleton.num_joints) if given else None
    if given and points is None:
        yield (
            f"keypoints that are not {skeleton.num_joints} times x, y, v in finite numbers",
            f"{name}: {_form_of(given)}",
        )
    box = annotation.get("bbox")
    if box is not None:
        yield from _box_faults(name, box)
    area = annotation.get("area")
    if area is not None and (number_list([area], 1) is None or area < 0):
        yield "areas that are no numbers of 0 or more", f"{name}: {area!a:.30}"
    if points is not None:
        yield from _joint_faults(name, points.reshape(-1, 3), skeleton, size)


def person_notes(annotation: Mapping[str, Any], skeleton: Skeleton) -> Iterator[Finding]:
    """Yield what is odd about a person's annotation and does no harm."""
    name = f"annotation {annotation.get('id')!a:.30}"
    points = number_list(annotation.get("keypoints"), 3 * skeleton.num_joints)
    if points is None:
        return
    points = points.reshape(-1, 3)
    labelled = points[points[:, 2] > 0]
    stated = annotation.get("num_keypoints", len(labelled))
    if stated == 0 and len(labelled):
        yield "`num_keypoints` is 0 though joints are labelled: learnt from, not scored", name
    elif stated != len(labelled):
        yield "`num_keypoints` is not how many are labelled", f"{name}: {stated!a:.30}"
    if points[points[:, 2] == 0, :2].any():
        yield "joints have a place and v = 0, so they are not used", name
    box = number_list(annotation.get("bbox"), 4)
    if box is None and len(labelled):
        yield "people have no box; the bounds of their joints serve", name
    if box is not None and len(labelled):
        low = box[:2] - _FAR * box[2:]
        high = box[:2] + (1 + _FAR) * box[2:]
        if ((labelled[:, :2] < low) | (labelled[:, :2] > high)).any():
            yield "joints lie far from their box", name
    if skeleton.area_rule == "annotated" and "area" not in annotation and len(labelled):
        yield "people have no area; 0.53 of their box serves", name


def _form_of(keypoints: Any) -> str:
    if not isinstance(keypoints, list):
        return f"{keypoints!a:.30}"
    if len(keypoints) % 3 or number_list(keypoints, len(keypoints)) is None:
        return f"a list of {len(keypoints)}, not all finite numbers or not in threes"
    return f"{len(keypoints) // 3} joints"


def _box_faults(name: str, box: Any) -> Iterator[Finding]:
    numbers = number_list(box, 4)
    if numbers is None:
        yield "boxes that are not x, y, width, height in finite numbers", f"{name}: {box!a:.40}"
    elif numbers[2] <= 0 or numbers[3] <= 0:
        yield (
            "boxes of negative or no width or height",
            f"{name}: {numbers[2]:g} x {numbers[3]:g}",
        )


def _joint_faults(
    name: str, points: np.ndarray, skeleton: Skeleton, size: tuple[int, int] | None
) -> Iterator[Finding]:
    for joint in np.flatnonzero(~np.isin(points[:, 2], (0, 1, 2))):
        where = f"{name}, {skeleton.joints[joint]}: {points[joint, 2]:g}"
        yield "visibility flags other than 0, 1 and 2", where
    if size is None:
        return
    limits = np.array([size[1], size[0]]) + _BESIDE
    outside = ((points[:, :2] < -_BESIDE) | (points[:, :2] > limits)).any(axis=1)
    for joint in np.flatnonzero(outside & (points[:, 2] > 0)):
        x, y, _ = points[joint]
        where = f"{name}, {skeleton.joints[joint]}: {x:g}, {y:g} in {size[1]}x{size[0]}"
        yield "labelled joints outside of their picture", where
