"""What is behind and before synthetic people: rooms, ground, clutter, things in the way."""

from __future__ import annotations

import cv2
import numpy as np

from ofa_pose.data.synth.look import any_colour
from ofa_pose.data.synth.paint import COVER, Canvas
from ofa_pose.data.synth.places import material, place

_OCTAVES = (3, 7, 17, 41, 97)
_PLACES = 0.6  # share of backdrops that are put together like photographs


def texture(size: int, rng: np.random.Generator, channels: int = 1) -> np.ndarray:
    """Return smooth noise of several scales, (size, size, channels) float32, about -1 to 1."""
    strengths = rng.dirichlet(np.ones(len(_OCTAVES))) * 1.6
    total = np.zeros((1, 1, channels), np.float32)
    for cells, strength in zip(_OCTAVES, strengths, strict=True):
        total = cv2.resize(total, (cells, cells), interpolation=cv2.INTER_CUBIC)
        grid = rng.uniform(-strength, strength, (cells, cells, channels)).astype(np.float32)
        total = total.reshape(cells, cells, channels) + grid
    total = cv2.resize(total, (size, size), interpolation=cv2.INTER_LINEAR)
    return total.reshape(size, size, channels)


def backdrop(size: int, roll: float, rng: np.random.Generator) -> np.ndarray:
    """Return a (size, size, 3) uint8 picture without people.

    A wall or sky over a floor, rows of things or noise, and shapes: some of the colours and forms
    of limbs and heads, so that those alone do not make a person. Some are out of focus.

    Args:
        size: side in pixels.
        roll: degrees that everything is turned by.
        rng: draws everything.
    """
    real = rng.random() < _PLACES
    picture = place(size, rng, texture(size, rng)) if real else _noise(size, rng)
    for _ in range(int(rng.integers(0, 12) if real else rng.integers(3, 30))):
        _shape(picture, any_colour(rng) if rng.random() < 0.4 else material("things", rng), rng)
    if abs(roll) > 1:
        wider = 1 + 1.42 * abs(np.sin(np.radians(roll)))
        turn = cv2.getRotationMatrix2D((size / 2, size / 2), -roll, wider)
        picture = cv2.warpAffine(picture, turn, (size, size), borderMode=cv2.BORDER_REFLECT)
    if rng.random() < 0.45:
        return _unfocus(picture, rng.uniform(1.2, 7))
    return picture


def _unfocus(picture: np.ndarray, strength: float) -> np.ndarray:
    """Blur softly, by way of a picture `strength` times smaller."""
    size = len(picture)
    small = [max(8, int(size / strength))] * 2
    shrunk = cv2.GaussianBlur(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), (3, 3), 0)
    return cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_CUBIC)


def _noise(size: int, rng: np.random.Generator) -> np.ndarray:
    wall, floor = any_colour(rng), any_colour(rng)
    horizon = rng.uniform(-0.2, 1.1) * size
    rows = np.arange(size, dtype=np.float32)[:, None]
    fade = 1 + rng.uniform(-0.3, 0.3) * (rows / size - 0.5)
    column = (np.where(rows < horizon, wall, floor) * fade).astype(np.float32)
    image = column[:, None] + texture(size, rng) * np.float32(rng.uniform(5, 70))
    if rng.random() < 0.4:
        image += texture(size, rng, 3) * np.float32(rng.uniform(5, 40))
    return np.clip(image, 0, 255).astype(np.uint8)


def cover(canvas: Canvas, rng: np.random.Generator) -> None:
    """Put a thing in front of the people: a bar across, or a box standing on the lower edge."""
    height, width = len(canvas.labels), len(canvas.labels[0])
    colour = any_colour(rng)
    if rng.random() < 0.5:
        thick = rng.uniform(0.02, 0.07) * width
        start = rng.uniform(0, width)
        lean = rng.uniform(-0.2, 0.2) * width
        corners = [(start, 0), (start + thick, 0), (start + lean + thick, height),
                   (start + lean, height)]  # fmt: skip
        if rng.random() < 0.4:
            corners = [(y * width / height, x * height / width) for x, y in corners]
            corners = corners[::-1]
    else:
        left, wide = rng.uniform(-0.1, 0.9) * width, rng.uniform(0.15, 0.5) * width
        top = rng.uniform(0.6, 0.9) * height
        corners = [(left, top), (left + wide, top), (left + wide, height), (left, height)]
    outline = np.array(corners, np.float32)
    canvas.fill(outline, colour * 0.85, COVER)
    middle = outline.mean(axis=0)
    canvas.fill(middle + (outline - middle) * np.float32(0.9), colour, None)


def _shape(picture: np.ndarray, rgb: np.ndarray, rng: np.random.Generator) -> None:
    size = picture.shape[0]
    colour = [float(channel) for channel in rgb]
    x, y = (int(value) for value in rng.uniform(0, size, 2))
    kind = rng.integers(5)
    if kind == 0:
        w, h = (int(value) for value in rng.uniform(0.03, 0.5, 2) * size)
        cv2.rectangle(picture, (x, y), (x + w, y + h), colour, cv2.FILLED)
    elif kind == 1:
        axes = [max(1, int(value)) for value in rng.uniform(0.01, 0.15, 2) * size]
        cv2.ellipse(
            picture, (x, y), axes, rng.uniform(0, 180), 0, 360, colour, cv2.FILLED, cv2.LINE_AA
        )
    elif kind == 2:
        end = [int(value) for value in rng.uniform(0, size, 2)]
        cv2.line(picture, (x, y), end, colour, int(rng.integers(1, 5)), cv2.LINE_AA)
    elif kind == 3:  # as long and as thick as a limb
        angle, length = rng.uniform(0, np.pi), rng.uniform(0.05, 0.25) * size
        end = [int(x + length * np.cos(angle)), int(y + length * np.sin(angle))]
        thick = max(2, int(length * rng.uniform(0.15, 0.35)))
        dark = [channel * 0.8 for channel in colour]
        cv2.line(picture, (x, y), end, dark, thick, cv2.LINE_AA)
        cv2.line(picture, (x, y), end, colour, max(1, thick * 2 // 3), cv2.LINE_AA)
    else:
        corners = rng.uniform(-0.15, 0.15, (3, 2)) * size + np.array([x, y])
        cv2.fillConvexPoly(picture, corners.astype(np.int32), colour, cv2.LINE_AA)
