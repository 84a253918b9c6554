"""Evaluations as CSV text, exactly: integers as they are, floats by `repr`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from ofa_pose.search.evaluation import Evaluation
from ofa_pose.space import SearchSpace

_FIXED = ("order", "generation", "tier", "index")
_COST = "cost."
_SCORE = "score."
_ERROR = "error"


def to_csv(evaluations: Iterable[Evaluation], space: SearchSpace) -> str:
    """Return the CSV of `evaluations`, one a line, in the order given.

    Columns: order, generation, tier, index, the value of every choice, `cost.<name>`,
    `score.<name>` (empty: no such score), error.
    """
    rows = list(evaluations)
    costs = list(dict.fromkeys(name for row in rows for name in row.costs))
    scores = list(dict.fromkeys(name for row in rows for name in row.scores))
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    names = [choice.name for choice in space.choices]
    writer.writerow(
        [*_FIXED, *names, *(_COST + n for n in costs), *(_SCORE + n for n in scores), _ERROR]
    )
    for row in rows:
        writer.writerow(
            [
                *(row.order, row.generation, row.tier, row.index),
                *row.arch.values(),
                *(repr(row.costs[name]) if name in row.costs else "" for name in costs),
                *(repr(row.scores[name]) if name in row.scores else "" for name in scores),
                row.error,
            ]
        )
    return stream.getvalue()
