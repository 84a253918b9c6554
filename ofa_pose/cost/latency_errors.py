"""How far predicted times are from measured ones, in the figures that tables carry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from ofa_pose.cost.latency_schema import ErrorFigures
from ofa_pose.errors import LatencyError


def error_figures(predicted: Sequence[float], measured: Sequence[float]) -> ErrorFigures:
    """Compare predictions (n,) with measurements (n,), both in ms.

    `spearman` is None for fewer than three networks, or where all of one side are equal.

    Raises:
        LatencyError: not as many predictions as measurements, none, or a time that is not a
            positive finite number.
    """
    guess, truth = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    if guess.shape != truth.shape or guess.ndim != 1 or not len(guess):
        raise LatencyError(f"{guess.shape} predictions cannot be compared with {truth.shape} times")
    if not (np.isfinite(guess).all() and np.isfinite(truth).all() and (truth > 0).all()):
        raise LatencyError("times are positive finite numbers of milliseconds")
    errors = np.abs(guess / truth - 1)
    ranks = rankdata(guess), rankdata(truth)
    varied = len(guess) > 2 and all(rank.std() > 0 for rank in ranks)
    return ErrorFigures(
        mape=float(errors.mean()),
        within_10=float((errors <= 0.1).mean()),
        spearman=float(np.corrcoef(*ranks)[0, 1].clip(-1, 1)) if varied else None,
        largest=float(errors.max()),
    )
