"""Backdrops that are put together as photographs are: ground, sky or wall, and rows of things."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml


@functools.cache
def _palette() -> dict[str, Any]:
    text = Path(__file__).with_name("places.yaml").read_text(encoding="utf-8")
    return {
        name: np.array(colours, np.float32)
        for name, colours in yaml.safe_load(text).items()
        if name != "format"
    }


def material(name: str, rng: np.random.Generator) -> np.ndarray:
    """Draw a (3,) colour: one of those listed under `name` in `places.yaml`, a little changed."""
    colours = _palette()[name]
    colour = colours[rng.integers(len(colours))] * rng.uniform(0.6, 1.15)
    return np.clip(colour + rng.normal(0, 10, 3), 0, 255)


def place(size: int, rng: np.random.Generator, noise: np.ndarray) -> np.ndarray:
    """Return a (size, size, 3) uint8 picture: ground below, sky or wall above, things in rows.

    Args:
        size: side in pixels.
        rng: draws everything.
        noise: (size, size, 1) float32 of about -1 to 1, for the surfaces.
    """
    horizon = rng.uniform(0.15, 0.85) * size
    depth = (np.arange(size, dtype=np.float32)[:, None] - horizon) / size
    fades = [1 + np.float32(rng.uniform(-0.6, 0.3)) * np.abs(depth) for _ in range(2)]
    rows = np.where(
        depth < 0, material("above", rng) * fades[0], material("below", rng) * fades[1]
    ).astype(np.float32)
    rough = np.where(depth < 0, rng.uniform(0, 22), rng.uniform(4, 40)).astype(np.float32)
    streaks = cv2.resize(noise[:, : max(2, size // int(rng.integers(1, 6)))], (size, size))
    side = 1 + np.linspace(-0.5, 0.5, size, dtype=np.float32) * np.float32(rng.uniform(-0.4, 0.4))
    lit = np.repeat((streaks * rough)[:, :, None], 3, axis=2)
    lit += rows[:, None]
    lit *= side[None, :, None]
    picture = cv2.convertScaleAbs(np.maximum(lit, 0, out=lit))
    for kind in rng.permutation(len(_ROWS))[: int(rng.integers(1, 4))]:
        _ROWS[kind](picture, int(horizon), rng)
    return picture


def _ints(*values: float) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _bars(picture: np.ndarray, horizon: int, rng: np.random.Generator) -> None:
    """Draw a fence, a railing, poles or the edges of planks."""
    size = len(picture)
    colour = material("things", rng).tolist()
    top = horizon - rng.uniform(0.05, 0.4) * size
    foot = horizon + rng.uniform(0.0, 0.15) * size
    period = rng.uniform(0.02, 0.14) * size
    thick = max(1, int(period * rng.uniform(0.08, 0.5)))
    for x in np.arange(rng.uniform(0, period), size, period):
        cv2.line(picture, _ints(x, top), _ints(x, foot), colour, thick)
    for y in np.linspace(top, foot, int(rng.integers(2, 5)))[:-1]:
        cv2.line(picture, _ints(0, y), _ints(size, y), colour, max(1, thick * 2 // 3))


def _houses(picture: np.ndarray, horizon: int, rng: np.random.Generator) -> None:
    """Draw a row of houses with windows, or shelves with what lies in them."""
    size = len(picture)
    left = -rng.uniform(0, 0.2) * size
    while left < size:
        width, tall = rng.uniform(0.12, 0.6) * size, rng.uniform(0.1, 0.7) * size
        wall = material("above", rng)
        top = horizon - tall
        cv2.rectangle(
            picture, _ints(left, top), _ints(left + width, horizon), wall.tolist(), cv2.FILLED
        )
        pane = material("things", rng)
        period = rng.uniform(0.05, 0.13, 2) * size
        share = rng.uniform(0.35, 0.75, 2)
        for y in np.arange(top + period[1] * 0.3, horizon - period[1] * 0.5, period[1]):
            for x in np.arange(left + period[0] * 0.3, left + width - period[0] * 0.5, period[0]):
                far = _ints(x + period[0] * share[0], y + period[1] * share[1])
                lit = (pane * rng.uniform(0.7, 1.3)).tolist()
                cv2.rectangle(picture, _ints(x, y), far, lit, cv2.FILLED)
        left += width * rng.uniform(1.0, 1.5)


def _trees(picture: np.ndarray, horizon: int, rng: np.random.Generator) -> None:
    """Draw trees or bushes: a trunk and clumps of leaves, darker below."""
    size = len(picture)
    bark, leaves = material("things", rng) * 0.7, material("things", rng)
    for _ in range(int(rng.integers(1, 6))):
        x, tall = rng.uniform(0, size), rng.uniform(0.15, 0.7) * size
        foot = horizon + rng.uniform(0, 0.1) * size
        trunk = max(1, int(tall * rng.uniform(0.03, 0.1)))
        cv2.line(picture, _ints(x, foot), _ints(x, foot - tall * 0.6), bark.tolist(), trunk)
        clumps = rng.normal(0, (0.16 * tall, 0.14 * tall), (int(rng.integers(8, 26)), 2))
        for dx, dy in clumps[np.argsort(-clumps[:, 1])]:
            shade = leaves * (0.95 - dy / tall * 1.2 + rng.normal(0, 0.08))
            axes = _ints(*np.maximum(tall * rng.uniform(0.04, 0.14, 2), 1))
            middle = _ints(x + dx, foot - tall * 0.72 + dy)
            colour = np.clip(shade, 0, 255).tolist()
            cv2.ellipse(picture, middle, axes, 0, 0, 360, colour, cv2.FILLED)


def _hills(picture: np.ndarray, horizon: int, rng: np.random.Generator) -> None:
    """Draw an outline of hills, woods or a crowd far away."""
    size = len(picture)
    across = np.linspace(0, size, 24)
    walk = np.cumsum(rng.normal(0, rng.uniform(0.005, 0.04) * size, 24))
    tops = horizon - rng.uniform(0.02, 0.25) * size + walk - walk.mean()
    outline = np.concatenate([np.stack([across, tops], 1), [[size, horizon], [0, horizon]]])
    haze = rng.uniform(0, 0.6)
    colour = material("things", rng) * (1 - haze) + 200 * haze
    cv2.fillPoly(picture, [outline.astype(np.int32)], colour.tolist())


def _paths(picture: np.ndarray, horizon: int, rng: np.random.Generator) -> None:
    """Draw lines on the ground that run to one point at the horizon: boards, lanes, a pitch."""
    size = len(picture)
    shade = picture[-1, size // 2].astype(float) * rng.choice([0.7, 1.4])
    colour = np.clip(shade, 0, 255).tolist()
    away = rng.uniform(-0.3, 1.3) * size
    thick = int(rng.integers(1, 4))
    for x in np.arange(-1.0, 2.0, rng.uniform(0.1, 0.5)) * size:
        cv2.line(picture, _ints(away, horizon), _ints(x, size), colour, thick, cv2.LINE_AA)
    for y in np.geomspace(0.04, 1.0, int(rng.integers(1, 7))) * (size - horizon) + horizon:
        cv2.line(picture, _ints(0, y), _ints(size, y), colour, thick)


_ROWS = (_bars, _houses, _trees, _hills, _paths)
