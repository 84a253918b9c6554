"""Where exactly a joint is within its pixel, and the search for joints that were missed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ofa_pose.pose.compiled import kernels
from ofa_pose.pose.grouping import Groups
from ofa_pose.pose.settings import PUBLISHED
from ofa_pose.pose.zoom import BLOCK, SLACK, Zoomed

_QUARTER = PUBLISHED["shift"].value
_AT_ONCE = 256
"""Blocks computed together: enough to be fast, few enough to stay in the processor's cache."""


def positions(heatmaps: Zoomed, joints: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return continuous x, y `(M, 2)` of pixels; the centre of pixel (0, 0) is (0.5, 0.5).

    In x and in y a joint moves to the top of the parabola through the map's cells along the
    pixel's row or column if that lies in its pixel, else, as published, a quarter of a pixel
    towards the higher neighbour. So it is never farther than a quarter from where the published
    decoder puts it. At the border it stays at the pixel's centre.

    Args:
        heatmaps: K maps.
        joints: `(M,)` which map each pixel lies in.
        cells: `(M, 2)` int x, y of the pixels.
    """
    shift = heatmaps.doublings
    own = cells >> shift
    tiles = heatmaps.tiles(joints, own[:, 1] - 1, own[:, 0] - 1, side=3)
    if shift:
        # Along a row of pixels the values of a cell's columns are mixed of two of its rows.
        x_side, y_side = (2 * (cells & 1)).T
        pick = np.arange(len(cells))
        along_x = 0.75 * tiles[:, 1] + 0.25 * tiles[pick, y_side]
        along_y = 0.75 * tiles[:, :, 1] + 0.25 * tiles[pick, :, x_side]
    else:
        along_x, along_y = tiles[:, 1], tiles[:, :, 1]
    profiles = np.stack([along_x, along_y], axis=1)
    before, middle, after = np.moveaxis(profiles, 2, 0)
    curvature = 2 * middle - before - after
    with np.errstate(divide="ignore", invalid="ignore"):
        top = (own + 0.5 + (after - before) / (2 * curvature)) * (1 << shift)
    if shift:
        second = (cells & 1).astype(bool)
        rises = np.where(second, 3 * after > 2 * middle + before, after + 2 * middle > 3 * before)
    else:
        rises = after > before
    quarter = cells + 0.5 + np.where(rises, _QUARTER, -_QUARTER)
    found = np.where((curvature > 0) & (top >= cells) & (top <= cells + 1), top, quarter)
    _, height, width = heatmaps.maps.shape
    inside = (own > 0) & (own < [width - 1, height - 1])
    return np.where(inside, found, cells + 0.5)


def add_missing(
    heatmaps: Zoomed, tags: Sequence[Zoomed], groups: Groups
) -> tuple[np.ndarray, np.ndarray]:
    """Return `groups`' cells and scores with the joints that grouping missed.

    A missing joint is taken from the first arg max over all pixels of `heatmap - round(distance
    of the tags there to the person's mean tags)`, if the heatmap there is positive. Source:
    HigherHRNet's code. Blocks of pixels that cannot hold it are not computed.

    Args:
        heatmaps: K maps.
        tags: T stacks of K maps.
        groups: P people.

    Returns:
        cells `(P, K, 2)` int64 and scores `(P, K)`.
    """
    cells, scores = groups.cells.copy(), groups.scores.copy()
    people, joints = np.nonzero(groups.scores == 0)
    if len(people) == 0:
        return cells, scores
    means = groups.tags[people]
    compiled = kernels()
    if compiled is None:
        pixels, found = _Search(heatmaps, tags, joints, means).run()
    else:
        pixels, found = compiled.search(
            heatmaps.maps,
            heatmaps.doublings,
            np.stack([maps.maps for maps in tags]),
            tags[0].doublings,
            heatmaps.block_bounds(upper=True),
            np.stack([maps.block_bounds(upper=False) for maps in tags]),
            np.stack([maps.block_bounds(upper=True) for maps in tags]),
            joints,
            means,
        )
    positive = found > 0
    people, joints = people[positive], joints[positive]
    y, x = np.divmod(pixels[positive], heatmaps.size[1])
    cells[people, joints] = np.stack([x, y], axis=1)
    scores[people, joints] = found[positive]
    return cells, scores


class _Search:
    """The arg max of `heatmap - round(tag distance)` for n pairs of a joint and mean tags.

    For each pair every block has a bound that none of its pixels exceeds. The block of highest
    bound is computed first, then all those whose bound reaches the best pixel so far.

    Attributes:
        pixels: `(n,)` flat index of the best pixel in its map.
        scores: `(n,)` the heatmap there.
        best: `(n,)` what is highest there.
    """

    def __init__(
        self, heatmaps: Zoomed, tags: Sequence[Zoomed], joints: np.ndarray, means: np.ndarray
    ) -> None:
        self.heatmaps, self.tags = heatmaps, tags
        self.joints, self.means = joints, means
        self.pixels = np.zeros(len(joints), dtype=np.int64)
        self.scores = np.zeros(len(joints))
        self.best = np.full(len(joints), -np.inf)

    def run(self) -> tuple[np.ndarray, np.ndarray]:
        """Return `pixels` and `scores`."""
        bounds = self._bounds()
        pairs = np.arange(len(bounds))
        first = bounds.argmax(axis=1)
        self._look(pairs, first)
        bounds[pairs, first] = -np.inf
        while True:
            pairs, blocks = np.nonzero(bounds >= self.best[:, None])
            if len(pairs) == 0:
                return self.pixels, self.scores
            order = np.argsort(-bounds[pairs, blocks], kind="stable")[:_AT_ONCE]
            pairs, blocks = pairs[order], blocks[order]
            self._look(pairs, blocks)
            bounds[pairs, blocks] = -np.inf

    def _bounds(self) -> np.ndarray:
        """Return `(n, blocks)` what no pixel of a block exceeds."""
        highest = self.heatmaps.block_bounds(upper=True)
        squares = np.zeros((len(self.joints), highest[0].size))
        for maps, mean in zip(self.tags, self.means.T, strict=True):
            low = maps.block_bounds(upper=False).reshape(len(highest), -1)[self.joints]
            high = maps.block_bounds(upper=True).reshape(len(highest), -1)[self.joints]
            outside = np.maximum(low - mean[:, None], mean[:, None] - high)
            squares += np.square(np.maximum(outside - SLACK, 0.0))
        highest = highest.reshape(len(highest), -1)[self.joints]
        return highest - np.rint(np.sqrt(squares)) + SLACK

    def _look(self, pairs: np.ndarray, blocks: np.ndarray) -> None:
        """Compute blocks, one for each entry of `pairs`, and keep what is better."""
        for start in range(0, len(pairs), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            self._look_at_once(pairs[part], blocks[part])

    def _look_at_once(self, pairs: np.ndarray, blocks: np.ndarray) -> None:
        height, width = self.heatmaps.size
        rows, columns = np.divmod(blocks, -(-width // BLOCK))
        joints = self.joints[pairs]
        heat = self.heatmaps.blocks(joints, rows, columns)
        squares = np.zeros_like(heat)
        for maps, mean in zip(self.tags, self.means[pairs].T, strict=True):
            squares += np.square(maps.blocks(joints, rows, columns) - mean[:, None, None])
        values = heat - np.rint(np.sqrt(squares))
        reach = np.arange(BLOCK)
        y, x = rows[:, None] * BLOCK + reach, columns[:, None] * BLOCK + reach
        values[(y >= height)[:, :, None] | (x >= width)[:, None, :]] = -np.inf
        flat = values.reshape(len(pairs), -1)
        within = flat.argmax(axis=1)
        pick = np.arange(len(pairs))
        highest, scores = flat[pick, within], heat.reshape(len(pairs), -1)[pick, within]
        pixels = y[pick, within // BLOCK] * width + x[pick, within % BLOCK]
        # Best first, and of equals the first in reading order; so each pair's first entry counts.
        order = np.lexsort((pixels, -highest, pairs))
        _, firsts = np.unique(pairs[order], return_index=True)
        kept = order[firsts]
        own = pairs[kept]
        better = (highest[kept] > self.best[own]) | (
            (highest[kept] == self.best[own]) & (pixels[kept] < self.pixels[own])
        )
        kept, own = kept[better], own[better]
        self.best[own], self.pixels[own] = highest[kept], pixels[kept]
        self.scores[own] = scores[kept]
