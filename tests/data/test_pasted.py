"""People painted into other scenes: what they hide, what stays, what the loss sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_pose.data import PastedScenes, Scene, SyntheticScenes
from ofa_pose.data.pasted import add_painted, hide_joints
from ofa_pose.data.synth.crowd import Labels
from ofa_pose.errors import UsageError
from ofa_pose.skeleton import Skeleton, load_skeleton

COCO = load_skeleton("coco")


class Crowds:
    """Grey pictures of any shape with invented people, some hidden, some ignored regions."""

    def __init__(self, count: int = 6, skeleton: Skeleton = COCO) -> None:
        self.skeleton = skeleton
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Scene:
        rng = np.random.default_rng([9, index])
        height, width = (int(side) for side in rng.integers(40, 140, 2))
        people = int(rng.integers(0, 4))
        keypoints = np.zeros((people, self.skeleton.num_joints, 3), np.float32)
        keypoints[:, :, :2] = rng.uniform(0, (width, height), keypoints[:, :, :2].shape)
        keypoints[:, :, 2] = rng.integers(0, 3, keypoints.shape[:2])
        keypoints[keypoints[:, :, 2] == 0] = 0
        low = rng.uniform(0, (width / 2, height / 2), (people, 2))
        boxes = np.concatenate([low, rng.uniform(8, 20, (people, 2))], axis=1).astype(np.float32)
        valid = np.ones((height, width), bool)
        valid[: height // 4] = bool(index % 2)
        return Scene(
            image=rng.integers(90, 110, (height, width, 3)).astype(np.uint8),
            keypoints=keypoints,
            valid=valid,
            image_id=500 + index,
            boxes=boxes,
            areas=boxes[:, 2] * boxes[:, 3],
        )

    def ground_truth(self) -> dict[str, Any]:
        raise NotImplementedError

    def fingerprint(self) -> str:
        return f"{self.count} crowds"


def same(first: Scene, second: Scene) -> bool:
    fields = ("image", "keypoints", "valid", "boxes", "areas")
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in fields)


def test_covered_joints_are_hidden_and_no_others():
    covered = np.zeros((20, 30), bool)
    covered[5:10, 10:20] = True  # x from 10 to 20, y from 5 to 10
    person = [[10.0, 5.0, 2], [19.9, 9.9, 2], [20.0, 7.0, 2], [15.0, 10.0, 2], [15.0, 7.0, 1],
              [0.0, 0.0, 0], [29.5, 19.5, 2], [12.0, -3.0, 2], [31.0, 7.0, 2]]  # fmt: skip
    hidden, kept = hide_joints(np.array([person], np.float32), covered)
    assert hidden[0, :, 2].tolist() == [1, 1, 2, 2, 1, 0, 2, 2, 2]
    np.testing.assert_array_equal(hidden[0, :, :2], np.array(person, np.float32)[:, :2])
    assert kept.tolist() == [True]


def test_who_is_hardly_seen_any_more_is_lost():
    covered = np.zeros((10, 10), bool)
    covered[:, :5] = True
    under, free = [2.0, 2.0], [8.0, 8.0]

    def kept(*joints: tuple[list[float], int]) -> bool:
        person = np.array([[*at, v] for at, v in joints], np.float32)
        return bool(hide_joints(person[None], covered)[1][0])

    assert kept((free, 2), (free, 2), (free, 2), (under, 2))  # three are left
    assert not kept((free, 2), (free, 2), (under, 2), (under, 2))
    assert kept((free, 2), (free, 2), (free, 0), (under, 1))  # nothing that was seen is covered
    assert not kept((free, 2), (free, 2), (free, 1), (under, 2))  # hidden joints do not count ...
    assert kept((free, 1), (free, 1), (free, 1), (under, 1))  # ... unless no joint is told as seen
    assert not kept((free, 1), (free, 1), (free, 0), (under, 1))
    assert kept((free, 2), (free, 2))  # never more than two joints, and both are seen
    assert not kept((free, 2), (under, 2))


def test_what_the_loss_sees():
    """Columns 0-9: one who is lost; 10-19 a crowd; both half covered. The rest: one who stays."""
    keypoints = np.zeros((2, 3, 3), np.float32)
    keypoints[0] = [[2.5, 8.5, 2], [4.5, 8.5, 2], [6.5, 8.5, 2]]
    keypoints[1] = [[22.5, 2.5, 2], [24.5, 2.5, 2], [26.5, 2.5, 2]]
    valid = np.ones((10, 30), bool)
    valid[:, 10:20] = False
    scene = Scene(
        image=np.zeros((10, 30, 3), np.uint8),
        keypoints=keypoints,
        valid=valid,
        image_id=7,
        boxes=np.array([[0, 0, 10, 10], [20, 0, 10, 10]], np.float32),
        areas=np.array([53, 54], np.float32),
        known=np.array([True, False, True]),
    )
    covered = np.zeros((10, 30), bool)
    covered[5:, :25] = True
    ignored = np.zeros((10, 30), bool)
    ignored[5:, 20:25] = True  # a painted figure that is hardly seen
    painted = Labels(
        keypoints=np.full((1, 3, 3), 2, np.float32),
        boxes=np.array([[0, 5, 25, 5]], np.float32),
        areas=np.array([55], np.float32),
        painted=covered & ~ignored,
        ignored=ignored,
    )
    result = add_painted(scene, covered, painted)
    assert result.areas.tolist() == [54, 55]
    np.testing.assert_array_equal(result.keypoints[0], keypoints[1])
    np.testing.assert_array_equal(result.boxes, [[20, 0, 10, 10], [0, 5, 25, 5]])
    expected = np.ones((10, 30), bool)
    expected[:5, :20] = False  # of the lost person and the crowd, what is not painted over
    expected[5:, 20:25] = False
    np.testing.assert_array_equal(result.valid, expected)
    assert result.known is scene.known
    assert result.image_id == 7
    assert valid[:, :10].all()  # the scene given stays as it is
    assert (scene.keypoints == keypoints).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 5))
def test_real_people_stay_and_painted_ones_join(seed, index):
    before = Crowds()[index]
    after = PastedScenes(Crowds(), seed=seed, share=1, people=(1, 2))[index]
    assert after.image.shape == before.image.shape
    assert after.image_id == before.image_id
    kept = 0
    for person, box, area in zip(before.keypoints, before.boxes, before.areas, strict=True):
        if kept == len(after.keypoints) or not np.array_equal(after.boxes[kept], box):
            continue  # lost; the others keep their order
        np.testing.assert_array_equal(after.keypoints[kept, :, :2], person[:, :2])
        assert after.areas[kept] == area
        changed = after.keypoints[kept, :, 2] != person[:, 2]
        assert (person[changed, 2] == 2).all()
        assert (after.keypoints[kept, changed, 2] == 1).all()
        kept += 1
    height, width = after.valid.shape
    assert len(after.keypoints) - kept <= 2
    for person, box, area in zip(
        after.keypoints[kept:], after.boxes[kept:], after.areas[kept:], strict=True
    ):
        assert (person[:, 2] == 2).sum() >= 3
        assert (box >= 0).all()
        assert box[0] + box[2] <= width
        assert box[1] + box[3] <= height
        assert 0 < area <= (box[2] + 2) * (box[3] + 2)  # in whole pixels
        for x, y, v in person:
            if v == 2:
                assert after.valid[int(y), int(x)]  # the loss sees it, whatever was ignored there
    if kept == len(before.keypoints) and len(after.keypoints) == kept:
        assert (after.valid <= before.valid).all()  # nobody new; a figure hardly seen, if any


def test_far_from_painted_people_nothing_changes():
    compared = 0
    for index in range(30):
        before = Crowds(30)[index]
        after = PastedScenes(Crowds(30), seed=1, share=1, people=(1, 1))[index]
        new = len(after.keypoints) - len(before.keypoints)
        if new != 1:
            continue
        x, y, w, h = after.boxes[-1]
        far = np.ones(before.valid.shape, bool)
        reach = 0.06 * 1.5 * max(before.image.shape[:2]) + 4  # half a motion, and a soft outline
        far[
            max(0, int(y - reach)) : int(y + h + reach), max(0, int(x - reach)) : int(x + w + reach)
        ] = False
        np.testing.assert_array_equal(after.image[far], before.image[far])
        assert (after.image != before.image).any()
        compared += far.any()
    assert compared > 5


@pytest.mark.parametrize("name", ["coco", "crowdpose", "mpii"])
def test_scenes_are_a_pure_function_of_seed_and_index(name):
    skeleton = load_skeleton(name)
    first, second = (PastedScenes(Crowds(6, skeleton), seed=4, share=0.5) for _ in range(2))
    backwards = [second[index] for index in reversed(range(6))][::-1]
    assert all(same(first[index], backwards[index]) for index in range(6))
    other = PastedScenes(Crowds(6, skeleton), seed=5, share=0.5)
    assert not all(same(first[index], other[index]) for index in range(6))
    longer = PastedScenes(Crowds(60, skeleton), seed=4, share=0.5)
    assert same(first[5], longer[5])
    assert same(first[-1], first[5])
    with pytest.raises(IndexError):
        first[6]


def test_the_share_is_of_scenes(dots):
    source = dots(300)
    scenes = PastedScenes(source, seed=0, share=0.2, people=(1, 1))
    painted = sum(not np.array_equal(scenes[i].image, source[i].image) for i in range(300))
    assert 40 <= painted <= 80  # 60, and 3 standard deviations of 7
    assert len(scenes) == 300


def test_in_the_truth_are_all_people():
    scenes = PastedScenes(Crowds(), seed=0, share=1)
    truth = scenes.ground_truth()
    assert [image["id"] for image in truth["images"]] == list(range(500, 506))
    people = [a for a in truth["annotations"] if not a["iscrowd"]]
    assert len(people) == sum(len(scenes[index].keypoints) for index in range(6))


def test_areas_of_painted_people_follow_the_skeletons_rule():
    scenes = PastedScenes(Crowds(12, load_skeleton("crowdpose")), seed=0, share=1)
    checked = 0
    for index in range(12):
        scene, before = scenes[index], scenes.source[index]
        new = ~np.isin(scene.areas, before.areas)
        np.testing.assert_allclose(
            scene.areas[new], 0.53 * scene.boxes[new, 2] * scene.boxes[new, 3], rtol=1e-5
        )
        checked += new.sum()
    assert checked > 5


def test_the_fingerprint_knows_all_of_it():
    def fingerprint(count: int = 6, **changed: Any) -> str:
        return PastedScenes(Crowds(count), **{"seed": 1, "share": 0.5, **changed}).fingerprint()

    assert fingerprint() == fingerprint(people=(1, 3), share=np.float64(0.5))
    others = [fingerprint(count=7), fingerprint(seed=2), fingerprint(share=0.4),
              fingerprint(people=(1, 2)), Crowds().fingerprint()]  # fmt: skip
    assert len({fingerprint(), *others}) == 6


def test_what_cannot_be_painted_is_refused(three):
    for share in (0, -1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="above 0 and is at most 1"):
            PastedScenes(Crowds(), seed=0, share=share)
    for people in ((0, 1), (3, 2)):
        with pytest.raises(UsageError, match="1 <= fewest <= most"):
            PastedScenes(Crowds(), seed=0, share=1, people=people)
    odd = replace(three, joints=("tail", "right_hand", "head"))
    with pytest.raises(UsageError, match="synthetic figures have no tail; they have"):
        PastedScenes(Crowds(6, odd), seed=0, share=1)


def test_synthetic_scenes_can_be_painted_into_as_well():
    source = SyntheticScenes(0, 8, size=64, skeleton="coco", people=(1, 2))
    scenes = PastedScenes(source, seed=0, share=1)
    assert sum(len(scenes[i].keypoints) - len(source[i].keypoints) for i in range(8)) > 4
