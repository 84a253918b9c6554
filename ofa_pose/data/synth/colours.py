"""Random colours (RGB, 0..255 floats) as they occur on people and things."""

from __future__ import annotations

import numpy as np


def between(colours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a colour on the path through the (n, 3) colours given."""
    place = rng.uniform(0, len(colours) - 1)
    low = int(place)
    share = place - low
    mixed = colours[low] * (1 - share) + colours[min(low + 1, len(colours) - 1)] * share
    return np.clip(mixed + rng.normal(0, 6, 3), 0, 255)


def any_colour(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour of any hue; about half are nearly grey, as most things are."""
    value = rng.uniform(25, 240)
    saturation = rng.uniform(0.2, 0.85) if rng.random() < 0.45 else rng.uniform(0, 0.2)
    hue = rng.uniform(0, 3)
    wheel = np.clip(np.abs((hue + np.arange(3.0)) % 3 - 1.5) * 2 - 0.5, 0, 1)
    return value * (1 - saturation + saturation * wheel)
