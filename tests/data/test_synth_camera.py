"""What cameras do to synthetic people: blur that stays in place, perspective, surfaces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_pose.data.synth.body import random_figure
from ofa_pose.data.synth.camera import Camera, blur_motion, motion_kernel, random_camera
from ofa_pose.data.synth.cloth import dress, region_of, smear
from ofa_pose.data.synth.crowd import Standing, label_crowd, paint_crowd, random_crowd
from ofa_pose.data.synth.joints import mixtures_of
from ofa_pose.data.synth.paint import COVER, PARTS, PARTS_STEP, Canvas, nearness
from ofa_pose.data.synth.places import place
from ofa_pose.skeleton import load_skeleton

LENGTHS = st.floats(1, 40)
DEGREES = st.floats(-360, 360)
COCO = load_skeleton("coco")


@settings(deadline=None)
@given(LENGTHS, DEGREES)
def test_motion_weights_add_up_and_do_not_shift(length, degrees):
    kernel = motion_kernel(length, degrees)
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    assert (kernel >= 0).all()
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)  # so its centroid is 0, 0
    assert length - 2 < (kernel > 0).sum(axis=None) <= 3 * (length + 3)


def test_motion_along_a_row():
    # 3 px of motion reach 1.5 px from the middle: three whole pixels and nothing of the next two.
    np.testing.assert_allclose(motion_kernel(3, 0)[2], [0, 1 / 3, 1 / 3, 1 / 3, 0])
    # 4 px: three whole pixels and half of the next two.
    np.testing.assert_allclose(motion_kernel(4, 0)[2], [1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8])
    np.testing.assert_allclose(motion_kernel(4, 90), motion_kernel(4, 0).T, atol=1e-7)


@settings(deadline=None)
@given(st.floats(2, 9), DEGREES)
def test_a_dot_stays_in_the_middle_of_its_blur(length, degrees):
    image = np.zeros((31, 31), np.float32)
    image[15, 15] = 1
    blurred = blur_motion(image, length, degrees)
    rows, columns = np.indices(image.shape)
    assert (blurred * rows).sum() == pytest.approx(15, abs=1e-3)
    assert (blurred * columns).sum() == pytest.approx(15, abs=1e-3)


def test_nearer_is_larger_by_one_over_the_distance():
    # A camera 4 body heights away: 1 nearer is 4/3, 1 farther 4/5 as large.
    assert nearness(-1, 0.25) == pytest.approx(4 / 3)
    assert nearness(1, 0.25) == pytest.approx(4 / 5)
    assert nearness(-0.3, 0) == 1
    # A person as tall as the picture, by a lens as long as two sides: 2 body heights away.
    assert Camera(focal=2).perspective(1) == pytest.approx(1 / 2)
    assert Camera(focal=0.5).perspective(2) < 0.6  # never into the lens


def test_cameras_vary_and_most_are_at_eye_level():
    cameras = [random_camera(np.random.default_rng(seed)) for seed in range(500)]
    pitches = np.array([camera.pitch for camera in cameras])
    assert (np.abs(pitches) < 15).mean() > 0.6
    assert pitches.max() > 45
    assert pitches.min() < -25
    assert (np.abs([camera.roll for camera in cameras]) > 10).mean() > 0.03


def test_from_above_the_head_is_nearer_than_the_feet():
    def lean(pitch: float) -> float:
        depths = []
        for seed in range(40):
            points = random_figure(np.random.default_rng(seed), Camera(pitch=pitch)).points
            feet = (points["left_ankle"][2] + points["right_ankle"][2]) / 2
            depths.append(feet - points["top_head"][2])
        return float(np.median(depths))

    assert lean(45) > 0.4  # of about 0.9 body heights times sin 45 degrees
    assert lean(-45) < -0.4
    assert abs(lean(0)) < 0.25


def test_near_parts_are_painted_thicker():
    rng = np.random.default_rng(0)
    figure = Standing.random(Camera(focal=1), unit=100, side=100, rng=rng)
    assert figure.perspective == pytest.approx(0.55)
    low, high = figure.at(50, 90).bounds()
    assert high[1] == pytest.approx(90)
    assert (low[0] + high[0]) / 2 == pytest.approx(50)


def test_a_smeared_figure_stays_where_it_was():
    canvas = Canvas(np.zeros((40, 40, 3), np.uint8))
    before = canvas.image.copy()
    canvas.image[10:30, 10:30] = 200, 100, 50
    canvas.labels[10:30, 10:30] = 1 + PARTS.index("torso")
    labels = canvas.labels.copy()
    sharp = canvas.image.astype(np.float64)
    bounds = np.array([10.0, 10, 20, 20])
    smear(canvas, before, bounds, number=0, length=6, degrees=0)
    np.testing.assert_array_equal(canvas.labels, labels)
    blurred = canvas.image.astype(np.float64)
    columns = np.arange(40)
    for row in (12, 20, 28):
        centre = (sharp[row, :, 0] @ columns) / sharp[row, :, 0].sum()
        assert (blurred[row, :, 0] @ columns) / blurred[row, :, 0].sum() == pytest.approx(
            centre, abs=0.1
        )
    assert blurred[20, 20].tolist() == [200, 100, 50]  # as thick there as the motion is long
    assert 0 < blurred[20, 8, 0] < blurred[20, 11, 0] < 200  # beside the edge, and within
    assert blurred[5].max() == 0  # nothing moved downward


def test_clothes_change_their_figure_alone():
    canvas = Canvas(np.full((64, 64, 3), 90, np.uint8))
    canvas.labels[10:30, 10:30] = 1 + PARTS.index("torso")
    canvas.labels[10:30, 30:50] = PARTS_STEP + 1 + PARTS.index("torso")  # another figure's
    canvas.labels[0:10] = COVER
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (64, 64)).astype(np.float32)
    bounds = np.array([5.0, 5, 50, 50])
    dress(canvas, bounds, number=0, light=np.array([0.6, -0.8]), noise=noise, rng=rng)
    changed = (canvas.image != 90).any(axis=2)
    assert changed[10:30, 10:30].mean() > 0.8
    changed[10:30, 10:30] = False
    assert not changed.any()


def test_regions_are_clipped():
    assert region_of(np.array([-5.5, 2.2, 10, 3]), (20, 30)) == (slice(2, 6), slice(0, 5))
    assert region_of(np.array([28.0, 18, 10, 10]), (20, 30), margin=1) == (
        slice(17, 20),
        slice(27, 30),
    )
    assert region_of(np.array([40.0, 2, 10, 3]), (20, 30)) is None


@pytest.mark.parametrize("size", [32, 33, 200])
def test_places_are_pictures(size):
    for seed in range(12):
        noise = np.random.default_rng(seed).uniform(-1, 1, (size, size, 1)).astype(np.float32)
        picture = place(size, np.random.default_rng(seed), noise)
        assert picture.shape == (size, size, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 3


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_seen_joints_lie_on_their_figure(seed):
    """In any crowd, whatever the camera: v = 2 means that the pixel there shows its owner."""
    rng = np.random.default_rng(seed)
    camera = random_camera(rng)
    crowd = random_crowd(64, int(rng.integers(1, 5)), camera, rng)
    canvas = Canvas(np.zeros((64, 64, 3), np.uint8))
    bounds = paint_crowd(canvas, crowd, rng)
    known = label_crowd(canvas.labels, crowd, bounds, mixtures=mixtures_of(COCO), skeleton=COCO)
    assert not (known.painted & known.ignored).any()
    np.testing.assert_array_equal(known.painted | known.ignored, canvas.labels > 0)
    owners = np.where(canvas.labels > 0, (canvas.labels - 1) // PARTS_STEP, -1)
    for person, area in zip(known.keypoints, known.areas, strict=True):
        inner = np.abs(person[:, :2] % 1 - 0.5).max(axis=1) < 0.499  # float32 rounds the others
        shown = {owners[int(y), int(x)] for x, y, v in person[inner] if v == 2}
        assert len(shown) == 1
        owner = shown.pop()
        assert area == (owners == owner).sum()
        for name, (x, y, v) in zip(COCO.joints, person, strict=True):
            at = crowd[owner].points[name]
            if v > 0:
                np.testing.assert_allclose([x, y], at[:2], atol=1e-3)
            else:
                assert not (0 <= at[0] < 64 and 0 <= at[1] < 64)
