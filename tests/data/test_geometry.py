"""The pixel convention: pixel i covers [i, i + 1)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_pose.data.geometry import (
    compose,
    scale_of,
    scaling,
    transform_boxes,
    transform_points,
    warp,
)

numbers = st.floats(0.2, 5).map(float)


def test_a_shift_by_whole_pixels_moves_them_exactly():
    image = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)
    moved = warp(image, scaling(1, 1, 2, 1), size=(5, 7), border=0)
    np.testing.assert_array_equal(moved[1:, 2:], image[:-1, :-2])
    assert (moved[0] == 0).all()
    assert (moved[:, :2] == 0).all()


def test_doubling_spreads_pixel_3_over_pixels_6_and_7():
    image = np.zeros((8, 8), np.uint8)
    image[:, 3] = 200
    large = warp(image, scaling(2, 2), size=(16, 16), border=0)
    # Bilinear at the centres 6.5 and 7.5, which lie at 3.25 and 3.75 in the picture, where pixel
    # 3's centre is 3.5: both see three quarters of it.
    row = large[8].astype(int)
    assert row[6] == row[7] == 150
    assert row[5] == row[8] == 50
    assert row[:5].sum() == row[9:].sum() == 0


def test_mirroring_maps_pixel_0_to_the_last():
    image = np.arange(6, dtype=np.uint8)[None].repeat(4, 0)
    mirrored = warp(image, scaling(-1, 1, 6, 0), size=(4, 6), border=0)
    np.testing.assert_array_equal(mirrored, image[:, ::-1])


def test_strong_shrinking_averages_instead_of_skipping_pixels():
    # Black and white columns in turn: sampling would give either, averaging gives grey.
    image = np.zeros((64, 64), np.uint8)
    image[:, ::2] = 254
    small = warp(image, scaling(1 / 8, 1 / 8), size=(8, 8), border=0)
    np.testing.assert_allclose(small, 127, atol=1)


def test_warped_content_and_points_agree_when_shrinking():
    image = np.zeros((120, 160), np.uint8)
    image[60:68, 96:104] = 255  # centred on (100, 64)
    matrix = scaling(0.23, 0.23, 3, 5)
    small = warp(image, matrix, size=(40, 40), border=0).astype(float)
    ys, xs = np.mgrid[:40, :40] + 0.5
    centre = [(small * xs).sum() / small.sum(), (small * ys).sum() / small.sum()]
    np.testing.assert_allclose(centre, transform_points(np.array([100.0, 64.0]), matrix), atol=0.1)


def test_a_quarter_turn_of_a_box_swaps_its_sides():
    turn = np.array([[0.0, -1.0, 50.0], [1.0, 0.0, 0.0]])  # (x, y) -> (50 - y, x)
    box = transform_boxes(np.array([[10.0, 5.0, 20.0, 7.0]]), turn, (40, 50))
    np.testing.assert_allclose(box, [[38, 10, 7, 20]])


def test_boxes_end_at_the_canvas():
    box = transform_boxes(np.array([[-5.0, 30.0, 20.0, 20.0]]), scaling(1, 1), (40, 50))
    np.testing.assert_allclose(box, [[0, 30, 15, 10]])


@given(numbers, numbers, st.floats(-50, 50), st.floats(-50, 50))
def test_a_rotation_does_not_change_the_scale(x, y, dx, dy):
    matrix = compose(np.array([[0.6, -0.8, 1.0], [0.8, 0.6, 2.0]]), scaling(x, y, dx, dy))
    assert scale_of(matrix) == pytest.approx(np.sqrt(x * y))
