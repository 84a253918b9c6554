"""Whose joint is it: candidates join people by the distance of their tags, joint after joint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ofa_pose.pose.candidates import Candidates


@dataclass(frozen=True)
class Groups:
    """People as they were grouped (P of them).

    Attributes:
        cells: `(P, K, 2)` int64 x, y of each joint's cell, 0 where it is missing.
        scores: `(P, K)` float64, 0 where the joint is missing.
        tags: `(P, T)` float64, the mean of each person's tags.
    """

    cells: np.ndarray
    scores: np.ndarray
    tags: np.ndarray


def group(
    candidates: Sequence[Candidates],
    order: Sequence[int],
    *,
    max_people: int,
    tag_distance: float,
    tie_break: float,
) -> Groups:
    """Assign candidates to people, joint after joint in `order`.

    The cost of giving candidate i to person j is `round(d) * 100 - score_i + tie_break * d` with
    d the Euclidean distance of its tags to the mean tags of the person's joints so far. The
    assignment of least total cost is found; a pair stands if d is below `tag_distance`, any other
    candidate starts a new person. Source: Newell et al., "Associative Embedding" (2017), as in
    HigherHRNet's code, where `tie_break` is 0: rounding makes many costs equal there, and which
    of the equal assignments results depends on the solver.

    Args:
        candidates: K of them.
        order: joint indices, the most reliable first.
        max_people: people that candidates are matched with; further ones may only begin.
        tag_distance: a candidate this far from a person's mean tag is not theirs.
        tie_break: weight of the distance before rounding.
    """
    joints = len(candidates)
    tag_size = candidates[0].tags.shape[1]
    room = sum(len(found.scores) for found in candidates)
    cells = np.zeros((room, joints, 2), dtype=np.int64)
    scores = np.zeros((room, joints))
    sums = np.zeros((room, tag_size))
    counts = np.zeros((room, 1))
    people = 0
    for joint in order:
        found = candidates[joint]
        if len(found.scores) == 0:
            continue
        known = min(people, max_people)
        owners = _match(
            found, sums[:known] / counts[:known], tag_distance=tag_distance, tie_break=tie_break
        )
        new = owners < 0
        owners[new] = people + np.arange(np.count_nonzero(new))
        people += int(np.count_nonzero(new))
        cells[owners, joint] = found.cells
        scores[owners, joint] = found.scores
        sums[owners] += found.tags
        counts[owners] += 1
    return Groups(
        cells=cells[:people], scores=scores[:people], tags=sums[:people] / counts[:people]
    )


def best_groups(groups: Groups, count: int) -> Groups:
    """Return the `count` people of highest mean score, in the order they have."""
    kept = np.sort(np.argsort(-groups.scores.mean(axis=1), kind="stable")[:count])
    return Groups(cells=groups.cells[kept], scores=groups.scores[kept], tags=groups.tags[kept])


def _match(
    found: Candidates, means: np.ndarray, *, tag_distance: float, tie_break: float
) -> np.ndarray:
    """Return for each candidate the index of its person, or -1 for a new one."""
    owners = np.full(len(found.scores), -1, dtype=np.int64)
    if len(means) == 0:
        return owners
    distance = np.linalg.norm(found.tags[:, None] - means[None], axis=2)
    cost = np.rint(distance) * 100 - found.scores[:, None] + tie_break * distance
    rows, columns = linear_sum_assignment(cost)
    accepted = distance[rows, columns] < tag_distance
    owners[rows[accepted]] = columns[accepted]
    return owners
