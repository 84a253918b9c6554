"""What figures wear, in colours (RGB, 0..255 floats) as they occur on people and things."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Look:
    """Colours (RGB) and clothes of one figure.

    Attributes:
        skin, hair, shirt, trousers, shoes: colours.
        sleeves: how far sleeves reach: 0 none, 1 elbow, 2 wrist.
        legs: how far trousers reach: 0 none, 1 knee, 2 ankle.
        long_hair: hair that falls to the shoulders.
        light: direction (x, y) the light comes from.
    """

    skin: np.ndarray
    hair: np.ndarray
    shirt: np.ndarray
    trousers: np.ndarray
    shoes: np.ndarray
    sleeves: float
    legs: float
    long_hair: bool
    light: np.ndarray


def random_look(rng: np.random.Generator, light: np.ndarray) -> Look:
    """Draw what a figure wears."""
    skins = np.array(
        [[247, 220, 200], [226, 180, 148], [190, 135, 100], [140, 90, 62], [82, 52, 38]]
    )
    hairs = np.array([[30, 24, 20], [70, 45, 28], [120, 80, 45], [200, 165, 100], [170, 170, 170]])
    skin = _between(skins, rng)
    shirt, trousers, shoes = (any_colour(rng) for _ in range(3))
    bare = rng.random() < 0.06
    return Look(
        skin=skin,
        hair=_between(hairs, rng),
        shirt=skin * 0.97 if bare else shirt,
        trousers=shirt if rng.random() < 0.1 else trousers,
        shoes=skin if rng.random() < 0.1 else shoes,
        sleeves=float(rng.choice([0.0, rng.uniform(0.4, 1.0), 2.0], p=[0.25, 0.4, 0.35])),
        legs=float(rng.choice([0.35, rng.uniform(0.5, 1.1), 2.0], p=[0.12, 0.33, 0.55])),
        long_hair=bool(rng.random() < 0.35),
        light=light,
    )


def _between(colours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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
