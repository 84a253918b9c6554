"""Where joints may be: local maxima, looked for only among the cells above threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa_pose.pose.compiled import kernels
from ofa_pose.pose.settings import DecodeSettings
from ofa_pose.pose.zoom import SLACK, Zoomed, between


@dataclass(frozen=True)
class Candidates:
    """Possible positions of one joint, highest score first (M of them).

    Attributes:
        cells: `(M, 2)` int64 x, y of the pixel.
        scores: `(M,)` float64, the heatmap's value there.
        tags: `(M, T)` float64, the tags there.
    """

    cells: np.ndarray
    scores: np.ndarray
    tags: np.ndarray


def find_candidates(
    heatmaps: Zoomed, tags: Sequence[Zoomed], settings: DecodeSettings
) -> list[Candidates]:
    """Return the candidates of each joint, in pixels after doubling.

    A candidate is higher than the threshold and than every pixel of the window around it; of
    equally high pixels in one window the first in reading order stays. It gives the peaks of
    max-pooling the whole map, but looks only at cells above the threshold, and drops most of
    those after their nearest neighbours.

    Args:
        heatmaps: K maps, doubled once or not at all.
        tags: T stacks of K maps of the same size after doubling.
        settings: give the window, the threshold, and how many are kept of a joint (`max_people`).
    """
    window, threshold = settings.window, settings.threshold
    joints = len(heatmaps.maps)
    height, width = heatmaps.size
    if window == 1:  # every pixel is a candidate, not only local maxima
        heatmaps = Zoomed(heatmaps.whole(), 0)
    if heatmaps.doublings:
        index, scores = _doubled_maxima(heatmaps, window=window, threshold=threshold)
    else:
        values = heatmaps.maps.ravel()
        index = np.flatnonzero(values > threshold)
        index = _local_maxima(values, index, heatmaps.maps.shape, window=window)
        scores = values[index].astype(np.float64)
    joint_of = index // (height * width)
    order = np.lexsort((index, -scores, joint_of))
    bounds = np.searchsorted(joint_of[order], np.arange(joints + 1))
    stops = np.minimum(bounds[1:], bounds[:-1] + settings.max_people)
    order = np.concatenate(
        [order[start:stop] for start, stop in zip(bounds[:-1], stops, strict=True)]
    )
    index, scores, joint_of = index[order], scores[order], joint_of[order]
    y, x = np.divmod(index % (height * width), width)
    cells = np.stack([x, y], axis=1)
    own_tags = np.stack([maps.at(joint_of, y, x) for maps in tags], axis=1)
    splits = np.cumsum(stops - bounds[:-1])[:-1]
    return [
        Candidates(*parts)
        for parts in zip(
            *(np.split(values, splits) for values in (cells, scores, own_tags)), strict=True
        )
    ]


def _doubled_maxima(
    heatmaps: Zoomed, *, window: int, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return flat indices and values of the local maxima of maps that are doubled once.

    Let a local maximum be the pixel of cell h that leans to its neighbours a and b and, across
    the corner, to c: (9h + 3a + 3b + c) / 16. It is no lower than the corner pixels of a, b and
    c, which are mixed of the same four cells and lie in any window of 3. Hence 3a + c <= 3h + b,
    3b + c <= 3h + a and c <= h, which together give a + b + c <= 3h and a maximum of at most
    (9h - c) / 8. So h is at least (8 threshold + lowest cell) / 9, and what does not meet these
    conditions need not be looked at any further.
    """
    maps = heatmaps.maps
    _, height, width = maps.shape
    least = (8 * threshold + float(maps.min())) / 9 - SLACK
    compiled = kernels()
    if compiled is not None:
        return compiled.maxima(maps, float(threshold), least, window // 2)
    index = np.flatnonzero(maps.ravel() > least)
    corners, neighbours = _corners(maps, index)
    best = corners.argmax(axis=0)
    values = np.take_along_axis(corners, best[None], axis=0)[0]
    own = maps.ravel()[index].astype(np.float64)
    a, b, c = (np.take_along_axis(part, best[None], axis=0)[0] for part in neighbours)
    stays = values > threshold
    stays &= (c <= own) & (a + b + c <= 3 * own)
    stays &= (3 * a + c <= 3 * own + b) & (3 * b + c <= 3 * own + a)
    index, best, values = index[stays], best[stays], values[stays]
    rows, x = np.divmod(index, width)
    joint, y = np.divmod(rows, height)
    y, x = 2 * y + best // 2, 2 * x + best % 2
    highest = _is_highest(heatmaps, joint, y, x, window=window)
    pixels = (joint * 2 * height + y) * 2 * width + x
    return pixels[highest], values[highest]


def _corners(
    maps: np.ndarray, index: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return the four pixels `(4, M)` of M cells, and the neighbours each of them is mixed of.

    The pixels are in reading order; the neighbours, `(4, M)` each, are those beside the cell,
    above or below it, and across the corner.
    """
    _, height, width = maps.shape
    values = maps.ravel()
    rows, x = np.divmod(index, width)
    y = rows % height
    left, right = -(x > 0).astype(np.int64), (x < width - 1).astype(np.int64)
    up, down = -width * (y > 0), width * (y < height - 1)
    own = values[index].astype(np.float64)
    beside = [values[index + step].astype(np.float64) for step in (left, right)]
    above = [values[index + step].astype(np.float64) for step in (up, down)]
    across = [
        values[index + vertical + horizontal].astype(np.float64)
        for vertical in (up, down)
        for horizontal in (left, right)
    ]
    a = np.stack([*beside, *beside])
    b = np.stack([above[0], above[0], above[1], above[1]])
    c = np.stack(across)
    return (9 * own + 3 * a + 3 * b + c) / 16, (a, b, c)


def _is_highest(
    heatmaps: Zoomed, joint: np.ndarray, y: np.ndarray, x: np.ndarray, *, window: int
) -> np.ndarray:
    """Return `(M,)` bool: no pixel of the window is higher, and no earlier one as high."""
    height, width = heatmaps.size
    radius = window // 2
    # The cells whose pixels the window can reach, and one more to each side to mix them with.
    reach = radius // 2 + 1
    side = 2 * reach + 1
    tiles = between(heatmaps.tiles(joint, y // 2 - reach, x // 2 - reach, side=side))
    # The pixel itself is at 2 * reach - 1, or one further if it is its cell's second.
    offsets = np.arange(-radius, radius + 1)
    rows = (y % 2)[:, None] + 2 * reach - 1 + offsets
    columns = (x % 2)[:, None] + 2 * reach - 1 + offsets
    pick = np.arange(len(joint))[:, None, None]
    values = tiles[pick, rows[:, :, None], columns[:, None, :]]
    own = values[:, radius, radius, None, None]
    # Beyond the border lies a copy of it, which is no other pixel.
    order = np.clip(y[:, None] + offsets, 0, height - 1)[:, :, None] * width
    order = order + np.clip(x[:, None] + offsets, 0, width - 1)[:, None, :]
    earlier = order < (y * width + x)[:, None, None]
    return ((values < own) | ((values == own) & ~earlier)).all(axis=(1, 2))


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
