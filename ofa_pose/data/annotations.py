"""Reads COCO-keypoint JSON and refuses what cannot be right, in one line."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa_pose.data.faults import (
    OTHER_JOINTS,
    Finding,
    image_faults,
    is_id,
    lacks_area,
    order_faults,
    person_refusals,
)
from ofa_pose.data.scene import joint_boxes
from ofa_pose.errors import DataError
from ofa_pose.pose import BOX_AREA_FACTOR
from ofa_pose.skeleton import Skeleton, load_skeleton, skeleton_names

_LOG = logging.getLogger(__name__)
_ALL_FAULTS = "ofa-pose data check lists every fault"


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
        has none: CrowdPose's counts leave out head and neck, and who has only these is ignored;
        and False where neither the file nor the joints give an area, see `faults.lacks_area`).

    Raises:
        DataError: one line that names the file and the fault.
    """
    document = load_document(path, unlabelled=unlabelled)
    images, everybody = document["images"], document["annotations"]
    categories, naming = person_categories(document), naming_categories(document)
    things = thing_ids(document)
    document.clear()  # so that each raw annotation goes as its checked one comes
    if not images:
        raise DataError(f"{path}: lists no images; an empty set cannot be used")
    for image in images:
        for finding in image_faults(image):
            raise _refusal(path, finding)
    ids = {image["id"] for image in images}
    if len(ids) < len(images):
        raise DataError(f"{path}: {len(images) - len(ids)} image ids are used twice")
    if not all(isinstance(annotation, dict) for annotation in everybody):
        raise DataError(f"{path}: an entry of `annotations` is not an object")
    for category in naming:
        for finding in order_faults(category, skeleton):
            advice = "is the file annotated with another skeleton? --data-skeleton tells which"
            raise _refusal(path, finding, advice=advice)
    people = [item for item in _of_people(categories, everybody) if not is_thing(item, things)]
    with_joints = sum(bool(person.get("keypoints")) for person in people)
    others = sum(bool(item.get("keypoints")) and not is_thing(item, things) for item in everybody)
    others -= with_joints
    del everybody
    if others:
        _LOG.warning(
            "%s: %d annotations with joints are left out: their `category_id` is not the person's",
            *(path, others),
        )
    if people and not with_joints:
        raise DataError(
            f"{path}: no annotation has `keypoints`; a COCO-keypoint file is expected "
            "(person_keypoints_*.json, not instances_*.json)"
        )
    total = len(people)
    people = [person for person in people if _image_of(person) in ids]
    if total and not people:
        raise DataError(f"{path}: no annotation's `image_id` is the `id` of an image it lists")
    if len(people) < total:
        strays = total - len(people)
        _LOG.warning("%s: %d annotations of images it does not list are left out", path, strays)
    unscored = exact = 0
    for place, person in enumerate(people):
        checked = people[place] = _checked(person, skeleton, path)
        if has_joints(checked) and not checked["scored"] and person.get("num_keypoints") != 0:
            unscored += 1
        exact += has_joints(checked) and checked["scored"] and not scored_area(checked, skeleton)
    if exact:
        _LOG.warning(
            "%s: %d of %d people have a stated area of 0, where only exact predictions score: AP "
            "will be too low; if `area` is left out, 0.53 of the box serves, and for a box the "
            "bounds of the joints",
            *(path, exact, len(people)),
        )
    if unscored:
        _LOG.warning(
            "%s: %d of %d people are learnt from and not scored: no area is stated, and their "
            "joints lie on one point or line",
            *(path, unscored, len(people)),
        )
    return {"images": images, "annotations": people}


def scored_area(annotation: Mapping[str, Any], skeleton: Skeleton) -> float:
    """Return the area in px that scales the OKS of a checked annotation, by the skeleton's rule."""
    _, _, width, height = annotation["bbox"]
    if skeleton.area_rule == "annotated" and "area" in annotation:
        return float(annotation["area"])
    return BOX_AREA_FACTOR * width * height


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


def person_categories(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the categories called person; all annotations are people's without one."""
    return [item for item in _categories(document) if item.get("name") == "person"]


def naming_categories(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the categories that may name people's joints: those called person, else all."""
    return person_categories(document) or _categories(document)


def thing_ids(document: Mapping[str, Any]) -> list[Any]:
    """Return the ids of the categories that name no joints where others do and none is a person.

    So files list helmets beside workers; see `is_thing`.
    """
    if person_categories(document):
        return []
    categories = _categories(document)
    naming = [item.get("id") for item in categories if item.get("keypoints")]
    others = [item.get("id") for item in categories if item.get("id") not in naming]
    return others if naming else []


def is_thing(annotation: Mapping[str, Any], things: Sequence[Any]) -> bool:
    """Say whether an annotation is of one of these categories and tells no joint: of nobody."""
    given = annotation.get("keypoints")
    told = any(given) if isinstance(given, list) else bool(given)
    return "category_id" in annotation and annotation["category_id"] in things and not told


def _categories(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    categories = document.get("categories")
    listed = categories if isinstance(categories, list) else ()
    return [item for item in listed if isinstance(item, dict)]


def _of_people(
    categories: Sequence[Mapping[str, Any]], annotations: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Keep the annotations of the categories called person, where there is one."""
    wanted = [category.get("id") for category in categories]
    if not wanted:
        return list(annotations)
    return [item for item in annotations if item.get("category_id", wanted[0]) in wanted]


def _refusal(path: Path, finding: Finding, *, advice: str = _ALL_FAULTS) -> DataError:
    kind, where = finding
    return DataError(f"{path}: {kind}: {where}; {advice}")


def _image_of(annotation: Mapping[str, Any]) -> int | None:
    """Return the id of an annotation's image, or None where it is not an id at all."""
    image = annotation.get("image_id")
    return image if is_id(image) else None


def _checked(annotation: dict[str, Any], skeleton: Skeleton, path: Path) -> dict[str, Any]:
    for finding in person_refusals(annotation, skeleton):
        advice = _ALL_FAULTS
        if finding[0] == OTHER_JOINTS:
            own = _likely(len(annotation["keypoints"]))
            advice = (
                f"tell the joints the file is annotated with: --data-skeleton {own} matches them "
                f"with those of {skeleton.name!r} by name; train --skeleton {own} makes a network "
                "of these"
            )
        raise _refusal(path, finding, advice=advice)
    given = annotation.get("keypoints") or [0] * (3 * skeleton.num_joints)
    keypoints = list(map(float, given))
    points = np.array(keypoints).reshape(-1, 3)
    box = annotation.get("bbox")
    if box is None:
        box = joint_boxes(points[None])[0]
    labelled = sum(flag > 0 for flag in keypoints[2::3])
    scored = labelled > 0 and annotation.get("num_keypoints") != 0
    checked = {
        **annotation,
        "keypoints": keypoints,
        "bbox": list(map(float, box)),
        "iscrowd": int(annotation.get("iscrowd") or 0),
        "num_keypoints": labelled,
        "scored": scored and not lacks_area(annotation, points, skeleton),
        "category_id": 1,
    }
    if checked.get("area", 0.0) is None:
        del checked["area"]
    if has_joints(checked):
        checked.pop("segmentation", None)  # only ignored people's outlines are ever looked at
    return checked
