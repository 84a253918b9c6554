"""Decoding as published, step by step over maps of the input's size: slow, for comparison.

Sources: Newell et al., "Associative Embedding" (2017), and HigherHRNet (Cheng et al., 2020) with
its code, which added the last step. The numbers are those of `ofa_pose.pose.settings.PUBLISHED`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

from ofa_pose.pose.settings import PUBLISHED, DecodeSettings

Solver = Callable[
    [np.ndarray, np.ndarray, int, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]
]
"""Gives rows and columns of the least total of a cost matrix `(candidates, people)`.

It is also shown the tag distances that the costs were made of, which joint it is, its candidates
`(M, 3)` and the people's joints so far `(P, K, 3)`, all of them x, y of the pixel and score.
"""

_ROUND_WEIGHT = PUBLISHED["round_weight"].value
_SHIFT = PUBLISHED["shift"].value
_CENTRE = PUBLISHED["centre"].value


def _least(
    cost: np.ndarray, distance: np.ndarray, joint: int, found: np.ndarray, people: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return linear_sum_assignment(cost)


@dataclass
class _Member:
    """A person while being grouped: the found joints `x, y, score`, and their tags."""

    joints: np.ndarray
    tags: list[np.ndarray]


def decode_reference(
    heatmaps: np.ndarray,
    tags: np.ndarray,
    order: Sequence[int],
    *,
    settings: DecodeSettings,
    solve: Solver = _least,
) -> list[tuple[np.ndarray, float]]:
    """Return `(K, 3)` keypoints x, y, score and the score of every person.

    1. A maximum pool over the window leaves the local maxima, equals side by side included.
    2. The highest `max_people` of each joint are its candidates, if above the threshold.
    3. Joint after joint in `order` the candidates are assigned to the first `max_people` people
       at the least total of `100 round(tag distance) - score`. A candidate that is assigned to
       nobody, or farther than `tag_distance`, begins a person. People are known by the first tag
       they begin with: beginning somebody who exists takes the joint and starts their tags anew.
    4. A joint moves a quarter of a pixel towards the higher neighbour in x and in y, left or up
       if they are equal, and half a pixel to its pixel's centre.
    5. A person's score is the mean over all joints, missing ones counting 0.
    6. Each missing joint is taken where `heatmap - round(tag distance)` is highest, if the
       heatmap is positive there, and moved as in 4.

    Args:
        heatmaps: `(K, H, W)` float32.
        tags: `(K, H, W, T)` float32.
        order: joint indices.
        settings: constants; `mode` and `best` play no part here.
        solve: finds the assignments; published is any of least cost.
    """
    tags = np.ascontiguousarray(tags)
    candidates = _candidates(heatmaps, tags, settings)
    people = _group(candidates, order, settings=settings, solve=solve)
    found = []
    for person in people:
        keypoints = person.joints.copy()
        for joint in np.flatnonzero(keypoints[:, 2] > 0):
            cell = person.joints[joint, :2].astype(np.int64)
            keypoints[joint, :2] = _moved(heatmaps[joint], *cell)
        score = float(keypoints[:, 2].mean())
        if settings.refine:
            _refine(keypoints, heatmaps, tags)
        found.append((keypoints, score))
    return found


def _candidates(
    heatmaps: np.ndarray, tags: np.ndarray, settings: DecodeSettings
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return of each joint `(M, 3)` x, y, score and `(M, T)` tags, highest first."""
    maps = torch.from_numpy(heatmaps)
    pooled = F.max_pool2d(maps, settings.window, stride=1, padding=settings.window // 2)
    peaks = (maps * (pooled == maps)).flatten(1)
    values, index = peaks.topk(min(settings.max_people, peaks.shape[1]), dim=1)
    found = []
    width = heatmaps.shape[2]
    for joint, (scores, cells) in enumerate(zip(values.numpy(), index.numpy(), strict=True)):
        above = scores > settings.threshold
        y, x = np.divmod(cells[above], width)
        rows = np.stack([x, y, scores[above]], axis=1).astype(np.float64)
        found.append((rows, tags[joint, y, x].astype(np.float64)))
    return found


def _group(
    candidates: Sequence[tuple[np.ndarray, np.ndarray]],
    order: Sequence[int],
    *,
    settings: DecodeSettings,
    solve: Solver,
) -> list[_Member]:
    people: dict[float, _Member] = {}

    def begin(joint: int, row: np.ndarray, tag: np.ndarray) -> None:
        person = people.setdefault(float(tag[0]), _Member(np.zeros((len(candidates), 3)), []))
        person.joints[joint] = row
        person.tags = [tag]

    for joint in order:
        rows, tags = candidates[joint]
        if len(rows) == 0:
            continue
        if not people:
            for row, tag in zip(rows, tags, strict=True):
                begin(joint, row, tag)
            continue
        known = list(people.values())[: settings.max_people]
        means = np.array([np.mean(person.tags, axis=0) for person in known])
        distance = np.linalg.norm(tags[:, None] - means[None], axis=2)
        cost = np.round(distance) * _ROUND_WEIGHT - rows[:, 2:]
        joints = np.stack([person.joints for person in known])
        owners = dict(zip(*solve(cost, distance, joint, rows, joints), strict=True))
        for number, (row, tag) in enumerate(zip(rows, tags, strict=True)):
            owner = owners.get(number)
            if owner is not None and distance[number, owner] < settings.tag_distance:
                known[owner].joints[joint] = row
                known[owner].tags.append(tag)
            else:
                begin(joint, row, tag)
    return list(people.values())


def _moved(heatmap: np.ndarray, x: int, y: int) -> tuple[float, float]:
    """Return the continuous position of a joint in pixel x, y."""
    height, width = heatmap.shape
    right = heatmap[y, min(x + 1, width - 1)] > heatmap[y, max(x - 1, 0)]
    below = heatmap[min(y + 1, height - 1), x] > heatmap[max(y - 1, 0), x]
    return (
        x + _CENTRE + (_SHIFT if right else -_SHIFT),
        y + _CENTRE + (_SHIFT if below else -_SHIFT),
    )


def _refine(keypoints: np.ndarray, heatmaps: np.ndarray, tags: np.ndarray) -> None:
    """Fill in the joints that `keypoints` lacks."""
    found = np.flatnonzero(keypoints[:, 2] > 0)
    x, y = keypoints[found, :2].astype(np.int64).T
    mean = tags[found, y, x].mean(axis=0)
    for joint, (heatmap, joint_tags) in enumerate(zip(heatmaps, tags, strict=True)):
        # Published so: joints that were found are looked for, too, to no effect.
        distance = np.sqrt(np.square(joint_tags - mean).sum(axis=2))
        cell = int(np.argmax(heatmap - np.round(distance)))
        y, x = divmod(cell, heatmap.shape[1])
        if heatmap[y, x] > 0 and keypoints[joint, 2] == 0:
            keypoints[joint] = (*_moved(heatmap, x, y), heatmap[y, x])
