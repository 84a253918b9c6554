"""What several tests of decoding reckon with: how long limbs would be."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from ofa_pose.skeleton import Skeleton

Point = tuple[float, float]


@pytest.fixture(scope="session")
def limb_lengths() -> Callable[..., np.ndarray]:
    """How long limbs are, `(M, P)`, if each of M places of a joint is each of P people's.

    Called with a skeleton, the joint, M points and, for each person, points by joint.
    """

    def lengths(
        skeleton: Skeleton,
        joint: int,
        places: Sequence[Point],
        people: Sequence[Mapping[int, Point]],
    ) -> np.ndarray:
        away = limbs_from(joint, skeleton)
        columns = []
        for person in people:
            fewest = min(away[other] for other in person)
            nearest = [point for other, point in person.items() if away[other] == fewest]
            x, y = np.mean(nearest, axis=0)
            columns.append([np.hypot(px - x, py - y) / fewest for px, py in places])
        return np.array(columns).T

    return lengths


def limbs_from(joint: int, skeleton: Skeleton) -> dict[int, int]:
    """The limbs between a joint and each, found step by step."""
    away = dict.fromkeys(range(skeleton.num_joints), skeleton.num_joints)
    away[joint], reached, steps = 0, {joint}, 0
    while reached:
        steps += 1
        beside = {
            end
            for limb in skeleton.limbs
            for start, end in (limb, limb[::-1])
            if start in reached and away[end] > steps
        }
        away.update(dict.fromkeys(beside, steps))
        reached = beside
    return away
