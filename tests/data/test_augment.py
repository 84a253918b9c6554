"""The training augmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_pose.data import Augmentation
from ofa_pose.data.geometry import BORDER_RGB, scale_of
from ofa_pose.errors import UsageError

STILL = Augmentation(rotation=0, scale=(1, 1), translation=0, flip=0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_without_randomness_the_middle_square_is_resized(dots, three):
    # 80 high, 60 wide: the window is 60 px around (30, 40), so x' = 2 x and y' = 2 (y - 10).
    scene = STILL.apply(dots(1)[0], 120, rng(), skeleton=three)
    assert scene.image.shape == (120, 120, 3)
    np.testing.assert_allclose(
        scene.keypoints[0], [[91, 61, 2], [31, 61, 2], [61, 5, 2]], atol=1e-3
    )
    np.testing.assert_allclose(scene.boxes, [[26, 0, 70, 66]], atol=1e-3)
    np.testing.assert_allclose(scene.areas, [4 * 0.53 * 35 * 33], rtol=1e-5)
    assert scene.valid.all()
    assert scene.image_id == 100


def test_a_mirror_image_swaps_left_and_right(dots, three):
    scene = replace(STILL, flip=1).apply(dots(1)[0], 120, rng(), skeleton=three)
    # The left hand of the mirror image is the mirrored right hand: 120 - 31.
    np.testing.assert_allclose(
        scene.keypoints[0], [[89, 61, 2], [29, 61, 2], [59, 5, 2]], atol=1e-3
    )


@pytest.mark.parametrize("seed", range(12))
def test_joints_stay_on_what_they_mark(dots, three, seed):
    scene = Augmentation(flip=0.5).apply(dots(1)[0], 160, rng(seed), skeleton=three)
    assert len(scene.keypoints) <= 1
    for x, y, v in scene.keypoints.reshape(-1, 3):
        if v > 0 and 3 < x < 157 and 3 < y < 157:
            assert scene.image[int(y), int(x)].min() > 200


def test_joints_outside_lose_their_label_and_people_without_any_are_dropped(dots, three):
    scene = dots(1)[0]
    keypoints = scene.keypoints.repeat(2, axis=0)
    keypoints[0, 2, 1] = 3.0  # above the window, which begins at y = 10
    keypoints[1, :, 1] = 75.0  # all of the second person lies below it
    scene = replace(
        scene,
        keypoints=keypoints,
        boxes=scene.boxes.repeat(2, axis=0),
        areas=np.array([1, 2], np.float32),
    )
    kept = STILL.apply(scene, 120, rng(), skeleton=three)
    assert kept.keypoints.shape == (1, 3, 3)
    np.testing.assert_array_equal(kept.keypoints[0, 2], [0, 0, 0])
    np.testing.assert_array_equal(kept.keypoints[0, :, 2], [2, 2, 0])
    np.testing.assert_allclose(kept.areas, [4])


def test_unlabelled_joints_stay_unlabelled(dots, three):
    scene = dots(1)[0]
    scene.keypoints[0, 0] = 0
    flipped = replace(STILL, flip=1).apply(scene, 120, rng(), skeleton=three)
    np.testing.assert_array_equal(flipped.keypoints[0, :, 2], [2, 0, 2])


def test_ignored_regions_move_and_the_border_counts(dots, three):
    scene = dots(1)[0]
    scene.valid[10:40, :30] = False
    moved = STILL.apply(scene, 120, rng(), skeleton=three)
    assert not moved.valid[:60, :60].any()
    assert moved.valid[60:].all()
    assert moved.valid[:, 60:].all()
    # Twice the window: the picture fills the middle 60 x 80 of 120 x 120, grey lies beside it.
    wide = replace(STILL, scale=(2, 2)).apply(scene, 120, rng(), skeleton=three)
    assert (wide.image[:, :29] == BORDER_RGB).all()
    assert (wide.image[:, 91:] == BORDER_RGB).all()
    assert wide.valid[:, :30].all()
    assert not wide.valid[30:60, 30:60].any()
    assert wide.valid.sum() == 120 * 120 - 30 * 30


@given(st.integers(0, 10**6), st.integers(50, 400), st.integers(50, 400))
def test_the_affine_keeps_its_promises(seed, height, width):
    matrix, _ = Augmentation().matrix((height, width), 128, rng(seed))
    short = min(height, width)
    window = 128 / scale_of(matrix)
    assert 0.75 * short - 1e-6 <= window <= 1.5 * short + 1e-6
    # The picture's middle moves by at most 40 / 200 of the window in x and y, before the turn.
    middle = matrix[:, :2] @ [width / 2, height / 2] + matrix[:, 2]
    assert np.linalg.norm(middle - 64) <= 128 * 0.2 * np.sqrt(2) + 1e-6
    angle = np.degrees(np.arctan2(matrix[1, 0], abs(matrix[0, 0])))
    assert abs(angle) <= 30 + 1e-6


def test_every_scene_takes_five_random_numbers(dots, three):
    generator = rng(3)
    Augmentation().apply(dots(1)[0], 64, generator, skeleton=three)
    STILL.apply(dots(1)[0], 64, generator, skeleton=three)
    assert generator.random() == rng(3).random(11)[-1]


@pytest.mark.parametrize(
    "settings",
    [
        {"scale": (1.5, 0.75)},
        {"scale": (0, 1)},
        {"flip": 1.5},
        {"rotation": -1},
        {"translation": -1},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError):
        Augmentation(**settings)
