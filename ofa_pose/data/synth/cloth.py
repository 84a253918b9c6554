"""Surfaces of painted figures: folds, patterns, light from a side, and motion."""

from __future__ import annotations

import cv2
import numpy as np

from ofa_pose.data.synth.camera import blur_motion
from ofa_pose.data.synth.paint import PARTS, PARTS_STEP, Canvas

_PATTERNED = (
    ("torso", "left_upper_arm", "right_upper_arm"),
    ("torso", "left_upper_arm", "right_upper_arm", "left_forearm", "right_forearm"),
    ("left_thigh", "right_thigh", "left_shin", "right_shin"),
)


def region_of(
    bounds: np.ndarray, shape: tuple[int, ...], margin: float = 0
) -> tuple[slice, slice] | None:
    """Return the rows and columns of an (H, W) picture that x, y, width, height cover, if any."""
    limits = np.array([shape[1], shape[0]])
    low = np.clip(np.floor(bounds[:2] - margin), 0, limits).astype(int)
    high = np.clip(np.ceil(bounds[:2] + bounds[2:] + margin), 0, limits).astype(int)
    if (high <= low).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def dress(
    canvas: Canvas,
    bounds: np.ndarray,
    *,
    number: int,
    light: np.ndarray,
    noise: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Give a figure just painted its surfaces.

    Args:
        canvas: it was painted on.
        bounds: (4,) x, y, width, height of the figure.
        number: its number in the labels.
        light: direction (x, y) the light comes from.
        noise: (n, n) float32 of about -1 to 1, cut and stretched to folds.
        rng: draws everything.
    """
    region = region_of(bounds, canvas.labels.shape)
    if region is None:
        return
    first = number * PARTS_STEP + 1
    labels = canvas.labels[region]
    mine = (labels >= first) & (labels < first + PARTS_STEP)
    rough = rng.uniform(3, 34, PARTS_STEP).astype(np.float32)
    parts = np.where(mine, labels - first, 0)
    height, width = labels.shape
    reach = np.minimum([height, width], len(noise)) * rng.uniform(0.3, 1.0, 2)
    reach = np.maximum(reach, 2).astype(int)
    top, left = (int(rng.integers(0, len(noise) - each + 1)) for each in reach)
    folds = cv2.resize(noise[top : top + reach[0], left : left + reach[1]], (width, height))
    relief = folds * rough[parts]
    across = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(light[0])
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(light[1])
    shade = 1 + np.float32(rng.uniform(0, 0.3)) * (across + down)
    image = canvas.image[region].astype(np.float32) * shade[:, :, None] + relief[:, :, None]
    if rng.random() < 0.4:
        _pattern(image, parts, min(canvas.labels.shape), rng)
    np.copyto(canvas.image[region], np.clip(image, 0, 255).astype(np.uint8), where=mine[:, :, None])


def smear(
    canvas: Canvas,
    before: np.ndarray,
    bounds: np.ndarray,
    *,
    number: int,
    length: float,
    degrees: float,
) -> None:
    """Blur a figure just painted as if it had moved while the picture was taken.

    Args:
        canvas: it was painted on; its labels stay: they are the middle of the exposure.
        before: the picture without the figure.
        bounds: (4,) x, y, width, height of the figure.
        number: its number in the labels.
        length: of the motion in pixels.
        degrees: its direction.
    """
    region = region_of(bounds, canvas.labels.shape, margin=length / 2 + 1)
    if region is None:
        return
    first = number * PARTS_STEP + 1
    labels = canvas.labels[region]
    there = ((labels >= first) & (labels < first + PARTS_STEP)).astype(np.float32)[:, :, None]
    figure = canvas.image[region] * there
    layers = blur_motion(np.concatenate([figure, there], axis=2), length, degrees)
    mixed = layers[:, :, :3] + (1 - layers[:, :, 3:]) * before[region]
    canvas.image[region] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _pattern(image: np.ndarray, parts: np.ndarray, size: int, rng: np.random.Generator) -> None:
    """Put stripes, checks or dots on shirt or trousers."""
    worn = _PATTERNED[rng.integers(len(_PATTERNED))]
    ys, xs = np.nonzero(np.isin(parts, [PARTS.index(part) for part in worn]))
    angle, period = rng.uniform(0, np.pi), rng.uniform(0.012, 0.06) * size
    turn = 2 * np.pi / period
    cos, sin = np.cos(angle) * turn, np.sin(angle) * turn
    wave = np.sin(xs * cos + ys * sin)
    kind = rng.random()
    if kind < 0.4:
        wave = np.sign(wave)
    elif kind < 0.7:
        second = np.sin(ys * cos - xs * sin)
        wave = (np.sign(wave) + np.sign(second)) / 2 if kind < 0.55 else (wave + second > 1) * 1.0
    image[ys, xs] += wave[:, None].astype(np.float32) * rng.uniform(-60, 60, 3).astype(np.float32)
