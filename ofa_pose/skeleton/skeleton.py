"""One kind of annotation: its joints, their mirror images, limbs and OKS sigmas."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from ofa_pose.errors import SkeletonError

AreaRule = Literal["annotated", "bbox0.53"]

_LISTS = ("joints", "flip", "limbs", "sigmas", "matching_order")
_HINTS = ("aliases", "synthetic")


@dataclass(frozen=True)
class Skeleton:
    """The joints of one kind of annotation, in its order (K of them).

    Attributes:
        name: what the skeleton is called (`coco`).
        joints: K distinct names.
        flip: for each joint the index of its mirror image (itself on the body's axis).
        limbs: pairs of joint indices that a painter connects, and along which grouping counts how
            far joints are from each other.
        sigmas: K OKS constants, as a fraction of the square root of the object's area.
        matching_order: all joint indices, in the order in which decoding groups them.
        area_rule: where an object's area comes from: its annotation, or 0.53 times its box.
        aliases: for each joint the other names it goes by; empty if none has any. Two skeletons
            that differ in this alone are equal.
        synthetic: for each joint the points of the synthetic figure it lies between, with weights
            that add up to 1, none where its name is a point of the figure; empty if all are. Two
            skeletons that differ in this alone are equal.

    Raises:
        SkeletonError: the declaration contradicts itself; every fault is in the message.
    """

    name: str
    joints: tuple[str, ...]
    flip: tuple[int, ...]
    limbs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]
    matching_order: tuple[int, ...]
    area_rule: AreaRule = "annotated"
    aliases: tuple[tuple[str, ...], ...] = field(default=(), compare=False)
    synthetic: tuple[tuple[tuple[str, float], ...], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        for key in (*_LISTS, *_HINTS):  # lists and numpy's arrays could be changed
            value = getattr(self, key)
            value = value.tolist() if hasattr(value, "tolist") else value
            object.__setattr__(self, key, _tuples(value))
        faults = _faults(self)
        if faults:
            raise SkeletonError(f"skeleton {self.name!r}: {'; '.join(faults)}")

    @property
    def num_joints(self) -> int:
        """How many joints a person has, K."""
        return len(self.joints)

    def differences(self, other: Skeleton) -> list[str]:
        """Return the names of the attributes that make two skeletons unequal."""
        return [
            each.name
            for each in fields(self)
            if each.compare and getattr(self, each.name) != getattr(other, each.name)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as plain lists, text and numbers; `from_dict` reads them back.

        Aliases and synthetic positions are left out where there are none.
        """
        content = {key: _lists(value) for key, value in vars(self).items()}
        return {key: value for key, value in content.items() if value or key not in _HINTS}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Skeleton:
        """Return the skeleton that `to_dict` wrote.

        Raises:
            SkeletonError: it is not of this form, or contradicts itself.
        """
        if not isinstance(content.get("name"), str):
            raise SkeletonError("not the declaration of a skeleton (no name)")
        for key in (*_LISTS, *(key for key in _HINTS if key in content)):
            if not isinstance(content.get(key), list):
                raise SkeletonError(f"not the declaration of a skeleton ({key} is no list)")
        try:
            return cls(**{key: _tuples(value) for key, value in content.items()})
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise SkeletonError(f"not the declaration of a skeleton ({error})") from error


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _faults(skeleton: Skeleton) -> list[str]:
    """Return what is wrong with `skeleton`, one text a fault."""
    faults = []
    count = len(skeleton.joints)
    every = list(range(count))
    if count == 0:
        faults.append("has no joints")
    twice = [name for name, uses in Counter(skeleton.joints).items() if uses > 1]
    if twice:
        faults.append(f"joint names used twice: {', '.join(twice)}")
    if sorted(skeleton.flip) != every or any(
        skeleton.flip[other] != joint for joint, other in enumerate(skeleton.flip)
    ):
        faults.append(f"flip must pair {count} joints with their mirror images both ways")
    bad_limbs = [
        limb for limb in skeleton.limbs if limb[0] == limb[1] or not set(limb) <= set(every)
    ]
    if bad_limbs:
        faults.append(f"limbs {bad_limbs} do not join two different joints of 0 to {count - 1}")
    if len(skeleton.sigmas) != count:
        faults.append(f"has {len(skeleton.sigmas)} sigmas for {count} joints")
    bad_sigmas = [sigma for sigma in skeleton.sigmas if not _is_positive(sigma)]
    if bad_sigmas:
        faults.append(f"sigmas must be positive numbers, got {bad_sigmas}")
    if sorted(skeleton.matching_order) != every:
        faults.append(f"matching_order must name each of the {count} joints once")
    if skeleton.area_rule not in get_args(AreaRule):
        faults.append(
            f"area_rule is {skeleton.area_rule!r}, expected one of {', '.join(get_args(AreaRule))}"
        )
    for key in _HINTS:
        if getattr(skeleton, key) and len(getattr(skeleton, key)) != count:
            faults.append(f"{key} are given for {len(getattr(skeleton, key))} of {count} joints")
    for name, mixture in zip(skeleton.joints, skeleton.synthetic, strict=False):
        if mixture and not _adds_up(mixture):
            faults.append(f"synthetic: the weights of {name!r} must be numbers that add up to 1")
    return faults


def _adds_up(mixture: tuple[tuple[str, float], ...]) -> bool:
    weights = [weight for _, weight in mixture]
    if any(isinstance(w, bool) or not isinstance(w, int | float) for w in weights):
        return False
    return abs(sum(weights) - 1) < 1e-6


def _is_positive(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value > 0
    )
