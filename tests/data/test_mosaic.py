"""Several pictures on one canvas."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ofa_pose.data import MosaicScenes
from ofa_pose.errors import UsageError


class Counting:
    """Notes which scenes are read."""

    def __init__(self, source) -> None:
        self.source = source
        self.skeleton = source.skeleton
        self.reads: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int):
        self.reads[index] += 1
        return self.source[index]

    def ground_truth(self):
        raise NotImplementedError

    def fingerprint(self) -> str:
        raise NotImplementedError


def test_joints_lie_on_their_dots(dots):
    for scene in (MosaicScenes(dots(20), seed=1, count=30)[i] for i in range(30)):
        assert scene.image.shape == (256, 256, 3)
        assert 1 <= len(scene.keypoints) <= 4
        for x, y, v in scene.keypoints.reshape(-1, 3):
            assert v == 2
            assert scene.image[int(y), int(x)].min() > 190


def test_pictures_do_not_cover_one_another(dots):
    scenes = MosaicScenes(dots(20), seed=1, count=40, people=(4, 4), scale=(1, 1))
    for index in range(40):
        boxes = scenes[index].boxes
        for a in range(4):
            for b in range(a):
                low = np.maximum(boxes[a, :2], boxes[b, :2])
                high = np.minimum(boxes[a, :2] + boxes[a, 2:], boxes[b, :2] + boxes[b, 2:])
                assert (high <= low).any()


def test_a_scene_depends_on_seed_and_index_only(dots):
    first = MosaicScenes(dots(20), seed=5, count=50)
    second = MosaicScenes(dots(20), seed=5, count=50)
    for index in (49, 3, 0):
        np.testing.assert_array_equal(first[index].image, second[index].image)
        np.testing.assert_array_equal(first[index].keypoints, second[index].keypoints)
    other = MosaicScenes(dots(20), seed=6, count=50)
    assert any(
        first[i].image.shape != other[i].image.shape or (first[i].image != other[i].image).any()
        for i in range(3)
    )


def test_every_picture_is_used_before_any_is_used_again(dots):
    source = Counting(dots(12))
    scenes = MosaicScenes(source, seed=0, count=9, people=(4, 4))  # 36 = three laps of 12
    for index in range(3):
        scenes[index]
    assert sorted(source.reads.values()) == [1] * 12
    for index in range(3, 9):
        scenes[index]
    assert sorted(source.reads.values()) == [3] * 12


def test_areas_and_boxes_scale_with_the_picture(dots):
    scenes = MosaicScenes(dots(20), seed=2, count=10)
    for index in range(10):
        scene = scenes[index]
        np.testing.assert_allclose(
            scene.areas, 0.53 * scene.boxes[:, 2] * scene.boxes[:, 3], rtol=1e-3
        )


def test_ignored_regions_come_along(dots):
    source = dots(5)
    half = source[0].valid.copy()
    half[:, :30] = False

    class Masked(type(source)):
        def __getitem__(self, index):
            return replace(super().__getitem__(index), valid=half)

    scene = MosaicScenes(Masked(5), seed=0, count=3, people=(1, 1), scale=(1, 1))[0]
    # One picture of 60 x 80 fills the canvas's height: 192 px wide, the left 96 of them ignored.
    assert (~scene.valid).sum() == pytest.approx(96 * 256, abs=256)


def test_ground_truth_has_every_person(dots):
    scenes = MosaicScenes(dots(7), seed=3, count=6)
    truth = scenes.ground_truth()
    assert [image["id"] for image in truth["images"]] == list(range(6))
    assert len(truth["annotations"]) == sum(len(scenes[i].keypoints) for i in range(6))
    assert len({annotation["id"] for annotation in truth["annotations"]}) == len(
        truth["annotations"]
    )
    first = next(a for a in truth["annotations"] if a["image_id"] == 4)
    np.testing.assert_allclose(
        np.reshape(first["keypoints"], (3, 3)), scenes[4].keypoints[0], atol=0.006
    )
    assert first["num_keypoints"] == 3
    assert truth["categories"][0]["keypoints"] == ["left_hand", "right_hand", "head"]


@pytest.mark.parametrize("settings", [{"people": (0, 2)}, {"people": (3, 2)}, {"scale": (0, 1)},
                                      {"scale": (0.5, 1.5)}, {"count": 0}])  # fmt: skip
def test_impossible_settings_are_refused(dots, settings):
    with pytest.raises(UsageError):
        MosaicScenes(dots(3), **{"seed": 0, "count": 5, **settings})


def test_a_canvas_has_room_for_so_many_pictures(dots):
    # 8 px a side each: 64 are 8 x 8 of them on 64 px; 65 need the square root of 65 * 64, 64.5.
    crowded = MosaicScenes(dots(3), seed=0, count=2, size=64, people=(64, 64))
    assert crowded[0].image.shape == (64, 64, 3)
    with pytest.raises(UsageError, match="mosaic of 65 pictures needs a canvas of 65 px or more"):
        MosaicScenes(dots(3), seed=0, count=2, size=64, people=(1, 65))
