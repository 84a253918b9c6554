"""Who is who from frame to frame: people matched by object keypoint similarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ofa_pose.errors import UsageError
from ofa_pose.pose import Person
from ofa_pose.skeleton import Skeleton


@dataclass
class _Track:
    id: int
    keypoints: np.ndarray
    unseen: int = 0


class OksTracker:
    """Gives people ids that stay theirs while they are seen.

    Each frame's people are matched with those known, where they were last seen, so that the sum
    of the similarities is the largest. Nothing is predicted: whoever moves by more than a fifth
    of their size between two frames, or is hidden for long, becomes somebody new.

    Args:
        skeleton: its sigmas say how far apart a joint may lie.
        min_oks: similarity below which two are not the same person.
        patience: frames that somebody may be unseen for.

    Raises:
        UsageError: a value that cannot work.
    """

    def __init__(self, skeleton: Skeleton, *, min_oks: float = 0.2, patience: int = 15) -> None:
        if not 0 < min_oks <= 1 or patience < 0:
            raise UsageError(
                f"tracking needs a similarity above 0, at most 1, and a patience of 0 frames or "
                f"more, got {min_oks} and {patience}"
            )
        self._sigmas = np.array(skeleton.sigmas)
        self._min_oks = min_oks
        self._patience = patience
        self._tracks: list[_Track] = []
        self._last_id = 0

    @property
    def known(self) -> frozenset[int]:
        """The ids that may still be given again."""
        return frozenset(track.id for track in self._tracks)

    def update(self, people: Sequence[Person]) -> list[int]:
        """Return the ids of a frame's people, counted from 1."""
        ids = [0] * len(people)
        if people and self._tracks:
            similarity = np.array(
                [
                    [oks(track.keypoints, person.keypoints, self._sigmas) for person in people]
                    for track in self._tracks
                ]
            )
            # What is not alike enough must not cost others their match.
            similarity[similarity < self._min_oks] = 0.0
            for row, place in zip(*linear_sum_assignment(-similarity), strict=True):
                if similarity[row, place] > 0:
                    ids[place] = self._tracks[row].id
        for track in self._tracks:
            track.unseen += 1
        known = {track.id: track for track in self._tracks}
        for place, person in enumerate(people):
            if not ids[place]:
                self._last_id += 1
                ids[place] = self._last_id
            known[ids[place]] = _Track(ids[place], person.keypoints.copy())
        self._tracks = [track for track in known.values() if track.unseen <= self._patience]
        return ids


def oks(known: np.ndarray, found: np.ndarray, sigmas: np.ndarray) -> float:
    """Return the object keypoint similarity of two poses, over the joints that both have.

    exp(-d² / (2 s² (2 sigma)²)), averaged over joints; s² is the area of the box around the known
    pose's joints, 1 px² at least. 0 where no joint is in both. Source: the COCO keypoint
    evaluation.

    Args:
        known: (K, 3) x, y, score; score 0 is not found.
        found: (K, 3).
        sigmas: (K,).
    """
    both = (known[:, 2] > 0) & (found[:, 2] > 0)
    if not both.any():
        return 0.0
    extent = np.ptp(known[known[:, 2] > 0, :2], axis=0)
    area = max(1.0, float(extent[0] * extent[1]))
    squares = ((known[both, :2] - found[both, :2]) ** 2).sum(axis=1)
    return float(np.exp(-squares / (2 * area * (2 * sigmas[both]) ** 2)).mean())
