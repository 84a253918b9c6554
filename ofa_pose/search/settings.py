"""What, beside space, budgets and costs, decides which archs a search proposes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
        UsageError: a value out of its range.
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
        if self.seed < 0:
            raise UsageError(f"seed is 0 or more, not {self.seed}")
        if not self.worth >= 0:
            raise UsageError(f"worth is 0 or more, not {self.worth}")
        for name in ("population", "parents", "offspring", "tournament"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is at least 1, not {getattr(self, name)}")
        for name in ("crossover", "neighbour_step", "mutation"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} lies in 0..1, not {getattr(self, name)}")


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
