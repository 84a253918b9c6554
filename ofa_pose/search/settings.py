"""What, beside space, budgets and costs, decides which archs a search proposes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from ofa_pose.errors import UsageError
from ofa_pose.search.limits import FeasibleSet


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """The settings of a search; `make_settings` fills in what a strategy prefers.

    Attributes:
        seed: of every draw.
        strategy: name of the strategy that proposes.
        predictor: screen proposals by a predictor of the objective, while it can be trusted.
        population: archs in the first generation beside the uniformly scaled ones (at least two
            a tier are taken).
        parents: how many archs children descend from.
        offspring: archs in every later generation; this many can be evaluated in parallel.
        crossover: share of children with two parents.
        tournament: draws in a tournament between parents.
        neighbour_step: share of mutations that go to a neighbouring value.
        mutation: probability that a mutation changes a gene (strategy `elitist`).
        worth: a tier that is added to a finished search stops when nothing left is expected to
            improve the objective by this much.
        objective: the score that is maximised.

    Raises:
        UsageError: a value of another type, or out of its range.
    """

    seed: int = 0
    strategy: str = "steady"
    predictor: bool = True
    population: int = 16
    parents: int = 12
    offspring: int = 8
    crossover: float = 0.5
    tournament: int = 3
    neighbour_step: float = 0.25
    mutation: float = 0.1
    worth: float = 0.001
    objective: str = "AP"

    def __post_init__(self) -> None:
        for name, least in _WHOLE.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least=least))
        for name, most in _LARGEST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise UsageError(f"{name} is a number, not {value!r}")
            if not 0 <= float(value) <= most:
                span = "is 0 or more" if most == math.inf else f"lies in 0..{most:g}"
                raise UsageError(f"{name} {span}, not {value}")
            object.__setattr__(self, name, float(value))
        if not isinstance(self.objective, str):
            raise UsageError(f"objective is the name of a score, not {self.objective!r}")


_WHOLE = {"seed": 0, "population": 1, "parents": 1, "offspring": 1, "tournament": 1}
"""The settings that are whole numbers, with the least that each may be."""
_LARGEST = {"worth": math.inf, "crossover": 1.0, "neighbour_step": 1.0, "mutation": 1.0}
"""Those that are numbers of 0 or more, with the most."""


def whole_number(name: str, value: object, *, least: int) -> int:
    """Return a setting that is a whole number.

    Args:
        name: of the setting.
        value: as it was given; numpy's integers are whole numbers, too.
        least: that it may be.

    Raises:
        UsageError: the value is no whole number, or less than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError(f"{name} is a whole number, not {value!r}")
    if value < least:
        raise UsageError(f"{name} is at least {least}, not {value}")
    return int(value)


def describe(
    settings: SearchSettings, sets: Sequence[FeasibleSet], *, costs: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return, as JSON values, everything that decides the proposals: what a resume compares."""
    return {
        **asdict(settings),
        "budgets": [
            [feasible.tier, *([limit.cost, float(limit.value)] for limit in feasible.limits)]
            for feasible in sets
        ],
        "costs": {
            name: hashlib.sha256(np.asarray(values, dtype="<f8").tobytes()).hexdigest()[:16]
            for name, values in costs.items()
        },
    }
