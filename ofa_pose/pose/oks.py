"""How good predictions are: average precision over object keypoint similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ofa_pose.errors import DataError, UsageError
from ofa_pose.pose.decode import Person
from ofa_pose.pose.evaluators import CATEGORY, Curves, Matchable, curves_of
from ofa_pose.skeleton import Skeleton

BOX_AREA_FACTOR = 0.53
"""Object area as a fraction of its box, by the rule of CrowdPose's official evaluation."""

CROWD_CUTS = (0.2, 0.8)
"""`crowdIndex` below the first is easy, below the second medium: the official code's values."""

_STATS = ("", "50", "75", "_medium", "_large")  # what follows AP and AR
_AT_75 = 5  # place of 0.75 among the thresholds
_BLANK = {"file_name": "", "width": 0, "height": 0}


def evaluate_predictions(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    skeleton: Skeleton,
    *,
    crowd_cuts: tuple[float, float] = CROWD_CUTS,
    evaluator: str = "auto",
) -> dict[str, float]:
    """Return OKS average precision and recall of `predictions`, as fractions.

    The keys are COCO's ten: AP, AP50, AP75, AP_medium, AP_large (object sizes) and the same of
    AR. Where every image carries a `crowdIndex` they are CrowdPose's nine: AP, AP50, AP75, AR,
    AR50, AR75, AP_easy, AP_medium, AP_hard (crowdedness of the image). A value is -1, as
    pycocotools has it, where the ground truth has no object of the kind.

    An object's area is the annotated one, or 0.53 times its box's, whatever is annotated, if the
    skeleton's area rule says so. Neither argument is changed.

    Args:
        ground_truth: COCO keypoint JSON: images, annotations.
        predictions: COCO results: image_id, keypoints (3K numbers), score, and optionally bbox,
            from which the prediction's size is taken.
        skeleton: its sigmas are used.
        crowd_cuts: where easy ends and where medium ends. The CrowdPose paper's text says 0.1
            and 0.8, the official code 0.2 and 0.8.
        evaluator: `pycocotools`, `hotcoco`, or `auto`: hotcoco where it is installed. They agree
            on every number; hotcoco is many times faster.

    Raises:
        DataError: an annotation or a prediction that cannot be evaluated.
        UsageError: no such evaluator, one that is not installed, or cuts in the wrong order.
    """
    # Evaluators sort images by id: ranks keep the order and are small whole numbers.
    ids = sorted({image["id"] for image in ground_truth["images"]})
    ranks = {image: rank for rank, image in enumerate(ids, start=1)}
    images = [{**_BLANK, "id": rank} for rank in ranks.values()]
    objects = coco_objects(ground_truth.get("annotations", []), skeleton, ranks=ranks)
    results = coco_results(predictions, skeleton, ranks=ranks)
    crowded = has_crowd_index(ground_truth)
    people = Matchable(images, objects, results, skeleton.sigmas, sized=not crowded)
    if not crowded:
        return _stats(curves_of(people, subsets={}, evaluator=evaluator)[0])
    splits = _crowd_splits(ground_truth["images"], crowd_cuts, ranks=ranks)
    curves, parts = curves_of(people, subsets=splits, evaluator=evaluator)
    scores = _stats(curves)
    for name in splits:
        scores[name] = _mean(parts[name].precision[..., 0]) if name in parts else -1.0
    return scores


def has_crowd_index(ground_truth: Mapping[str, Any]) -> bool:
    """Whether every image carries a `crowdIndex`, so that CrowdPose's numbers are asked for."""
    images = ground_truth["images"]
    return bool(images) and all("crowdIndex" in image for image in images)


def person_to_result(person: Person, image_id: int) -> dict[str, Any]:
    """Return a COCO result of `person`; its `bbox` spans the joints that were found.

    Without it pycocotools would take the prediction's size from all joints, zeros of missing
    ones included, which distorts AP by object size.
    """
    found = person.keypoints[person.keypoints[:, 2] > 0, :2]
    low = found.min(axis=0) if len(found) else np.zeros(2)
    high = found.max(axis=0) if len(found) else np.zeros(2)
    box = [float(value) for value in (*low, *(high - low))]
    return {
        "image_id": int(image_id),
        "category_id": CATEGORY,
        "keypoints": [float(value) for value in person.keypoints.ravel()],
        "score": float(person.score),
        "bbox": box,
        "area": box[2] * box[3],
    }


