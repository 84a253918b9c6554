"""How a picture becomes a network's input."""

from __future__ import annotations

import numpy as np
import pytest

from ofa_pose.data import resize_for_network
from ofa_pose.data.geometry import BORDER_RGB, transform_points
from ofa_pose.errors import UsageError


def picture(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 200, np.uint8)


@pytest.mark.parametrize(
    ("size", "resolution", "canvas"),
    [
        ((100, 200), 64, (64, 128)),  # 64 x 128 exactly
        ((200, 100), 64, (128, 64)),
        ((100, 150), 64, (64, 128)),  # 96 -> 128
        ((100, 201), 64, (64, 192)),  # 129 -> 192
        ((427, 640), 512, (512, 768)),  # 767 -> 768
        ((90, 90), 160, (160, 160)),  # a square stays one, though 160 is no multiple of 64
        ((90, 100), 160, (160, 192)),  # 178 -> 192
    ],
)
def test_short_side_and_multiple_of_64(size, resolution, canvas):
    image, _ = resize_for_network(picture(*size), resolution)
    assert image.shape == (*canvas, 3)
    assert image.dtype == np.uint8


def test_the_way_back_is_exact():
    # 100 x 150 at 64: 64 x 96 in the middle of 64 x 128, so 16 px of grey on either side.
    image, back = resize_for_network(picture(100, 150), 64)
    np.testing.assert_allclose(transform_points(np.array([16.0, 0.0]), back), [0, 0], atol=1e-4)
    np.testing.assert_allclose(transform_points(np.array([112.0, 64.0]), back), [150, 100])
    assert (image[:, :16] == BORDER_RGB).all()
    assert (image[:, 112:] == BORDER_RGB).all()
    assert (image[:, 16:112] == 200).all()


def test_letterbox():
    image, back = resize_for_network(picture(50, 100), 64, fit="long")
    assert image.shape == (64, 64, 3)
    assert (image[:16] == BORDER_RGB).all()
    assert (image[16:48] == 200).all()
    np.testing.assert_allclose(transform_points(np.array([64.0, 48.0]), back), [100, 50])


def test_a_picture_of_the_right_size_is_left_alone():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    resized, back = resize_for_network(image, 64)
    np.testing.assert_array_equal(resized, image)
    np.testing.assert_array_equal(back, [[1, 0, 0], [0, 1, 0]])


def test_rounding_of_odd_sizes_is_in_the_transform():
    # 37 x 53 at 64: the long side is 91.68, drawn as 92; 53 px are 92 canvas pixels, exactly.
    _, back = resize_for_network(picture(37, 53), 64)
    left = (128 - 92) // 2
    ends = transform_points(np.array([[left, 0.0], [left + 92, 64.0]]), back)
    np.testing.assert_allclose(ends, [[0, 0], [53, 37]], atol=1e-4)


def test_an_unknown_fit_is_refused():
    with pytest.raises(UsageError, match="'short' or 'long'"):
        resize_for_network(picture(10, 10), 64, fit="both")
