"""Who scores the archs of a search and where: processes, GPUs, Ray; and whether archs race."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ofa_pose.cli._scoring_options import SearchOptions
    from ofa_pose.cli._searching import Target
    from ofa_pose.evaluate import ScoredArch, SubnetEvaluator
    from ofa_pose.search import Workers
    from ofa_pose.space import Arch

_LOG = logging.getLogger(__name__)


def gpus(device: str) -> tuple[str, ...]:
    """Return the GPUs that worker processes share: all for `cuda`; none where it is no GPU."""
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return ()
    import torch

    if number:
        return (device,)
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))


@contextmanager
def searching_workers(
    target: Target,
    evaluator: SubnetEvaluator,
    options: SearchOptions,
    *,
    kept: Path,
    among: Sequence[Arch] | None = None,
) -> Iterator[Workers[Any, Any]]:
    """Open the workers that the options ask for, and close them in the end.

    Args:
        target: of the search.
        evaluator: scores archs.
        options: of the search.
        kept: folder for what archs get in a race, read when a search goes on.
        among: only these archs compete with each other in a race; None means all.

    Raises:
        UsageError: `--workers` is nothing that is known.
        MissingExtraError: Ray is not installed.
    """
    from ofa_pose.evaluate import PartsEvaluator, growing_parts
    from ofa_pose.search.workers import OfArch

    ends = growing_parts(len(evaluator.scenes))
    if options.racing and len(ends) == 1 and among is None:
        _LOG.info("too few scenes to race over: archs are scored on all of them at once")
    if not options.racing or len(ends) == 1:
        with _opened(OfArch(target.space, evaluator), options) as workers:
            yield workers
        return
    import numpy as np

    from ofa_pose.api import all_costs, limits_of
    from ofa_pose.pose import Matches
    from ofa_pose.search import KeptWorkers, Race, RaceSettings, resolve_budgets
    from ofa_pose.search.racing import arch_of

    parts = PartsEvaluator(evaluator, ends=ends, seed=options.seed)
    limits = limits_of(target.budgets)
    sets, _ = resolve_budgets(target.space, limits, costs=all_costs(target.table, limits))
    tiers = {feasible.tier: feasible.mask for feasible in sets}
    if among is None:
        _LOG.info("archs race over %s scenes", ", ".join(map(str, ends)))
    else:
        indices = [target.space.index(arch) for arch in among]
        tiers = {
            name: mask & np.isin(np.arange(len(mask)), indices) for name, mask in tiers.items()
        }
    with _opened(parts, options, affinity=arch_of) as workers:
        yield Race(
            KeptWorkers(workers, kept, Matches),
            tiers,
            RaceSettings(parts=len(ends), seed=options.seed),
        )


@contextmanager
def reporting_workers(
    target: Target, evaluator: SubnetEvaluator, options: SearchOptions, *, kept: Path
) -> Iterator[Workers[int, ScoredArch]]:
    """Open workers that return every arch's scores and matches, and close them in the end.

    What is in the folder `kept` is taken from there.
    """
    from ofa_pose.evaluate import ArchScorer, ScoredArch
    from ofa_pose.search import KeptWorkers
    from ofa_pose.search.workers import OfArch

    function = OfArch(target.space, ArchScorer(evaluator))
    with _opened(function, options) as workers:
        yield KeptWorkers(workers, kept, ScoredArch.of_arrays)


@contextmanager
def _opened(
    function: Callable[[Any], Any],
    options: SearchOptions,
    *,
    affinity: Callable[[Any], Any] | None = None,
) -> Iterator[Workers[Any, Any]]:
    from ofa_pose.search import WorkersSpec, open_workers

    opened = open_workers(
        function,
        WorkersSpec.parse(options.workers),
        devices=gpus(options.device),
        affinity=affinity,
    )
    try:
        yield opened
    finally:
        opened.close()


def tell_race(workers: Workers[Any, Any], *, resumed: bool) -> None:
    """Say how many images a race took in this process, and which winners share their place."""
    from ofa_pose.search import Race

    if not isinstance(workers, Race):
        return
    since = " since the search was resumed" * resumed
    _LOG.info("the archs have seen %s images%s", f"{workers.images:,}", since)
    for tier, standing in workers.standings().items():
        if standing.ties:
            _LOG.info(
                "%s: %d more %s tied with the winner: by these scenes they cannot be told apart "
                "(95 %% of resamples)",
                tier,
                len(standing.ties),
                "archs are" if len(standing.ties) > 1 else "arch is",
            )
