"""Maps seen at the size of the network's input, but computed only where somebody looks.

Doubling a map bilinearly (`align_corners=False`) mixes a cell and its neighbour 3 : 1 in x and in
y. Everything here does that in float64, one operation after the other, so that the result is the
same on every machine; it is the published full-size map but for the last bits of float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ofa_pose.errors import UsageError

BLOCK = 16
"""Side, in pixels, of the squares that `Zoomed.blocks` computes."""

SLACK = 1e-6
"""How far a bound may be off because of rounding."""


@dataclass(frozen=True)
class Zoomed:
    """Maps `(K, h, w)` float32 as they look after `doublings` bilinear doublings.

    Attributes:
        maps: contiguous.
        doublings: 0, 1 or 2.

    Raises:
        UsageError: another number of doublings.
    """

    maps: np.ndarray
    doublings: int

    def __post_init__(self) -> None:
        if self.doublings not in (0, 1, 2):
            raise UsageError(f"maps can be doubled 0 to 2 times, got {self.doublings}")

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) after doubling."""
        _, height, width = self.maps.shape
        return height << self.doublings, width << self.doublings

    def whole(self) -> np.ndarray:
        """Return every pixel, `(K, H, W)` float32."""
        maps = self.maps
        for _ in range(self.doublings):
            maps = doubled(maps)
        return maps

    def at(self, joints: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return `(M,)` values at M pixels."""
        shift = self.doublings
        own_y, own_x = rows >> shift, columns >> shift
        # Three cells give 2^d + 2 pixels, the first of them just before the cell in the middle.
        tiles = self.tiles(joints, own_y - 1, own_x - 1, side=3)
        for _ in range(shift):
            tiles = between(tiles)
        y, x = rows - (own_y << shift), columns - (own_x << shift)
        return tiles[np.arange(len(joints)), 1 + y, 1 + x]

    def blocks(self, joints: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return `(M, BLOCK, BLOCK)` values of M blocks; block (0, 0) begins at pixel (0, 0)."""
        cells = BLOCK >> self.doublings
        tiles = self.tiles(joints, rows * cells - 1, columns * cells - 1, side=cells + 2)
        for _ in range(self.doublings):
            tiles = between(tiles)
        return tiles[:, 1:-1, 1:-1]

    def block_bounds(self, *, upper: bool) -> np.ndarray:
        """Return `(K, rows, columns)`: no pixel of a block is higher (or lower) than this."""
        bound = np.maximum if upper else np.minimum
        cells = BLOCK >> self.doublings
        _, height, width = self.maps.shape
        missing = [(-side) % cells for side in (height, width)]
        maps = self.maps
        if any(missing):
            maps = np.pad(maps, ((0, 0), (0, missing[0]), (0, missing[1])), mode="edge")
        joints, height, width = maps.shape
        # A pixel mixes cells of its block and of the line before or after it.
        lines = bound.reduce(maps.reshape(joints, -1, cells, width), axis=2)
        bound(lines[:, 1:], maps[:, cells - 1 : -1 : cells], out=lines[:, 1:])
        bound(lines[:, :-1], maps[:, cells::cells], out=lines[:, :-1])
        bounds = bound.reduce(lines.reshape(joints, lines.shape[1], -1, cells), axis=3)
        bound(bounds[..., 1:], lines[..., cells - 1 : -1 : cells], out=bounds[..., 1:])
        bound(bounds[..., :-1], lines[..., cells::cells], out=bounds[..., :-1])
        return bounds.astype(np.float64)

    def tiles(
        self, joints: np.ndarray, top: np.ndarray, left: np.ndarray, *, side: int
    ) -> np.ndarray:
        """Return `(M, side, side)` float64 squares of cells; beyond the border lies a copy of it.

        Args:
            joints: `(M,)` which map.
            top: `(M,)` first row.
            left: `(M,)` first column.
            side: cells.
        """
        _, height, width = self.maps.shape
        reach = np.arange(side)
        rows = np.clip(top[:, None] + reach, 0, height - 1)
        columns = np.clip(left[:, None] + reach, 0, width - 1)
        index = ((joints[:, None] * height + rows) * width)[:, :, None] + columns[:, None, :]
        return self.maps.ravel()[index].astype(np.float64)


def between(tiles: np.ndarray) -> np.ndarray:
    """Double `(M, n, n)` squares where both neighbours are known: `(M, 2n - 2, 2n - 2)`.

    The first pixel is the second one of the first cell.
    """
    near, far = 0.75 * tiles, 0.25 * tiles
    count, side, _ = tiles.shape
    rows = np.empty((count, side - 1, 2, side))
    np.add(near[:, :-1], far[:, 1:], out=rows[:, :, 0])
    np.add(near[:, 1:], far[:, :-1], out=rows[:, :, 1])
    rows = rows.reshape(count, 2 * side - 2, side)
    near, far = 0.75 * rows, 0.25 * rows
    cells = np.empty((count, 2 * side - 2, side - 1, 2))
    np.add(near[..., :-1], far[..., 1:], out=cells[..., 0])
    np.add(near[..., 1:], far[..., :-1], out=cells[..., 1])
    return cells.reshape(count, 2 * side - 2, 2 * side - 2)


def doubled(maps: np.ndarray) -> np.ndarray:
    """Return maps `(K, h, w)` float32 doubled bilinearly as a whole, `(K, 2h, 2w)` float32."""
    joints, height, width = maps.shape
    near, far = np.float32(0.75) * maps, np.float32(0.25) * maps
    rows = np.empty((joints, height, 2, width), dtype=np.float32)
    np.add(near[:, 1:], far[:, :-1], out=rows[:, 1:, 0])
    np.add(near[:, :-1], far[:, 1:], out=rows[:, :-1, 1])
    rows[:, 0, 0], rows[:, -1, 1] = maps[:, 0], maps[:, -1]
    lines = rows.reshape(joints, 2 * height, width)
    near, far = np.float32(0.75) * lines, np.float32(0.25) * lines
    cells = np.empty((joints, 2 * height, width, 2), dtype=np.float32)
    np.add(near[..., 1:], far[..., :-1], out=cells[..., 1:, 0])
    np.add(near[..., :-1], far[..., 1:], out=cells[..., :-1, 1])
    cells[..., 0, 0], cells[..., -1, 1] = lines[..., 0], lines[..., -1]
    return cells.reshape(joints, 2 * height, 2 * width)
