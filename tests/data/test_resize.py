"""How a picture becomes a network's input."""

from __future__ import annotations

import numpy as np
import pytest

from ofa_pose.data import check_scales, resize_for_network, resize_to_scales
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


def test_other_scales_lie_where_the_canvas_does():
    # 100 x 150 at 64: 64 x 96 in the middle of 64 x 128, grey up to column 16 and from 112.
    image = picture(100, 150)
    image[:, :75] = 100
    canvas, back = resize_for_network(image, 64)
    half, twice, odd = resize_to_scales(image, canvas, back, (0.5, 2.0, 1.1))
    assert half.shape == (32, 64, 3)
    assert twice.shape == (128, 256, 3)
    assert odd.shape == (64, 144, 3)  # 70.4 and 140.8: the nearest multiples of 16
    for scaled, left, middle, right in ((half, 8, 32, 56), (twice, 32, 128, 224)):
        row = scaled[scaled.shape[0] // 2]
        assert (row[:left] == BORDER_RGB).all()
        assert (row[left + 2 : middle - 2] == 100).all()
        assert (row[middle + 2 : right - 2] == 200).all()
        assert (row[right:] == BORDER_RGB).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (37, 41), (427, 640)])
@pytest.mark.parametrize("fit", ["short", "long"])
def test_any_picture_has_other_scales(size, fit):
    canvas, back = resize_for_network(picture(*size), 64, fit=fit)
    scales = (0.25, 1.0, 1.37, 2.0)
    for scale, scaled in zip(
        scales, resize_to_scales(picture(*size), canvas, back, scales), strict=True
    ):
        wanted = np.array(canvas.shape[:2]) * scale
        assert (np.abs(scaled.shape[:2] - wanted) <= 8).all()
        assert not any(side % 16 for side in scaled.shape[:2])
        assert scale < 1 or (scaled == 200).any()  # a smaller strip may be mixed with grey


def test_scales_that_can_be_tested_at():
    assert check_scales([0.5, 1, 2]) == (1.0, 0.5, 2.0)
    assert check_scales([1.0]) == (1.0,)
    for scales, expected in (
        ([], "1 must be among the scales"),
        ([0.5, 2], "1 must be among the scales, since tags are taken from it; got 0.5, 2"),
        ([1, 0.5, 1], "each scale must be given once, got 1, 0.5, 1"),
        ([1, 0], "above 0 and at most 4, got 0 in 1, 0"),
        ([1, 4.5], "above 0 and at most 4, got 4.5"),
        ([1, float("nan")], "above 0 and at most 4, got nan"),
        ("1", r"numbers in a list, such as \[1\] or \[0.5, 1, 2\], not '1'"),
        (1, "numbers in a list, .* not 1"),
        (["1", 2], r"numbers in a list, .* not \['1', 2\]"),
    ):
        with pytest.raises(UsageError, match=expected):
            check_scales(scales)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "image",
    [
        np.ones((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_picture(image: np.ndarray):
    with pytest.raises(UsageError, match=r"a picture is \(H, W, 3\) uint8 RGB, not"):
        resize_for_network(image, 64)


@pytest.mark.parametrize("resolution", [0, -64, 64.5, "64"])
def test_what_is_no_resolution(resolution):
    with pytest.raises(UsageError, match="a resolution is a whole number"):
        resize_for_network(picture(10, 10), resolution)
