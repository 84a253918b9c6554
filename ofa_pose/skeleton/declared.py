"""Skeletons declared in YAML: the shipped ones by name, one's own by path."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ofa_pose.errors import SkeletonError, SpaceError, UnknownNameError, suggest
from ofa_pose.skeleton.names import guess_flip
from ofa_pose.skeleton.skeleton import Skeleton
from ofa_pose.space.document import read_document

_LOG = logging.getLogger(__name__)
_FOLDER = Path(__file__).parents[1] / "skeletons"
_FORMAT = 1
_HINTS = ("aliases", "synthetic")
_KEYS = ("format", "name", "joints", "flip", "limbs", "matching_order", "area_rule", *_HINTS)


def skeleton_names() -> dict[str, Path]:
    """Return the shipped skeletons, name to file."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def load_skeleton(skeleton: str | Path | Skeleton) -> Skeleton:
    """Return a shipped skeleton by name, or one's own from a YAML file.

    Args:
        skeleton: `coco`, `crowdpose`, `mpii`, `aic`, the path of a YAML file of the same form, or a
            `Skeleton`, which is returned as it is.

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
        document = read_document(path, what="a skeleton")
    except SpaceError as error:
        raise SkeletonError(str(error)) from error
    if document.repeated:
        twice = ", ".join(": ".join(map(str, location)) for location in document.repeated)
        raise SkeletonError(f"{path}: stands twice: {twice}")
    content = document.data
    try:
        skeleton = _parse(content)
    except SkeletonError as error:
        raise SkeletonError(f"{path}: {error}") from error
    if content.get("flip") is None:
        _tell_guess(f"{path}: no `flip`, so by their names {mirrored(skeleton)}")
    return skeleton


def mirrored(skeleton: Skeleton) -> str:
    """Return which joints change places in a mirrored picture, in one line for a reader."""
    pairs = [
        f"{skeleton.joints[one]} and {skeleton.joints[other]}"
        for one, other in enumerate(skeleton.flip)
        if one < other
    ]
    return (
        f"these mirror each other: {', '.join(pairs)}" if pairs else "no joints mirror each other"
    )


@lru_cache(maxsize=64)
def _tell_guess(message: str) -> None:
    """Log a guess once; a skeleton is loaded many times."""
    _LOG.info(message)


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
    hints = {
        key: _by_joint(content.get(key) or {}, names, key=key, faults=faults) for key in _HINTS
    }
    flip = _flip(content.get("flip"), pairs["flip"], names, faults=faults)
    if faults:
        raise SkeletonError("; ".join(faults))
    return Skeleton(
        name=str(content["name"]),
        joints=tuple(names),
        flip=flip,
        limbs=tuple(pairs["limbs"]),
        sigmas=tuple(content["joints"].values()),
        matching_order=tuple(order),
        area_rule=content.get("area_rule") or "annotated",
        aliases=tuple(tuple(map(str, _list(value))) for value in hints["aliases"]),
        synthetic=tuple(_mixture(value) for value in hints["synthetic"]),
    )


def _flip(
    declared: Any, pairs: list[tuple[int, int]], names: list[str], *, faults: list[str]
) -> tuple[int, ...]:
    """Return the mirror images that are declared, or those that the names tell of."""
    if declared is None:
        flip, alone = guess_flip(names)
        if alone:
            faults.append(
                f"'flip' is missing, and {', '.join(alone)} have no counterpart of the other side; "
                "declare flip: [[left joint, right joint], ...], or flip: [] if nothing mirrors"
            )
        return flip
    flip = list(range(len(names)))
    for left, right in pairs:
        flip[left], flip[right] = right, left
    return tuple(flip)


def _by_joint(values: Any, names: list[str], *, key: str, faults: list[str]) -> list[Any]:
    """Return what a mapping says of each joint, None where nothing; empty if of none at all."""
    if not isinstance(values, dict):
        faults.append(f"{key!r} must map joint names to what is said of them")
        return []
    by_name = {str(name): value for name, value in values.items()}
    _indices(list(by_name), names, key=key, faults=faults)
    for name, value in by_name.items():
        if not _is_hint(value, key):
            form = "a name or a list of names" if key == "aliases" else "a point or point: weight"
            faults.append(f"{key}: {name!r} needs {form}, got {value!r:.60}")
    return [by_name.get(name) for name in names] if by_name else []


def _is_hint(value: Any, key: str) -> bool:
    if key == "aliases":
        return all(isinstance(name, str) for name in _list(value))
    return isinstance(value, str) or (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(w, int | float) and not isinstance(w, bool) for w in value.values())
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _mixture(value: Any) -> tuple[tuple[str, float], ...]:
    if isinstance(value, dict):
        return tuple((str(point), float(weight)) for point, weight in value.items())
    return () if value is None else ((value, 1.0),)


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
    joints = [str(joint) for joint in joints]  # YAML reads some names as numbers
    faults += [
        f"{key}: unknown joint {joint!r}{suggest(joint, names)}"
        for joint in joints
        if joint not in names
    ]
    return [names.index(joint) for joint in joints if joint in names]
