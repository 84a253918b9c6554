"""Scenes of one skeleton seen as another's: joints in their places, the unknown ones masked."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from ofa_pose.data import Augmentation, MappedScenes, MosaicScenes, TrainBatches, map_scenes
from ofa_pose.data.augment import warp_scene
from ofa_pose.data.geometry import scaling
from ofa_pose.data.mapped import without_unknown
from ofa_pose.data.scene import ground_truth_of
from ofa_pose.errors import SkeletonError
from ofa_pose.pose import pose_loss
from ofa_pose.skeleton import Skeleton, load_skeleton

# Of the `three` that dots have (left_hand, right_hand, head) it lacks the right hand, and it has
# one joint that they lack.
OTHER = Skeleton(
    name="other",
    joints=("foot", "Head", "hand.l"),
    flip=(0, 1, 2),
    limbs=(),
    sigmas=(0.1, 0.2, 0.3),
    matching_order=(0, 1, 2),
)
LEFT, HEAD = (45.5, 40.5, 2), (30.5, 12.5, 2)  # in tests/data/conftest.py


def test_joints_move_to_their_places(dots):
    scenes = MappedScenes(dots(3), OTHER)
    assert len(scenes) == 3
    assert scenes.skeleton == OTHER
    scene = scenes[1]
    np.testing.assert_array_equal(scene.keypoints, [[(0, 0, 0), HEAD, LEFT]])
    assert scene.known is not None
    assert scene.known.tolist() == [False, True, True]
    assert scene.image_id == 101
    assert scene.valid.all()


def test_a_person_without_a_joint_left_is_masked_out(dots):
    source = dots(1)
    feet = dataclasses.replace(OTHER, joints=("foot", "right_hand", "tail"))
    scene = source[0]
    scene.keypoints[0, 1] = 0

    class One:
        skeleton = source.skeleton

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return scene

        def ground_truth(self):
            return ground_truth_of([scene], self.skeleton)

        def fingerprint(self):
            return "one"

    mapped = MappedScenes(One(), feet)
    assert mapped[0].keypoints.shape == (0, 3, 3)
    expected = np.ones((80, 60), bool)
    expected[10:43, 13:48] = False  # its box is 13, 10, 35, 33
    np.testing.assert_array_equal(mapped[0].valid, expected)
    assert scene.valid.all()
    (annotation,) = mapped.ground_truth()["annotations"]
    assert annotation["num_keypoints"] == 0
    assert len(annotation["keypoints"]) == 9


def test_truth_has_the_wanted_joints(dots):
    source = dots(2)
    source.ground_truth = lambda: ground_truth_of([source[0], source[1]], source.skeleton)
    document = MappedScenes(source, OTHER).ground_truth()
    assert document["categories"][0]["keypoints"] == list(OTHER.joints)
    assert document["annotations"][1]["keypoints"] == [0, 0, 0, *HEAD, *LEFT]
    assert document["annotations"][1]["num_keypoints"] == 2
    assert document["annotations"][1]["area"] == pytest.approx(0.53 * 35 * 33)


def test_nothing_to_map(dots, three):
    source = dots(2)
    assert map_scenes(source, three) is source
    same = dataclasses.replace(three, sigmas=(0.2, 0.2, 0.2))
    assert map_scenes(source, same)[0].known is None
    with pytest.raises(SkeletonError, match="share no joint"):
        map_scenes(source, dataclasses.replace(three, joints=("a", "b", "c")))


def test_fingerprints_tell_skeletons_apart(dots):
    source = dots(2)
    one, other = (
        MappedScenes(source, skeleton).fingerprint()
        for skeleton in (OTHER, dataclasses.replace(OTHER, joints=("Head", "foot", "hand.l")))
    )
    assert len({source.fingerprint(), one, other}) == 3


def test_a_mirrored_scene_knows_of_the_other_side(dots):
    sides = Skeleton(
        name="sides",
        joints=("left_hand", "right_foot", "left_foot", "right_hand"),
        flip=(3, 2, 1, 0),
        limbs=(),
        sigmas=(0.1,) * 4,
        matching_order=(0, 1, 2, 3),
    )
    scene = MappedScenes(dots(1), sides)[0]
    scene = dataclasses.replace(scene, known=np.array([True, False, False, False]))
    mirrored = warp_scene(scene, scaling(-1.0, 1.0, 60.0, 0.0), size=(80, 60), flip=sides.flip)
    assert mirrored.known is not None
    assert mirrored.known.tolist() == [False, False, False, True]


def test_the_loss_does_not_look_at_unknown_joints(dots):
    batches = TrainBatches(
        MappedScenes(dots(2), OTHER),
        Augmentation(),
        batch_size=2,
        seed=0,
        resolution_of=lambda _: 32,
    )
    batch = batches[0]
    assert [tuple(mask.shape) for mask in batch.masks] == [(2, 3, 8, 8), (2, 3, 16, 16)]
    assert not any(mask[:, 0].any() for mask in batch.masks)
    assert all(bool(mask[:, 1:].all()) for mask in batch.masks)
    outputs = [torch.zeros(2, 6, 8, 8), torch.zeros(2, 3, 16, 16)]
    losses = []
    for value in (0.0, 5.0):
        for output in outputs:
            output[:, 0] = value  # the foot, which these annotations do not have
        losses.append(pose_loss(outputs, batch.heatmaps, batch.masks, batch.tags).heatmap.item())
    assert losses[0] == losses[1] > 0
    outputs[1][:, 1] = 5.0
    assert pose_loss(outputs, batch.heatmaps, batch.masks, batch.tags).heatmap.item() > losses[0]


def test_a_mosaic_knows_what_its_pictures_know(dots):
    mosaic = MosaicScenes(MappedScenes(dots(4), OTHER), seed=0, count=2, size=64)
    known = mosaic[0].known
    assert known is not None
    assert known.tolist() == [False, True, True]
    assert MosaicScenes(dots(4), seed=0, count=2, size=64)[0].known is None


def test_truth_without_the_joints_that_a_network_lacks():
    coco = load_skeleton("coco")
    person = {"id": 1, "image_id": 1, "keypoints": [5, 6, 2] * 17, "num_keypoints": 17}
    document = {"images": [{"id": 1}], "annotations": [person]}
    known = [not name.endswith(("eye", "ear", "nose")) for name in coco.joints]
    (annotation,) = without_unknown(document, known)["annotations"]
    assert annotation["num_keypoints"] == 12
    assert annotation["keypoints"] == [0] * 15 + [5, 6, 2] * 12
    assert person["num_keypoints"] == 17
