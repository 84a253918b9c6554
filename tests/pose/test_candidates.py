"""Candidates: exactly the peaks that max-pooling the whole map would give."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_pose.pose import compiled as compiled_module
from ofa_pose.pose.candidates import find_candidates
from ofa_pose.pose.compiled import kernels
from ofa_pose.pose.settings import DecodeSettings
from ofa_pose.pose.zoom import Zoomed


def find(heatmaps: np.ndarray, **constants: Any):
    tags = np.arange(heatmaps.size, dtype=np.float32).reshape(heatmaps.shape)
    return find_candidates(Zoomed(heatmaps, 0), [Zoomed(tags, 0)], DecodeSettings(**constants))


def test_one_white_cell_is_the_only_candidate() -> None:
    heatmaps = np.zeros((2, 6, 8), dtype=np.float32)
    heatmaps[1, 4, 7] = 0.75
    nothing, one = find(heatmaps)
    assert nothing.cells.shape == (0, 2)
    assert nothing.tags.shape == (0, 1)
    assert one.cells.tolist() == [[7, 4]]
    assert one.scores.tolist() == [0.75]
    assert one.tags.tolist() == [[48 + 4 * 8 + 7]]


def test_a_lower_cell_within_the_window_is_no_candidate() -> None:
    heatmaps = np.zeros((1, 9, 9), dtype=np.float32)
    heatmaps[0, 4, 4] = 1.0
    heatmaps[0, 2, 6] = 0.9  # two cells away in x and y: inside a window of 5
    heatmaps[0, 4, 1] = 0.8  # three away: outside
    assert find(heatmaps)[0].cells.tolist() == [[4, 4], [1, 4]]
    assert find(heatmaps, window=3)[0].cells.tolist() == [[4, 4], [6, 2], [1, 4]]


def test_the_threshold_must_be_exceeded() -> None:
    heatmaps = np.full((1, 1, 1), 0.5, dtype=np.float32)
    assert len(find(heatmaps, threshold=0.5)[0].scores) == 0
    assert len(find(heatmaps, threshold=0.49)[0].scores) == 1


def test_of_equal_neighbours_the_first_stays_and_the_highest_are_kept() -> None:
    heatmaps = np.zeros((1, 3, 30), dtype=np.float32)
    heatmaps[0, 1, 3:5] = 0.5
    heatmaps[0, 0:3, 12] = 0.5
    heatmaps[0, 2, 20] = 0.6
    assert find(heatmaps)[0].cells.tolist() == [[20, 2], [12, 0], [3, 1]]
    assert find(heatmaps, max_people=2)[0].cells.tolist() == [[20, 2], [12, 0]]


def test_a_flat_map_has_few_candidates() -> None:
    assert len(find(np.ones((1, 40, 40), dtype=np.float32))[0].scores) == 1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20)),
    window=st.sampled_from([1, 3, 5, 7]),
    threshold=st.sampled_from([0.0, 0.1, 0.7]),
)
def test_the_same_peaks_as_max_pooling(seed, shape, window, threshold) -> None:
    heatmaps = np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
    maps = torch.from_numpy(heatmaps)
    pooled = F.max_pool2d(maps, window, stride=1, padding=window // 2)
    kept = torch.where(pooled == maps, maps, 0.0).flatten(1)
    for found, values in zip(find(heatmaps, window=window, threshold=threshold), kept, strict=True):
        scores, index = values.topk(min(30, values.numel()))
        index = index[scores > threshold]
        cells = torch.stack([index % shape[2], index // shape[2]], dim=1)
        assert found.cells.tolist() == cells.tolist()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("window", [3, 5, 7])
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.7])
def test_the_same_peaks_as_max_pooling_the_doubled_map(
    compiled: bool, window: int, threshold: float, monkeypatch
) -> None:
    if compiled and kernels() is None:
        pytest.skip("needs numba, of the extra [fast]")
    if not compiled:
        monkeypatch.setattr(compiled_module, "enabled", False)
    rng = np.random.default_rng(window)
    for _ in range(15):
        # Noise, of which no real map consists, has the saddles that a bound might forget.
        shape = (int(rng.integers(1, 4)), *rng.integers(2, 16, 2).tolist())
        maps = rng.uniform(-1, 1, shape).astype(np.float32)
        full = F.interpolate(torch.from_numpy(maps).double()[None], scale_factor=2, mode="bilinear")
        pooled = F.max_pool2d(full, window, stride=1, padding=window // 2)
        peaks = torch.where((pooled == full) & (full > threshold), full, 0.0)[0].flatten(1)
        constants = DecodeSettings(window=window, threshold=threshold)
        found = find_candidates(Zoomed(maps, 1), [Zoomed(maps, 1)], constants)
        for own, values in zip(found, peaks, strict=True):
            scores, index = values.topk(min(30, values.numel()))
            index = index[scores > threshold]
            cells = torch.stack([index % (2 * shape[2]), index // (2 * shape[2])], dim=1)
            assert own.cells.tolist() == cells.tolist()
            np.testing.assert_allclose(own.tags[:, 0], own.scores)


@pytest.mark.parametrize("compiled", [False, True])
def test_equal_pixels_of_a_doubled_map_have_one_candidate(compiled: bool, monkeypatch) -> None:
    if compiled and kernels() is None:
        pytest.skip("needs numba, of the extra [fast]")
    if not compiled:
        monkeypatch.setattr(compiled_module, "enabled", False)
    maps = np.zeros((1, 5, 5), dtype=np.float32)
    maps[0, 2, 2] = 1.0  # its four pixels are equal: 9/16
    maps[0, 0, 4] = 1.0  # in the corner the outer pixel is its whole self
    constants = DecodeSettings(window=5, threshold=0.1)
    (found,) = find_candidates(Zoomed(maps, 1), [Zoomed(maps, 1)], constants)
    assert found.cells.tolist() == [[9, 0], [4, 4]]
    assert found.scores.tolist() == [1.0, 0.5625]


def test_in_a_window_of_1_every_pixel_is_a_candidate() -> None:
    maps = np.array([[[0.4, 0.8]]], dtype=np.float32)
    constants = DecodeSettings(window=1, threshold=0.45)
    (found,) = find_candidates(Zoomed(maps, 1), [Zoomed(maps, 1)], constants)
    # Pixels 0.4, 0.5, 0.7, 0.8 in each of two rows.
    assert found.cells.tolist() == [[3, 0], [3, 1], [2, 0], [2, 1], [1, 0], [1, 1]]
