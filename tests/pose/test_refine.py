"""Refinement: parabola and quarter shift by hand, and where a missed joint is looked for."""

import numpy as np
import pytest

from ofa_pose.pose.grouping import Groups
from ofa_pose.pose.refine import add_missing, positions


def moved(heatmap: list[list[float]], x: int, y: int, *, reference: bool = False) -> list[float]:
    maps = np.array([heatmap], dtype=np.float32)
    found = positions(maps, np.array([0]), np.array([[x, y]]), reference=reference)
    return found[0].tolist()


def test_a_joint_moves_to_the_top_of_the_parabola() -> None:
    # In x the values 0.2, 1, 0.6 are those of 1 + 0.2 t - 0.6 t^2, highest at t = 1 / 6.
    heatmap = [[0, 0.3, 0], [0.2, 1, 0.6], [0, 0.3, 0]]
    assert moved(heatmap, 1, 1) == pytest.approx([1.5 + 1 / 6, 1.5])


def test_it_stays_within_its_cell() -> None:
    heatmap = [[0, 0.4, 0], [0.2, 0.5, 1.0], [0, 0.4, 0]]
    assert moved(heatmap, 1, 1) == [2.0, 1.5]  # on a slope in x, between equals in y


def test_at_the_border_a_joint_stays_at_the_centre() -> None:
    heatmap = [[1, 0.5], [0.5, 0.9]]
    assert moved(heatmap, 0, 0) == [0.5, 0.5]
    assert moved(heatmap, 1, 1) == [1.5, 1.5]


def test_as_published_a_joint_moves_a_quarter_towards_the_higher_neighbour() -> None:
    heatmap = [[0, 0.3, 0], [0.2, 1, 0.1], [0, 0.4, 0]]
    assert moved(heatmap, 1, 1, reference=True) == [1.25, 1.75]
    equal = [[0, 0.3, 0], [0.2, 1, 0.2], [0, 0.3, 0]]
    assert moved(equal, 1, 1, reference=True) == [1.25, 1.25]
    border = [[1, 0.5], [0.5, 0.2]]
    assert moved(border, 0, 0, reference=True) == [0.25, 0.25]


def test_a_missing_joint_is_taken_where_heatmap_and_tags_agree() -> None:
    heatmaps = np.zeros((2, 1, 5), dtype=np.float32)
    tags = np.zeros((1, 2, 1, 5), dtype=np.float32)
    heatmaps[1, 0] = [0.9, 0.05, 0.08, 0.0, 0.0]
    tags[0, 1, 0] = [3.0, 1.2, 2.0, 1.0, 1.0]
    groups = Groups(
        cells=np.array([[[4, 0], [0, 0]]]), scores=np.array([[0.8, 0.0]]), tags=np.array([[1.0]])
    )
    cells, scores = add_missing(heatmaps, tags, groups)
    # 0.9 - round(2), 0.05 - round(0.2), 0.08 - round(1.0): the second cell is best.
    assert cells.tolist() == [[[4, 0], [1, 0]]]
    np.testing.assert_allclose(scores, [[0.8, 0.05]], rtol=1e-6)
    assert groups.scores.tolist() == [[0.8, 0.0]]


def test_a_joint_is_left_missing_where_the_heatmap_is_not_positive() -> None:
    groups = Groups(cells=np.zeros((1, 1, 2), int), scores=np.zeros((1, 1)), tags=np.zeros((1, 1)))
    cells, scores = add_missing(
        np.full((1, 2, 2), -0.1, np.float32), np.zeros((1, 1, 2, 2), np.float32), groups
    )
    assert not scores.any()
    assert not cells.any()


def test_two_tags_a_joint_are_compared_by_their_euclidean_distance() -> None:
    heatmaps = np.array([[[0.5, 0.4, 0.3]]], dtype=np.float32)
    tags = np.array([[[[1.0, 0.0, 0.3]]], [[[1.0, 1.6, 0.3]]]], dtype=np.float32)
    groups = Groups(
        cells=np.zeros((1, 1, 2), int), scores=np.zeros((1, 1)), tags=np.array([[0.0, 0.0]])
    )
    # Distances 1.41, 1.6 and 0.42: scores -0.5, -1.6, 0.3.
    cells, scores = add_missing(heatmaps, tags, groups)
    assert cells.tolist() == [[[2, 0]]]
    np.testing.assert_allclose(scores, [[0.3]], rtol=1e-6)
