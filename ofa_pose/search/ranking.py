"""Who is better than whom, by DEAP: best under a budget, Pareto front, the log of generations.

DEAP's `creator` (classes made global) and its operators (global `random`) are not used: only
its selection, Pareto front, statistics and logbook, over small records of our own.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

import numpy as np
from deap import base, tools

from ofa_pose.search.evaluation import Evaluation
from ofa_pose.search.limits import FeasibleSet


class _Point:
    """DEAP's individual: a position in a list of evaluations, and a fitness."""

    __slots__ = ("fitness", "position")

    def __init__(self, position: int, fitness: base.Fitness) -> None:
        self.position = position
        self.fitness = fitness


class _Merit(base.Fitness):
    """Objective, higher is better; then load (cost / limit), lower is better."""

    weights = (1.0, -1.0)


def rank(
    evaluations: Iterable[Evaluation], feasible: FeasibleSet, *, objective: str, count: int
) -> list[Evaluation]:
    """Return the best `count` evaluations within a budget, best first.

    Equal objectives: the one that costs less; equal again: the one evaluated first. Failed
    evaluations are left out.
    """
    rows = [row for row in evaluations if not row.failed and feasible.mask[row.index]]
    points = [
        _Point(position, _Merit((row.score(objective), float(feasible.load[row.index]))))
        for position, row in enumerate(rows)
    ]
    return [rows[point.position] for point in tools.selBest(points, count)]


def front(
    evaluations: Iterable[Evaluation], *, objective: str, costs: Sequence[str]
) -> tuple[Evaluation, ...]:
    """Return the evaluations that no other dominates, cheapest (by the first cost) first.

    One dominates another when no cost is higher and the objective is no lower, and one of them
    is better. Of evaluations equal in all of these, the first evaluated stands for all. Failed
    evaluations and those with a NaN among `costs` are left out.
    """
    rows, points = _trades(evaluations, objective=objective, costs=costs)
    best = tools.ParetoFront(similar=lambda _one, _other: True)
    best.update(points)
    return tuple(rows[point.position] for point in best)


def crowded_order(
    evaluations: Iterable[Evaluation], *, objective: str, costs: Sequence[str], count: int
) -> list[Evaluation]:
    """Return what NSGA-II's selection keeps of the evaluations, best first.

    By non-dominated rank over `costs` (lower) and `objective` (higher), then by crowding
    distance. Failed evaluations and those with a NaN among `costs` are left out.
    """
    rows, points = _trades(evaluations, objective=objective, costs=costs)
    if not points:
        return []
    survivors = tools.selNSGA2(points, min(count, len(points)))
    ranked = [
        point
        for members in tools.sortNondominated(survivors, len(survivors))
        for point in sorted(members, key=lambda p: (-p.fitness.crowding_dist, p.position))
    ]
    return [rows[point.position] for point in ranked]


def _trades(
    evaluations: Iterable[Evaluation], *, objective: str, costs: Sequence[str]
) -> tuple[list[Evaluation], list[_Point]]:
    """Return the usable evaluations, and a point in cost and objective for each."""
    kind = type("_Trade", (base.Fitness,), {"weights": (*(-1.0 for _ in costs), 1.0)})
    rows, points = [], []
    for row in evaluations:
        values = [float(row.costs[name]) for name in costs]
        if not row.failed and not any(map(math.isnan, values)):
            points.append(_Point(len(rows), kind((*values, row.score(objective)))))
            rows.append(row)
    return rows, points


def log_generations(
    evaluations: Sequence[Evaluation], sets: Sequence[FeasibleSet], *, objective: str
) -> tools.Logbook:
    """Return DEAP's logbook, one record a generation.

    Keys: `generation`, `evaluations` (so far), `failed` (so far); chapter `scores`: mean, std,
    min and max of the generation's objective; chapter `best`: the best so far of every tier (NaN
    where there is none).
    """
    statistics = tools.Statistics(key=lambda row: row.score(objective))
    for name, function in (("mean", np.mean), ("std", np.std), ("min", np.min), ("max", np.max)):
        statistics.register(name, lambda values, f=function: float(f(values)))
    logbook = tools.Logbook()
    for generation in sorted({row.generation for row in evaluations}):
        past = [row for row in evaluations if row.generation <= generation]
        new = [row for row in past if row.generation == generation and not row.failed]
        best = {}
        for feasible in sets:
            winner = rank(past, feasible, objective=objective, count=1)
            best[feasible.tier] = winner[0].score(objective) if winner else math.nan
        logbook.record(
            generation=generation,
            evaluations=len(past),
            failed=sum(row.failed for row in past),
            scores=statistics.compile(new) if new else dict.fromkeys(statistics.fields, math.nan),
            best=best,
        )
    for log, header in (
        (logbook, ["generation", "evaluations", "failed", "scores", "best"]),
        (logbook.chapters["scores"], statistics.fields),
        (logbook.chapters["best"], [feasible.tier for feasible in sets]),
    ):
        log.header = header  # pyright: ignore[reportAttributeAccessIssue]
    return logbook


def log_to_csv(logbook: tools.Logbook, *, objective: str) -> str:
    """Return the logbook of `log_generations` as CSV, one line a generation.

    Columns: generation, evaluations, failed, `<objective>.mean` (std, min, max) of the generation,
    `best.<tier>` so far; floats by `repr`, NaN where there is none.
    """
    scores, best = logbook.chapters["scores"], logbook.chapters["best"]
    columns = {name: logbook.select(name) for name in ("generation", "evaluations", "failed")}
    for prefix, chapter in ((objective, scores), ("best", best)):
        columns |= {f"{prefix}.{name}": chapter.select(name) for name in chapter.header or ()}
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([repr(cell) for cell in row] for row in zip(*columns.values(), strict=True))
    return stream.getvalue()
