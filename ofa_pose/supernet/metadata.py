"""What a weights file says of itself: whose weights they are, written and read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

import ofa_pose
from ofa_pose.catalog import load_space
from ofa_pose.errors import ArchError, SkeletonError, SpaceError, WeightsError
from ofa_pose.skeleton import Skeleton, load_skeleton, skeleton_names
from ofa_pose.space import SearchSpace, declare_space, restore_space
from ofa_pose.space.document import NOT_A_VALUE

WEIGHTS_FORMAT = "1"
SKELETON = "skeleton_declaration"
"""The key of the whole skeleton; `options` holds its name."""
SPACE = "space_declaration"
"""The key of the whole space, as YAML; `space` holds its name."""


def weights_metadata(
    kind: str, space: SearchSpace, *, options: Mapping[str, Any]
) -> dict[str, str]:
    """Return the metadata of a `kind` of weights.

    `options` is JSON, objects by their name; the space and a skeleton are also written whole, so
    that their files are not needed to read the weights.
    """
    metadata = {
        "format": WEIGHTS_FORMAT,
        "kind": kind,
        "space": space.name,
        "space_hash": space.hash,
        SPACE: yaml.safe_dump(declare_space(space), sort_keys=False, width=100),
        "options": json.dumps(plain_options(options), sort_keys=True),
        "version": ofa_pose.__version__,
    }
    if "skeleton" in options:
        skeleton = load_skeleton(options["skeleton"] or space.skeleton)
        metadata[SKELETON] = json.dumps(skeleton.to_dict())
    return metadata


def read_space_of(metadata: Mapping[str, str], *, source: str) -> SearchSpace:
    """Return the space that weights carry; of older files, which lack it, the one of its name.

    Raises:
        UnknownNameError: an older file's is not known here.
        WeightsError: it is not the one that the weights were trained on, or is damaged.
    """
    carried = metadata.get(SPACE)
    name = metadata["space"]
    space = _own_space(carried, source=source) if carried else load_space(name)
    check_space(metadata, space, source=source)
    return space


def _own_space(declaration: str, *, source: str) -> SearchSpace:
    where = f"the space in the metadata of {source}"
    try:
        document = yaml.safe_load(declaration)
    except (yaml.YAMLError, RecursionError, *NOT_A_VALUE):
        raise WeightsError(f"{where} is not valid YAML") from None
    try:
        return restore_space(document)
    except (SpaceError, ArchError) as error:
        raise WeightsError(f"{where}: {error}") from None


def check_space(metadata: Mapping[str, str], space: SearchSpace, *, source: str) -> None:
    """Refuse weights of another space than `space`, or of another version of it.

    Raises:
        WeightsError: both are named.
    """
    if metadata["space_hash"] != space.hash:
        raise WeightsError(
            f"{source} was trained on space {metadata['space']!r} ({metadata['space_hash']}), "
            f"not on {space.name!r} ({space.hash})"
        )


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """A family's options as JSON values: an object that carries a `name` is written as it."""
    return {key: _in_json(getattr(value, "name", value)) for key, value in options.items()}


def _in_json(value: Any) -> Any:
    return [_in_json(item) for item in value] if isinstance(value, tuple) else value


def _from_json(value: Any) -> Any:
    """A value of an option: JSON's lists were tuples, as a list is no option of a family."""
    return tuple(_from_json(item) for item in value) if isinstance(value, list) else value


def _is_option(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_option(item) for item in value)
    return isinstance(value, bool | int | float | str | None)


def read_options(metadata: Mapping[str, str], *, source: str) -> dict[str, Any]:
    """Return the family's options in a file's metadata, ready to be given to the family.

    Tuples, which JSON has as lists, come back as such; a skeleton that is not a shipped one comes
    back whole, a shipped one by its name.

    Raises:
        WeightsError: they are damaged.
    """
    options = read_json(metadata, "options", source=source)
    skeleton = options.get("skeleton")
    if not (isinstance(skeleton, str | None) and all(map(_is_option, options.values()))):
        raise WeightsError(f"{source}: the options in its metadata are damaged")
    options = {key: _from_json(value) for key, value in options.items()}
    if metadata.get(SKELETON):
        try:
            skeleton = Skeleton.from_dict(read_json(metadata, SKELETON, source=source))
        except SkeletonError as error:
            raise WeightsError(f"{source}: the skeleton in its metadata: {error}") from None
        shipped = skeleton.name in skeleton_names() and load_skeleton(skeleton.name) == skeleton
        options["skeleton"] = skeleton.name if shipped else skeleton
    return options


def read_json(metadata: Mapping[str, str], key: str, *, source: str) -> dict[str, Any]:
    """Return the mapping that a file's metadata holds as JSON under `key`.

    Raises:
        WeightsError: it is missing, not JSON, or no mapping.
    """
    try:
        content = json.loads(metadata.get(key, ""))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise WeightsError(f"{source}: {key!r} in its metadata is missing or damaged")
    return content


def check_options(stored: Mapping[str, Any], wanted: Mapping[str, Any], *, source: str) -> None:
    """Refuse weights that were trained with other options than `wanted`; skeletons count whole.

    Args:
        stored: of `read_options`.
        wanted: the options that are asked for; any of them may be left out.
        source: the weights, for the message.

    Raises:
        WeightsError: an option differs.
    """
    for key in wanted.keys() & stored.keys():
        own, other = stored[key], wanted[key]
        if key == "skeleton":
            _check_skeleton(own, load_skeleton(other), source=source)
        elif own != _from_json(plain_options({key: other})[key]):
            raise WeightsError(f"{source} was trained with {key} {own!r}, not {other!r}")


def _check_skeleton(stored: str | Skeleton, wanted: Skeleton, *, source: str) -> None:
    name = stored if isinstance(stored, str) else stored.name
    if name != wanted.name:
        raise WeightsError(f"{source} was trained with skeleton {name!r}, not {wanted.name!r}")
    if isinstance(stored, str) and stored not in skeleton_names():
        return  # written before skeletons were written whole
    differing = load_skeleton(stored).differences(wanted)
    if differing:
        raise WeightsError(
            f"{source} was trained with another skeleton called {name!r}: "
            f"{', '.join(differing)} differ"
        )
