"""Where exactly a joint is: the quarter-cell shift, and the search for joints that were missed."""

from __future__ import annotations

import numpy as np

from ofa_pose.pose.grouping import Groups


def positions(
    heatmaps: np.ndarray,
    joints: np.ndarray,
    cells: np.ndarray,
    *,
    shift: float,
    reference: bool,
) -> np.ndarray:
    """Return continuous x, y `(M, 2)` of cells: their centre, moved towards the higher neighbour.

    The centre of cell (0, 0) is (0.5, 0.5). Between equally high neighbours a joint does not
    move; with `reference` it moves down in x or y, as published.

    Args:
        heatmaps: `(K, H, W)`.
        joints: `(M,)` which map each cell lies in.
        cells: `(M, 2)` int x, y.
        shift: how far to move, in cells.
        reference: see above.
    """
    _, height, width = heatmaps.shape
    x, y = cells[:, 0], cells[:, 1]
    right = heatmaps[joints, y, np.minimum(x + 1, width - 1)]
    left = heatmaps[joints, y, np.maximum(x - 1, 0)]
    below = heatmaps[joints, np.minimum(y + 1, height - 1), x]
    above = heatmaps[joints, np.maximum(y - 1, 0), x]
    slope = np.stack([np.sign(right - left), np.sign(below - above)], axis=1)
    if reference:
        slope[slope == 0] = -1
    return cells + 0.5 + shift * slope


def add_missing(
    heatmaps: np.ndarray, tags: np.ndarray, groups: Groups
) -> tuple[np.ndarray, np.ndarray]:
    """Return `groups`' cells and scores with the joints that grouping missed.

    A missing joint is taken from the arg max of `heatmap - round(distance of the tags there to
    the person's mean tags)`, if the heatmap there is positive. Source: HigherHRNet's code.

    Args:
        heatmaps: `(K, H, W)`.
        tags: `(K, H, W, T)`.
        groups: P people.

    Returns:
        cells `(P, K, 2)` int64 and scores `(P, K)`.
    """
    cells, scores = groups.cells.copy(), groups.scores.copy()
    width = heatmaps.shape[2]
    for person, joint in np.argwhere(groups.scores == 0):
        best = _best_cell(heatmaps[joint], tags[joint], groups.tags[person])
        y, x = divmod(best, width)
        score = heatmaps[joint, y, x]
        if score > 0:
            cells[person, joint] = x, y
            scores[person, joint] = score
    return cells, scores


def _best_cell(heatmap: np.ndarray, tags: np.ndarray, mean: np.ndarray) -> int:
    """Return the flat index of the arg max of `heatmap - round(|tags - mean|)`."""
    if tags.shape[-1] == 1:
        distance = np.abs(tags[..., 0] - heatmap.dtype.type(mean[0]))
    else:
        distance = np.sqrt(np.square(tags - mean.astype(tags.dtype)).sum(axis=-1))
    np.rint(distance, out=distance)
    np.subtract(heatmap, distance, out=distance)
    return int(distance.argmax())
