"""The bootstrap: how far a score may be off because other images of the kind could have been taken.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), percentile intervals.
"""

from __future__ import annotations

import math

import numpy as np

FEWEST = 10
"""From fewer images with somebody to find an interval would be a guess: far too narrow."""
NOBODY = -1.0
"""A score where there is nobody to find, as pycocotools has it."""


def resamples(count: int, *, draws: int, seed: int) -> np.ndarray:
    """Return how often each of `count` images is in each of `draws` resamples, (draws, count) int.

    They are the same for everything that is scored on as many images, which can so be compared
    on the same resamples.
    """
    rng = np.random.default_rng((seed, count))
    return rng.multinomial(count, np.full(count, 1 / count), size=draws)


def interval(scores: np.ndarray, *, share: float) -> tuple[float, float]:
    """Return the ends of what holds `share` of the scores of resamples; the tails are equal.

    Args:
        scores: (draws,), of resamples or differences of two; NaN where a resample holds nobody,
            which says nothing and is left out. If all are, both ends are NaN: not known.
        share: between 0 and 1.
    """
    scores = scores[~np.isnan(scores)]
    if not len(scores):
        return math.nan, math.nan
    tail = (1 - share) / 2
    low, high = np.quantile(scores, [tail, 1 - tail])
    return float(low), float(high)
