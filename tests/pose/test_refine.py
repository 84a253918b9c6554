"""Refinement: parabola and quarter shift by hand, and where a missed joint is looked for."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ofa_pose.pose import compiled as compiled_module
from ofa_pose.pose.compiled import kernels
from ofa_pose.pose.grouping import Groups
from ofa_pose.pose.refine import add_missing, positions
from ofa_pose.pose.zoom import Zoomed


def moved(heatmap: list[list[float]], x: int, y: int, *, doublings: int = 0) -> list[float]:
    maps = Zoomed(np.array([heatmap], dtype=np.float32), doublings)
    return positions(maps, np.array([0]), np.array([[x, y]]))[0].tolist()


def test_a_joint_moves_to_the_top_of_the_parabola() -> None:
    # In x the values 0.2, 1, 0.6 are those of 1 + 0.2 t - 0.6 t^2, highest at t = 1 / 6.
    heatmap = [[0, 0.3, 0], [0.2, 1, 0.6], [0, 0.3, 0]]
    assert moved(heatmap, 1, 1) == pytest.approx([1.5 + 1 / 6, 1.5])


def test_of_a_doubled_map_the_parabola_runs_through_the_cells() -> None:
    # Along row 2 of pixels the cells hold 3/4 of the middle row and 1/4 of the first one: 0.15,
    # 0.825, 0.45 has its top at 0.15 / 1.05 = 1 / 7 of a cell from the middle one's centre.
    heatmap = [[0, 0.3, 0], [0.2, 1, 0.6], [0, 0.3, 0]]
    x, y = moved(heatmap, 3, 2, doublings=1)
    assert x == pytest.approx(3 + 2 / 7)
    assert y == pytest.approx(3)


def test_on_a_slope_it_moves_a_quarter_as_published() -> None:
    heatmap = [[0, 0.4, 0], [0.2, 0.5, 1.0], [0, 0.4, 0]]
    assert moved(heatmap, 1, 1) == [1.75, 1.5]  # on a slope in x, between equals in y
    # The map rises through the cell: no top in its first pixel.
    assert moved(heatmap, 2, 2, doublings=1)[0] == 2.75


def test_at_the_border_a_joint_stays_at_the_centre() -> None:
    heatmap = [[1, 0.5], [0.5, 0.9]]
    assert moved(heatmap, 0, 0) == [0.5, 0.5]
    assert moved(heatmap, 1, 1) == [1.5, 1.5]
    assert moved(heatmap, 0, 3, doublings=1) == [0.5, 3.5]


@pytest.fixture(params=["compiled", "plain"])
def search(request, monkeypatch):
    """`add_missing` over maps as they are."""
    if request.param == "plain":
        monkeypatch.setattr(compiled_module, "enabled", False)
    elif kernels() is None:
        pytest.skip("needs numba, of the extra [fast]")

    def run(heatmaps: np.ndarray, tags: np.ndarray, groups: Groups, *, doublings=(0, 0)):
        stacks = [Zoomed(maps, doublings[1]) for maps in tags]
        return add_missing(Zoomed(heatmaps, doublings[0]), stacks, groups)

    return run


def test_a_missing_joint_is_taken_where_heatmap_and_tags_agree(search) -> None:
    heatmaps = np.zeros((2, 1, 5), dtype=np.float32)
    tags = np.zeros((1, 2, 1, 5), dtype=np.float32)
    heatmaps[1, 0] = [0.9, 0.05, 0.08, 0.0, 0.0]
    tags[0, 1, 0] = [3.0, 1.2, 2.0, 1.0, 1.0]
    groups = Groups(
        cells=np.array([[[4, 0], [0, 0]]]), scores=np.array([[0.8, 0.0]]), tags=np.array([[1.0]])
    )
    cells, scores = search(heatmaps, tags, groups)
    # 0.9 - round(2), 0.05 - round(0.2), 0.08 - round(1.0): the second cell is best.
    assert cells.tolist() == [[[4, 0], [1, 0]]]
    np.testing.assert_allclose(scores, [[0.8, 0.05]], rtol=1e-6)
    assert groups.scores.tolist() == [[0.8, 0.0]]


def test_a_joint_is_left_missing_where_the_heatmap_is_not_positive(search) -> None:
    groups = Groups(cells=np.zeros((1, 1, 2), int), scores=np.zeros((1, 1)), tags=np.zeros((1, 1)))
    cells, scores = search(
        np.full((1, 2, 2), -0.1, np.float32), np.zeros((1, 1, 2, 2), np.float32), groups
    )
    assert not scores.any()
    assert not cells.any()


def test_two_tags_a_joint_are_compared_by_their_euclidean_distance(search) -> None:
    heatmaps = np.array([[[0.5, 0.4, 0.3]]], dtype=np.float32)
    tags = np.array([[[[1.0, 0.0, 0.3]]], [[[1.0, 1.6, 0.3]]]], dtype=np.float32)
    groups = Groups(
        cells=np.zeros((1, 1, 2), int), scores=np.zeros((1, 1)), tags=np.array([[0.0, 0.0]])
    )
    # Distances 1.41, 1.6 and 0.42: scores -0.5, -1.6, 0.3.
    cells, scores = search(heatmaps, tags, groups)
    assert cells.tolist() == [[[2, 0]]]
    np.testing.assert_allclose(scores, [[0.3]], rtol=1e-6)


@pytest.mark.parametrize("doublings", [(0, 0), (1, 1), (1, 2)])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_arg_max_over_all_pixels(search, seed: int, doublings: tuple[int, int]) -> None:
    # Sides that are no multiple of a block, tags that change slowly, heatmaps of noise.
    rng = np.random.default_rng(seed)
    height, width = 4 * rng.integers(3, 15, 2)
    heatmaps = rng.normal(size=(2, height >> doublings[0], width >> doublings[0]))
    coarse = rng.normal(size=(2, 2, 3, 3)) * 3
    tags = F.interpolate(
        torch.from_numpy(coarse),
        size=(int(height >> doublings[1]), int(width >> doublings[1])),
        mode="bilinear",
    ).numpy()
    heatmaps, tags = (0.3 * heatmaps).astype(np.float32), tags.astype(np.float32)
    means = rng.normal(size=(6, 2)) * 3
    groups = Groups(np.zeros((6, 2, 2), int), np.zeros((6, 2)), means)
    cells, scores = search(heatmaps, tags, groups, doublings=doublings)
    heat, *stacks = (
        Zoomed(maps, steps).whole().astype(np.float64)
        for maps, steps in [(heatmaps, doublings[0]), *((t, doublings[1]) for t in tags)]
    )
    for person, mean in enumerate(means):
        distance = np.sqrt(sum(np.square(t - m) for t, m in zip(stacks, mean, strict=True)))
        values = heat - np.round(distance)
        for joint in range(2):
            y, x = divmod(int(values[joint].argmax()), int(width))
            if heat[joint, y, x] <= 0:
                assert scores[person, joint] == 0
                continue
            assert cells[person, joint].tolist() == [x, y]
            assert scores[person, joint] == pytest.approx(heat[joint, y, x], abs=1e-6)
