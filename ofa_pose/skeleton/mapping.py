"""Which joints two skeletons share, so that one data set serves a network of another."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_pose.errors import SkeletonError
from ofa_pose.skeleton.names import plain_name
from ofa_pose.skeleton.skeleton import Skeleton


@dataclass(frozen=True)
class JointMap:
    """Where each joint of one skeleton stands in another; see `map_joints`.

    Attributes:
        source: the skeleton that joints are taken from.
        target: the skeleton that they are wanted in.
        places: for each joint of `target` its index in `source`, or None if `source` lacks it.
    """

    source: Skeleton
    target: Skeleton
    places: tuple[int | None, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the target's joints that the source lacks."""
        return tuple(
            name
            for name, place in zip(self.target.joints, self.places, strict=True)
            if place is None
        )


def map_joints(source: Skeleton, target: Skeleton) -> JointMap:
    """Match joints by name, then by the other names that either skeleton says they go by.

    Case, separators and how a side is written do not count: `LAnkle` is `left_ankle`.

    Raises:
        SkeletonError: the two share no joint.
    """
    own = [_names(source, joint) for joint in range(source.num_joints)]
    wanted = [_names(target, joint) for joint in range(target.num_joints)]
    places: list[int | None] = [
        next((place for place, (name, _) in enumerate(own) if name == wanted_name), None)
        for wanted_name, _ in wanted
    ]
    for joint, (_, names) in enumerate(wanted):
        if places[joint] is None:
            free = (place for place in range(len(own)) if place not in places)
            places[joint] = next((place for place in free if own[place][1] & names), None)
    if all(place is None for place in places):
        raise SkeletonError(
            f"skeletons {source.name!r} and {target.name!r} share no joint: "
            f"{', '.join(source.joints)}; and {', '.join(target.joints)}; "
            "`aliases` in a skeleton's YAML tell what else a joint is called"
        )
    return JointMap(source, target, tuple(places))


def _names(skeleton: Skeleton, joint: int) -> tuple[str, frozenset[str]]:
    """Return a joint's plain name, and all of its plain names."""
    name = plain_name(skeleton.joints[joint])
    others = skeleton.aliases[joint] if skeleton.aliases else ()
    return name, frozenset({name, *map(plain_name, others)})
