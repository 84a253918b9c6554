"""The evolution: proposes archs, is told their scores, and can stop and go on at any moment."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ofa_pose.errors import RunFolderError, UnknownNameError, UsageError
from ofa_pose.search.archive import Archive
from ofa_pose.search.evaluation import Evaluation
from ofa_pose.search.limits import FeasibleSet
from ofa_pose.search.operators import GeneTable, crossover, mutate, tournament
from ofa_pose.search.ranking import rank
from ofa_pose.space.frozen import FrozenDict


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """What, beside space, budgets and costs, decides which archs a search proposes.

    Attributes:
        seed: of every draw.
        population: archs in the first generation (at least two a tier are taken).
        parents: a tier's children descend from its best `parents` so far.
        offspring: archs in every later generation; this many can be evaluated in parallel.
        crossover: share of children with two parents.
        tournament: draws in a tournament between parents.
        neighbour_step: share of mutations that go to a neighbouring value.
        objective: the score that is maximised.

    Raises:
        UsageError: a value out of its range.
    """

    seed: int = 0
    population: int = 16
    parents: int = 12
    offspring: int = 4
    crossover: float = 0.5
    tournament: int = 3
    neighbour_step: float = 0.25
    objective: str = "AP"

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"seed is 0 or more, not {self.seed}")
        for name in ("population", "parents", "offspring", "tournament"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is at least 1, not {getattr(self, name)}")
        for name in ("crossover", "neighbour_step"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} lies in 0..1, not {getattr(self, name)}")


@dataclass(frozen=True)
class _Proposal:
    order: int
    generation: int
    tier: str
    index: int


class Evolution:
    """Feasible-first evolution with one archive for all tiers; ask for archs, tell their scores.

    The first generation holds the largest and smallest arch of every tier, then archs spread
    evenly over each tier's range of cost. Later generations give the tiers turns: a child of
    the tier's best archs so far, wherever in the archive they came from. A generation is a pure
    function of the seed, the settings and the generations before it. So a search that stopped
    anywhere goes on to the same archive, more `evaluations` only continue a search, and the
    archs of one `ask` may be told in any order.

    No arch is proposed twice. A tier with nothing left passes its turn on.

    Raises:
        RunFolderError: the archive holds archs that this search would not have proposed.
    """

    def __init__(
        self,
        archive: Archive,
        sets: Sequence[FeasibleSet],
        *,
        costs: Mapping[str, np.ndarray],
        settings: SearchSettings,
        evaluations: int,
    ) -> None:
        if evaluations < 1:
            raise UsageError(f"evaluations is at least 1, not {evaluations}")
        self.archive = archive
        self.sets = tuple(sets)
        self.settings = settings
        self.evaluations = evaluations
        self._space = archive.space
        self._costs = costs
        self._table = GeneTable(archive.space)
        self._free = np.ones(len(archive.space), dtype=bool)
        self._generation = 0
        self._proposals = self._first_generation()
        self._check_archived()
        self._advance()

    @property
    def generation(self) -> int:
        """The generation that `ask` gives out, from 0."""
        return self._generation

    @property
    def first_size(self) -> int:
        """How many archs the first generation has, in a space that has so many."""
        return max(self.settings.population, 2 * len(self.sets))

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to ask for."""
        return not self.ask()

    @property
    def message(self) -> str:
        """Why the search stopped, or that it has not."""
        done = len(self.archive)
        if not self.finished:
            return f"not finished: {done} of {self.evaluations} evaluations made"
        if not self._proposals:
            within = np.logical_or.reduce([feasible.mask for feasible in self.sets]).sum()
            return (
                f"stopped because every arch within the budgets was evaluated "
                f"({within:,} of the {len(self._space):,} in {self._space.name!r})"
            )
        return f"stopped because all {self.evaluations:,} evaluations were made"

    def ask(self) -> list[int]:
        """Return the indices that are to be evaluated now; empty when the search has ended.

        They stay the same until they are told, and more follow when all of them are.
        """
        return [
            proposal.index
            for proposal in self._proposals
            if not self.archive.has(proposal.index) and proposal.order < self.evaluations
        ]

    def tell(self, index: int, scores: Mapping[str, float], *, error: str = "") -> Evaluation:
        """Record the scores of an arch that was asked for, and return its evaluation.

        An objective that is NaN or infinite counts as a failure.

        Args:
            index: of the arch.
            scores: by name; with `error` they may be empty.
            error: why the evaluation failed; empty when it did not.

        Raises:
            ValueError: the arch was not asked for.
            UnknownNameError: the objective is not among the scores.
        """
        waiting = {p.index: p for p in self._proposals if p.order < self.evaluations}
        if index not in waiting or self.archive.has(index):
            raise ValueError(f"arch {index} was not asked for")
        objective = self.settings.objective
        values = {name: float(value) for name, value in scores.items()}
        if not error:
            if objective not in values:
                raise UnknownNameError("score to search for", objective, values)
            if not math.isfinite(values[objective]):
                error = f"{objective} is {values[objective]}"
        proposal = waiting[index]
        evaluation = Evaluation(
            order=proposal.order,
            generation=proposal.generation,
            tier=proposal.tier,
            index=index,
            arch=self._space[index],
            genes=tuple(self._table.genes[index].tolist()),
            costs=FrozenDict({name: cost[index].item() for name, cost in self._costs.items()}),
            scores=FrozenDict(values),
            error=" ".join(error.split()),
        )
        self.archive.add(evaluation)
        self._advance()
        return evaluation

    def _advance(self) -> None:
        """Go on to the first generation that is not all in the archive."""
        while self._proposals and all(self.archive.has(p.index) for p in self._proposals):
            start = self._proposals[-1].order + 1
            self._generation += 1
            self._proposals = self._next_generation(start)
            self._check_archived()

    def _check_archived(self) -> None:
        """Compare what is proposed with what the archive holds of this generation."""
        proposed = [(p.order, p.index) for p in self._proposals]
        archived = [(e.order, e.index) for e in self.archive if e.generation == self._generation]
        complete = len(archived) == len(proposed)
        later = any(e.generation > self._generation for e in self.archive)
        if not set(archived) <= set(proposed) or (later and not (proposed and complete)):
            raise RunFolderError(
                f"{self.archive.path or 'the archive'} was not made by this search (generation "
                f"{self._generation} differs: another version, or edited); use another folder"
            )

    def _first_generation(self) -> tuple[_Proposal, ...]:
        rng = np.random.default_rng((self.settings.seed, 0))
        ordered = [_by_load(feasible) for feasible in self.sets]
        proposals: list[_Proposal] = []
        for end in (-1, 0):
            for feasible, indices in zip(self.sets, ordered, strict=True):
                if self._free[indices[end]]:
                    proposals.append(self._take(int(indices[end]), 0, len(proposals), feasible))
        share = -(-self.first_size // len(self.sets))
        spread = [_spread(indices, rng, count=share) for indices in ordered]
        for picks in zip(*spread, strict=True):
            for feasible, index in zip(self.sets, picks, strict=True):
                if len(proposals) == self.first_size:
                    return tuple(proposals)
                place = self._place(int(index), feasible, rng)
                if place is not None:
                    proposals.append(self._take(place, 0, len(proposals), feasible))
        return tuple(proposals)

    def _next_generation(self, start: int) -> tuple[_Proposal, ...]:
        rng = np.random.default_rng((self.settings.seed, self._generation))
        past = [row for row in self.archive if row.generation < self._generation]
        parents = {
            feasible.tier: rank(
                past, feasible, objective=self.settings.objective, count=self.settings.parents
            )
            for feasible in self.sets
        }
        proposals: list[_Proposal] = []
        for order in range(start, start + self.settings.offspring):
            for turn in range(len(self.sets)):
                feasible = self.sets[(order + turn) % len(self.sets)]
                place = self._place(self._child(parents[feasible.tier], rng), feasible, rng)
                if place is not None:
                    proposals.append(self._take(place, self._generation, order, feasible))
                    break
        return tuple(proposals)

    def _child(self, parents: Sequence[Evaluation], rng: np.random.Generator) -> int:
        """Return the index of a child, feasible or not; of any arch when there is no parent."""
        if not parents:
            return int(rng.integers(len(self._space)))
        genes = np.array(tournament(parents, rng, size=self.settings.tournament).genes)
        if rng.random() < self.settings.crossover:
            other = tournament(parents, rng, size=self.settings.tournament)
            genes = crossover(genes, np.array(other.genes), rng)
        step = self.settings.neighbour_step
        child = mutate(genes, self._space.gene_counts, rng, step=step)
        return int(self._space.indices_of(child[None])[0])

    def _place(self, index: int, feasible: FeasibleSet, rng: np.random.Generator) -> int | None:
        """Return `index`, or the nearest arch that is within the budget and not yet taken."""
        if self._free[index] and feasible.mask[index]:
            return index
        return self._table.nearest(index, self._free & feasible.mask, rng)

    def _take(self, index: int, generation: int, order: int, feasible: FeasibleSet) -> _Proposal:
        self._free[index] = False
        return _Proposal(order, generation, feasible.tier, index)


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


def _by_load(feasible: FeasibleSet) -> np.ndarray:
    indices = np.flatnonzero(feasible.mask)
    return indices[np.argsort(feasible.load[indices], kind="stable")]


def _spread(indices: np.ndarray, rng: np.random.Generator, *, count: int) -> np.ndarray:
    """Return one draw from each of `count` equal parts of `indices`, in random order."""
    places = (np.arange(count) + rng.random(count)) / count * len(indices)
    return indices[rng.permutation(places.astype(np.int64))]
