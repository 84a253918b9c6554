"""Reads COCO-keypoint JSON and refuses what cannot be right, in one line."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa_pose.data.scene import joint_boxes
from ofa_pose.errors import DataError
from ofa_pose.skeleton import Skeleton, load_skeleton, plain_name, skeleton_names

_LOG = logging.getLogger(__name__)
LARGEST_ID = 2**63 - 1
"""Of ids: what tools in other languages can hold."""
_FARTHEST = 1e6  # pixels; what lies beyond is a slip, and squares of it leave float32's range


def _likely(numbers: int) -> str:
    """Return the shipped skeletons that as many x, y, v would fit."""
    names = [name for name in skeleton_names() if 3 * load_skeleton(name).num_joints == numbers]
    return " or ".join(names) or "FILE"


def has_joints(annotation: Mapping[str, Any]) -> bool:
    """Say whether an annotation teaches joints; if not, its region is ignored in the loss."""
    return annotation["num_keypoints"] > 0 and not annotation["iscrowd"]


def stated_size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the height and width that an entry of `images` states, if it does."""
    height, width = image.get("height"), image.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def read_annotations(path: Path, skeleton: Skeleton, *, unlabelled: bool = False) -> dict[str, Any]:
    """Read and check a COCO-keypoint JSON; boxes and joint counts are filled in where absent.

    Args:
        path: the file.
        skeleton: whose joints it annotates.
        unlabelled: take a file that lists images alone, too.

    Returns:
        `images` (ids distinct) and `annotations` (people only: each with `keypoints` or none,
        `bbox`, `iscrowd`, `num_keypoints`; and `scored`, False where the file says that a person
        has none: CrowdPose's counts leave out head and neck, and who has only these is ignored).

    Raises:
        DataError: one line that names the file and the fault.
    """
    document = load_document(path, unlabelled=unlabelled)
    images, annotations = document["images"], document["annotations"]
    if not images:
        raise DataError(f"{path}: lists no images; an empty set cannot be used")
    for image in images:
        _check_image(image, path)
    ids = {image["id"] for image in images}
    if len(ids) < len(images):
        raise DataError(f"{path}: {len(images) - len(ids)} image ids are used twice")
    if not all(isinstance(annotation, dict) for annotation in annotations):
        raise DataError(f"{path}: an entry of `annotations` is not an object")
    _check_order(document, skeleton, path)
    everybody = annotations
    annotations = _of_people(document, everybody)
    others = sum(bool(item.get("keypoints")) for item in everybody) - sum(
        bool(item.get("keypoints")) for item in annotations
    )
    if others:
        _LOG.warning(
            "%s: %d annotations with joints are left out: their `category_id` is not the person's",
            *(path, others),
        )
    if annotations and not any(annotation.get("keypoints") for annotation in annotations):
        raise DataError(
            f"{path}: no annotation has `keypoints`; a COCO-keypoint file is expected "
            "(person_keypoints_*.json, not instances_*.json)"
        )
    ours = [annotation for annotation in annotations if _image_of(annotation) in ids]
    strays = len(annotations) - len(ours)
    if strays == len(annotations) > 0:
        raise DataError(f"{path}: no annotation's `image_id` is the `id` of an image it lists")
    if strays:
        _LOG.warning("%s: %d annotations of images it does not list are left out", path, strays)
    checked = [_check_annotation(annotation, skeleton, path) for annotation in ours]
    return {"images": images, "annotations": checked}


def load_document(path: Path, *, unlabelled: bool = False) -> dict[str, Any]:
    """Return a JSON that has the lists `images` and `annotations`; nothing in them is checked.

    Args:
        path: the file.
        unlabelled: whether `annotations` may be absent, as in COCO's lists of test images; it is
            empty then.

    Raises:
        DataError: one line that names the file and the fault.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read annotations {path}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: broken JSON at line {error.lineno}, column {error.colno} ({error.msg}); "
            "is the file complete?"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not JSON text ({error.reason})") from error
    except ValueError as error:
        raise DataError(f"{path}: holds a number of thousands of digits") from error
    except RecursionError as error:
        raise DataError(f"{path}: lists in lists without an end; not a COCO file") from error
    if unlabelled and isinstance(document, dict):
        document.setdefault("annotations", [])
    keys = ("images", "annotations")
    absent = [
        key
        for key in keys
        if not isinstance(document, dict) or not isinstance(document.get(key), list)
    ]
    if absent:
        raise DataError(
            f"{path}: not a COCO-keypoint JSON, lacks the list `{'` and `'.join(absent)}`"
        )
    return document


def _check_order(document: Mapping[str, Any], skeleton: Skeleton, path: Path) -> None:
    """Refuse a file that names its joints in another order than the skeleton's.

    Names that the skeleton does not know say nothing.
    """
    own = [plain_name(joint) for joint in skeleton.joints]
    for category in _categories_of_people(document):
        listed = category.get("keypoints")
        if not isinstance(listed, list) or len(listed) != len(own):
            continue
        for place, (name, expected) in enumerate(zip(listed, own, strict=True)):
            if isinstance(name, str) and plain_name(name) != expected and plain_name(name) in own:
                raise DataError(
                    f"{path}: joint {place + 1} is named {name!a:.40}, where skeleton "
                    f"{skeleton.name!r} has {skeleton.joints[place]!r}: is the file annotated with "
                    "another skeleton? --data-skeleton tells which"
                )


def person_categories(document: Mapping[str, Any]) -> list[Any]:
    """Return the ids of the categories called person; all annotations are people's without one."""
    return [item.get("id") for item in _categories_of_people(document)]


