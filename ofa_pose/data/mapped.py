"""Scenes of one skeleton seen as another's, so that a data set serves any network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ofa_pose.data.fingerprint import fingerprint_of
from ofa_pose.data.scene import (
    Scene,
    SceneSource,
    category,
    clear_boxes,
    image_id_of,
    read_one,
)
from ofa_pose.skeleton import JointMap, Skeleton, map_joints


class MappedScenes:
    """Another source's scenes with the joints of `skeleton`, matched by name.

    Joints that the source's annotations do not have are unknown: the heatmap loss does not look
    at them, and no score asks for them. A person none of whose joints is left is masked out.
    Areas stay the source's; an area by the box, where `skeleton` says so, is of the same box.

    Args:
        source: where the scenes come from.
        skeleton: whose joints are wanted.

    Raises:
        SkeletonError: the two skeletons share no joint.
    """

    def __init__(self, source: SceneSource, skeleton: Skeleton) -> None:
        self.source = source
        self.skeleton = skeleton
        self.joints = map_joints(source.skeleton, skeleton)
        known = np.array([place is not None for place in self.joints.places])
        self._known = None if known.all() else known

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Scene:
        return self._mapped(self.source[index])

    def read_one(self, index: int) -> Scene | None:
        """Return this very scene; None where its picture cannot be decoded."""
        scene = read_one(self.source, index)
        return None if scene is None else self._mapped(scene)

    def image_id(self, index: int) -> int | None:
        """Return the id of a scene's own picture, which is not read; None: it is not known."""
        return image_id_of(self.source, index)

    def ground_truth(self) -> dict[str, Any]:
        """Return the source's COCO JSON with the wanted joints; unknown ones are unlabelled."""
        document = self.source.ground_truth()
        return {
            **document,
            "annotations": [
                map_annotation(annotation, self.joints) for annotation in document["annotations"]
            ],
            "categories": [category(self.skeleton)],
        }

    def fingerprint(self) -> str:
        """Hash the source's fingerprint with the skeleton."""
        return fingerprint_of("mapped", (self.source.fingerprint(), self.skeleton.to_dict()))

    def _mapped(self, scene: Scene) -> Scene:
        keypoints = map_keypoints(scene.keypoints, self.joints)
        left = (keypoints[:, :, 2] > 0).any(axis=1)
        known = self._known
        if scene.known is not None:
            own = map_keypoints(np.repeat(scene.known[None, :, None], 3, axis=2), self.joints)
            known = own[0, :, 0].astype(bool)
        valid = scene.valid.copy()
        clear_boxes(valid, scene.boxes[~left])
        return replace(
            scene,
            keypoints=keypoints[left],
            valid=valid,
            boxes=scene.boxes[left],
            areas=scene.areas[left],
            known=known,
        )


def map_scenes(source: SceneSource, skeleton: Skeleton) -> SceneSource:
    """Return a source with the joints of `skeleton`: itself if it has them, else `MappedScenes`.

    Raises:
        SkeletonError: the two skeletons share no joint.
    """
    return source if source.skeleton == skeleton else MappedScenes(source, skeleton)


def map_keypoints(keypoints: np.ndarray, joints: JointMap) -> np.ndarray:
    """Return (P, K, 3) keypoints of the map's source as (P, K', 3) of its target.

    Joints that the source lacks are all 0.
    """
    places = np.array([-1 if place is None else place for place in joints.places])
    mapped = keypoints[:, places]
    mapped[:, places < 0] = 0
    return mapped


def map_annotation(annotation: Mapping[str, Any], joints: JointMap) -> dict[str, Any]:
    """Return a COCO annotation or result with the joints of the map's target.

    `num_keypoints`, where there is one, counts those that are left; where it is 0, the person is
    none to score, and it stays so.
    """
    keypoints = np.array(annotation["keypoints"], np.float64).reshape(1, -1, 3)
    mapped = map_keypoints(keypoints, joints)[0]
    result = {**annotation, "keypoints": mapped.ravel().tolist()}
    if annotation.get("num_keypoints"):
        result["num_keypoints"] = int((mapped[:, 2] > 0).sum())
    return result


def without_unknown(document: Mapping[str, Any], known: Sequence[bool]) -> dict[str, Any]:
    """Return a COCO JSON in which some joints are unlabelled in everybody.

    So predictions are scored by a network that does not have these joints.

    Args:
        document: the truth.
        known: (K,) of the truth's joints, whether each is kept.
    """
    kept = np.array(known, bool)
    annotations = []
    for annotation in document["annotations"]:
        points = np.array(annotation["keypoints"], np.float64).reshape(-1, 3)
        points[~kept] = 0
        left: dict[str, Any] = {"keypoints": points.ravel().tolist()}
        if annotation.get("num_keypoints", 1):
            left["num_keypoints"] = int((points[:, 2] > 0).sum())
        annotations.append({**annotation, **left})
    return {**document, "annotations": annotations}
