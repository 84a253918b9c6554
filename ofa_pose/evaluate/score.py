"""A network's scores and results on a set of scenes, whose skeleton may be another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from ofa_pose.data import SceneSource, map_scenes
from ofa_pose.data.mapped import map_annotation, without_unknown
from ofa_pose.data.scene import joint_boxes
from ofa_pose.evaluate.predict import Progress, has_labels, labelled, predict_scenes
from ofa_pose.models import Precision
from ofa_pose.pose import (
    CROWD_CUTS,
    SCORED,
    DecodeSettings,
    evaluate_predictions,
    evaluator_name,
    has_crowd_index,
)
from ofa_pose.skeleton import JointMap, Skeleton, map_joints
from ofa_pose.space import SearchSpace


@dataclass(frozen=True)
class Scored:
    """What a network reached on a set.

    Attributes:
        scores: of `pose.evaluate_predictions`; empty where nobody is labelled.
        results: COCO results with the joints of the set's skeleton.
        evaluator: which one counted.
        crowd_cuts: where easy and where medium ends, if the set knows how crowded its pictures are.
        missing: the set's joints that the network lacks; nobody's were scored.
    """

    scores: Mapping[str, float]
    results: Sequence[dict[str, Any]]
    evaluator: str
    crowd_cuts: tuple[float, float] | None
    missing: tuple[str, ...]


def score_network(
    network: nn.Module,
    source: SceneSource,
    *,
    skeleton: Skeleton,
    resolution: int,
    space: SearchSpace,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    batch_size: int = 8,
    precision: Precision = "float32",
    crowd_cuts: tuple[float, float] = CROWD_CUTS,
    evaluator: str = "auto",
    unlabelled: bool = False,
    progress: Progress | None = None,
) -> Scored:
    """Score a network by the rules of the set: its joints, sigmas and areas.

    Args:
        network: as in `predict_scenes`.
        source: labelled scenes, of any skeleton that shares joints with the network's.
        skeleton: the network's.
        resolution: pixels, usually the arch's.
        space: its pixel mean and deviation are used.
        flip: as in `predict_scenes`.
        scales: as in `predict_scenes`.
        batch_size: as in `predict_scenes`.
        precision: as in `predict_scenes`.
        crowd_cuts: as in `pose.evaluate_predictions`.
        evaluator: as in `pose.evaluate_predictions`.
        unlabelled: whether people are looked for, without scores, where nobody is labelled.
        progress: as in `predict_scenes`.

    Raises:
        DataError: nobody is labelled in the source though somebody must be, or pictures that
            cannot be used.
        SkeletonError: the two skeletons share no joint.
        UsageError: no such evaluator, or one that is not installed.
        WeightsError: the network gives NaN or infinite values.
    """
    evaluator = evaluator_name(evaluator)
    results = predict_scenes(
        network,
        map_scenes(source, skeleton),
        resolution=resolution,
        pixel_mean=space.pixel_mean,
        pixel_std=space.pixel_std,
        flip=flip,
        scales=scales,
        batch_size=batch_size,
        precision=precision,
        # The joints of others than those an AP counts may be all that another skeleton has.
        settings=SCORED if source.skeleton == skeleton else DecodeSettings(),
        progress=progress,
    )
    # Asked for last: by now the source knows which of its pictures are damaged.
    truth, missing = source.ground_truth() if unlabelled else labelled(source), ()
    without_labels = unlabelled and not has_labels(truth)
    if source.skeleton != skeleton:
        joints = map_joints(skeleton, source.skeleton)
        missing = joints.missing
        results = results_in(results, joints)
        truth = without_unknown(truth, [place is not None for place in joints.places])
    if without_labels:
        return Scored({}, results, evaluator, None, missing)
    scores = evaluate_predictions(
        truth, results, source.skeleton, crowd_cuts=crowd_cuts, evaluator=evaluator
    )
    cuts = crowd_cuts if has_crowd_index(truth) else None
    return Scored(scores, results, evaluator, cuts, missing)


def results_in(results: Sequence[Mapping[str, Any]], joints: JointMap) -> list[dict[str, Any]]:
    """Return COCO results with the joints of the map's target; people without any are left out."""
    mapped = []
    for result in results:
        moved = map_annotation(result, joints)
        points = np.array(moved["keypoints"], np.float64).reshape(1, -1, 3)
        if not (points[:, :, 2] > 0).any():
            continue
        box = joint_boxes(points)[0].tolist()
        mapped.append({**moved, "bbox": box, "area": box[2] * box[3]})
    return mapped
