"""Scenes from a COCO-keypoint JSON and a folder of pictures."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from pycocotools import mask as coco_mask

from ofa_pose.data.images import UnreadableImageError, quick_check, read_image
from ofa_pose.data.scene import AREA_OF_BOX, Scene, category, joint_boxes
from ofa_pose.errors import DataError
from ofa_pose.skeleton import Skeleton, load_skeleton

_LOG = logging.getLogger(__name__)
# Bad pictures that are tolerated whatever the size of the set: 1 % of a small set is less than one.
_ALWAYS_TOLERATED = 1


class CocoScenes:
    """The pictures of one annotation file; people without joints and crowds are masked out.

    Damaged pictures are skipped: those that a look at the file's ends betrays are left out from
    the start; one that turns out undecodable when it is read is replaced by the next readable
    picture of the set. Either way it is named once in the log and stands in `bad`.

    Args:
        annotations: COCO-keypoint JSON.
        images: folder that the JSON's `file_name`s are relative to.
        skeleton: name, path or Skeleton of the joints the JSON annotates.
        max_bad: share of the pictures that may be damaged.
        only_people: leave out pictures in which nobody has labelled joints.

    Raises:
        DataError: the JSON or the pictures cannot be used; the message says why.
    """

    def __init__(
        self,
        annotations: str | Path,
        images: str | Path,
        *,
        skeleton: str | Skeleton,
        max_bad: float = 0.01,
        only_people: bool = False,
    ) -> None:
        self.skeleton = load_skeleton(skeleton)
        self.path = Path(annotations)
        self.folder = Path(images)
        self.max_bad = max_bad
        self.bad: dict[Path, str] = {}
        document = read_annotations(self.path, self.skeleton)
        self._images: list[dict[str, Any]] = document["images"]
        self._skip_damaged()
        people: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in self._images}
        for annotation in document["annotations"]:
            if annotation["image_id"] in people:
                people[annotation["image_id"]].append(annotation)
        if only_people:
            self._images = [
                image for image in self._images if any(map(_has_joints, people[image["id"]]))
            ]
            if not self._images:
                raise DataError(f"{self.path}: nobody has labelled joints; nothing to learn from")
        self._people = [people[image["id"]] for image in self._images]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Scene:
        """Read one scene; a picture that cannot be decoded gives the next readable one.

        Raises:
            DataError: more than `max_bad` of the pictures turned out damaged.
        """
        index = range(len(self))[index]
        for step in range(len(self)):
            scene = self._read((index + step) % len(self))
            if scene is not None:
                return scene
        raise DataError(f"{self.folder}: no picture can be decoded")

    def ground_truth(self) -> dict[str, Any]:
        """Return the COCO JSON of the readable pictures, people without joints included."""
        images = [
            image for image in self._images if self.folder / image["file_name"] not in self.bad
        ]
        kept = {image["id"] for image in images}
        annotations = [
            {**annotation, "area": self._area(annotation)}
            for people in self._people
            for annotation in people
            if annotation["image_id"] in kept
        ]
        return {
            "images": images,
            "annotations": annotations,
            "categories": [category(self.skeleton)],
        }

    def _read(self, index: int) -> Scene | None:
        record, people = self._images[index], self._people[index]
        path = self.folder / record["file_name"]
        if path in self.bad:
            return None
        size = (record["height"], record["width"]) if "height" in record else None
        try:
            image = read_image(path, size)
        except UnreadableImageError as error:
            self._note_bad(path, str(error), len(self))
            return None
        labelled = [annotation for annotation in people if _has_joints(annotation)]
        keypoints = np.array([annotation["keypoints"] for annotation in labelled], np.float32)
        keypoints = keypoints.reshape(len(labelled), self.skeleton.num_joints, 3)
        boxes = np.array([annotation["bbox"] for annotation in labelled], np.float32)
        return Scene(
            image=image,
            keypoints=keypoints,
            valid=_valid_mask(people, image.shape[:2]),
            image_id=record["id"],
            boxes=boxes.reshape(len(labelled), 4),
            areas=np.array([self._area(annotation) for annotation in labelled], np.float32),
        )

    def _area(self, annotation: Mapping[str, Any]) -> float:
        _, _, width, height = annotation["bbox"]
        if self.skeleton.area_rule == "annotated" and "area" in annotation:
            return float(annotation["area"])
        return AREA_OF_BOX * width * height

    def _skip_damaged(self) -> None:
        absent: list[str] = []
        total = len(self._images)
        kept: list[dict[str, Any]] = []
        for record in self._images:
            path = self.folder / record["file_name"]
            try:
                reason = quick_check(path)
            except FileNotFoundError:
                absent.append(record["file_name"])
                continue
            except OSError as error:
                reason = error.strerror or str(error)
            if reason:
                self._note_bad(path, reason, total)
            else:
                kept.append(record)
        if absent:
            raise DataError(
                f"{self.path}: {len(absent)} of {total} images are not in {self.folder}: "
                f"{', '.join(absent[:3])}{', …' if len(absent) > 3 else ''}"
            )
        if not kept:
            raise DataError(f"{self.folder}: all {total} images are damaged")
        self._images = kept

    def _note_bad(self, path: Path, reason: str, total: int) -> None:
        self.bad[path] = reason
        _LOG.warning("skipped %s: %s", path, reason)
        allowed = max(_ALWAYS_TOLERATED, math.floor(self.max_bad * total))
        if len(self.bad) > allowed:
            names = ", ".join(bad.name for bad in list(self.bad)[:3])
            raise DataError(
                f"{self.folder}: more than {self.max_bad:.3g} of the {total} images are damaged: "
                f"{names}{', …' if len(self.bad) > 3 else ''} ({reason})"
            )


def read_annotations(path: Path, skeleton: Skeleton) -> dict[str, Any]:
    """Read and check a COCO-keypoint JSON; boxes and joint counts are filled in where absent.

    Returns:
        `images` (ids distinct) and `annotations` (people only: each with `keypoints` or none,
        `bbox`, `iscrowd`, `num_keypoints`).

    Raises:
        DataError: one line that names the file and the fault.
    """
    document = _load_json(path)
    images, annotations = document["images"], document["annotations"]
    if not images:
        raise DataError(f"{path}: lists no images; an empty set cannot be used")
    for image in images:
        if not isinstance(image, dict) or "id" not in image or "file_name" not in image:
            raise DataError(f"{path}: an entry of `images` lacks `id` or `file_name`")
    ids = {image["id"] for image in images}
    if len(ids) < len(images):
        raise DataError(f"{path}: {len(images) - len(ids)} image ids are used twice")
    annotations = _of_people(document, annotations)
    if annotations and not any(annotation.get("keypoints") for annotation in annotations):
        raise DataError(
            f"{path}: no annotation has `keypoints`; a COCO-keypoint file is expected "
            "(person_keypoints_*.json, not instances_*.json)"
        )
    strays = sum(annotation.get("image_id") not in ids for annotation in annotations)
    if strays:
        _LOG.warning("%s: %d annotations of images it does not list are left out", path, strays)
    checked = [
        _check_annotation(annotation, skeleton, path)
        for annotation in annotations
        if annotation.get("image_id") in ids
    ]
    return {"images": images, "annotations": checked}


def _load_json(path: Path) -> dict[str, Any]:
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


def _of_people(
    document: Mapping[str, Any], annotations: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Keep the annotations of the category called person, where there is one."""
    wanted = {
        item.get("id") for item in document.get("categories") or () if item.get("name") == "person"
    }
    return [
        annotation
        for annotation in annotations
        if not wanted or annotation.get("category_id", next(iter(wanted))) in wanted
    ]