def coco_objects(
    annotations: Sequence[Mapping[str, Any]], skeleton: Skeleton, *, ranks: Mapping[int, int]
) -> list[dict[str, Any]]:
    """Return the annotations as evaluators need them: id from 1, area, crowd flag, box."""
    objects = []
    for number, annotation in enumerate(annotations, start=1):
        if annotation["image_id"] not in ranks:
            continue
        name = annotation.get("id", number)
        keypoints = annotation.get("keypoints")
        if keypoints is None or not len(keypoints):
            keypoints = [0] * (3 * skeleton.num_joints)
        if len(keypoints) != 3 * skeleton.num_joints:
            raise DataError(
                f"annotation {name} has {len(keypoints)} keypoint numbers, "
                f"skeleton {skeleton.name!r} needs {3 * skeleton.num_joints}"
            )
        box: Any = annotation.get("bbox")
        by_box = skeleton.area_rule == "bbox0.53"
        needed = "bbox" if by_box else "area"
        if annotation.get(needed) is None:
            raise DataError(
                f"annotation {name} has no {needed}, which skeleton {skeleton.name!r} needs"
            )
        sizes = box if by_box else [annotation["area"]]
        _require_finite(f"annotation {name}", [*keypoints, *sizes])
        objects.append(
            {
                "id": number,  # pycocotools takes a match with id 0 for none
                "image_id": ranks[annotation["image_id"]],
                "category_id": CATEGORY,
                "keypoints": list(keypoints),
                "num_keypoints": annotation.get(
                    "num_keypoints", sum(value > 0 for value in keypoints[2::3])
                ),
                "iscrowd": annotation.get("iscrowd", 0),
                "area": BOX_AREA_FACTOR * box[2] * box[3] if by_box else annotation["area"],
                "bbox": list(box) if box is not None else _span(keypoints, labelled_only=True),
            }
        )
    return objects


def _require_finite(name: str, numbers: Sequence[Any]) -> None:
    try:
        finite = np.isfinite(numbers).all()
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} holds something else than numbers") from error
    if not finite:
        raise DataError(f"{name} holds NaN or infinite values")


def coco_results(
    predictions: Sequence[Mapping[str, Any]], skeleton: Skeleton, *, ranks: Mapping[int, int]
) -> list[dict[str, Any]]:
    """Return the predictions with id, box and area, as pycocotools' own loader fills them in."""
    results = []
    for number, prediction in enumerate(predictions, start=1):
        missing = [key for key in ("image_id", "keypoints", "score") if key not in prediction]
        if missing:
            raise DataError(f"prediction {number} has no {', '.join(missing)}")
        keypoints = prediction["keypoints"]
        if len(keypoints) != 3 * skeleton.num_joints:
            raise DataError(
                f"prediction {number} has {len(keypoints)} keypoint numbers, "
                f"skeleton {skeleton.name!r} needs {3 * skeleton.num_joints}"
            )
        if prediction["image_id"] not in ranks:
            raise DataError(
                f"prediction {number} is for image {prediction['image_id']}, "
                "which the ground truth does not list"
            )
        _require_finite(f"prediction {number}", [*keypoints, prediction["score"]])
        box = prediction.get("bbox")
        box = list(_span(keypoints, labelled_only=False) if box is None or not len(box) else box)
        results.append(
            {
                "id": number,
                "image_id": ranks[prediction["image_id"]],
                "category_id": CATEGORY,
                "keypoints": list(keypoints),
                "score": prediction["score"],
                "bbox": box,
                "area": box[2] * box[3],
            }
        )
    return results


def _span(keypoints: Sequence[float], *, labelled_only: bool) -> list[float]:
    """Return the x, y, w, h of the keypoints, of those with v > 0 or of all."""
    points = np.asarray(keypoints, dtype=np.float64).reshape(-1, 3)
    if labelled_only:
        points = points[points[:, 2] > 0]
    if len(points) == 0:
        return [0.0, 0.0, 0.0, 0.0]
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return [float(value) for value in (*low, *(high - low))]


def _stats(curves: Curves) -> dict[str, float]:
    """Return COCO's ten numbers, or the six of them that tell no sizes where the curves do not."""
    stats = {}
    for metric, table in (("AP", curves.precision), ("AR", curves.recall)):
        everyone, *sizes = np.moveaxis(table, -1, 0)
        picked = (everyone, everyone[0], everyone[_AT_75], *sizes)
        stats |= {metric + what: _mean(part) for what, part in zip(_STATS, picked, strict=False)}
    return stats


def _crowd_splits(
    images: Sequence[Mapping[str, Any]], cuts: tuple[float, float], *, ranks: Mapping[int, int]
) -> dict[str, set[int]]:
    if not cuts[0] <= cuts[1]:
        raise UsageError(f"crowd cuts must rise, such as 0.2 and 0.8, got {cuts[0]}, {cuts[1]}")
    splits: dict[str, set[int]] = {"AP_easy": set(), "AP_medium": set(), "AP_hard": set()}
    for image in images:
        index = image["crowdIndex"]
        name = "AP_easy" if index < cuts[0] else "AP_medium" if index < cuts[1] else "AP_hard"
        splits[name].add(ranks[image["id"]])
    return splits


def _mean(values: np.ndarray) -> float:
    """Return the mean of what was measured; -1 marks, in pycocotools, what has no objects."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else -1.0
