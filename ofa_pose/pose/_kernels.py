"""The compiled loops of decoding; importing this file needs numba.

Each does what the numpy code beside its caller does, operation by operation in the same order,
so that the results are the same to the last bit. Nothing is reassociated or fused (no fastmath).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from ofa_pose.pose.zoom import BLOCK, SLACK

_LOG = logging.getLogger(__name__)


def _kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function, and keep the result for other processes where that may be written."""
    try:
        return njit(cache=True)(function)
    except RuntimeError as error:
        _LOG.info("compiled anew in every process: %s", error)
        return njit(function)


@njit(inline="always")
def _mixed(maps, joint, y, x):
    """Return pixel y, x of maps `(K, h, w)` doubled once."""
    own_y, own_x = y >> 1, x >> 1
    other_y = min(max(own_y + 2 * (y & 1) - 1, 0), maps.shape[1] - 1)
    other_x = min(max(own_x + 2 * (x & 1) - 1, 0), maps.shape[2] - 1)
    own = 0.75 * np.float64(maps[joint, own_y, own_x]) + 0.25 * np.float64(
        maps[joint, other_y, own_x]
    )
    other = 0.75 * np.float64(maps[joint, own_y, other_x]) + 0.25 * np.float64(
        maps[joint, other_y, other_x]
    )
    return 0.75 * own + 0.25 * other


@njit(inline="always")
def _pixel(maps, doublings, joint, y, x):
    """Return pixel y, x of maps `(K, h, w)` doubled 0 to 2 times."""
    if doublings == 0:
        return np.float64(maps[joint, y, x])
    if doublings == 1:
        return _mixed(maps, joint, y, x)
    own_y, own_x = y >> 1, x >> 1
    other_y = min(max(own_y + 2 * (y & 1) - 1, 0), 2 * maps.shape[1] - 1)
    other_x = min(max(own_x + 2 * (x & 1) - 1, 0), 2 * maps.shape[2] - 1)
    own = 0.75 * _mixed(maps, joint, own_y, own_x) + 0.25 * _mixed(maps, joint, other_y, own_x)
    other = 0.75 * _mixed(maps, joint, own_y, other_x) + 0.25 * _mixed(
        maps, joint, other_y, other_x
    )
    return 0.75 * own + 0.25 * other


@njit(inline="always")
def _bound(highest, lowest_tag, highest_tag, joint, row, column, means):
    """Return what no pixel of a block exceeds."""
    squares = 0.0
    for tag in range(len(means)):
        outside = max(
            lowest_tag[tag, joint, row, column] - means[tag],
            means[tag] - highest_tag[tag, joint, row, column],
        )
        outside = max(outside - SLACK, 0.0)
        squares += outside * outside
    return highest[joint, row, column] - np.rint(math.sqrt(squares)) + SLACK


@njit(inline="always")
def _look(heat, heat_doublings, tags, tag_doublings, joint, means, cell_y, cell_x, best):
    """Return what is best among the pixels of a cell and `best`: value, pixel, heatmap there."""
    value, pixel, score = best
    width = heat.shape[2] << heat_doublings
    for corner in range(1 << 2 * heat_doublings):
        y = (cell_y << heat_doublings) + (corner >> 1)
        x = (cell_x << heat_doublings) + (corner & 1)
        own_score = _pixel(heat, heat_doublings, joint, y, x)
        if own_score < value:
            continue
        squares = 0.0
        for tag in range(len(means)):
            offset = _pixel(tags, tag_doublings, tag, y, x) - means[tag]
            squares += offset * offset
        own_value = own_score - np.rint(math.sqrt(squares))
        own_pixel = y * width + x
        if own_value > value or (own_value == value and own_pixel < pixel):
            value, pixel, score = own_value, own_pixel, own_score
    return value, pixel, score


