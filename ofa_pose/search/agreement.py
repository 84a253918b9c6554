"""How far two scores put the same archs in the same order, and how much that can be believed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_ENUMERATED = 7
"""Up to so many archs every order is looked at; with more, scipy's p-value is used."""
_FEWEST = 10
"""Below so many archs an interval would be a guess."""
_NORMAL = 1.959964  # 97.5 % of a normal distribution lie below


@dataclass(frozen=True)
class Agreement:
    """Kendall's rank correlation of two scores over the same archs.

    Attributes:
        count: archs.
        tau: tau-b: 1 for the same order, 0 for none in common, -1 for the reverse; NaN where one
            of the scores is the same for all.
        chance: how often two scores that know nothing of each other agree as well or better (the
            one-sided p-value).
        low: lower end of tau's 95 % interval; NaN below 10 archs.
        high: upper end.
    """

    count: int
    tau: float
    chance: float
    low: float
    high: float

    @classmethod
    def of(cls, one: Sequence[float], other: Sequence[float]) -> Agreement:
        """Compare two scores of the same archs, in the same order.

        The interval is by Fieller, Hartley and Pearson (1957): the inverse hyperbolic tangent of
        tau is about normal, with a variance of 0.437 / (n - 4).
        """
        from scipy.stats import kendalltau  # slow to import

        count = len(one)
        if len(set(one)) < 2 or len(set(other)) < 2:
            return cls(count, math.nan, math.nan, math.nan, math.nan)
        found: Any = kendalltau(one, other, alternative="greater")
        tau, chance = float(found.statistic), float(found.pvalue)
        if count <= _ENUMERATED:
            chance = _chance(np.asarray(one), np.asarray(other))
        if count < _FEWEST:
            return cls(count, tau, chance, math.nan, math.nan)
        reach = _NORMAL * math.sqrt(0.437 / (count - 4))
        middle = math.atanh(min(max(tau, -1 + 1e-12), 1 - 1e-12))
        return cls(count, tau, chance, math.tanh(middle - reach), math.tanh(middle + reach))

    @property
    def known(self) -> bool:
        """Whether there is a tau: both scores tell some archs apart."""
        return not math.isnan(self.tau)

    @property
    def shown(self) -> bool:
        """Whether chance alone would agree so well in less than 5 % of cases."""
        return self.chance < 0.05

    def to_dict(self) -> dict[str, float | int | None]:
        """Return its fields as JSON has them: None for NaN."""
        fields = {"tau": self.tau, "chance": self.chance, "low": self.low, "high": self.high}
        plain = {name: None if math.isnan(value) else value for name, value in fields.items()}
        return {"count": self.count, **plain}


def _chance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of all orders of the archs that agree as well or better."""
    ranks = _signs(one)
    agreed = (ranks * _signs(other)).sum()
    orders = itertools.permutations(range(len(other)))
    scores = [(ranks * _signs(other[list(order)])).sum() for order in orders]
    return float(np.mean(np.array(scores) >= agreed))


def _signs(values: np.ndarray) -> np.ndarray:
    return np.sign(values[:, None] - values[None, :])
