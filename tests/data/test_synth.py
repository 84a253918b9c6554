"""Synthetic people: exact joints, honest visibility, a body that bends where bodies bend."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ofa_pose.data import SyntheticScenes
from ofa_pose.data.synth.body import body_plan, random_figure
from ofa_pose.data.synth.joints import figure_points, label_joints, mixtures_of
from ofa_pose.data.synth.paint import (
    PARTS,
    PARTS_STEP,
    bounds_of,
    clipped,
    hidden_by_own_body,
)
from ofa_pose.errors import UsageError
from ofa_pose.skeleton import Skeleton, load_skeleton

SHARED = [f"{side}_{joint}" for side in ("left", "right") for joint in
          ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")]  # fmt: skip


def figures(count: int):
    return [random_figure(np.random.default_rng(seed)) for seed in range(count)]


def angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(
        np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)))
    )


def test_bones_keep_their_lengths():
    bones = {"upper_arm": ("shoulder", "elbow"), "forearm": ("elbow", "wrist"),
             "thigh": ("hip", "knee"), "shin": ("knee", "ankle")}  # fmt: skip
    for figure in figures(50):
        for name, (near, far) in bones.items():
            left, right = (
                np.linalg.norm(figure.points[f"{side}_{far}"] - figure.points[f"{side}_{near}"])
                for side in ("left", "right")
            )
            assert left == pytest.approx(right)
            assert 0.92 <= left / body_plan()["lengths"][name] <= 1.08


def test_joints_bend_within_their_limits_and_the_right_way():
    for figure in figures(200):
        points = figure.points
        for side in ("left", "right"):
            thigh = points[f"{side}_knee"] - points[f"{side}_hip"]
            shin = points[f"{side}_ankle"] - points[f"{side}_knee"]
            upper = points[f"{side}_elbow"] - points[f"{side}_shoulder"]
            fore = points[f"{side}_wrist"] - points[f"{side}_elbow"]
            assert angle(thigh, shin) <= 140.001
            assert angle(upper, fore) <= 145.001
            # Knees fold backward: away from where the toes point.
            toe = points[f"{side}_toe"] - points[f"{side}_heel"]
            if angle(thigh, shin) > 1:
                assert np.cross(thigh, shin) @ np.cross(shin, toe) < 0


def test_a_figure_that_faces_the_camera_has_its_left_on_the_right():
    facing = [f for f in figures(300) if f.head[2, 2] > 0.9 and f.head[1, 1] > 0.9]
    assert len(facing) > 10
    for figure in facing:
        assert figure.points["left_ear"][0] > figure.points["right_ear"][0]
        assert figure.points["nose"][2] < figure.points["head"][2]  # nearer to the camera


def test_a_scene_depends_on_seed_and_index_only():
    few = SyntheticScenes(3, 4, size=96, skeleton="crowdpose")
    many = SyntheticScenes(3, 400, size=96, skeleton="crowdpose")
    for index in (3, 0):
        np.testing.assert_array_equal(few[index].image, many[index].image)
        np.testing.assert_array_equal(few[index].keypoints, many[index].keypoints)
    other = SyntheticScenes(4, 4, size=96, skeleton="crowdpose")
    assert (few[0].image != other[0].image).any()
    assert (few[0].image != few[1].image).any()


def test_both_skeletons_describe_the_same_people():
    coco = SyntheticScenes(1, 20, size=96, skeleton="coco", people=(1, 1))
    crowd = SyntheticScenes(1, 20, size=96, skeleton="crowdpose", people=(1, 1))
    rows = [[s.skeleton.joints.index(joint) for joint in SHARED] for s in (coco, crowd)]
    compared = 0
    for index in range(20):
        np.testing.assert_array_equal(coco[index].image, crowd[index].image)
        if len(coco[index].keypoints) == len(crowd[index].keypoints) == 1:
            np.testing.assert_array_equal(
                coco[index].keypoints[0, rows[0]], crowd[index].keypoints[0, rows[1]]
            )
            compared += 1
    assert compared > 10


def test_scenes_are_what_they_promise():
    source = SyntheticScenes(0, 40, size=128, skeleton="coco", people=(1, 5))
    visibilities: list[float] = []
    crowds = set()
    for index in range(40):
        scene = source[index]
        assert scene.image.shape == (128, 128, 3)
        assert scene.image.dtype == np.uint8
        assert scene.image_id == index
        crowds.add(len(scene.keypoints))
        for person, box, area in zip(scene.keypoints, scene.boxes, scene.areas, strict=True):
            labelled = person[person[:, 2] > 0, :2]
            assert (labelled >= 0).all()
            assert (labelled < 128).all()
            assert (labelled >= box[:2] - 1).all()
            assert (labelled <= box[:2] + box[2:] + 1).all()
            assert (person[:, 2] == 2).sum() >= 3
            assert 0 < area <= box[2] * box[3]
            assert (person[person[:, 2] == 0] == 0).all()
        visibilities += scene.keypoints[:, :, 2].ravel().tolist()
    assert set(visibilities) == {0.0, 1.0, 2.0}
    assert np.mean(np.array(visibilities) == 2) > 0.4
    assert max(crowds) == 5
    truth = source.ground_truth()
    assert len(truth["images"]) == 40


def test_hidden_joints_are_1_and_joints_outside_0(three):
    skeleton = replace(three, joints=("left_wrist", "right_wrist", "top_head"))
    points = {name: np.zeros(3) for name in ("head", "neck", "pelvis")}
    points["left_wrist"] = np.array([10.5, 10.5, 0])
    points["right_wrist"] = np.array([20.5, 10.5, 0])
    points["top_head"] = np.array([15.0, -0.5, 0])
    labels = np.zeros((32, 32), np.int16)
    labels[10, 10] = 1 * PARTS_STEP + 1 + PARTS.index("left_forearm")  # seen: figure 1's own
    labels[10, 20] = 2 * PARTS_STEP + 1 + PARTS.index("right_forearm")  # another figure's arm
    mixtures = mixtures_of(skeleton)
    seen = label_joints(mixtures, points, labels, 1)
    np.testing.assert_array_equal(seen, [[10.5, 10.5, 2], [20.5, 10.5, 1], [0, 0, 0]])
    labels[10, 10] = 1 * PARTS_STEP + 1 + PARTS.index("torso")  # one's own torso in front
    labels[10, 20] = -1  # a thing in front
    np.testing.assert_array_equal(label_joints(mixtures, points, labels, 1)[:, 2], [1, 1, 0])


def test_a_nose_beside_the_heads_outline_is_seen_unless_it_is_behind(three):
    skeleton = replace(three, joints=("nose", "left_ear", "left_wrist"))
    points = {"head": np.zeros(3), "left_wrist": np.array([2.5, 2.5, 0])}
    points |= {"nose": np.array([5.5, 5.5, -0.03]), "left_ear": np.array([9.5, 9.5, 0.05])}
    seen = label_joints(mixtures_of(skeleton), points, np.zeros((16, 16), np.int16), 0)
    assert seen[:, 2].tolist() == [2, 1, 1]


def test_the_far_shoulder_is_hidden_by_the_torso():
    points = {"neck": np.zeros(3), "pelvis": np.zeros(3), "head": np.zeros(3)}
    points["left_shoulder"] = np.array([0, 0, 0.1])
    points["right_shoulder"] = np.array([0, 0, -0.1])
    assert hidden_by_own_body("left_shoulder", "torso", points)
    assert not hidden_by_own_body("right_shoulder", "torso", points)
    assert not hidden_by_own_body("left_shoulder", "left_upper_arm", points)
    assert hidden_by_own_body("left_shoulder", "right_upper_arm", points)
    # Of somebody who leans forward the hips are far, and seen all the same.
    points["neck"], points["left_hip"] = np.array([0, 0, -0.3]), np.zeros(3)
    assert not hidden_by_own_body("left_hip", "torso", points)
    points["nose"] = np.array([0, 0, 0.06])
    assert hidden_by_own_body("nose", "head", points)  # seen from behind


def test_a_box_holds_what_is_in_the_picture():
    """A triangle leaves a picture of 10 x 20 at the right, and is low where it does."""
    inside, across = np.array([[1, 2], [3, 2], [2, 4]]), np.array([[5, 5], [15, 15], [15, 25]])
    beyond = np.array([[-5.0, -5], [-1, -5], [-1, -1]])
    box = bounds_of(clipped([inside, across.astype(float), beyond], 10, 20))
    np.testing.assert_allclose(box, [1, 2, 9, 13], atol=1e-4)  # y = 15 where it crosses x = 10
    assert bounds_of(clipped([beyond], 10, 20)).tolist() == [0, 0, 0, 0]


def test_joints_the_figure_lacks_are_refused(three):
    odd = replace(three, joints=("tail", "right_hand", "wing"))
    with pytest.raises(UsageError, match="have no tail, wing; they have .* synthetic: {chest"):
        SyntheticScenes(0, 1, skeleton=odd)
    odd = replace(three, synthetic=((("neck", 0.5), ("tail", 0.5)), (), ()))
    with pytest.raises(UsageError, match=r"have no tail \(of left_hand\);"):
        SyntheticScenes(0, 1, skeleton=odd)


def test_every_point_of_the_figure_can_be_a_joint():
    names = tuple(figure_points())
    assert set(names) == set(random_figure(np.random.default_rng(0)).points)
    every = tuple(range(len(names)))
    skeleton = Skeleton("all", names, every, (), (0.1,) * len(names), every)
    seen = np.zeros(len(names), bool)
    source = SyntheticScenes(1, 30, size=96, skeleton=skeleton)
    for index in range(len(source)):
        seen |= (source[index].keypoints[:, :, 2] == 2).any(axis=0)
    assert seen.all(), [name for name, each in zip(names, seen, strict=True) if not each]


def test_a_joint_between_points_and_one_by_its_alias(three):
    chest = (("neck", 0.75), ("pelvis", 0.25))
    skeleton = replace(
        three,
        joints=("chest", "crown", "LWrist"),
        aliases=((), ("top_head",), ()),
        synthetic=(chest, (), ()),
    )
    mixtures = mixtures_of(skeleton)
    assert mixtures == (chest, (("top_head", 1.0),), (("left_wrist", 1.0),))
    points = {name: np.array([8.5, 4.5, 0.0]) for name in ("neck", "top_head", "left_wrist")}
    points["pelvis"] = np.array([8.5, 20.5, 0.0])
    labels = np.zeros((32, 32), np.int16)
    labels[8, 8] = 1 + PARTS.index("torso")
    seen = label_joints(mixtures, points, labels, 0)
    np.testing.assert_array_equal(seen[0], [8.5, 8.5, 2])  # a quarter of the way down
    labels[8, 8] = 1 + PARTS.index("left_forearm")
    assert label_joints(mixtures, points, labels, 0)[0, 2] == 1  # one's own arm in front


@pytest.mark.parametrize("settings", [{"count": 0}, {"size": 8}, {"people": (0, 3)}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError):
        SyntheticScenes(**{"seed": 0, "count": 3, "skeleton": "coco", **settings})


@pytest.mark.slow
def test_thirty_scenes_a_second():
    source = SyntheticScenes(0, 100, skeleton=load_skeleton("crowdpose"))
    source[0]
    start = time.process_time()
    for index in range(60):
        source[index]
    assert 60 / (time.process_time() - start) >= 30


def test_the_smallest_size():
    source = SyntheticScenes(0, 40, size=32, skeleton="coco")
    assert all(source[index].image.shape == (32, 32, 3) for index in range(40))


@pytest.mark.parametrize("index", [slice(0, 2), 1.0, "1"])
def test_a_scene_has_a_whole_number(index):
    scenes = SyntheticScenes(1, 3, size=64, skeleton="crowdpose")
    with pytest.raises(TypeError):
        scenes[index]
    last: Any = np.int64(2)
    np.testing.assert_array_equal(scenes[last].image, scenes[-1].image)
