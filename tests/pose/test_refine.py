"""Refinement: the quarter shift by hand, and where a missed joint is looked for."""

import numpy as np

from ofa_pose.pose.grouping import Groups
from ofa_pose.pose.refine import add_missing, positions


def shifted(heatmap: list[list[float]], x: int, y: int, *, reference: bool = False) -> list[float]:
    return positions(
        np.array([heatmap], dtype=np.float32),
        np.array([0]),
        np.array([[x, y]]),
        shift=0.25,
        reference=reference,
    )[0].tolist()


def test_a_joint_moves_a_quarter_towards_the_higher_neighbour() -> None:
    heatmap = [[0, 0.3, 0], [0.2, 1, 0.1], [0, 0.4, 0]]
    assert shifted(heatmap, 1, 1) == [1.25, 1.75]


def test_between_equal_neighbours_it_stays_or_moves_as_published() -> None:
    heatmap = [[0, 0.3, 0], [0.2, 1, 0.2], [0, 0.3, 0]]
    assert shifted(heatmap, 1, 1) == [1.5, 1.5]
    assert shifted(heatmap, 1, 1, reference=True) == [1.25, 1.25]


def test_at_the_border_the_cell_itself_is_the_missing_neighbour() -> None:
    heatmap = [[1, 0.5], [0.5, 0.2]]
    assert shifted(heatmap, 0, 0) == [0.25, 0.25]
    assert shifted([[0.2, 0.5], [0.5, 1]], 1, 1) == [1.75, 1.75]


def test_a_missing_joint_is_taken_where_heatmap_and_tags_agree() -> None:
    heatmaps = np.zeros((2, 1, 5), dtype=np.float32)
    tags = np.zeros((2, 1, 5, 1), dtype=np.float32)
    heatmaps[1, 0] = [0.9, 0.05, 0.08, 0.0, 0.0]
    tags[1, 0, :, 0] = [3.0, 1.2, 2.0, 1.0, 1.0]
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
        np.full((1, 2, 2), -0.1, np.float32), np.zeros((1, 2, 2, 1), np.float32), groups
    )
    assert not scores.any()
    assert not cells.any()


def test_two_tags_a_joint_are_compared_by_their_euclidean_distance() -> None:
    heatmaps = np.array([[[0.5, 0.4, 0.3]]], dtype=np.float32)
    tags = np.array([[[[1.0, 1.0], [0.0, 1.6], [0.3, 0.3]]]], dtype=np.float32)
    groups = Groups(
        cells=np.zeros((1, 1, 2), int), scores=np.zeros((1, 1)), tags=np.array([[0.0, 0.0]])
    )
    # Distances 1.41, 1.6 and 0.42: scores -0.5, -1.6, 0.3.
    cells, scores = add_missing(heatmaps, tags, groups)
    assert cells.tolist() == [[[2, 0]]]
    np.testing.assert_allclose(scores, [[0.3]], rtol=1e-6)
