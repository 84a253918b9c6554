"""Decoding with help from the labels: which candidates are true, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ofa_pose.pose import DecodeSettings, Person
from ofa_pose.pose.candidates import Candidates, find_candidates
from ofa_pose.pose.decode import people_of
from ofa_pose.pose.refine import positions
from ofa_pose.pose.zoom import Zoomed
from ofa_pose.skeleton import Skeleton

_REACH = 2.0
"""A candidate this many OKS deviations from a joint is not its (its OKS there is e^-2 = 0.14)."""


@dataclass(frozen=True)
class Truth:
    """The people labelled in one picture (P of them).

    Attributes:
        keypoints: `(P, K, 3)` x, y in pixels of the network's input, and v.
        deviations: `(P, K)` how far in pixels a joint may be off for an OKS of e^-0.5; twice the
            joint's sigma times the square root of the person's area.
    """

    keypoints: np.ndarray
    deviations: np.ndarray

    def nearness(self, joint: int, points: np.ndarray) -> np.ndarray:
        """Return distances of each person's joint to points `(M, 2)`, in deviations: `(P, M)`.

        A joint that is not labelled is infinitely far.
        """
        offsets = np.linalg.norm(self.keypoints[:, joint, None, :2] - points[None], axis=2)
        scaled = offsets / np.maximum(self.deviations[:, joint, None], 1e-9)
        return np.where(self.keypoints[:, joint, 2:] > 0, scaled, np.inf)


def people_by_truth(
    heatmaps: Zoomed, tags: Sequence[Zoomed], truth: Truth, settings: DecodeSettings
) -> list[Person]:
    """Return the people of one picture if its candidates are grouped by the labels.

    Args:
        heatmaps: K maps.
        tags: T stacks of K maps, which decide nothing.
        truth: the labelled people.
        settings: constants of decoding.
    """
    candidates = find_candidates(heatmaps, tags, settings)
    cells, scores, person_scores = group_by_truth(candidates, heatmaps.whole(), truth)
    keypoints = np.zeros((*scores.shape, 3))
    people, joints = np.nonzero(scores > 0)
    keypoints[people, joints, :2] = positions(heatmaps, joints, cells[people, joints])
    keypoints[..., 2] = scores
    return [
        Person(keypoints=keypoints[person], score=float(score))
        for person, score in enumerate(person_scores)
    ]


def people_of_true_peaks(
    heatmaps: Zoomed,
    tags: Sequence[Zoomed],
    truth: Truth,
    *,
    skeleton: Skeleton,
    settings: DecodeSettings,
) -> list[Person]:
    """Return the people of one picture if only candidates of labelled joints are left.

    Of each joint a labelled person keeps the candidate that `group_by_truth` gives them; the
    others, false ones and doubles, are taken away. What is left is grouped by the tags.

    Args:
        heatmaps: K maps.
        tags: T stacks of K maps.
        truth: the labelled people.
        skeleton: K joints.
        settings: constants of decoding.
    """
    true = []
    for joint, found in enumerate(find_candidates(heatmaps, tags, settings)):
        owned = _owners(truth.nearness(joint, found.cells + 0.5)) >= 0
        true.append(Candidates(found.cells[owned], found.scores[owned], found.tags[owned]))
    return people_of(true, heatmaps, tags, skeleton, settings)


def group_by_truth(
    candidates: Sequence[Candidates], heatmaps: np.ndarray, truth: Truth
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return people as the best possible tags would group them.

    Of each joint the candidates go to the labelled people nearest to them, one each, with the
    least sum of squared distances in OKS deviations; a candidate near nobody is a person of its
    own. A labelled joint without a candidate is taken, as decoding's search for missed joints
    does, where the heatmap is highest among the cells near it, if it is positive there.

    Args:
        candidates: K of them, in cells of the network's input.
        heatmaps: `(K, H, W)` at the network's input size.
        truth: P labelled people.

    Returns:
        cells `(Q, K, 2)`, scores `(Q, K)` and person scores `(Q,)`: the labelled people of whom
        a candidate was found, then those of one joint.
    """
    people, joints = truth.deviations.shape
    room = people + sum(len(found.scores) for found in candidates)
    cells = np.zeros((room, joints, 2), dtype=np.int64)
    scores = np.zeros((room, joints))
    used = people
    for joint, found in enumerate(candidates):
        owners = _owners(truth.nearness(joint, found.cells + 0.5))
        strangers = np.flatnonzero(owners < 0)
        owners[strangers] = used + np.arange(len(strangers))
        used += len(strangers)
        cells[owners, joint], scores[owners, joint] = found.cells, found.scores
    grouped = scores.mean(axis=1)
    for person, joint in np.argwhere(scores[:people] == 0):
        if grouped[person] > 0 and truth.keypoints[person, joint, 2] > 0:
            cell, score = _highest_near(heatmaps[joint], truth, person=person, joint=joint)
            cells[person, joint], scores[person, joint] = cell, score
    kept = grouped > 0
    return cells[kept], scores[kept], grouped[kept]


def _owners(nearness: np.ndarray) -> np.ndarray:
    """Return for each of M candidates its person, or -1; `nearness` is `(P, M)`."""
    owners = np.full(nearness.shape[1], -1, dtype=np.int64)
    # What is out of reach costs the same everywhere, so that it never pushes out what is not.
    cost = np.minimum(np.square(nearness), _REACH**2)
    people, found = linear_sum_assignment(cost)
    near = nearness[people, found] < _REACH
    owners[found[near]] = people[near]
    return owners


def _highest_near(
    heatmap: np.ndarray, truth: Truth, *, person: int, joint: int
) -> tuple[tuple[int, int], float]:
    """Return x, y and value of the highest cell near a joint that is nobody else's; else zeros."""
    height, width = heatmap.shape
    x, y = truth.keypoints[person, joint, :2]
    reach = _REACH * truth.deviations[person, joint]
    left, right = (int(np.clip(edge, 0, width)) for edge in (x - reach, x + reach + 1))
    top, bottom = (int(np.clip(edge, 0, height)) for edge in (y - reach, y + reach + 1))
    if left >= right or top >= bottom:
        return (0, 0), 0.0
    rows, columns = np.mgrid[top:bottom, left:right]
    points = np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5
    nearness = truth.nearness(joint, points)
    own = (nearness.argmin(axis=0) == person) & (nearness[person] < _REACH)
    values = np.where(own, heatmap[top:bottom, left:right].ravel(), 0.0)
    best = int(values.argmax())
    if values[best] <= 0:
        return (0, 0), 0.0
    return (int(columns.ravel()[best]), int(rows.ravel()[best])), float(values[best])
