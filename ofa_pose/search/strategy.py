"""Strategies: how the children of a generation come from the archs evaluated before.

A strategy makes children for one budget at a time and need not care whether they are within it,
new, or worth an evaluation: the engine moves what does not fit to the nearest arch that does, and
a predictor may choose among many children. Every gene takes part in every move.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ofa_pose.errors import UnknownNameError, UsageError
from ofa_pose.search.evaluation import Evaluation
from ofa_pose.search.limits import FeasibleSet
from ofa_pose.search.operators import crossover, mutate, redraw, tournament
from ofa_pose.search.ranking import crowded_order, rank
from ofa_pose.search.settings import SearchSettings


@dataclass(frozen=True)
class Situation:
    """What a strategy knows when a generation is made.

    Attributes:
        gene_counts: values of each choice.
        sets: the budgets' archs.
        past: the evaluations of all earlier generations, in the order of proposals.
        settings: of the search.
    """

    gene_counts: tuple[int, ...]
    sets: tuple[FeasibleSet, ...]
    past: tuple[Evaluation, ...]
    settings: SearchSettings

    def within(self, feasible: FeasibleSet) -> list[Evaluation]:
        """Return the past evaluations within a budget that succeeded."""
        return [row for row in self.past if not row.failed and feasible.mask[row.index]]


class Strategy(ABC):
    """Makes children for a generation.

    Attributes:
        defaults: settings that the strategy prefers to those of `SearchSettings`.
    """

    defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.settings = situation.settings
        self._parents = {
            feasible.tier: np.array([row.genes for row in self.parents(feasible)], dtype=np.int64)
            for feasible in situation.sets
        }

    @abstractmethod
    def parents(self, feasible: FeasibleSet) -> Sequence[Evaluation]:
        """Return the archs that a budget's children descend from, best first."""

    @abstractmethod
    def breed(self, parents: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return the genes (count, choices) of children.

        Args:
            parents: (n, choices) genes of one or more parents, best first.
            count: of children.
            rng: source of every draw.
        """

    def children(self, feasible: FeasibleSet, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return the genes (count, choices) of children, of anything where there is no parent."""
        parents = self._parents[feasible.tier]
        if not len(parents):
            counts = self.situation.gene_counts
            return rng.integers(counts, size=(count, len(counts)))
        return self.breed(parents, count, rng)


STRATEGIES: dict[str, type[Strategy]] = {}


def register(name: str) -> Callable[[type[Strategy]], type[Strategy]]:
    """Return a decorator that makes a strategy available under `name`."""

    def put(kind: type[Strategy]) -> type[Strategy]:
        STRATEGIES[name] = kind
        return kind

    return put


def find_strategy(name: str) -> type[Strategy]:
    """Return a strategy by name.

    Raises:
        UnknownNameError: there is none of this name.
        UsageError: it is no name.
    """
    if not isinstance(name, str):
        raise UsageError(
            f"strategy is a name, not {name!r}; known: {', '.join(sorted(STRATEGIES))}"
        )
    if name not in STRATEGIES:
        raise UnknownNameError("strategy", name, STRATEGIES)
    return STRATEGIES[name]


def make_settings(**given: Any) -> SearchSettings:
    """Return settings: those that are given (None counts as not given), else the strategy's own.

    Raises:
        UnknownNameError: there is no such strategy.
        UsageError: a value out of its range.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    name = chosen.get("strategy", SearchSettings.strategy)
    return SearchSettings(**{**find_strategy(name).defaults, **chosen})


@register("steady")
class Steady(Strategy):
    """Small generations; children of a tournament among the best so far, one or two parents."""

    def parents(self, feasible: FeasibleSet) -> Sequence[Evaluation]:
        """Return the best so far."""
        return _best(self.situation.past, feasible, self.settings)

    def breed(self, parents: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return mutants of one winner of a tournament or of two that are crossed."""
        return _crossed_mutants(parents, self.situation, count=count, rng=rng)


@register("elitist")
class Elitist(Strategy):
    """The paper's evolution: a quarter survives, half of the children mutate, half are crossed.

    Survivors are never lost, so they are the best so far; each is a parent as often as another.
    """

    defaults: ClassVar[Mapping[str, Any]] = {"population": 40, "parents": 10, "offspring": 40}

    def parents(self, feasible: FeasibleSet) -> Sequence[Evaluation]:
        """Return the best so far."""
        return _best(self.situation.past, feasible, self.settings)

    def breed(self, parents: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return mutants, and crosses of two parents."""
        one, other = parents[rng.integers(len(parents), size=(2, count))]
        crossed = crossover(one, other, rng)
        counts = self.situation.gene_counts
        mutants = redraw(one, counts, rng, probability=self.settings.mutation)
        return np.where(rng.random((count, 1)) < self.settings.crossover, crossed, mutants)


@register("aging")
class Aging(Strategy):
    """Regularised evolution (Real et al. 2019): the oldest dies, not the worst; mutation only.

    The population is a budget's latest evaluations; the best of a few of them has a child.
    """

    defaults: ClassVar[Mapping[str, Any]] = {"population": 32, "parents": 32, "tournament": 8}

    def parents(self, feasible: FeasibleSet) -> Sequence[Evaluation]:
        """Return the latest, best first."""
        living = self.situation.within(feasible)[-self.settings.parents :]
        return _best(living, feasible, self.settings)

    def breed(self, parents: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return mutants of winners of tournaments."""
        settings = self.settings
        places = tournament(len(parents), rng, size=settings.tournament, count=count)
        counts = self.situation.gene_counts
        return mutate(parents[places], counts, rng, step=settings.neighbour_step)


@register("nsga2")
class NSGA2(Strategy):
    """NSGA-II (Deb et al. 2002) over the objective and every limited cost; all tiers at once.

    Survivors are chosen by non-dominated rank, then crowding distance, over the whole archive;
    a budget's parents are those of them within it.
    """

    defaults: ClassVar[Mapping[str, Any]] = {
        "population": 24,
        "parents": 24,
        "offspring": 12,
        "crossover": 0.9,
        "tournament": 2,
    }

    def __init__(self, situation: Situation) -> None:
        limits = (limit.cost for feasible in situation.sets for limit in feasible.limits)
        allowed = np.logical_or.reduce([feasible.mask for feasible in situation.sets])
        self._survivors = crowded_order(
            [row for row in situation.past if allowed[row.index]],
            objective=situation.settings.objective,
            costs=tuple(dict.fromkeys(limits)),
            count=situation.settings.parents * len(situation.sets),
        )
        super().__init__(situation)

    def parents(self, feasible: FeasibleSet) -> Sequence[Evaluation]:
        """Return the survivors within the budget."""
        return [row for row in self._survivors if feasible.mask[row.index]]

    def breed(self, parents: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return mutants of one winner of a tournament or of two that are crossed."""
        return _crossed_mutants(parents, self.situation, count=count, rng=rng)


@register("random")
class Random(Strategy):
    """Archs drawn evenly, whatever was evaluated before."""

    def parents(self, feasible: FeasibleSet) -> Sequence[Evaluation]:
        """Return none."""
        return ()

    def breed(self, parents: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return any archs."""
        return rng.integers(self.situation.gene_counts, size=(count, parents.shape[1]))


def _best(
    evaluations: Sequence[Evaluation], feasible: FeasibleSet, settings: SearchSettings
) -> list[Evaluation]:
    return rank(evaluations, feasible, objective=settings.objective, count=settings.parents)


def _crossed_mutants(
    parents: np.ndarray, situation: Situation, *, count: int, rng: np.random.Generator
) -> np.ndarray:
    settings = situation.settings
    one, other = (
        parents[tournament(len(parents), rng, size=settings.tournament, count=count)]
        for _ in range(2)
    )
    crossed = rng.random((count, 1)) < settings.crossover
    genes = np.where(crossed, crossover(one, other, rng), one)
    return mutate(genes, situation.gene_counts, rng, step=settings.neighbour_step)
