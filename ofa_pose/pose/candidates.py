"""Where joints may be: local maxima, looked for only among the cells above threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Candidates:
    """Possible positions of one joint, highest score first (M of them).

    Attributes:
        cells: `(M, 2)` int64 x, y of the cell.
        scores: `(M,)` the heatmap's value there.
        tags: `(M, T)` the tags there.
    """

    cells: np.ndarray
    scores: np.ndarray
    tags: np.ndarray


def find_candidates(
    heatmaps: np.ndarray, tags: np.ndarray, *, window: int, count: int, threshold: float
) -> list[Candidates]:
    """Return the candidates of each joint.

    A candidate is higher than `threshold` and than every cell of the `window` around it; of
    equally high cells in one window the first in reading order stays. It gives the peaks of
    max-pooling the whole map, but looks only at cells above the threshold, and drops most of
    those after their nearest neighbours.

    Args:
        heatmaps: `(K, H, W)`.
        tags: `(T, K, H, W)`.
        window: odd side of the square in which only one maximum may stand.
        count: candidates kept of a joint; the highest.
        threshold: score that a candidate must exceed.
    """
    joints, height, width = heatmaps.shape
    values = heatmaps.ravel()
    index = _local_maxima(values, np.flatnonzero(values > threshold), heatmaps.shape, window=window)
    scores = values[index]
    joint_of = index // (height * width)
    order = np.lexsort((index, -scores, joint_of))
    index, scores = index[order], scores[order]
    bounds = np.searchsorted(joint_of[order], np.arange(joints + 1))
    flat_tags = tags.reshape(len(tags), -1)
    found = []
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        best = index[start : min(stop, start + count)]
        y, x = np.divmod(best % (height * width), width)
        found.append(
            Candidates(
                cells=np.stack([x, y], axis=1),
                scores=values[best],
                tags=flat_tags[:, best].T.astype(np.float64),
            )
        )
    return found


def _local_maxima(
    values: np.ndarray, index: np.ndarray, shape: tuple[int, ...], *, window: int
) -> np.ndarray:
    """Return those flat indices of `index` whose value no cell of their window beats."""
    _, height, width = shape
    radius = window // 2
    reach = range(-radius, radius + 1)
    offsets = sorted(
        ((dy, dx) for dy in reach for dx in reach if dy or dx), key=lambda d: d[0] ** 2 + d[1] ** 2
    )
    rows, x = np.divmod(index, width)
    y = rows % height
    for dy, dx in offsets:
        # At the border the neighbour is clamped into the map, where it is still in the window.
        step_y = np.clip(y + dy, 0, height - 1) - y
        step_x = np.clip(x + dx, 0, width - 1) - x
        neighbour = index + step_y * width + step_x
        mine, other = values[index], values[neighbour]
        stays = (other < mine) | ((other == mine) & (neighbour >= index))
        index, y, x = index[stays], y[stays], x[stays]
    return index
