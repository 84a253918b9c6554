"""The search from beginning to end: evaluate what the evolution asks for, return the winners."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from deap import tools

from ofa_pose.errors import OfaPoseError, UnknownNameError, UsageError
from ofa_pose.search.archive import Archive, journal_path, locked
from ofa_pose.search.engine import Evolution
from ofa_pose.search.evaluation import PARTS, Evaluation, told
from ofa_pose.search.features import UnitCosts
from ofa_pose.search.limits import (
    Budgets,
    FormatCost,
    Limit,
    cost_arrays,
    plain_cost,
    resolve_budgets,
)
from ofa_pose.search.predictor import AccuracyPredictor
from ofa_pose.search.racing import Race
from ofa_pose.search.ranking import log_generations, rank
from ofa_pose.search.settings import SearchSettings, describe, whole_number
from ofa_pose.search.strategy import make_settings
from ofa_pose.search.workers import OfArch, Workers, WorkersSpec, open_workers
from ofa_pose.space import Arch, FrozenDict, SearchSpace

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TierResult:
    """The best arch within one budget.

    Attributes:
        limits: the budget; all of them hold.
    """

    tier: str
    limits: tuple[Limit, ...]
    evaluation: Evaluation

    @property
    def arch(self) -> Arch:
        """The winner."""
        return self.evaluation.arch

    @property
    def scores(self) -> Mapping[str, float]:
        """The winner's scores by name."""
        return self.evaluation.scores

    @property
    def costs(self) -> Mapping[str, float]:
        """The winner's costs by name."""
        return self.evaluation.costs

    def allows(self, costs: Mapping[str, float]) -> bool:
        """Whether an arch of these costs is within the budget."""
        return all(costs[limit.cost] <= limit.value for limit in self.limits)


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        archive: every evaluation.
        front: the Pareto front over the objective and all costs that budgets limit or that were
            asked for.
        tiers: tier name → its winner; a tier in which every evaluation failed is left out, and
            `notes` says so.
        message: why the search stopped.
        notes: what else the user should know, one sentence each.
        logbook: DEAP's, one record a generation.
        objective: name of the score that was maximised.
        predictor: learnt from the whole archive; None where it is off or knows too little.
    """

    archive: Archive
    front: tuple[Evaluation, ...]
    tiers: Mapping[str, TierResult]
    message: str
    notes: tuple[str, ...]
    logbook: tools.Logbook
    objective: str
    predictor: AccuracyPredictor | None = None


@dataclass(frozen=True)
class Progress:
    """How far a search is, after an evaluation.

    Attributes:
        done: evaluations made, those of a resumed archive included.
        total: evaluations allowed; a small space may end earlier.
        evaluation: the latest.
        best: tier name → its best so far; tiers without one are left out.
    """

    done: int
    total: int
    evaluation: Evaluation
    best: Mapping[str, Evaluation]


def search(
    space: SearchSpace,
    evaluate: Callable[[Arch], Mapping[str, float]],
    *,
    budgets: Budgets,
    costs: Mapping[str, np.ndarray],
    seed: int = 0,
    evaluations: int = 200,
    strategy: str | None = None,
    predictor: bool = True,
    population: int | None = None,
    offspring: int | None = None,
    archive_path: str | Path | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
    workers: Workers[int, Mapping[str, float]] | str | int = "1",
    objective: str = "AP",
    format_cost: FormatCost = plain_cost,
    front_costs: Sequence[str] = (),
    unit_costs: UnitCosts | None = None,
    **settings: Any,
) -> SearchResult:
    """Find the best arch of `space` within every budget, among feasible archs only.

    `evaluate` is called at most once for an arch and never for one outside every budget. When
    it raises a `WeightsError` (the subnet gives NaN), its objective is NaN or infinite, or it
    kills every worker that tries, the arch is recorded as failed and cannot win. Any other
    exception passes through: unreadable pictures or Ctrl-C say nothing about an arch. The archive
    on disk then holds every finished evaluation.

    Args:
        space: what may vary.
        evaluate: arch → scores by name, `objective` among them. If it has a method `identity`,
            this returns by name, as texts, what scores depend on (see `SubnetEvaluator`): a search
            is gone on with only where they are the same.
        budgets: tier name → a `Limit`, or several that hold together.
        costs: cost name → (archs,) the cost of every arch, by index.
        seed: same seed, same search.
        evaluations: how many archs to evaluate, shared by the tiers.
        strategy: `steady` (the default), `elitist`, `aging`, `nsga2` or `random`.
        predictor: let a predictor learnt from the archive choose among thousands of archs,
            while its cross-validated errors say that it can be trusted.
        population: archs in the first generation beside the uniformly scaled ones; by default
            what the strategy prefers.
        offspring: archs of every later generation, which workers evaluate side by side; likewise.
        archive_path: a `.csv`, written when the search stops; every evaluation is in the journal
            beside it (suffix `.jsonl`) as soon as it ends. None keeps nothing on disk.
        resume: go on from `archive_path` (from nothing if it is not there), to the same archive
            as without the interruption. A higher `evaluations` continues a search that ended.
            Other budgets are read off the archive; a tier that is new gets a fair share of
            `evaluations` of its own, and ends when nothing is expected to be worth it.
        progress: called after every evaluation, and at first with the latest of a resumed archive.
        workers: who calls `evaluate`, which has no influence on the result: 4 or `"4"` processes
            (then it is pickled, so it stands in a file that they can import, and a script begins
            under `if __name__ == "__main__":`), `"ray"`, `"ray://host:port"`; or workers that are
            open and that `evaluate` is known to already, which are not closed. 1 is this process.
        objective: the score to maximise.
        format_cost: prints a cost's name and value in messages.
        front_costs: axes of the front besides the costs that budgets limit.
        unit_costs: indices (n,) → a cost of every unit (n, units), for the predictor.
        **settings: other fields of `SearchSettings`.

    Raises:
        InfeasibleBudgetError: no arch is within a budget; nothing was evaluated.
        RunFolderError: `archive_path` exists and `resume` is off, or it is of another search, or
            another process is searching with it.
        UsageError: a setting, a budget or a cost that cannot be.
        OfaPoseError: every evaluation of the first generation failed.
    """
    known = {item.name for item in fields(SearchSettings)}
    unknown = settings.keys() - known
    if unknown:
        raise TypeError(f"search() got an unexpected keyword argument {min(unknown)!r}")
    chosen = make_settings(
        seed=seed,
        strategy=strategy,
        predictor=predictor,
        population=population,
        offspring=offspring,
        objective=objective,
        **settings,
    )
    evaluations = whole_number("evaluations", evaluations, least=1)
    for name, function in (("evaluate", evaluate), ("progress", progress)):
        if function is not None and not callable(function):
            raise UsageError(f"{name} is a function, not {function!r:.60}")
    spelt = isinstance(workers, str | int | Integral) and not isinstance(workers, bool)
    if not (spelt or hasattr(workers, "evaluate")):
        raise UsageError(
            "workers is a number, a text such as '4' or 'ray', or open workers, "
            f"not {workers!r:.60}"
        )
    if isinstance(workers, int | Integral):
        workers = str(workers)
    costs = cost_arrays(costs)
    for name in front_costs:
        if name not in costs:
            raise UnknownNameError("cost of the front", name, costs)
    sets, notes = resolve_budgets(space, budgets, costs=costs, format_cost=format_cost)
    for note in notes:
        logger.warning(note)
    description = describe(chosen, sets, costs=costs)
    if archive_path is not None:
        description |= _identity(evaluate)
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(archive_path))
        archive = _open(
            space, archive_path, resume=resume, settings=description, evaluations=evaluations
        )
        archive.add_costs(costs)
        evolution = Evolution(
            archive, sets, costs=costs, settings=chosen, evaluations=evaluations, units=unit_costs
        )
        if evolution.generation == 0 and evolution.cut:
            cut = (
                f"{evolution.evaluations:,} evaluations end within the first generation, of which "
                f"{evolution.cut:,} archs are left out: winners may be worse than uniform scaling"
            )
            logger.warning(cut)
            notes = (*notes, cut)
        stack.callback(archive.save)
        if isinstance(workers, str):
            workers = open_workers(OfArch(space, evaluate), WorkersSpec.parse(workers))
            stack.callback(workers.close)
        _run(evolution, workers, progress=progress)
        if isinstance(workers, Race):
            workers.recall((row.index, row.scores) for row in archive)
            _see_winners_whole(evolution, workers)
    logger.info(evolution.message)
    return _result(evolution, notes, front_costs=front_costs)


def _identity(evaluate: object) -> dict[str, str]:
    """Return what an evaluator says that its scores depend on; nothing of a plain function."""
    tell = getattr(evaluate, "identity", None)
    return {} if tell is None else dict(tell())


def _open(
    space: SearchSpace,
    path: str | Path | None,
    *,
    resume: bool,
    settings: Mapping[str, Any],
    evaluations: int,
) -> Archive:
    if path is None:
        return Archive(space, settings=settings)
    if resume and (Path(path).exists() or journal_path(path).exists()):
        return Archive.resume(path, space, settings=settings, evaluations=evaluations)
    return Archive.create(path, space, settings=settings)


def _run(
    evolution: Evolution,
    workers: Workers[int, Mapping[str, float]],
    *,
    progress: Callable[[Progress], None] | None,
) -> None:
    archive = evolution.archive
    if progress is not None and len(archive) and not evolution.finished:
        progress(_progress(evolution, list(archive)[-1]))
    while waiting := evolution.ask():
        if evolution.generation > 0:
            _require_success(archive)
        again = []
        if isinstance(workers, Race):  # an interrupted batch is raced again, but for failures
            before = [row for row in archive if row.generation < evolution.generation]
            workers.recall((row.index, row.scores) for row in before)
            batch = [row for row in archive if row.generation == evolution.generation]
            again = [row.index for row in batch if not row.failed]
        for index, outcome in workers.evaluate([*again, *waiting]):
            if index in again:
                continue
            scores, error = told(outcome, evolution.settings.objective)
            evaluation = evolution.tell(index, scores, error=error)
            if evaluation.failed:
                logger.warning("arch %s failed: %s", evaluation.arch.key, evaluation.error)
            if progress is not None:
                progress(_progress(evolution, evaluation))
    _require_success(archive)


def _see_winners_whole(evolution: Evolution, race: Race) -> None:
    """Score the best of every tier on all images.

    One that lost a race may be the best of a tier that was added later.
    """
    parts = race.settings.parts
    while short := {
        row.index: row for row in _winners(evolution).values() if row.scores.get(PARTS) != parts
    }:
        for index, row in short.items():
            scores, error = told(race.see_all(index), evolution.settings.objective)
            evolution.archive.revise(replace(row, scores=FrozenDict(scores), error=error))


def _require_success(archive: Archive) -> None:
    """Stop a search whose evaluator never works, before it spends the whole budget on it."""
    rows = list(archive)
    if all(row.failed for row in rows):
        raise OfaPoseError(
            f"the search stopped because all {len(rows)} evaluations so far failed, the last "
            f"with: {rows[-1].error}"
        )


def _winners(evolution: Evolution) -> dict[str, Evaluation]:
    objective = evolution.settings.objective
    best = {
        feasible.tier: rank(evolution.archive, feasible, objective=objective, count=1)
        for feasible in evolution.sets
    }
    return {tier: winners[0] for tier, winners in best.items() if winners}


def _progress(evolution: Evolution, evaluation: Evaluation) -> Progress:
    done = len(evolution.archive)
    return Progress(done, max(done, evolution.evaluations), evaluation, _winners(evolution))


def _result(
    evolution: Evolution, notes: tuple[str, ...], *, front_costs: Sequence[str]
) -> SearchResult:
    archive, sets = evolution.archive, evolution.sets
    objective = evolution.settings.objective
    winners = _winners(evolution)
    lost = tuple(
        f"budget {feasible.tier} has no winner: no evaluation within it succeeded"
        for feasible in sets
        if feasible.tier not in winners
    )
    failed = sum(evaluation.failed for evaluation in archive)
    failures = (f"{failed} of {len(archive)} evaluations failed",) if failed else ()
    alike = _alike(archive, objective)
    for note in alike:
        logger.warning(note)
    predictor = evolution.predictor()
    quality = (predictor.summary,) if predictor is not None else ()
    limited = dict.fromkeys(limit.cost for feasible in sets for limit in feasible.limits)
    return SearchResult(
        archive=archive,
        front=archive.front(
            objective=objective, costs=tuple(dict.fromkeys([*limited, *front_costs]))
        ),
        tiers={
            feasible.tier: TierResult(feasible.tier, feasible.limits, winners[feasible.tier])
            for feasible in sets
            if feasible.tier in winners
        },
        message=evolution.message,
        notes=(*notes, *lost, *failures, *alike, *quality),
        logbook=log_generations(list(archive), sets, objective=objective),
        objective=objective,
        predictor=predictor,
    )


def _alike(archive: Archive, objective: str) -> tuple[str, ...]:
    """Return a note if no arch is better than another by more than the scores are uncertain by."""
    rows = sorted((row for row in archive if not row.failed), key=lambda row: row.score(objective))
    if len(rows) < 2:
        return ()
    worst, best = rows[0].score(objective), rows[-1].score(objective)
    low = rows[-1].scores.get(f"{objective}_low", best)
    parts = rows[-1].scores.get(PARTS, 0.0)
    told_apart = any(row.scores.get(PARTS, parts) < parts for row in rows)  # by a race
    if not low <= worst or told_apart:  # the end is NaN where it is not known
        return ()
    return (
        f"all archs score alike ({objective} {worst:.3f} to {best:.3f}, within what these scenes "
        "can tell), so the winners mean nothing: too few scenes, or weights not trained for them?",
    )
