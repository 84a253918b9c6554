"""Whose joint is it: candidates join people by the distance of their tags, joint after joint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ofa_pose.pose.candidates import Candidates
from ofa_pose.pose.settings import PUBLISHED

ROUND_WEIGHT = PUBLISHED["round_weight"].value
"""Weight of a tag distance, rounded to a whole number, against a candidate's score."""
TIE = 1e-6
"""Weight of what decides between equal published costs: too little to outweigh other differences.

Rounding makes most costs of one picture equal, so it decides much. A person who is there has high
joints, a ghost beside them low ones, and tags that differ by no more than those of one person do
tell nothing. So high candidates go to people of high joints, unless tags speak against it.
"""
NEARNESS = 3.0
"""Weight of a squared tag distance against a candidate's score times its person's scores.

The distance is squared, because in one dimension people and candidates that all lie in a row have
the same sum of distances however they are paired, and it ends where a pair cannot stand anyway.
"""
PRECEDENCE = 1e-15
"""Weight of coming first, which decides what is equal even then, to rounding."""


@dataclass(frozen=True)
class Groups:
    """People as they were grouped (P of them).

    Attributes:
        cells: `(P, K, 2)` int64 x, y of each joint's pixel, 0 where it is missing.
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
) -> Groups:
    """Assign candidates to people, joint after joint in `order`.

    The published cost of giving candidate i to person j is `100 round(d) - score_i`, with d the
    Euclidean distance of its tags to the mean tags of the person's joints so far. The assignment
    of least total cost is found; a pair stands if d is below `tag_distance`, any other candidate
    starts a new person. Source: Newell et al., "Associative Embedding" (2017), as in
    HigherHRNet's code.

    Rounding makes many costs equal, and published is then whatever the solver comes across. Here
    the assignment wins among those of equal cost whose sum of `3 d² - score_i S_j` is least, with
    S_j the sum of the person's scores so far, and of those that are still equal the one that pairs
    the higher candidates with the earlier people.

    Args:
        candidates: K of them.
        order: joint indices, the most reliable first.
        max_people: people that candidates are matched with; further ones may only begin.
        tag_distance: a candidate this far from a person's mean tag is not theirs.
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
        size = len(found.scores)
        if size == 0:
            continue
        known = min(people, max_people)
        owners = np.arange(people, people + size)
        if known:
            distance = _distances(found.tags, sums[:known] / counts[:known])
            rows, columns = linear_sum_assignment(
                _costs(distance, found.scores, scores[:known].sum(axis=1), tag_distance)
            )
            accepted = distance[rows, columns] < tag_distance
            own = rows[accepted]
            owners[own] = -1
            new = owners >= 0
            owners[new] = np.arange(people, people + size - len(own))
            owners[own] = columns[accepted]
            people += size - len(own)
        else:
            people += size
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


def _distances(tags: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return `(M, P)` Euclidean distances, summed in the order of the tags."""
    squares = 0.0
    for tag in range(tags.shape[1]):
        squares = squares + np.square(tags[:, tag, None] - means[None, :, tag])
    return np.sqrt(squares)


def _costs(
    distance: np.ndarray, scores: np.ndarray, strengths: np.ndarray, tag_distance: float
) -> np.ndarray:
    """Return `(M, P)` costs: those published, and what decides where they are equal."""
    rows, columns = distance.shape
    first = np.arange(rows, 0, -1)[:, None] * np.arange(columns, 0, -1)
    apart = np.square(np.minimum(distance, tag_distance))
    tie = NEARNESS * apart - scores[:, None] * strengths
    return np.rint(distance) * ROUND_WEIGHT - scores[:, None] + (TIE * tie - PRECEDENCE * first)
