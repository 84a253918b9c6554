"""What can be wrong with one entry of a COCO-keypoint JSON, in words; nothing is raised.

Reading a file refuses it for the first of `image_faults`, `order_faults` and `person_refusals`;
`data check` counts these and the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ofa_pose.data.scene import joint_boxes
from ofa_pose.files import is_encodable
from ofa_pose.skeleton import Skeleton, plain_name

Finding = tuple[str, str]
"""The kind of a fault, and what it was found on."""

LARGEST_ID = 2**63 - 1
"""Of ids: what tools in other languages can hold."""
FARTHEST_PX = 1e6
"""What lies beyond is a slip, and squares of much more leave float32's range."""
OTHER_JOINTS = "people with another number of joints than the skeleton"
_LARGEST_CROWD_INDEX = 1e6  # it is a share; some files count instead
_NUMBERS = frozenset({int, float})  # bool, which is an int to isinstance, is none
_BESIDE = 1.0  # px beside the picture that rounding explains
_FAR = 0.5  # sizes of the box beside it, from which on a joint hardly belongs to it


def number_list(value: Any, count: int) -> np.ndarray | None:
    """Return a flat list of `count` finite numbers as float64; None if it is none."""
    if not isinstance(value, list) or len(value) != count:
        return None
    if not _NUMBERS.issuperset(map(type, value)):
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
        if side is not None and not (is_id(side) and 0 < side <= FARTHEST_PX):
            yield (
                f"widths and heights that are no whole numbers of 1 to {FARTHEST_PX:,.0f} px",
                f"{name}: {side!a:.30}",
            )
    index = image.get("crowdIndex", 0)
    if type(index) not in _NUMBERS or not abs(index) <= _LARGEST_CROWD_INDEX:
        yield (
            f"values of `crowdIndex` that are no numbers of at most {_LARGEST_CROWD_INDEX:,.0f}",
            f"{name}: {index!a:.30}",
        )


def order_faults(category: Mapping[str, Any], skeleton: Skeleton) -> Iterator[Finding]:
    """Yield the joints that a category of `categories` names in another order than the skeleton.

    Names that the skeleton does not know say nothing.
    """
    own = [plain_name(joint) for joint in skeleton.joints]
    listed = category.get("keypoints")
    if not isinstance(listed, list) or len(listed) != len(own):
        return
    for place, (name, expected) in enumerate(zip(listed, own, strict=True)):
        if isinstance(name, str) and plain_name(name) != expected and plain_name(name) in own:
            yield (
                "joints in another order than the skeleton's",
                f"joint {place + 1} is named {name!a:.40}, where skeleton {skeleton.name!r} has "
                f"{skeleton.joints[place]!r}",
            )


def person_refusals(annotation: Mapping[str, Any], skeleton: Skeleton) -> Iterator[Finding]:
    """Yield what makes a person's annotation unusable."""
    name = f"annotation {annotation.get('id')!a:.30}"
    given = annotation.get("keypoints")
    if given:
        points = number_list(given, 3 * skeleton.num_joints)
        if points is None:
            yield _form_fault(name, given, skeleton)
        elif np.abs(points).max() > FARTHEST_PX:
            for joint, values in enumerate(points.reshape(-1, 3).tolist()):
                if max(map(abs, values)) > FARTHEST_PX:
                    yield (
                        f"joints beyond {FARTHEST_PX:,.0f} px",
                        f"{name}, {skeleton.joints[joint]}: {_listed(values)}",
                    )
    box = annotation.get("bbox")
    if box is not None:
        yield from _box_refusals(name, box)
    area = annotation.get("area")
    if area is not None:
        if type(area) not in _NUMBERS or not 0 <= area < math.inf:
            yield "areas that are no numbers of 0 or more", f"{name}: {area!a:.30}"
        elif area > FARTHEST_PX**2:
            yield f"areas beyond {FARTHEST_PX**2:,.0f} px", f"{name}: {area!a:.30}"
    if annotation.get("iscrowd") not in (None, 0, 1):
        yield "values of `iscrowd` other than 0 and 1", f"{name}: {annotation['iscrowd']!a:.30}"


