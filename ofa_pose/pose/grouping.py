"""Whose joint is it: candidates join people by the distance of their tags, joint after joint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import shortest_path

from ofa_pose.pose.candidates import Candidates
from ofa_pose.pose.settings import PUBLISHED
from ofa_pose.skeleton import Skeleton

ROUND_WEIGHT = PUBLISHED["round_weight"].value
"""Weight of a tag distance, rounded to a whole number, against a candidate's score."""
TIE = 1e-6
"""Weight of what decides between equal published costs: too little to outweigh other differences.

Rounding makes most costs of one picture equal, so it decides much. A person who is there has high
joints, a ghost beside them low ones, and tags that differ by no more than those of one person do
tell nothing. So high candidates go to people of high joints that are near in the picture, unless
tags speak against it.
"""
NEARNESS = 3.0
"""Weight of a squared tag distance against a candidate's score times its person's scores.

The distance is squared, because in one dimension people and candidates that all lie in a row have
the same sum of distances however they are paired, and it ends where a pair cannot stand anyway.
"""
REACH = 0.15
"""Weight of a distance in the picture, in mean limbs, against the same.

Chosen by scenes that no figure is reported of: between 0.1 and 0.2 their AP differs by chance.
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


@cache
def limbs_between(skeleton: Skeleton) -> np.ndarray:
    """Return `(K, K)` how many limbs lie between two joints, K where limbs do not connect them."""
    joints = skeleton.num_joints
    connected = np.zeros((joints, joints))
    for first, second in skeleton.limbs:
        connected[first, second] = 1
    limbs = np.minimum(shortest_path(connected, directed=False), joints)
    limbs.flags.writeable = False
    return limbs


def group(
    candidates: Sequence[Candidates],
    order: Sequence[int],
    limbs: np.ndarray,
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
    the assignment wins among those of equal cost whose sum of `3 d² + 0.15 a - score_i S_j` is
    least, and of those that are still equal the one that pairs the higher candidates with the
    earlier people. S_j is the sum of the person's scores so far, and a is how far the candidate is
    in the picture from the middle of the person's nearest joints (counted in limbs), for each limb
    between them, divided by the mean of this over the pairs that stand so far.

    Args:
        candidates: K of them.
        order: joint indices, the most reliable first.
        limbs: `(K, K)` of `limbs_between`.
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
    people, pairs, limb_lengths = 0, 0, 0.0
    for joint in order:
        found = candidates[joint]
        size = len(found.scores)
        if size == 0:
            continue
        known = min(people, max_people)
        owners = np.arange(people, people + size)
        if known:
            distance = _distances(found.tags, sums[:known] / counts[:known])
            lengths = _limb_lengths(found.cells, cells[:known], scores[:known] > 0, limbs[joint])
            usual = limb_lengths / pairs if pairs else lengths.mean()
            ties = _ties(
                np.minimum(distance, tag_distance),
                lengths / max(usual, 1.0),
                np.outer(found.scores, scores[:known].sum(axis=1)),
            )
            rows, columns = linear_sum_assignment(
                np.rint(distance) * ROUND_WEIGHT - found.scores[:, None] + ties
            )
            accepted = distance[rows, columns] < tag_distance
            own, theirs = rows[accepted], columns[accepted]
            owners[own] = -1
            new = owners >= 0
            owners[new] = np.arange(people, people + size - len(own))
            owners[own] = theirs
            people += size - len(own)
            pairs += len(own)
            limb_lengths += lengths[own, theirs].sum()
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


def _limb_lengths(
    found: np.ndarray, cells: np.ndarray, known: np.ndarray, limbs: np.ndarray
) -> np.ndarray:
    """Return `(M, P)` how long each limb is, in pixels, if a candidate is a person's.

    It is the distance to the middle of the person's joints that the fewest limbs lie between,
    divided by the number of these limbs.

    Args:
        found: `(M, 2)` pixels of the candidates.
        cells: `(P, K, 2)` pixels of the people's joints.
        known: `(P, K)` bool, which joints they have.
        limbs: `(K,)` limbs between the candidates' joint and each other.
    """
    away = np.where(known, limbs, np.inf)
    fewest = away.min(axis=1)
    nearest = away == fewest[:, None]
    middle = (cells * nearest[:, :, None]).sum(axis=1) / nearest.sum(axis=1)[:, None]
    return np.hypot(*(found[:, None] - middle).transpose(2, 0, 1)) / fewest


def _ties(distance: np.ndarray, lengths: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Return `(M, P)` small costs that decide where those published are equal."""
    rows, columns = distance.shape
    first = np.outer(np.arange(rows, 0, -1), np.arange(columns, 0, -1))
    tie = NEARNESS * np.square(distance) + REACH * lengths - strengths
    return TIE * tie - PRECEDENCE * first
