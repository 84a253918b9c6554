"""Evaluations as CSV text and back, exactly: integers as they are, floats by `repr`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

from ofa_pose.errors import OfaPoseError, RunFolderError
from ofa_pose.search.evaluation import Evaluation
from ofa_pose.space import SearchSpace
from ofa_pose.space.frozen import FrozenDict

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


def from_csv(text: str, space: SearchSpace, *, source: str) -> list[Evaluation]:
    """Return the evaluations that `to_csv` wrote.

    Args:
        text: the CSV.
        space: the space whose archs they are.
        source: what the text came from, named in messages.

    Raises:
        RunFolderError: the text is cut off, columns are missing, or a line cannot be read or
            contradicts the space.
    """
    if text and not text.endswith("\n"):
        raise RunFolderError(f"{source} is cut off: its last line has no end")
    lines = csv.reader(io.StringIO(text, newline=""))
    header = next(lines, [])
    names = [choice.name for choice in space.choices]
    start = len(_FIXED) + len(names)
    middle = header[start:-1]
    if (
        header[:start] != [*_FIXED, *names]
        or header[-1] != _ERROR
        or not all(name.startswith((_COST, _SCORE)) for name in middle)
    ):
        raise RunFolderError(f"{source} is not an archive of space {space.name!r}: {header}")
    evaluations = []
    for cells in lines:
        try:
            evaluations.append(_parse(cells, middle, space))
        except (ValueError, IndexError, OfaPoseError) as error:
            message = f"{source}, line {lines.line_num}, is damaged: {error}"
            raise RunFolderError(message) from error
    return evaluations


def _parse(cells: Sequence[str], columns: Sequence[str], space: SearchSpace) -> Evaluation:
    start = len(_FIXED) + len(space.choices)
    expected = start + len(columns) + 1
    if len(cells) != expected:
        raise ValueError(f"{len(cells)} cells, expected {expected}")
    order, generation, index = int(cells[0]), int(cells[1]), int(cells[3])
    arch = space[index]
    if list(map(str, arch.values())) != list(cells[len(_FIXED) : start]):
        raise ValueError(f"its values are not those of arch {index}, {arch.key}")
    measured = [pair for pair in zip(columns, cells[start:-1], strict=True) if pair[1]]
    return Evaluation(
        order=order,
        generation=generation,
        tier=cells[2],
        index=index,
        arch=arch,
        genes=tuple(space.genes_of(np.array([index]))[0].tolist()),
        costs=FrozenDict(
            {n.removeprefix(_COST): _number(cell) for n, cell in measured if n.startswith(_COST)}
        ),
        scores=FrozenDict(
            {n.removeprefix(_SCORE): float(cell) for n, cell in measured if n.startswith(_SCORE)}
        ),
        error=cells[-1],
    )


def _number(cell: str) -> float:
    try:
        return int(cell)
    except ValueError:
        return float(cell)