def person_faults(
    annotation: Mapping[str, Any], skeleton: Skeleton, size: tuple[int, int] | None
) -> Iterator[Finding]:
    """Yield what is wrong with a person's annotation, whose image is known.

    Args:
        annotation: an object of `annotations`.
        skeleton: what it should be annotated with.
        size: height and width of the picture, if known.
    """
    yield from person_refusals(annotation, skeleton)
    name = f"annotation {annotation.get('id')!a:.30}"
    box = number_list(annotation.get("bbox"), 4)
    if box is not None and box[2:].min() == 0:
        yield "boxes of no width or height", f"{name}: {_listed(box)}"
    if box is not None and size is not None:
        yield from _box_outside(name, box, size)
    by_area = skeleton.area_rule == "annotated" and annotation.get("keypoints")
    if by_area and annotation.get("area") == 0 and annotation.get("iscrowd") != 1:
        yield "areas of 0, of which only exact predictions score", name
    points = number_list(annotation.get("keypoints"), 3 * skeleton.num_joints)
    if points is not None:
        points = points.reshape(-1, 3)
        for joint in np.flatnonzero(~np.isin(points[:, 2], (0, 1, 2))):
            where = f"{name}, {skeleton.joints[joint]}: {points[joint, 2]:g}"
            yield "visibility flags other than 0, 1 and 2", where
        labelled = points[points[:, 2] > 0, :2]
        if len(labelled) > 1 and labelled.min() >= 0 and labelled.max() <= 1:
            yield "joints within one pixel: are they fractions of the picture, not pixels?", name
        if size is not None:
            yield from outside_faults(annotation.get("id"), points, skeleton, size)


def outside_faults(
    number: Any, points: np.ndarray, skeleton: Skeleton, size: tuple[int, int]
) -> Iterator[Finding]:
    """Yield the labelled joints of a person that lie outside of the picture.

    Args:
        number: the annotation's id.
        points: (K, 3) x, y, v in pixels.
        skeleton: of the joints.
        size: height and width of the picture.
    """
    limits = np.array([size[1], size[0]]) + _BESIDE
    outside = ((points[:, :2] < -_BESIDE) | (points[:, :2] > limits)).any(axis=1)
    outside &= (np.abs(points) <= FARTHEST_PX).all(axis=1)  # else told already
    for joint in np.flatnonzero(outside & (points[:, 2] > 0)):
        x, y, _ = points[joint]
        where = (
            f"annotation {number!a:.30}, {skeleton.joints[joint]}: {x:g}, {y:g} in "
            f"{size[1]}x{size[0]}"
        )
        yield "labelled joints outside of their picture", where


def lacks_area(annotation: Mapping[str, Any], keypoints: np.ndarray, skeleton: Skeleton) -> bool:
    """Whether no area is stated to scale OKS by, and the bounds that would serve have none either.

    So it is with one joint, or several on an upright or level line. No prediction but the exact
    one would count then, so such a person is not scored. An area that is stated as 0, or that
    CrowdPose's rule takes from a stated box, is scored as official tools score it.

    Args:
        annotation: a person of whom `person_refusals` yields nothing.
        keypoints: (K, 3) its x, y, v in pixels.
        skeleton: whose rule for areas holds.
    """
    box = annotation.get("bbox")
    stated = box if skeleton.area_rule == "bbox0.53" else annotation.get("area")
    if stated is not None:
        return False
    bounds = joint_boxes(keypoints[None])[0] if box is None else box
    return bool(bounds[2] * bounds[3] == 0)


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
    scorable = stated != 0 and len(labelled) and annotation.get("iscrowd") != 1
    sound = next(person_refusals(annotation, skeleton), None) is None
    if scorable and sound and lacks_area(annotation, points, skeleton):
        yield "no area is stated and that of joints or box is 0: learnt from, not scored", name
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


def _form_fault(name: str, keypoints: Any, skeleton: Skeleton) -> Finding:
    """Return what is wrong with keypoints that are no flat list of K times x, y, v."""
    joints = skeleton.num_joints
    if not isinstance(keypoints, list):
        form = f"{keypoints!a:.30}"
    elif len(keypoints) % 3 or number_list(keypoints, len(keypoints)) is None:
        form = f"a list of {len(keypoints)}, not all finite numbers or not in threes"
    else:
        return (
            OTHER_JOINTS,
            f"{name} has {len(keypoints) // 3} joints, skeleton {skeleton.name!r} has {joints}",
        )
    kind = f"keypoints that are no flat list of {joints} times x, y, v in finite numbers"
    return kind, f"{name}: {form}"


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _box_outside(name: str, box: np.ndarray, size: tuple[int, int]) -> Iterator[Finding]:
    """Yield a box that reaches out of its picture, as one of two corners does."""
    x, y, width, height = box
    beside = max(-x, -y, x + width - size[1], y + height - size[0])
    if beside > _BESIDE and box.max() <= FARTHEST_PX:
        yield (
            "boxes that reach out of their picture: are they x, y, width, height?",
            f"{name}: {_listed(box)} in {size[1]}x{size[0]}",
        )


def _box_refusals(name: str, box: Any) -> Iterator[Finding]:
    numbers = number_list(box, 4)
    if numbers is None:
        yield "boxes that are not x, y, width, height in finite numbers", f"{name}: {box!a:.40}"
        return
    if min(numbers[2:]) < 0:
        yield "boxes of negative width or height", f"{name}: {_listed(numbers)}"
    if np.abs(numbers).max() > FARTHEST_PX:
        yield f"boxes beyond {FARTHEST_PX:,.0f} px", f"{name}: {_listed(numbers)}"
