"""Where exactly a joint is within its cell, and the search for joints that were missed."""

from __future__ import annotations

import numpy as np

from ofa_pose.pose.grouping import Groups

_QUARTER = 0.25
"""Cells that a joint moves towards the higher neighbour, since Newell et al. (ECCV 2016)."""


def positions(
    heatmaps: np.ndarray, joints: np.ndarray, cells: np.ndarray, *, reference: bool
) -> np.ndarray:
    """Return continuous x, y `(M, 2)` of cells; the centre of cell (0, 0) is (0.5, 0.5).

    In x and in y a joint moves to the top of the parabola through its cell and the two
    neighbours, by half a cell at most; at the border it stays at the centre. With `reference`
    it moves, as published, a quarter of a cell towards the higher neighbour, and left or up if
    both are equal; beyond the border lies a copy of the cell.

    Args:
        heatmaps: `(K, H, W)`.
        joints: `(M,)` which map each cell lies in.
        cells: `(M, 2)` int x, y.
        reference: see above.
    """
    _, height, width = heatmaps.shape
    x, y = cells[:, 0], cells[:, 1]
    middle = heatmaps[joints, y, x]
    before = np.stack(
        [
            heatmaps[joints, y, np.maximum(x - 1, 0)],
            heatmaps[joints, np.maximum(y - 1, 0), x],
        ],
        axis=1,
    )
    after = np.stack(
        [
            heatmaps[joints, y, np.minimum(x + 1, width - 1)],
            heatmaps[joints, np.minimum(y + 1, height - 1), x],
        ],
        axis=1,
    )
    if reference:
        return cells + 0.5 + np.where(after > before, _QUARTER, -_QUARTER)
    curvature = 2 * middle[:, None] - before - after
    offset = (after - before) / np.maximum(2 * curvature, 1e-12)
    inside = (cells > 0) & (cells < [width - 1, height - 1])
    return cells + 0.5 + np.where(inside, np.clip(offset, -0.5, 0.5), 0.0)


def add_missing(
    heatmaps: np.ndarray, tags: np.ndarray, groups: Groups
) -> tuple[np.ndarray, np.ndarray]:
    """Return `groups`' cells and scores with the joints that grouping missed.

    A missing joint is taken from the arg max of `heatmap - round(distance of the tags there to
    the person's mean tags)`, if the heatmap there is positive. Source: HigherHRNet's code.

    Args:
        heatmaps: `(K, H, W)`.
        tags: `(T, K, H, W)`.
        groups: P people.

    Returns:
        cells `(P, K, 2)` int64 and scores `(P, K)`.
    """
    cells, scores = groups.cells.copy(), groups.scores.copy()
    width = heatmaps.shape[2]
    buffers = np.empty((2, *heatmaps.shape[1:]), dtype=heatmaps.dtype)
    for person, joint in np.argwhere(groups.scores == 0):
        best = _best_cell(heatmaps[joint], tags[:, joint], groups.tags[person], buffers=buffers)
        y, x = divmod(best, width)
        score = heatmaps[joint, y, x]
        if score > 0:
            cells[person, joint] = x, y
            scores[person, joint] = score
    return cells, scores


def _best_cell(
    heatmap: np.ndarray, tags: np.ndarray, mean: np.ndarray, *, buffers: np.ndarray
) -> int:
    """Return the flat index of the arg max of `heatmap - round(|tags - mean|)`.

    It runs for each missing joint of each person over the whole map, hence the `buffers`.
    """
    distance, part = buffers
    mean = mean.astype(tags.dtype)
    np.subtract(tags[0], mean[0], out=distance)
    if len(tags) == 1:
        np.abs(distance, out=distance)
    else:
        np.square(distance, out=distance)
        for other, centre in zip(tags[1:], mean[1:], strict=True):
            np.subtract(other, centre, out=part)
            np.square(part, out=part)
            np.add(distance, part, out=distance)
        np.sqrt(distance, out=distance)
    np.rint(distance, out=distance)
    np.subtract(heatmap, distance, out=distance)
    return int(distance.argmax())
