"""One evaluated arch: where it stands in the space, what it costs and how it scored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ofa_pose.space import Arch


@dataclass(frozen=True)
class Evaluation:
    """An arch that was evaluated once.

    An evaluation whose objective is NaN or infinite, or that raised, has `error` set: it has
    failed. It is kept, so that the arch is not evaluated again, but is never a parent, a winner
    or part of a front.

    Attributes:
        order: its number among the proposals of the search, from 0.
        generation: the generation that proposed it, from 0.
        tier: the budget it was proposed for (it counts for every budget it is within).
        index: the arch's index in the space.
        genes: one a choice; 0 is the choice's largest value.
        costs: every cost by name.
        scores: every score by name; empty when the evaluation raised.
        error: why it failed, in one line; empty when it did not.
    """

    order: int
    generation: int
    tier: str
    index: int
    arch: Arch
    genes: tuple[int, ...]
    costs: Mapping[str, float]
    scores: Mapping[str, float]
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether the evaluation gave no usable objective."""
        return bool(self.error)

    def score(self, name: str) -> float:
        """Return a score, or NaN where the evaluation failed or has no such score."""
        return math.nan if self.failed else self.scores.get(name, math.nan)
