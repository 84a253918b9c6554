"""The evolution: proposes archs, is told their scores, and can stop and go on at any moment."""

from __future__ import annotations

import logging
import math
import operator
from collections.abc import Mapping, Sequence

import numpy as np

from ofa_pose.errors import RunFolderError
from ofa_pose.search.archive import Archive
from ofa_pose.search.evaluation import Evaluation, told
from ofa_pose.search.features import Features, UnitCosts
from ofa_pose.search.limits import FeasibleSet, bands
from ofa_pose.search.operators import GeneTable
from ofa_pose.search.predictor import AccuracyPredictor
from ofa_pose.search.proposal import Proposal
from ofa_pose.search.screening import Screen
from ofa_pose.search.settings import SearchSettings, whole_number
from ofa_pose.search.strategy import Situation, Strategy, find_strategy
from ofa_pose.space.uniform import uniform_archs

logger = logging.getLogger(__name__)

_MOST_UNIFORM = 32  # a space with many ratios and resolutions has more uniformly scaled archs
_SHARE_TO_LOOK_ROUND = 3  # of an added tier's evaluations, one in so many is spread over its band


class Evolution:
    """Feasible-first evolution with one archive for all tiers; ask for archs, tell their scores.

    The first generation holds the largest and smallest arch of every tier, the uniformly scaled
    ones, which a search should not be worse than, and archs spread evenly over each tier's range
    of cost. In later generations the tiers take turns: a child that
    the strategy makes of archs from anywhere in the archive, or, while the predictor can be
    trusted, the most promising of many. Every other turn of a tier goes to archs near its
    budget, so that a large tier has its share of large archs.

    A generation is a pure function of the seed, the settings and the generations before it, and
    is kept in the archive when it is made. So a search that stopped anywhere goes on to the same
    archive, more `evaluations` only continue a search, and the archs of one `ask` may be told in
    any order.

    No arch is proposed twice. A tier with nothing left passes its turn on.

    Args:
        archive: with the evaluations so far, if any.
        sets: the budgets' archs.
        costs: cost name → (archs,) the cost of every arch, by index.
        settings: what else decides the proposals.
        evaluations: how many archs to evaluate in all.
        units: costs of the units, for the predictor.

    Raises:
        RunFolderError: the archive holds archs that were not proposed.
    """

    def __init__(
        self,
        archive: Archive,
        sets: Sequence[FeasibleSet],
        *,
        costs: Mapping[str, np.ndarray],
        settings: SearchSettings,
        evaluations: int,
        units: UnitCosts | None = None,
    ) -> None:
        evaluations = whole_number("evaluations", evaluations, least=1)
        self.archive = archive
        self.sets = tuple(sets)
        self.settings = settings
        self._phase = archive.phase
        self._wanted = evaluations
        self._asked = max(evaluations, len(archive))
        self._space = archive.space
        self._strategy = find_strategy(settings.strategy)
        self._costs = costs
        self._table = GeneTable(archive.space)
        self._features = Features(archive.space, units)
        self._bands = dict(zip((s.tier for s in self.sets), bands(self.sets), strict=True))
        self._added = tuple(s for s in self.sets if s.tier in self._phase.added)
        self._free = np.ones(len(archive.space), dtype=bool)
        self._free[[row.index for row in archive]] = False
        self._generation = self._phase.generation
        self._made = self._phase.done  # evaluations before this generation's
        self._start = self._phase.order  # the number of its first proposal
        self._alone = bool(self._added)
        self._proposals = self._recorded_or_made()
        self._advance()
        self._check_archived()

    @property
    def generation(self) -> int:
        """The generation that `ask` gives out, from 0."""
        return self._generation

    @property
    def evaluations(self) -> int:
        """How many archs are evaluated in all, those for added tiers included."""
        return max(self._asked, self._share_end if self._alone else 0)

    @property
    def first_size(self) -> int:
        """How many archs the first generation has beside the uniformly scaled ones."""
        return max(self.settings.population, 2 * len(self.sets))

    @property
    def cut(self) -> int:
        """How many archs of the generation that `ask` gives out are beyond `evaluations`."""
        beyond = self._proposals[len(self._allowed()) :]
        return sum(not self.archive.has(proposal.index) for proposal in beyond)

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
        allowed = np.logical_or.reduce([feasible.mask for feasible in self.sets])
        if sum(bool(allowed[row.index]) for row in self.archive) == allowed.sum():
            return (
                f"stopped because every arch within the budgets was evaluated "
                f"({allowed.sum():,} of the {len(self._space):,} in {self._space.name!r})"
            )
        if not self._proposals:
            tiers = ", ".join(feasible.tier for feasible in self._added)
            return (
                f"stopped because no arch left is expected to improve {tiers} by "
                f"{self.settings.worth:g} ({done:,} evaluations made)"
            )
        if done <= self._wanted:
            return f"stopped because all {done:,} evaluations were made"
        wanted = f"stopped because {done:,} evaluations were made, and {self._wanted:,} asked for"
        return f"{wanted}; added tiers have their share on top" if self._added else wanted

    def ask(self) -> list[int]:
        """Return the indices that are to be evaluated now; empty when the search has ended.

        They stay the same until they are told, and more follow when all of them are.
        """
        return [proposal.index for proposal in self._waiting()]

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
        index = operator.index(index)  # numpy's are no JSON
        waiting = {proposal.index: proposal for proposal in self._waiting()}
        if index not in waiting:
            raise ValueError(f"arch {index} was not asked for")
        error = " ".join(str(error).split())
        if not error:
            scores, error = told(scores, self.settings.objective)
        proposal = waiting[index]
        evaluation = Evaluation.of(
            self._space,
            index,
            order=proposal.order,
            generation=proposal.generation,
            tier=proposal.tier,
            costs={name: cost[index].item() for name, cost in self._costs.items()},
            scores=scores,
            error=error,
        )
        self.archive.add(evaluation)
        self._advance()
        return evaluation

    def predictor(self) -> AccuracyPredictor | None:
        """Return a predictor learnt from the whole archive; None if off or if little is known."""
        if not self.settings.predictor:
            return None
        objective = self.settings.objective
        return AccuracyPredictor.fit(self.archive, self._features, objective=objective)

    @property
    def _share_end(self) -> int:
        """How many evaluations are made when the added tiers have had their share."""
        return self._phase.done + self._phase.extra

    def _allowed(self) -> tuple[Proposal, ...]:
        """Return the proposals of this generation that are within `evaluations`."""
        return self._proposals[: max(0, self.evaluations - self._made)]

    def _waiting(self) -> list[Proposal]:
        return [p for p in self._allowed() if not self.archive.has(p.index)]

    def _advance(self) -> None:
        """Go on to the first generation that is not all in the archive."""
        while all(self.archive.has(p.index) for p in self._proposals):
            if not self._proposals and not self._alone:
                return  # nothing is left
            made = self._made + len(self._proposals)
            # Added tiers are by themselves until nothing is worth it or their share is used up.
            self._alone = self._alone and bool(self._proposals)
            if made >= self.evaluations:
                return  # the next generation is made when it may be evaluated
            self._alone = self._alone and made < self._share_end
            self._made = made
            if self._proposals:
                self._start = self._proposals[-1].order + 1
            self._generation += 1
            self._proposals = self._recorded_or_made()

    def _recorded_or_made(self) -> tuple[Proposal, ...]:
        """Return the proposals of this generation, from the archive if they are there."""
        recorded = self.archive.proposals(self._generation)
        if recorded is None:
            recorded = self._make(self._start)
            self.archive.propose(self._generation, recorded)
        self._free[[proposal.index for proposal in recorded]] = False
        return recorded

    def _make(self, start: int) -> tuple[Proposal, ...]:
        if self._generation > self._phase.generation:
            return self._next_generation(start)
        if self._phase.generation == 0:
            return self._first_generation()
        return self._look_round(start) or self._next_generation(start)

    def _check_archived(self) -> None:
        """Refuse evaluations that no recorded generation proposed."""
        known = {(proposal.order, proposal.index) for proposal in self.archive.all_proposals()}
        if any((row.order, row.index) not in known for row in self.archive):
            raise RunFolderError(
                f"{self.archive.path or 'the archive'} was not made by this search: it holds "
                "evaluations that were not proposed; use another folder"
            )

    def _first_generation(self) -> tuple[Proposal, ...]:
        rng = np.random.default_rng((self.settings.seed, 0))
        proposals: list[Proposal] = []
        for largest in (True, False):
            for feasible in self.sets:
                order = _by_load(feasible.mask, feasible)
                index = int(order[-1 if largest else 0])
                if self._free[index]:
                    proposals.append(self._take(index, len(proposals), feasible))
        rest = self.first_size - len(proposals)
        for feasible in sorted(self.sets, key=lambda feasible: feasible.mask.sum()):
            for index in self._uniform(feasible, -(-_MOST_UNIFORM // len(self.sets))):
                proposals.append(self._take(index, len(proposals), feasible))
        size = len(proposals) + rest
        share = -(-self.first_size // len(self.sets))
        spread = [self._spread(feasible, share, rng) for feasible in self.sets]
        for picks in zip(*spread, strict=True):
            for feasible, index in zip(self.sets, picks, strict=True):
                if len(proposals) == size:
                    return tuple(proposals)
                place = self._place(int(index), feasible.mask, rng)
                if place is not None:
                    proposals.append(self._take(place, len(proposals), feasible))
        return tuple(proposals)

    def _uniform(self, feasible: FeasibleSet, most: int) -> list[int]:
        """Return a tier's free uniformly scaled archs, those nearest its budget first."""
        indices = [self._space.index(arch) for arch in uniform_archs(self._space)]
        inside = [index for index in indices if self._free[index] and feasible.mask[index]]
        return sorted(inside, key=lambda index: -feasible.load[index])[:most]

    def _look_round(self, start: int) -> tuple[Proposal, ...]:
        """Return archs spread over the bands of added tiers of which little is known."""
        rng = np.random.default_rng((self.settings.seed, self._generation))
        share = self._phase.extra // max(1, len(self._added))
        wanted = max(2, share // _SHARE_TO_LOOK_ROUND)
        proposals: list[Proposal] = []
        for feasible in self._added:
            band = self._bands[feasible.tier]
            known = sum(bool(band[row.index]) for row in self.archive)
            order = _by_load(band, feasible)
            places = np.linspace(0, len(order) - 1, max(0, wanted - known)).round().astype(int)
            for index in order[places[::-1]]:
                place = self._place(int(index), band, rng)
                if place is not None:
                    proposals.append(self._take(place, start + len(proposals), feasible))
        return tuple(proposals)

    def _next_generation(self, start: int) -> tuple[Proposal, ...]:
        rng = np.random.default_rng((self.settings.seed, self._generation))
        past = tuple(row for row in self.archive if row.generation < self._generation)
        strategy = self._strategy(
            Situation(self._space.gene_counts, self.sets, past, self.settings)
        )
        screen = self._screen(past, strategy)
        proposals: list[Proposal] = []
        promise = 0.0
        for order in range(start, start + self.settings.offspring):
            sets = self._taking_turns(self._made + len(proposals))
            near = (order // len(sets)) % 2 == 0
            for turn in range(len(sets)):
                feasible = sets[(order + turn) % len(sets)]
                found = self._found(feasible, near, strategy, screen, rng)
                if found is not None:
                    place, gain = found
                    promise = max(promise, gain)
                    proposals.append(self._take(place, order, feasible))
                    break
            else:
                break  # nothing is left for those that take turns
        if self._alone and promise < self.settings.worth:
            self._free[[proposal.index for proposal in proposals]] = True
            return ()
        return tuple(proposals)

    def _taking_turns(self, made: int) -> tuple[FeasibleSet, ...]:
        """Return the tiers that take turns: at first those that a resume has added."""
        return self._added if self._alone and made < self._share_end else self.sets

    def _screen(self, past: Sequence[Evaluation], strategy: Strategy) -> Screen | None:
        """Return what chooses among many, while there is a predictor that can be trusted."""
        if not self.settings.predictor:
            return None
        predictor = AccuracyPredictor.fit(past, self._features, objective=self.settings.objective)
        if predictor is None:
            return None
        logger.debug("generation %d: %s", self._generation, predictor.summary)
        if not predictor.trusted:
            return None
        return Screen(predictor, strategy, space=self._space, bands=self._bands)

    def _found(
        self,
        feasible: FeasibleSet,
        near: bool,
        strategy: Strategy,
        screen: Screen | None,
        rng: np.random.Generator,
    ) -> tuple[int, float] | None:
        """Return a free arch for a tier and what it promises; None where nothing is left.

        Args:
            feasible: the tier's archs.
            near: whether the arch is to be near the budget, while one is left there.
            strategy: makes children.
            screen: chooses among many; without one a child promises anything.
            rng: source of every draw.
        """
        free = self._free & feasible.mask
        allowed = free & self._bands[feasible.tier] if near else free
        if not allowed.any():
            allowed = free
        if screen is not None:
            chosen = screen.choose(feasible, free=free, allowed=allowed, rng=rng)
            if chosen is not None:
                return chosen
        child = int(self._space.indices_of(strategy.children(feasible, 1, rng))[0])
        place = self._place(child, allowed, rng)
        return None if place is None else (place, math.inf)

    def _spread(self, feasible: FeasibleSet, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return `count` archs spread evenly over a tier by cost, half of them near its budget."""
        near = -(-count // 2)
        parts = (self._bands[feasible.tier], near), (feasible.mask, count - near)
        return rng.permutation(
            np.concatenate(
                [_spread(_by_load(part, feasible), rng, count=many) for part, many in parts]
            )
        )

    def _place(self, index: int, allowed: np.ndarray, rng: np.random.Generator) -> int | None:
        """Return `index`, or the nearest arch that is allowed and not yet taken."""
        return self._table.nearest(index, self._free & allowed, rng)

    def _take(self, index: int, order: int, feasible: FeasibleSet) -> Proposal:
        self._free[index] = False
        return Proposal(order, self._generation, feasible.tier, index)


def _by_load(part: np.ndarray, feasible: FeasibleSet) -> np.ndarray:
    indices = np.flatnonzero(part)
    return indices[np.argsort(feasible.load[indices], kind="stable")]


def _spread(indices: np.ndarray, rng: np.random.Generator, *, count: int) -> np.ndarray:
    """Return one draw from each of `count` equal parts of `indices`."""
    places = (np.arange(count) + rng.random(count)) / max(count, 1) * len(indices)
    return indices[places.astype(np.int64)]
