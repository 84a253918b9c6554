"""People from maps by the published steps, as HigherHRNet's code and LitePose's take them.

Everything runs on maps of the network's full input size: non-maximum suppression by max-pooling,
the best 30 cells a joint, grouping by tags, a quarter of a cell towards the higher neighbour, and
for every person and joint a look through the whole map for what grouping missed. Written from the
description, to be compared with; `ofa_pose.pose` is what to use.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

from ofa_pose.pose import Person
from ofa_pose.pose.grouping import NEARNESS, PRECEDENCE, TIE
from ofa_pose.skeleton import Skeleton

WINDOW, MOST, THRESHOLD, TAG_DISTANCE = 5, 30, 0.1, 1.0


def decode(
    heatmaps: torch.Tensor, tags: torch.Tensor, skeleton: Skeleton, *, decided: bool = False
) -> list[Person]:
    """Return the people in one picture.

    Args:
        heatmaps: (K, H, W) at the input's size.
        tags: (K, H, W, T).
        skeleton: its matching order is used.
        decided: of pairings of equal cost take the one that `ofa_pose.pose` takes; published is
            whichever the solver finds.
    """
    people = _group(*_candidates(heatmaps, tags), skeleton, decided=decided)
    scores = [float(joints[:, 2].mean()) for joints in people]
    maps, tag_maps = heatmaps.numpy(), tags.numpy()
    for joints in people:
        _shift(joints, maps)
        _refine(joints, maps, tag_maps)
    return [
        Person(keypoints=joints[:, :3], score=score)
        for joints, score in zip(people, scores, strict=True)
    ]


def _candidates(
    heatmaps: torch.Tensor, tags: torch.Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y (K, 30, 2), tags (K, 30, T) and scores (K, 30) of the highest maxima."""
    joints, height, width = heatmaps.shape
    pooled = F.max_pool2d(heatmaps[None], WINDOW, 1, WINDOW // 2)[0]
    peaks = (heatmaps * (pooled == heatmaps)).view(joints, -1)
    scores, cells = peaks.topk(min(MOST, height * width), dim=1)
    flat = tags.view(joints, height * width, -1)
    picked = flat.gather(1, cells[..., None].expand(-1, -1, flat.shape[2]))
    places = torch.stack([cells % width, cells // width], dim=2)
    return places.double().numpy(), picked.double().numpy(), scores.double().numpy()


def _group(
    places: np.ndarray, tags: np.ndarray, scores: np.ndarray, skeleton: Skeleton, *, decided: bool
) -> list[np.ndarray]:
    """Return (K, 3 + T) x, y, score, tags of each person."""
    people: list[np.ndarray] = []
    members: list[list[np.ndarray]] = []
    for joint in skeleton.matching_order:
        found = scores[joint] > THRESHOLD
        rows = np.concatenate([places[joint], scores[joint, :, None], tags[joint]], axis=1)[found]
        known = people[:MOST]
        owner = dict.fromkeys(range(len(rows)), -1)
        if len(known) and len(rows):
            means = np.stack([np.mean(tag, axis=0) for tag in members[:MOST]])
            distance = np.linalg.norm(rows[:, None, 3:] - means[None], axis=2)
            cost = np.round(distance) * 100 - rows[:, 2:3]
            if decided:
                first = np.arange(len(rows), 0, -1)[:, None] * np.arange(len(known), 0, -1)
                worth = rows[:, 2:3] * [joints[:, 2].sum() for joints in known]
                tie = NEARNESS * np.minimum(distance, TAG_DISTANCE) ** 2 - worth
                cost += TIE * tie - PRECEDENCE * first
            for row, person in zip(*linear_sum_assignment(cost), strict=True):
                if distance[row, person] < TAG_DISTANCE:
                    owner[row] = person
        for row, person in owner.items():
            if person < 0:
                people.append(np.zeros((skeleton.num_joints, rows.shape[1])))
                members.append([])
            people[person][joint] = rows[row]
            members[person].append(rows[row, 3:])
    return people


def _shift(joints: np.ndarray, maps: np.ndarray) -> None:
    """Move the joints that were found a quarter of a cell, then to the cell's middle."""
    height, width = maps.shape[1:]
    for joint in np.flatnonzero(joints[:, 2] > 0):
        x, y = map(int, joints[joint, :2])
        joints[joint, :2] += _quarter(maps[joint], x, y, width, height) + 0.5


def _refine(joints: np.ndarray, maps: np.ndarray, tags: np.ndarray) -> None:
    """Look through every joint's map for the best cell near the person's mean tag."""
    found = joints[:, 2] > 0
    mean = joints[found, 3:].mean(axis=0)
    height, width = maps.shape[1:]
    for joint in range(len(joints)):
        distance = np.sqrt(((tags[joint] - mean) ** 2).sum(axis=2))
        y, x = np.unravel_index(np.argmax(maps[joint] - np.round(distance)), (height, width))
        value = maps[joint, y, x]
        if value > 0 and not found[joint]:
            shift = _quarter(maps[joint], int(x), int(y), width, height)
            joints[joint, :2] = np.array([x, y]) + 0.5 + shift
            joints[joint, 2] = value


def _quarter(plane: np.ndarray, x: int, y: int, width: int, height: int) -> np.ndarray:
    right = plane[y, min(x + 1, width - 1)] > plane[y, max(x - 1, 0)]
    below = plane[min(y + 1, height - 1), x] > plane[max(y - 1, 0), x]
    return np.array([0.25 if right else -0.25, 0.25 if below else -0.25])