def _check_annotation(annotation: dict[str, Any], skeleton: Skeleton, path: Path) -> dict[str, Any]:
    name = f"{path}: annotation {annotation.get('id')}"
    keypoints = annotation.get("keypoints") or [0] * (3 * skeleton.num_joints)
    if len(keypoints) != 3 * skeleton.num_joints:
        raise DataError(
            f"{name} has {len(keypoints) / 3:g} joints, skeleton {skeleton.name!r} has "
            f"{skeleton.num_joints}; choose the skeleton the file was annotated with"
        )
    try:
        points = np.array(keypoints, np.float64).reshape(-1, 3)
        given = annotation.get("bbox")
        box = joint_boxes(points[None])[0] if given is None else np.array(given, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: `keypoints` and `bbox` must be lists of numbers") from error
    if box.shape != (4,):
        raise DataError(f"{name}: `bbox` must be x, y, width, height, got {len(box)} numbers")
    area = annotation.get("area", 0.0)
    if not (np.isfinite(points).all() and np.isfinite(box).all() and math.isfinite(area)):
        raise DataError(f"{name}: `keypoints`, `bbox` or `area` holds NaN or infinity")
    return {
        **annotation,
        "keypoints": keypoints,
        "bbox": [float(value) for value in box],
        "iscrowd": int(annotation.get("iscrowd", 0)),
        "num_keypoints": int((points[:, 2] > 0).sum()),
        "category_id": 1,
    }


def _has_joints(annotation: Mapping[str, Any]) -> bool:
    return annotation["num_keypoints"] > 0 and not annotation["iscrowd"]


def _valid_mask(people: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> np.ndarray:
    """Return the (H, W) bool mask without crowds and people that have no joints.

    Their segmentation is masked (HigherHRNet's rule); where there is none, their box is.
    """
    valid = np.ones(size, bool)
    for annotation in people:
        if _has_joints(annotation):
            continue
        region = _segmentation(annotation.get("segmentation"), size)
        if region is not None:
            valid &= ~region
            continue
        x, y, width, height = annotation["bbox"]
        left, top = max(0, math.floor(x)), max(0, math.floor(y))
        valid[top : max(0, math.ceil(y + height)), left : max(0, math.ceil(x + width))] = False
    return valid


def _segmentation(segmentation: Any, size: tuple[int, int]) -> np.ndarray | None:
    """Return polygons or an RLE, compressed or not, as an (H, W) bool mask; None if unusable."""
    encoded: Any = segmentation  # pycocotools' stubs know only some of the forms COCO files use
    try:
        if isinstance(segmentation, list):
            polygons: Any = [part for part in segmentation if len(part) >= 6]
            encoded = coco_mask.merge(coco_mask.frPyObjects(polygons, *size)) if polygons else None
        elif isinstance(segmentation, dict) and isinstance(segmentation["counts"], list):
            encoded = coco_mask.frPyObjects(encoded, *size)
        if not isinstance(encoded, dict):
            return None
        region = coco_mask.decode(cast("Any", encoded)).astype(bool)
    except (KeyError, TypeError, ValueError):
        return None
    return region if region.shape == size else None
