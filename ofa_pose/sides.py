"""Which joints and limbs of a skeleton are on a person's left, which on the right."""

from __future__ import annotations

import re
from enum import Enum

from ofa_pose.skeleton import Skeleton, plain_name


class Side(Enum):
    """A side of the body, the person's own."""

    LEFT = "left"
    MIDDLE = "middle"
    RIGHT = "right"


_DIGITS = re.compile(r"\d+")


def joint_sides(skeleton: Skeleton) -> tuple[Side, ...]:
    """Return the side of each of the K joints.

    A joint that is its own mirror image is in the middle. Of a pair, the names tell (`left_hip`,
    `hip-l`, `LHip`); where they do not, the first joint of the pair is taken for the left one.
    """
    return tuple(
        Side.MIDDLE
        if other == joint
        else _named(skeleton.joints[joint])
        or _opposite(_named(skeleton.joints[other]))
        or (Side.LEFT if joint < other else Side.RIGHT)
        for joint, other in enumerate(skeleton.flip)
    )


def limb_sides(skeleton: Skeleton) -> tuple[Side, ...]:
    """Return the side of each limb: that of its ends, the middle where they lie on both sides."""
    joints = joint_sides(skeleton)
    return tuple(_between(joints[first], joints[second]) for first, second in skeleton.limbs)


def _between(first: Side, second: Side) -> Side:
    sides = {first, second} - {Side.MIDDLE}
    return sides.pop() if len(sides) == 1 else Side.MIDDLE


def _named(joint: str) -> Side | None:
    side = plain_name(_DIGITS.sub(" ", joint)).partition("_")[0]
    return {"left": Side.LEFT, "right": Side.RIGHT}.get(side)


def _opposite(side: Side | None) -> Side | None:
    return {Side.LEFT: Side.RIGHT, Side.RIGHT: Side.LEFT}.get(side) if side else None
