"""Who scores the archs of a search, and whether they race."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ofa_pose.cli._searching import Target
    from ofa_pose.evaluate import SubnetEvaluator
    from ofa_pose.search import Workers

_LOG = logging.getLogger(__name__)


@contextmanager
def searching_workers(
    target: Target, evaluator: SubnetEvaluator, options: Mapping[str, Any]
) -> Iterator[Workers[Any, Any]]:
    """Open the workers that the options ask for, and close them in the end.

    Raises:
        UsageError: `--workers` is nothing that is known.
        MissingExtraError: Ray is not installed.
    """
    from ofa_pose.api import all_costs, limits_of
    from ofa_pose.evaluate import PartsEvaluator, growing_parts
    from ofa_pose.search import Race, RaceSettings, WorkersSpec, open_workers, resolve_budgets
    from ofa_pose.search.workers import OfArch

    spec = WorkersSpec.parse(options["workers"])
    if not options["racing"]:
        workers = open_workers(OfArch(target.space, evaluator), spec)
    else:
        ends = growing_parts(len(evaluator.scenes))
        parts = PartsEvaluator(evaluator, ends=ends, seed=options["seed"])
        limits = limits_of(target.budgets)
        sets, _ = resolve_budgets(target.space, limits, costs=all_costs(target.table))
        workers = Race(
            open_workers(parts, spec),
            {feasible.tier: feasible.mask for feasible in sets},
            RaceSettings(parts=len(ends), seed=options["seed"]),
        )
        _LOG.info("archs race over %s scenes", ", ".join(map(str, ends)))
    try:
        yield workers
    finally:
        workers.close()


@contextmanager
def scoring_workers(
    target: Target, evaluator: SubnetEvaluator, options: Mapping[str, Any]
) -> Iterator[Workers[int, Mapping[str, float]]]:
    """Open workers that score every arch on all scenes, and close them in the end."""
    from ofa_pose.search.workers import OfArch

    with _opened(OfArch(target.space, evaluator), options["workers"]) as workers:
        yield workers


@contextmanager
def reporting_workers(
    target: Target, evaluator: SubnetEvaluator, options: Mapping[str, Any]
) -> Iterator[Workers[int, Any]]:
    """Open workers that return every arch's scores and matches, and close them in the end."""
    from ofa_pose.search.workers import OfArch

    with _opened(OfArch(target.space, evaluator.scored), options["workers"]) as workers:
        yield workers


@contextmanager
def _opened(function: Callable[[int], Any], workers: str) -> Iterator[Workers[int, Any]]:
    from ofa_pose.search import WorkersSpec, open_workers

    opened = open_workers(function, WorkersSpec.parse(workers))
    try:
        yield opened
    finally:
        opened.close()


def tell_race(workers: Workers[Any, Any]) -> None:
    """Say how many images a race took, and which winners share their place."""
    from ofa_pose.search import Race

    if not isinstance(workers, Race):
        return
    _LOG.info("%s images were scored", f"{workers.images:,}")
    for tier, standing in workers.standings().items():
        if standing.ties:
            _LOG.info(
                "%s: %d more %s tied with the winner: by these scenes they cannot be told apart "
                "(95 %% of resamples)",
                tier,
                len(standing.ties),
                "archs are" if len(standing.ties) > 1 else "arch is",
            )
