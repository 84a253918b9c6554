"""One annotation file cut into several whose pictures differ."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ofa_pose.data.faults import image_faults, is_id
from ofa_pose.data.shares import cut
from ofa_pose.errors import DataError

_SEED = 501  # first word of the seeds: no other use of a user's seed shares this stream of numbers


def split_document(
    document: Mapping[str, Any],
    shares: Mapping[str, float],
    *,
    seed: int,
    folder: Path | None = None,
) -> dict[str, dict[str, Any]]:
    """Cut a COCO JSON into parts at random; a pure function of its images and the seed.

    Whatever else the file holds is kept in every part. Annotations go with their image.

    Args:
        document: lists `images` and `annotations`.
        shares: name of each part to its share; together at most 1, what is left is in no part.
        seed: of the permutation that parts are cut from.
        folder: of the pictures; files of equal content stay together. Without it, those of
            equal names do.

    Raises:
        UsageError: impossible shares.
        DataError: there are too few pictures.
    """
    cut(1, [*shares.values()])  # impossible shares are refused before anything is read
    _refuse_doubtful(document)
    contents = same_content(document, folder)
    pictures: dict[str, list[Any]] = {}
    for image in document["images"]:
        pictures.setdefault(contents[image["file_name"]], []).append(image["id"])
    groups = list(pictures.values())
    order = np.random.default_rng([_SEED, seed]).permutation(len(groups))
    part_of: dict[Any, str] = {}
    parts = cut(len(groups), [*shares.values()])
    for name, (start, end) in zip(shares, parts, strict=True):
        if start == end:
            raise DataError(f"{len(groups)} pictures are too few: part {name!r} would be empty")
        for place in order[start:end].tolist():
            part_of.update(dict.fromkeys(groups[place], name))
    return {
        name: {
            **document,
            "images": [each for each in document["images"] if part_of.get(each["id"]) == name],
            "annotations": [
                each for each in document["annotations"] if part_of.get(each["image_id"]) == name
            ],
        }
        for name in shares
    }


def _refuse_doubtful(document: Mapping[str, Any]) -> None:
    """Refuse a document of which it is not certain what belongs to which picture."""
    for image in document["images"]:
        for kind, where in image_faults(image):
            raise DataError(f"{kind}: {where}; ofa-pose data check lists every fault")
    ids = {image["id"] for image in document["images"]}
    if len(ids) < len(document["images"]):
        raise DataError(f"{len(document['images']) - len(ids)} image ids are used twice")
    strays = sum(
        not isinstance(each, dict) or not is_id(each.get("image_id")) or each["image_id"] not in ids
        for each in document["annotations"]
    )
    if strays:
        raise DataError(
            f"{strays} annotations are of no image that is listed; "
            "ofa-pose data check lists every fault"
        )


def same_content(document: Mapping[str, Any], folder: Path | None) -> dict[str, str]:
    """Return file name to a text that is equal for files of equal content.

    Only files of equal size are read. Without a folder, or where a file is not there, its name
    alone tells.
    """
    names = list(dict.fromkeys(image["file_name"] for image in document["images"]))
    sizes: dict[int, list[str]] = {}
    found = {name: name for name in names}
    if folder is None:
        return found
    for name in names:
        try:
            sizes.setdefault((folder / name).stat().st_size, []).append(name)
        except OSError:
            continue
    for alike in sizes.values():
        for name in alike if len(alike) > 1 else ():
            found[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return found
