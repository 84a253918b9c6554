"""Targets: Gaussians at whole cells, masks by block, tag positions that point at the joints."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_pose.errors import DataError, UsageError
from ofa_pose.pose.targets import make_targets


def people(*joints: tuple[float, float, float]) -> np.ndarray:
    """One person a joint triple, of a skeleton with one joint."""
    return np.array(joints, dtype=np.float64).reshape(-1, 1, 3)


def test_one_joint_gives_a_gaussian_at_its_cell_of_every_output() -> None:
    targets = make_targets(people((41.9, 22.0, 2)), None, size=(64, 128))
    low, high = targets.heatmaps
    assert low.shape == (1, 16, 32)
    assert high.shape == (1, 32, 64)
    assert low.dtype == high.dtype == np.float32
    # 41.9 / 4 = 10.475 and 22 / 4 = 5.5; 41.9 / 2 = 20.95 and 22 / 2 = 11.
    assert np.argwhere(low == 1).tolist() == [[0, 5, 10]]
    assert np.argwhere(high == 1).tolist() == [[0, 11, 20]]
    for heatmap, (y, x) in ((low, (5, 10)), (high, (11, 20))):
        assert heatmap[0, y, x + 1] == pytest.approx(math.exp(-1 / 8))
        assert heatmap[0, y - 2, x] == pytest.approx(math.exp(-4 / 8))
        assert heatmap[0, y + 3, x - 1] == pytest.approx(math.exp(-10 / 8))
        assert heatmap[0, y, x + 8] == 0


def test_overlapping_gaussians_are_merged_by_maximum() -> None:
    both = make_targets(people((20, 20, 1), (28, 20, 2)), None, size=(64, 64), strides=(2,))
    first = make_targets(people((20, 20, 1)), None, size=(64, 64), strides=(2,))
    second = make_targets(people((28, 20, 1)), None, size=(64, 64), strides=(2,))
    expected = np.maximum(first.heatmaps[0], second.heatmaps[0])
    np.testing.assert_array_equal(both.heatmaps[0], expected)
    assert both.heatmaps[0][0, 10, 12] == pytest.approx(math.exp(-4 / 8))  # midway, not the sum


def test_tags_are_flat_positions_in_the_first_output() -> None:
    keypoints = np.array([[[9, 6, 2], [0, 0, 0]], [[0, 0, 0], [3, 62, 1]]], dtype=np.float32)
    tags = make_targets(keypoints, None, size=(64, 32), max_people=3).tags
    # Tag maps are (2, 16, 8). Joint 0 of person 0: cell (2, 1), 0*128 + 1*8 + 2 = 10.
    # Joint 1 of person 1: cell (0, 15), 1*128 + 15*8 + 0 = 248.
    expected = [[[10, 1], [0, 0]], [[0, 0], [248, 1]], [[0, 0], [0, 0]]]
    assert tags.tolist() == expected
    assert tags.dtype == np.int64


def test_people_without_a_visible_joint_take_no_row_and_extra_people_only_draw() -> None:
    keypoints = people((0, 0, 0), (4, 4, 2), (-5, 4, 2), (40, 40, 2), (20, 20, 2))
    targets = make_targets(keypoints, None, size=(64, 64), max_people=2)
    assert targets.tags.tolist() == [[[1 * 16 + 1, 1]], [[10 * 16 + 10, 1]]]
    assert targets.heatmaps[0][0, 5, 5] == 1


@pytest.mark.parametrize(
    "joint", [(10, 10, 0), (-0.01, 10, 2), (10, -0.01, 2), (64, 10, 2), (10, 32, 2)]
)
def test_unlabelled_and_outside_joints_leave_no_trace(joint: tuple[float, float, float]) -> None:
    targets = make_targets(people(joint), None, size=(32, 64))
    assert not any(heatmap.any() for heatmap in targets.heatmaps)
    assert not targets.tags.any()


def test_unlabelled_joints_may_hold_nan() -> None:
    targets = make_targets(people((math.nan, math.nan, 0)), None, size=(32, 32))
    assert not targets.heatmaps[0].any()


def test_joints_in_the_corners_are_clipped_not_wrapped() -> None:
    targets = make_targets(people((0, 0, 2), (31.9, 31.9, 2)), None, size=(32, 32), strides=(2,))
    heatmap = targets.heatmaps[0][0]
    assert heatmap[0, 0] == heatmap[15, 15] == 1
    assert heatmap[0, 15] == heatmap[15, 0] == 0


def test_no_people_give_empty_targets() -> None:
    targets = make_targets(np.zeros((0, 5, 3)), None, size=(32, 32))
    assert targets.heatmaps[0].shape == (5, 8, 8)
    assert not targets.heatmaps[0].any()
    assert targets.tags.shape == (30, 5, 2)
    assert targets.masks[1].tolist() == np.ones((16, 16)).tolist()


def test_a_cell_counts_when_half_of_its_pixels_do() -> None:
    valid = np.ones((8, 8), dtype=bool)
    valid[0:4, 0:2] = False  # half of low cell (0, 0), all of high cells (0, 0) and (1, 0)
    valid[4:8, 4:7] = False  # three quarters of low cell (1, 1)
    low, high = make_targets(np.zeros((0, 1, 3)), valid, size=(8, 8)).masks
    assert low.tolist() == [[1, 1], [1, 0]]
    assert high.tolist() == [[0, 1, 1, 1], [0, 1, 1, 1], [1, 1, 0, 1], [1, 1, 0, 1]]
    assert low.dtype == np.float32


@pytest.mark.parametrize(
    ("keypoints", "valid", "size", "error", "message"),
    [
        (np.zeros((2, 3)), None, (32, 32), DataError, r"must be \(people, joints, 3\)"),
        (np.zeros((1, 1, 3)), np.ones((8, 8), bool), (32, 32), DataError, "the mask is"),
        (people((math.nan, 1, 2)), None, (32, 32), DataError, "NaN or infinite"),
        (people((math.inf, 1, 2)), None, (32, 32), DataError, "NaN or infinite"),
        (np.zeros((1, 1, 3)), None, (30, 32), UsageError, "no multiple of stride 4"),
    ],
)
def test_impossible_input_is_refused(keypoints, valid, size, error, message) -> None:
    with pytest.raises(error, match=message):
        make_targets(keypoints, valid, size=size)


@settings(max_examples=50, deadline=None)
@given(
    x=st.floats(0, 95.999),
    y=st.floats(0, 63.999),
    sigma=st.sampled_from([1.0, 2.0, 3.0]),
)
def test_the_peak_is_one_at_the_cell_and_the_tag_points_there(x, y, sigma) -> None:
    targets = make_targets(people((x, y, 1)), None, size=(64, 96), sigma=sigma)
    for heatmap, stride in zip(targets.heatmaps, (4, 2), strict=True):
        cell = (math.floor(y / stride), math.floor(x / stride))
        assert heatmap[0][cell] == 1
        assert np.count_nonzero(heatmap == 1) == 1
    assert targets.heatmaps[0].ravel()[targets.tags[0, 0, 0]] == 1
