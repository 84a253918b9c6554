"""What a search is compared with: the networks of one ratio everywhere, scored after it.

They are no part of the search: they have an archive (and a journal) of their own, so that neither
whether nor when they were scored changes what a search finds or how it resumes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from ofa_pose.errors import RunFolderError
from ofa_pose.search.archive import Archive, journal_path
from ofa_pose.search.evaluation import PARTS, Evaluation, told
from ofa_pose.search.racing import Race
from ofa_pose.search.run import SearchResult
from ofa_pose.search.workers import Workers
from ofa_pose.space import uniform_archs

TIER = "uniform"
"""What stands in the column `tier` of a network of the baseline."""

_LOG = logging.getLogger(__name__)
Opening = Callable[[], AbstractContextManager[Workers[int, Mapping[str, float]]]]
"""Opens the workers; they are closed at the end of the context."""


def uniform_baseline(
    result: SearchResult,
    open_workers: Opening,
    *,
    costs: Mapping[str, np.ndarray],
    path: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Archive:
    """Score every uniformly scaled arch that is within some budget of a search.

    One that the search has scored (on all images, if archs raced) is not scored again. Workers
    are opened only if there is something left to score. If they are a `Race`, what the search has
    seen on all images takes part, and an interrupted race is run again as a whole.

    Args:
        result: of the search.
        open_workers: for indices of archs.
        costs: cost name → (archs,) the cost of every arch, those that budgets limit among them.
        path: of the CSV, its journal beside it; what is there already is taken over. None keeps
            nothing on disk.
        progress: called with how many are done, and of how many, at first and after each that
            was scored.

    Returns:
        Evaluations whose `tier` is "uniform"; `order` is the arch's number in `uniform_archs`.

    Raises:
        RunFolderError: what is at `path` is no baseline, or of another space or search.
    """
    space = result.archive.space
    known = _scored_fully(result.archive)
    baseline = _open(result, path, known=known)
    orders = {space.index(arch): order for order, arch in enumerate(uniform_archs(space))}
    own = {index: {name: cost[index].item() for name, cost in costs.items()} for index in orders}
    tiers = result.tiers.values()
    within = [index for index in orders if any(tier.allows(own[index]) for tier in tiers)]

    def keep(index: int, scores: Mapping[str, float], error: str) -> None:
        baseline.add(
            Evaluation.of(
                space,
                index,
                order=orders[index],
                generation=0,
                tier=TIER,
                costs=own[index],
                scores=scores,
                error=error,
            )
        )

    for index in within:
        if index in known and not baseline.has(index):
            keep(index, known[index].scores, known[index].error)
    unknown = [index for index in within if index not in known]
    waiting = [index for index in unknown if not baseline.has(index)]
    if waiting:
        number = f"{len(waiting)} uniformly scaled arch{'s are' if len(waiting) > 1 else ' is'}"
        _LOG.info("%s scored, to compare with", number)
        if progress is not None:
            progress(len(baseline), len(within))
        with open_workers() as workers:
            if isinstance(workers, Race):
                workers.recall((row.index, row.scores) for row in known.values())
                waiting = unknown
            for index, outcome in workers.evaluate(waiting):
                if baseline.has(index):
                    continue
                keep(index, *told(outcome, result.objective))
                if progress is not None:
                    progress(len(baseline), len(within))
    baseline.add_costs(costs)
    baseline.save()
    return baseline


def best_uniform(
    result: SearchResult, baseline: Sequence[Evaluation] | Archive
) -> dict[str, Evaluation]:
    """Return the best of the baseline within each tier; one without any is left out."""
    best = {}
    for name, tier in result.tiers.items():
        inside = [row for row in baseline if not row.failed and tier.allows(row.costs)]
        if inside:
            best[name] = max(inside, key=lambda row: row.score(result.objective))
    return best


def _open(
    result: SearchResult, path: str | Path | None, *, known: Mapping[int, Evaluation]
) -> Archive:
    """Return the baseline's archive; one of a race with other tiers or rivals begins anew."""
    space = result.archive.space
    settings: dict[str, Any] = {"baseline": TIER, "objective": result.objective}
    if any(PARTS in row.scores for row in known.values()):
        settings["race"] = {
            "tiers": {
                name: [[limit.cost, limit.value] for limit in tier.limits]
                for name, tier in result.tiers.items()
            },
            "known": sorted(known),
        }
    if path is None:
        return Archive(space, settings=settings)
    if journal_path(path).exists():
        before = Archive.load(path, space).settings
        if before.get("baseline") != TIER:
            raise RunFolderError(f"{path} holds a search, not a baseline; give another path")
        if before.get("race") == settings.get("race"):
            return Archive.resume(path, space, settings=settings)
        Path(path).unlink(missing_ok=True)  # first, as one without a journal would be kept
        journal_path(path).unlink()
    return Archive.create(path, space, settings=settings)


def _scored_fully(archive: Archive) -> dict[int, Evaluation]:
    """Return by index what failed or was scored on all images: the most parts of a race."""
    parts = max((row.scores.get(PARTS, 1.0) for row in archive), default=1.0)
    return {row.index: row for row in archive if row.failed or row.scores.get(PARTS, 1.0) == parts}
