"""A picture with its people, and what every source of such scenes offers."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Protocol, SupportsIndex, runtime_checkable

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from ofa_pose.errors import DataError
from ofa_pose.pose import BOX_AREA_FACTOR
from ofa_pose.skeleton import Skeleton

_SMALLEST_PX = 32.0  # side of the smallest people whose joints COCO labels


@dataclass(frozen=True)
class Scene:
    """One picture and the people labelled in it; coordinates as in `ofa_pose.data.geometry`.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        keypoints: (P, K, 3) float32: x, y in pixels, v (0 not labelled, 1 hidden, 2 visible).
        valid: (H, W) bool; False where the loss must not look (crowds, people without joints).
        image_id: the id results of this scene carry.
        boxes: (P, 4) float32: x, y, width, height in pixels.
        areas: (P,) float32: px², what OKS is scaled by; 0: of somebody who cannot be scored.
        known: (K,) bool; False for joints that the annotations do not have at all, of which
            nothing is known here; None if they have all.
    """

    image: np.ndarray
    keypoints: np.ndarray
    valid: np.ndarray
    image_id: int
    boxes: np.ndarray
    areas: np.ndarray
    known: np.ndarray | None = None


@runtime_checkable
class SceneSource(Protocol):
    """A fixed, indexable collection of scenes that share one skeleton."""

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton whose joints the scenes' keypoints are."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Scene: ...

    def ground_truth(self) -> dict[str, Any]:
        """Return the COCO-keypoint JSON (as a dict) that predictions are scored against."""
        ...

    def fingerprint(self) -> str:
        """Return a short text that changes with the scenes, their order or their labels.

        Equal in every process for the same scenes, and cheap: no picture is read for it. A run
        that is resumed compares it; `ofa_pose.data.fingerprint` makes one.
        """
        ...


@runtime_checkable
class PictureSource(Protocol):
    """A source whose scenes show a picture each, any of which may turn out damaged.

    `source[index]` then gives another scene in place of it; a part of the source chooses one of
    its own, by what a source tells here.
    """

    def __len__(self) -> int: ...  # noqa: D105

    def read_one(self, index: int) -> Scene | None:
        """Return this very scene, or None where its picture cannot be decoded.

        Raises:
            DataError: too many pictures turned out damaged.
        """
        ...

    def image_id(self, index: int) -> int | None:
        """Return the id of this very scene's picture, which is not read; None: it is not known."""
        ...


def check_scene(scene: Scene, skeleton: Skeleton, *, index: int) -> None:
    """Refuse a scene whose arrays are not as `Scene` says, such as one of a source of your own.

    Args:
        scene: a source's scene.
        skeleton: the source's.
        index: of the scene in its source, to name it.

    Raises:
        DataError: an array has another type or shape, or a labelled joint is at no number.
    """
    people, joints = len(scene.keypoints), skeleton.num_joints
    height, width = np.shape(scene.image)[:2] if np.ndim(scene.image) == 3 else (0, 0)
    wanted: dict[str, tuple[tuple[int, ...], type | None]] = {
        "image": ((height, width, 3), np.uint8),
        "keypoints": ((people, joints, 3), None),
        "valid": ((height, width), np.bool_),
        "boxes": ((people, 4), None),
        "areas": ((people,), None),
    }
    if scene.known is not None:
        wanted["known"] = ((joints,), np.bool_)
    for name, (shape, dtype) in wanted.items():
        array = getattr(scene, name)
        if np.shape(array) != shape or (dtype is not None and array.dtype != dtype):
            found = f"{getattr(array, 'dtype', type(array).__name__)} of shape {np.shape(array)}"
            kind = "numbers" if dtype is None else np.dtype(dtype).name
            sides = "(H, W, 3)" if name == "image" else shape
            raise DataError(f"scene {index}: {name} is {found}, not {kind} of shape {sides}")
    seen = scene.keypoints[:, :, 2]
    if not np.isfinite(seen).all() or not np.isfinite(scene.keypoints[seen > 0]).all():
        raise DataError(f"scene {index}: keypoints hold NaN or infinite values")


def place_in(source: Sized, index: SupportsIndex) -> int:
    """Return an index counted from the front.

    Raises:
        IndexError: there is no such scene.
        TypeError: the index is a slice, or no whole number.
    """
    return range(len(source))[operator.index(index)]


def read_one(source: SceneSource, index: int) -> Scene | None:
    """Return a scene without another in its place; None where its picture is damaged.

    Of a source that is no `PictureSource` it is whatever the source gives.
    """
    return source.read_one(index) if isinstance(source, PictureSource) else source[index]


def next_readable(source: PictureSource, index: int) -> Scene | None:
    """Return a scene, or the next one whose picture is not damaged; None if all are.

    After the last comes the first.

    Raises:
        IndexError: there is no such scene.
    """
    count = len(source)
    start = place_in(source, index)
    scenes = (source.read_one((start + step) % count) for step in range(count))
    return next((scene for scene in scenes if scene is not None), None)


