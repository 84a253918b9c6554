"""Screening: of thousands of archs that could be evaluated, the one that promises most."""

from __future__ import annotations

import numpy as np

from ofa_pose.search.limits import FeasibleSet
from ofa_pose.search.predictor import AccuracyPredictor, Beliefs, expected_improvement
from ofa_pose.search.strategy import Strategy
from ofa_pose.space import SearchSpace

CHILDREN = 128
"""Children of the strategy in a pool; those that are not free are left out."""
DRAWN = 1024
"""Archs drawn evenly from all that are free, and as many from those near the budget."""


class Screen:
    """Chooses by expected improvement over a budget's best, one arch after the other.

    Each budget has its pool of candidates, made when it is first asked for: children of the
    strategy, and draws from all archs that are free. Where few are free, the pool is all of them.

    Args:
        predictor: learnt from all evaluations before.
        strategy: makes children.
        bands: the archs near each budget, by tier.
    """

    def __init__(
        self,
        predictor: AccuracyPredictor,
        strategy: Strategy,
        *,
        space: SearchSpace,
        bands: dict[str, np.ndarray],
    ) -> None:
        self._predictor = predictor
        self._strategy = strategy
        self._space = space
        self._bands = bands
        self._pools: dict[str, Beliefs] = {}

    def choose(
        self,
        feasible: FeasibleSet,
        *,
        free: np.ndarray,
        allowed: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[int, float] | None:
        """Return the most promising arch and its expected improvement; None if there is none.

        Args:
            feasible: the budget that has its turn.
            free: (archs,) bool, the budget's archs that no one has taken.
            allowed: (archs,) bool, those of them that may be chosen now.
            rng: source of every draw.
        """
        beliefs = self._pool(feasible, free, rng)
        if beliefs is None:
            return None
        places = np.flatnonzero(allowed[beliefs.indices])
        if not len(places):
            return None
        gains = expected_improvement(
            beliefs.mean[places], beliefs.deviation[places], self._best(feasible)
        )
        chosen = int(np.argmax(np.round(gains, 12)))
        beliefs.pretend(int(places[chosen]))
        return int(beliefs.indices[places[chosen]]), float(gains[chosen])

    def _best(self, feasible: FeasibleSet) -> float:
        within = feasible.mask[self._predictor.indices]
        scores = self._predictor.scores
        return float(scores[within].max() if within.any() else scores.min())

    def _pool(
        self, feasible: FeasibleSet, free: np.ndarray, rng: np.random.Generator
    ) -> Beliefs | None:
        if feasible.tier not in self._pools:
            every = np.flatnonzero(free)
            near = np.flatnonzero(free & self._bands[feasible.tier])
            if len(every) <= 2 * DRAWN + CHILDREN:
                pool = every
            else:
                genes = self._strategy.children(feasible, CHILDREN, rng)
                children = self._space.indices_of(genes)
                drawn = [rng.choice(part, min(DRAWN, len(part)), replace=False)
                         for part in (every, near) if len(part)]  # fmt: skip
                pool = np.unique(np.concatenate([children[free[children]], *drawn]))
            if not len(pool):
                return None
            self._pools[feasible.tier] = Beliefs(self._predictor, pool)
        return self._pools[feasible.tier]
