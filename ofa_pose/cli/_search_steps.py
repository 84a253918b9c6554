"""The steps of a search that score archs: with what, the search, what it is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ofa_pose.cli._progress import Meter
from ofa_pose.cli._racing import (
    reporting_workers,
    searching_workers,
    tell_race,
)
from ofa_pose.cli._reporting import ReportScores, report_scores
from ofa_pose.cli._watching import Watch
from ofa_pose.runs import RACE, REPORTED

if TYPE_CHECKING:
    from ofa_pose.cli._scoring_options import SearchOptions
    from ofa_pose.cli._searching import SearchScenes, Target
    from ofa_pose.evaluate import SubnetEvaluator
    from ofa_pose.runs import RunFolder
    from ofa_pose.search import Evaluation, SearchResult
    from ofa_pose.space import Arch


def load_evaluator(
    target: Target, people: SearchScenes, *, options: SearchOptions
) -> SubnetEvaluator:
    """Return what scores archs on the scenes that choose, on the device that was asked for."""
    from ofa_pose.evaluate import SubnetEvaluator
    from ofa_pose.supernet import load_supernet

    supernet = load_supernet(target.weights, space=target.space, skeleton=target.skeleton)
    return SubnetEvaluator(
        supernet.to(options.device),
        calibration=people.calibration,
        scenes=people.search,
        calibration_images=options.calibration_scenes,
        batch_size=options.batch_size,
        precision=options.precision,
        cache_bytes=round(options.cache * 2**30),
    )


def search_archs(
    target: Target, evaluator: SubnetEvaluator, run: RunFolder, *, options: SearchOptions
) -> SearchResult:
    """Search, or go on with the search whose archive is in the run's folder."""
    from ofa_pose.api import search
    from ofa_pose.search import Race

    opened = searching_workers(target, evaluator, options, kept=run.file(RACE))
    with Meter("search") as meter, opened as workers:
        watch = Watch(meter, options.evaluations)
        if isinstance(workers, Race):
            workers.progress = watch.raced
        else:
            evaluator.progress = watch.pictured  # other processes leave it behind
        result = search(
            target.space,
            evaluator,
            budgets=target.budgets,
            costs=target.table,
            front_costs=[f"latency:{name}" for name in target.table.latencies],
            seed=options.seed,
            evaluations=options.evaluations,
            strategy=options.strategy,
            predictor=options.predictor,
            population=options.population,
            offspring=options.offspring,
            archive_path=run.file("archive.csv"),
            resume=run.resumed,
            progress=watch.evaluated,
            workers=workers,
        )
        tell_race(workers, resumed=run.resumed)
    evaluator.progress = None
    return result


def score_uniform(
    target: Target,
    evaluator: SubnetEvaluator,
    run: RunFolder,
    result: SearchResult,
    *,
    options: SearchOptions,
) -> Sequence[Evaluation]:
    """Return the uniformly scaled archs, scored like the search's, unless they are not wanted."""
    if not options.baseline:
        return ()
    from ofa_pose.api import all_costs, limits_of
    from ofa_pose.search import Race, Workers, uniform_baseline
    from ofa_pose.space import uniform_archs

    rivals = uniform_archs(target.space)
    with Meter("uniform scaling") as meter:
        watch = Watch(meter, len(rivals))

        @contextmanager
        def opened() -> Iterator[Workers[Any, Any]]:
            kept = run.file(RACE)
            with searching_workers(target, evaluator, options, kept=kept, among=rivals) as workers:
                if isinstance(workers, Race):
                    workers.progress = watch.raced
                yield workers

        return tuple(
            uniform_baseline(
                result,
                opened,
                costs=all_costs(target.table, limits_of(target.budgets)),
                path=run.file("baseline.csv"),
                progress=watch.counted,
            )
        )


def report(
    target: Target,
    evaluator: SubnetEvaluator,
    run: RunFolder,
    winners: Sequence[Arch],
    others: Sequence[Arch],
    *,
    options: SearchOptions,
) -> ReportScores:
    """Score archs on the evaluator's scenes, which chose nothing, as far as the run has not yet.

    See `report_scores`.
    """
    opened = reporting_workers(target, evaluator, options, kept=run.file(REPORTED))
    with Meter("report") as meter, opened as workers:
        return report_scores(
            workers,
            target.space,
            winners,
            others,
            scenes=len(evaluator.scenes),
            progress=meter.show,
        )
