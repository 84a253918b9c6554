"""One evaluated arch: where it stands in the space, what it costs and how it scored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np

from ofa_pose.errors import UnknownNameError, UsageError, WeightsError, WorkerLostError
from ofa_pose.space import Arch, FrozenDict, SearchSpace

PARTS = "parts"
"""Among an arch's scores: on how many parts of the images it was scored, if archs raced."""
FAILURES = WeightsError, WorkerLostError
"""What an evaluation raises because of its arch; any other error says nothing about the arch."""


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

    @classmethod
    def of(
        cls,
        space: SearchSpace,
        index: int,
        *,
        order: int,
        generation: int,
        tier: str,
        costs: Mapping[str, float],
        scores: Mapping[str, float],
        error: str = "",
    ) -> Evaluation:
        """Return the evaluation of the arch at `index` of a space; the rest as in the class."""
        return cls(
            order=order,
            generation=generation,
            tier=tier,
            index=index,
            arch=space[index],
            genes=tuple(space.genes_of(np.array([index]))[0].tolist()),
            costs=FrozenDict(costs),
            scores=FrozenDict({name: float(value) for name, value in scores.items()}),
            error=error,
        )

    @property
    def failed(self) -> bool:
        """Whether the evaluation gave no usable objective."""
        return bool(self.error)

    def score(self, name: str) -> float:
        """Return a score, or NaN where the evaluation failed or has no such score."""
        return math.nan if self.failed else self.scores.get(name, math.nan)


def told(
    outcome: Mapping[str, float] | Exception, objective: str
) -> tuple[Mapping[str, float], str]:
    """Return the scores that an evaluation gave, as floats, and in one line why it failed, or "".

    Args:
        outcome: scores, or what was raised instead.
        objective: name of the score that is searched for.

    Raises:
        Exception: the outcome, where it says nothing about the arch.
        UsageError: the outcome is no mapping of names to numbers.
        UnknownNameError: the objective is not among the scores.
    """
    if isinstance(outcome, FAILURES):
        return {}, " ".join(str(outcome).split()) or type(outcome).__name__
    if isinstance(outcome, Exception):
        raise outcome
    if not isinstance(outcome, Mapping) or not all(isinstance(name, str) for name in outcome):
        example = f"{{{objective!r}: 0.5}}"
        raise UsageError(
            f"an evaluation gives scores by name, such as {example}, not {outcome!r:.60}"
        )
    scores = {name: _number(name, value) for name, value in outcome.items()}
    if objective not in scores:
        raise UnknownNameError("score to search for", objective, scores)
    value = scores[objective]
    return scores, "" if math.isfinite(value) else f"{objective} is {value}"


def _number(name: str, value: object) -> float:
    try:
        if isinstance(value, SupportsFloat):  # a text is none
            return float(value)
    except (TypeError, ValueError, RuntimeError):  # arrays and tensors of several numbers
        pass
    raise UsageError(f"an evaluation gives numbers as scores; {name!r} is {value!r:.60}")