def image_id_of(source: SceneSource, index: int) -> int | None:
    """Return the id of a scene's picture, which is not read; None where the source cannot tell."""
    return source.image_id(index) if isinstance(source, PictureSource) else None


def joint_boxes(keypoints: np.ndarray) -> np.ndarray:
    """Return the (P, 4) float32 xywh bounds of each person's labelled joints; none labelled: 0.

    Args:
        keypoints: (P, K, 3) x, y, v.
    """
    labelled = keypoints[:, :, 2:3] > 0
    low = np.where(labelled, keypoints[:, :, :2], np.inf).min(axis=1, initial=np.inf)
    high = np.where(labelled, keypoints[:, :, :2], -np.inf).max(axis=1, initial=-np.inf)
    boxes = np.concatenate([low, high], axis=1)
    boxes[~labelled[:, :, 0].any(axis=1)] = 0.0
    boxes[:, 2:] -= boxes[:, :2]
    return boxes.astype(np.float32)


def ignored_area(box: Sequence[float]) -> tuple[list[float], float]:
    """Return a box and an area, px², for a person whose own have no area, so is not scored.

    Evaluators scale even the OKS with somebody who is ignored by the area: with none, whoever is
    found there would be a false positive. A square around the person's length serves, of the side
    of the smallest people whose joints COCO labels at least.

    Args:
        box: x, y, width, height of the person's joints, in pixels.
    """
    x, y, width, height = box
    side = max(width, height, _SMALLEST_PX)
    square = [x + (width - side) / 2, y + (height - side) / 2, side, side]
    return square, BOX_AREA_FACTOR * side * side


def clear_boxes(valid: np.ndarray, boxes: np.ndarray) -> None:
    """Set an (H, W) bool mask to False inside (P, 4) xywh boxes, in place."""
    for x, y, width, height in boxes.tolist():
        left, top = max(0, math.floor(x)), max(0, math.floor(y))
        valid[top : max(0, math.ceil(y + height)), left : max(0, math.ceil(x + width))] = False


def category(skeleton: Skeleton) -> dict[str, Any]:
    """Return the COCO `categories` entry of a skeleton (limbs count from 1 there)."""
    return {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.joints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
    }


def ground_truth_of(scenes: Iterable[Scene], skeleton: Skeleton) -> dict[str, Any]:
    """Return the COCO-keypoint JSON (as a dict) of scenes; of equal ids, the first counts.

    A scene comes twice where it stands in for one whose picture is damaged. Each connected region
    that the loss ignores becomes a crowd annotation with an exact mask, so that evaluation ignores
    it too and `CocoScenes` reads back the same `valid`. Who has no area has a `num_keypoints` of
    0, and so is not scored, and the box of `ignored_area`.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    seen: set[int] = set()
    for scene in scenes:
        if scene.image_id in seen:
            continue
        seen.add(scene.image_id)
        height, width = scene.image.shape[:2]
        images.append(
            {
                "id": scene.image_id,
                "file_name": f"{scene.image_id:06d}.jpg",
                "width": width,
                "height": height,
            }
        )
        for points, box, area in zip(scene.keypoints, scene.boxes, scene.areas, strict=True):
            points = np.where(points[:, 2:3] > 0, points, 0.0)
            labelled = int((points[:, 2] > 0).sum())
            if area <= 0:
                labelled = 0
                box, area = ignored_area(box.tolist())
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": scene.image_id,
                    "category_id": 1,
                    "iscrowd": 0,
                    "keypoints": _rounded(points.reshape(-1)),
                    "num_keypoints": labelled,
                    "bbox": _rounded(box),
                    "area": round(float(area), 2),
                }
            )
        for region in _ignored_regions(scene.valid):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": scene.image_id,
                    "category_id": 1,
                    "iscrowd": 1,
                    "keypoints": [0] * (3 * skeleton.num_joints),
                    "num_keypoints": 0,
                    **region,
                }
            )
    return {"images": images, "annotations": annotations, "categories": [category(skeleton)]}


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 2) for value in values]


def _ignored_regions(valid: np.ndarray) -> list[dict[str, Any]]:
    """Return `bbox`, `area` and RLE `segmentation` of each connected region of ~valid."""
    if valid.all():
        return []
    count, numbers, stats, _ = cv2.connectedComponentsWithStats((~valid).astype(np.uint8))
    regions = []
    for number in range(1, count):
        encoded = coco_mask.encode(np.asfortranarray(numbers == number, np.uint8))
        counts = encoded["counts"]
        text = counts.decode("ascii") if isinstance(counts, bytes) else counts
        regions.append(
            {
                "bbox": [float(value) for value in stats[number, :4]],
                "area": float(stats[number, cv2.CC_STAT_AREA]),
                "segmentation": {"size": list(valid.shape), "counts": text},
            }
        )
    return regions
