"""A network scored by the rules of a set with other joints, and the results it leaves."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from ofa_pose.data import CocoScenes
from ofa_pose.evaluate import score_network
from ofa_pose.evaluate.score import results_in
from ofa_pose.skeleton import Skeleton, map_joints

# The dots' one joint, and one that the network of these tests does not have.
TWO = Skeleton(
    name="two",
    joints=("tail", "Dot"),
    flip=(0, 1),
    limbs=(),
    sigmas=(0.3, 0.3),
    matching_order=(0, 1),
)


def test_scores_of_a_set_with_a_joint_more(dots: Any) -> None:
    written = dots(6)
    source = written.open()
    plain = score_network(
        written.network, source, skeleton=source.skeleton, resolution=64, space=written.space
    )
    assert plain.missing == ()
    assert plain.crowd_cuts is None
    # Four of six people are found where they are labelled: at best 67 of 101 recalls are reached.
    assert 0.4 < plain.scores["AP"] <= 67 / 101

    both = TwoJoints(source)
    scored = score_network(
        written.network, both, skeleton=source.skeleton, resolution=64, space=written.space
    )
    assert scored.missing == ("tail",)
    assert scored.scores == pytest.approx(dict(plain.scores))
    for result, other in zip(scored.results, plain.results, strict=True):
        assert result["keypoints"] == [0, 0, 0, *other["keypoints"]]
        assert result["bbox"] == pytest.approx(other["bbox"])


class TwoJoints:
    """Another source, its people labelled with a tail as well."""

    skeleton = TWO

    def __init__(self, source: CocoScenes) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int):
        scene = self.source[index]
        tail = np.broadcast_to(np.array([3, 3, 2], np.float32), scene.keypoints.shape)
        return dataclasses.replace(scene, keypoints=np.concatenate([tail, scene.keypoints], axis=1))

    def ground_truth(self) -> dict[str, Any]:
        document = self.source.ground_truth()
        people = [
            {**each, "keypoints": [3, 3, 2, *each["keypoints"]], "num_keypoints": 2}
            for each in document["annotations"]
        ]
        return {**document, "annotations": people}

    def fingerprint(self) -> str:
        return "two"


def test_people_without_a_joint_of_the_set_are_left_out(dots: Any) -> None:
    joints = map_joints(TWO, dataclasses.replace(TWO, joints=("tail", "wing")))
    found = {"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [0, 0, 1, 1]}
    results = [
        {**found, "keypoints": [0, 0, 0, 5, 6, 1]},
        {**found, "keypoints": [7, 8, 0.5, 5, 6, 1]},
    ]
    (kept,) = results_in(results, joints)
    assert kept["keypoints"] == [7, 8, 0.5, 0, 0, 0]
    assert kept["bbox"] == [7, 8, 0, 0]
