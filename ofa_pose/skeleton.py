"""What a person is made of: joints, their mirror images, limbs and OKS sigmas, declared in YAML."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from ofa_pose.errors import SkeletonError, UnknownNameError, suggest

AreaRule = Literal["annotated", "bbox0.53"]

_FOLDER = Path(__file__).parent / "skeletons"
_FORMAT = 1
_KEYS = ("format", "name", "joints", "flip", "limbs", "matching_order", "area_rule")


@dataclass(frozen=True)
class Skeleton:
    """The joints of one kind of annotation, in its order (K of them).

    Attributes:
        name: what the skeleton is called (`coco`).
        joints: K distinct names.
        flip: for each joint the index of its mirror image (itself on the body's axis).
        limbs: pairs of joint indices that a painter connects.
        sigmas: K OKS constants, as a fraction of the square root of the object's area.
        matching_order: all joint indices, in the order in which decoding groups them.
        area_rule: where an object's area comes from: its annotation, or 0.53 times its box.

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

    def __post_init__(self) -> None:
        faults = _faults(self)
        if faults:
            raise SkeletonError(f"skeleton {self.name!r}: {'; '.join(faults)}")

    @property
    def num_joints(self) -> int:
        """How many joints a person has, K."""
        return len(self.joints)

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as plain lists, text and numbers; `from_dict` reads them back."""
        return {key: _lists(value) for key, value in vars(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Skeleton:
        """Return the skeleton that `to_dict` wrote.

        Raises:
            SkeletonError: it is not of this form, or contradicts itself.
        """
        lists = ("joints", "flip", "limbs", "sigmas", "matching_order")
        if not isinstance(content.get("name"), str):
            raise SkeletonError("not the declaration of a skeleton (no name)")
        for key in lists:
            if not isinstance(content.get(key), list):
                raise SkeletonError(f"not the declaration of a skeleton ({key} is no list)")
        try:
            return cls(**{key: _tuples(value) for key, value in content.items()})
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise SkeletonError(f"not the declaration of a skeleton ({error})") from error


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def skeleton_names() -> dict[str, Path]:
    """Return the shipped skeletons, name to file."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def load_skeleton(skeleton: str | Path | Skeleton) -> Skeleton:
    """Return a shipped skeleton by name, or one's own from a YAML file.

    Args:
        skeleton: `coco`, `crowdpose`, the path of a YAML file of the same form, or a `Skeleton`,
            which is returned as it is.

    Raises:
        UnknownNameError: no shipped skeleton has this name.
        SkeletonError: the file is absent, is no YAML, or contradicts itself.
    """
    if isinstance(skeleton, Skeleton):
        return skeleton
    shipped = skeleton_names()
    if isinstance(skeleton, str) and skeleton in shipped:
        return _read(shipped[skeleton])
    path = Path(skeleton)
    if isinstance(skeleton, str) and path.suffix not in {".yaml", ".yml"} and not path.is_file():
        raise UnknownNameError("skeleton", skeleton, shipped)
    return _read(path)


def _read(path: Path) -> Skeleton:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SkeletonError(f"cannot read skeleton {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise SkeletonError(f"skeleton {path} is not YAML: {text}") from error
    if not isinstance(content, dict):
        raise SkeletonError(f"skeleton {path}: expected a mapping, got {type(content).__name__}")
    try:
        return _parse(content)
    except SkeletonError as error:
        raise SkeletonError(f"{path}: {error}") from error


def _parse(content: Mapping[Any, Any]) -> Skeleton:
    """Turn the YAML's joint names into indices; collect every fault before raising."""
    faults = [
        f"unknown key {key!r}{suggest(str(key), _KEYS)}" for key in content if key not in _KEYS
    ]
    faults += [
        f"{key!r} is missing" for key in ("format", "name", "joints") if content.get(key) is None
    ]
    if content.get("format") not in (None, _FORMAT):
        faults.append(f"format is {content['format']!r}, this version reads {_FORMAT}")
    joints = content.get("joints")
    if joints is not None and not isinstance(joints, dict):
        faults.append("'joints' must map each joint's name to its sigma")
    names = [str(name) for name in joints] if isinstance(joints, dict) else []
    pairs = {
        key: _index_groups(content.get(key) or [], names, key=key, faults=faults)
        for key in ("flip", "limbs")
    }
    order = _indices(
        content.get("matching_order") or names, names, key="matching_order", faults=faults
    )
    if faults:
        raise SkeletonError("; ".join(faults))
    flip = list(range(len(names)))
    for left, right in pairs["flip"]:
        flip[left], flip[right] = right, left
    return Skeleton(
        name=str(content["name"]),
        joints=tuple(names),
        flip=tuple(flip),
        limbs=tuple(pairs["limbs"]),
        sigmas=tuple(content["joints"].values()),
        matching_order=tuple(order),
        area_rule=content.get("area_rule") or "annotated",
    )


def _index_groups(
    groups: Any, names: list[str], *, key: str, faults: list[str]
) -> list[tuple[int, int]]:
    if not isinstance(groups, list):
        faults.append(f"{key!r} must be a list of pairs of joint names")
        return []
    pairs = []
    for group in groups:
        if not isinstance(group, list) or len(group) != 2:
            faults.append(f"{key}: {group!r} is not a pair of joint names")
            continue
        found = _indices(group, names, key=key, faults=faults)
        if len(found) == 2:
            pairs.append((found[0], found[1]))
    if key == "flip":
        uses = Counter(joint for pair in pairs for joint in pair)
        faults += [f"flip: {names[j]!r} appears {n} times" for j, n in uses.items() if n > 1]
    return pairs


def _indices(joints: Any, names: list[str], *, key: str, faults: list[str]) -> list[int]:
    if not isinstance(joints, list):
        faults.append(f"{key!r} must be a list of joint names")
        return []
    faults += [
        f"{key}: unknown joint {joint!r}{suggest(str(joint), names)}"
        for joint in joints
        if joint not in names
    ]
    return [names.index(joint) for joint in joints if joint in names]


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
    return faults


def _is_positive(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value > 0
    )