def _categories_of_people(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the categories called person."""
    categories = document.get("categories")
    listed = categories if isinstance(categories, list) else ()
    return [item for item in listed if isinstance(item, dict) and item.get("name") == "person"]


def _of_people(
    document: Mapping[str, Any], annotations: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Keep the annotations of the category called person, where there is one."""
    wanted = person_categories(document)
    if not wanted:
        return list(annotations)
    return [item for item in annotations if item.get("category_id", wanted[0]) in wanted]


def _check_image(image: Any, path: Path) -> None:
    if not isinstance(image, dict) or "id" not in image or "file_name" not in image:
        raise DataError(f"{path}: an entry of `images` lacks `id` or `file_name`")
    if not _is_whole(image["id"]) or abs(image["id"]) > LARGEST_ID:
        raise DataError(f"{path}: an image's `id` must be a whole number, got {image['id']!r:.60}")
    name = image["file_name"]
    if not isinstance(name, str) or not name or "\0" in name or not is_encodable(name):
        raise DataError(f"{path}: image {image['id']}: {name!a:.60} is no `file_name`")
    for key in ("width", "height"):
        side = image.get(key)
        if side is not None and not (_is_whole(side) and 0 < side < _FARTHEST):
            raise DataError(
                f"{path}: image {image['id']}: `{key}` must be a whole number of pixels, "
                f"got {side!a:.60}"
            )
    index = image.get("crowdIndex", 0)
    if not isinstance(index, int | float) or not -_FARTHEST < index < _FARTHEST:
        raise DataError(f"{path}: image {image['id']}: `crowdIndex` must be a number")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_encodable(text: str) -> bool:
    """Say whether a text can name a file; half a surrogate pair cannot."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def _image_of(annotation: Mapping[str, Any]) -> int | None:
    """Return the id of an annotation's image, or None where it is not an id at all."""
    image = annotation.get("image_id")
    return image if isinstance(image, int) else None


def _check_annotation(annotation: dict[str, Any], skeleton: Skeleton, path: Path) -> dict[str, Any]:
    name = f"{path}: annotation {annotation.get('id')}"
    keypoints = annotation.get("keypoints") or [0] * (3 * skeleton.num_joints)
    try:
        points = np.array(keypoints, np.float64)
        given = annotation.get("bbox")
        box = None if given is None else np.array(given, np.float64)
        stated = annotation.get("area")
        area = 0.0 if stated is None else float(stated)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{name}: `keypoints`, `bbox` and `area` must be numbers") from error
    if points.ndim != 1:
        raise DataError(f"{name}: `keypoints` must be one flat list: x, y, v, x, y, v, …")
    if points.shape != (3 * skeleton.num_joints,):
        raise DataError(
            f"{name} has {points.size / 3:g} joints, skeleton {skeleton.name!r} has "
            f"{skeleton.num_joints}; tell the joints the file is annotated with: --skeleton "
            f"{_likely(points.size)} for a network of these, --data-skeleton to teach "
            f"{skeleton.name!r} with them"
        )
    points = points.reshape(-1, 3)
    if box is None:
        box = joint_boxes(points[None])[0]
    if box.shape != (4,):
        raise DataError(f"{name}: `bbox` must be x, y, width, height, got {box.size} numbers")
    if not (np.isfinite(points).all() and np.isfinite(box).all() and math.isfinite(area)):
        raise DataError(f"{name}: `keypoints`, `bbox` or `area` holds NaN or infinity")
    if max(np.abs(points).max(), np.abs(box).max()) > _FARTHEST or abs(area) > _FARTHEST**2:
        raise DataError(f"{name}: `keypoints`, `bbox` or `area` lies beyond {_FARTHEST:,.0f} px")
    if box[2] < 0 or box[3] < 0 or area < 0:
        raise DataError(f"{name}: the width and height of `bbox`, and `area`, must not be negative")
    if annotation.get("iscrowd") not in (None, 0, 1):
        raise DataError(f"{name}: `iscrowd` must be 0 or 1, got {annotation['iscrowd']!a:.60}")
    labelled = int((points[:, 2] > 0).sum())
    checked = {
        **annotation,
        "keypoints": points.ravel().tolist(),
        "bbox": box.tolist(),
        "iscrowd": int(annotation.get("iscrowd") or 0),
        "num_keypoints": labelled,
        "scored": labelled > 0 and annotation.get("num_keypoints") != 0,
        "category_id": 1,
    }
    if checked.get("area", 0.0) is None:
        del checked["area"]
    if has_joints(checked):
        checked.pop("segmentation", None)  # only ignored people's outlines are ever looked at
    return checked