@_kept
def search(
    heat, heat_doublings, tags, tag_doublings, highest, lowest_tag, highest_tag, joints, means
):
    """Return pixel and heatmap value of each pair's arg max of `heat - round(tag distance)`.

    Args:
        heat: `(K, h, w)` float32.
        heat_doublings: of `heat`, 0 or 1.
        tags: `(T, K, h', w')` float32.
        tag_doublings: of `tags`, 0 to 2.
        highest: `(K, rows, columns)` bound of the heatmap in each block.
        lowest_tag: `(T, K, rows, columns)` bound of the tags in each block.
        highest_tag: likewise.
        joints: `(n,)`.
        means: `(n, T)`.
    """
    count = len(joints)
    _, rows, columns = highest.shape
    cells = BLOCK >> heat_doublings
    # A pixel takes so much of its value from its cell, the rest from cells of the block's bound.
    own_part = 1.0 if heat_doublings == 0 else 9 / 16
    pixels = np.zeros(count, np.int64)
    scores = np.zeros(count)
    for pair in range(count):
        joint, mean = joints[pair], means[pair]
        own_tags = tags[:, joint]
        first, first_bound = 0, -np.inf
        for block in range(rows * columns):
            row, column = block // columns, block % columns
            if highest[joint, row, column] + SLACK > first_bound:
                bound = _bound(highest, lowest_tag, highest_tag, joint, row, column, mean)
                if bound > first_bound:
                    first, first_bound = block, bound
        # The most promising block first, then all that can still be better.
        best = (-np.inf, 0, 0.0)
        for turn in range(-1, rows * columns):
            block = first if turn < 0 else turn
            row, column = block // columns, block % columns
            top, bottom = row * cells, min((row + 1) * cells, heat.shape[1])
            left, right = column * cells, min((column + 1) * cells, heat.shape[2])
            if turn < 0:
                seed_y, seed_x = top, left
                for y in range(top, bottom):
                    for x in range(left, right):
                        if heat[joint, y, x] > heat[joint, seed_y, seed_x]:
                            seed_y, seed_x = y, x
                best = _look(
                    heat, heat_doublings, own_tags, tag_doublings, joint, mean, seed_y, seed_x, best
                )
            elif (
                block == first
                or highest[joint, row, column] + SLACK < best[0]
                or _bound(highest, lowest_tag, highest_tag, joint, row, column, mean) < best[0]
            ):
                continue
            rest = (1 - own_part) * (highest[joint, row, column] + SLACK)
            for y in range(top, bottom):
                least = (best[0] - rest) / own_part - SLACK
                for x in range(left, right):
                    if heat[joint, y, x] >= least:
                        best = _look(
                            heat, heat_doublings, own_tags, tag_doublings, joint, mean, y, x, best
                        )
        pixels[pair] = best[1]
        scores[pair] = best[2]
    return pixels, scores


@_kept
def blend(low, high, factor):
    """Return `(low doubled + high) * factor`, all float32.

    Args:
        low: `(K, h, w)`.
        high: `(K, 2h, 2w)`.
        factor: float32.
    """
    joints, height, width = low.shape
    near, far = np.float32(0.75), np.float32(0.25)
    mixed = np.empty_like(high)
    line = np.empty(width, np.float32)
    for joint in range(joints):
        for y in range(2 * height):
            own, other = y >> 1, (y >> 1) + 2 * (y & 1) - 1
            if 0 <= other < height:
                for x in range(width):
                    line[x] = near * low[joint, own, x] + far * low[joint, other, x]
            else:
                for x in range(width):
                    line[x] = low[joint, own, x]
            row, out = high[joint, y], mixed[joint, y]
            out[0] = (line[0] + row[0]) * factor
            for x in range(1, width):
                out[2 * x] = (near * line[x] + far * line[x - 1] + row[2 * x]) * factor
            for x in range(width - 1):
                out[2 * x + 1] = (near * line[x] + far * line[x + 1] + row[2 * x + 1]) * factor
            out[2 * width - 1] = (line[width - 1] + row[2 * width - 1]) * factor
    return mixed


@_kept
def maxima(maps, threshold, least, radius):
    """Return flat pixel indices and values of the local maxima of maps that are doubled once.

    Args:
        maps: `(K, h, w)` float32.
        threshold: that a maximum must exceed.
        least: that the cell of a maximum must exceed.
        radius: pixels to each side of which no other may be higher, nor as high and earlier.
    """
    joints, height, width = maps.shape
    room = 1024
    index, values = np.empty(room, np.int64), np.empty(room)
    count = 0
    for joint in range(joints):
        for cell_y in range(height):
            for cell_x in range(width):
                if maps[joint, cell_y, cell_x] <= least:
                    continue
                own = np.float64(maps[joint, cell_y, cell_x])
                value, best, a, b, c = -np.inf, 0, 0.0, 0.0, 0.0
                for corner in range(4):
                    y = min(max(cell_y + 2 * (corner >> 1) - 1, 0), height - 1)
                    x = min(max(cell_x + 2 * (corner & 1) - 1, 0), width - 1)
                    beside = np.float64(maps[joint, cell_y, x])
                    above = np.float64(maps[joint, y, cell_x])
                    across = np.float64(maps[joint, y, x])
                    mixed = (9 * own + 3 * beside + 3 * above + across) / 16
                    if mixed > value:
                        value, best, a, b, c = mixed, corner, beside, above, across
                if (
                    value <= threshold
                    or c > own
                    or a + b + c > 3 * own
                    or 3 * a + c > 3 * own + b
                    or 3 * b + c > 3 * own + a
                ):
                    continue
                y, x = 2 * cell_y + (best >> 1), 2 * cell_x + (best & 1)
                if not _is_highest(maps, joint, y, x, radius):
                    continue
                if count == room:
                    index, values = np.append(index, index), np.append(values, values)
                    room *= 2
                index[count] = (joint * 2 * height + y) * 2 * width + x
                values[count] = value
                count += 1
    return index[:count], values[:count]


@njit(inline="always")
def _is_highest(maps, joint, y, x, radius):
    """Whether no pixel of the window is higher, and no earlier one as high."""
    own = _mixed(maps, joint, y, x)
    for other_y in range(max(y - radius, 0), min(y + radius + 1, 2 * maps.shape[1])):
        for other_x in range(max(x - radius, 0), min(x + radius + 1, 2 * maps.shape[2])):
            other = _mixed(maps, joint, other_y, other_x)
            if other > own or (other == own and (other_y, other_x) < (y, x)):
                return False
    return True
