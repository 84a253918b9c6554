"""What was found as JSON: COCO's results, and a form that a person can read."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from io import RawIOBase
from pathlib import Path
from typing import Any

from ofa_pose.errors import OfaPoseError, UsageError
from ofa_pose.files import atomic_path
from ofa_pose.pose import Person, person_to_result
from ofa_pose.skeleton import Skeleton

_LOG = logging.getLogger(__name__)
_PLACE_DIGITS, _SCORE_DIGITS = 2, 4


def coco_result(person: Person, image_id: int, *, track_id: int | None = None) -> dict[str, Any]:
    """Return a COCO keypoint result, rounded to hundredths of a pixel; `track_id` where given."""
    result = person_to_result(person, image_id)
    result["keypoints"] = [
        round(value, _SCORE_DIGITS if place % 3 == 2 else _PLACE_DIGITS)
        for place, value in enumerate(result["keypoints"])
    ]
    result["bbox"] = [round(value, _PLACE_DIGITS) for value in result["bbox"]]
    result["area"] = round(result["area"], _PLACE_DIGITS)
    result["score"] = round(result["score"], _SCORE_DIGITS)
    return result if track_id is None else {**result, "track_id": int(track_id)}


def describe_person(
    person: Person, skeleton: Skeleton, *, track_id: int | None = None
) -> dict[str, Any]:
    """Return a person as score, box (x, y, width, height) and joints by name: x, y, score.

    Joints that were not found are left out.

    Raises:
        UsageError: the person has another number of joints than the skeleton.
    """
    if len(person.keypoints) != skeleton.num_joints:
        raise UsageError(
            f"a person has {len(person.keypoints)} joints, skeleton {skeleton.name!r} has "
            f"{skeleton.num_joints}"
        )
    result = coco_result(person, 0, track_id=track_id)
    numbers = result["keypoints"]
    joints = {
        name: numbers[3 * joint : 3 * joint + 3]
        for joint, name in enumerate(skeleton.joints)
        if person.keypoints[joint, 2] > 0
    }
    track = {} if track_id is None else {"track_id": int(track_id)}
    return {**track, "score": result["score"], "bbox": result["bbox"], "joints": joints}


@contextlib.contextmanager
def json_list(path: str | Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yield what appends an entry, one a line, to a JSON list that need not fit into memory.

    The file is there once the block has ended. Where an error ended it, the file holds the whole
    entries that were appended before, and is not there without any.

    Raises:
        OfaPoseError: the file cannot be written.
    """
    failed: BaseException | None = None
    # Without a buffer an entry that was appended needs no more room.
    with atomic_path(path) as temporary, temporary.open("wb", buffering=0) as stream:
        end = 0

        def append(entry: Mapping[str, Any]) -> None:
            nonlocal end
            line = (",\n" if end else "[\n") + json.dumps(entry, allow_nan=False)
            try:
                _write_all(stream, line.encode())
            except OSError as error:
                raise OfaPoseError(f"cannot write {path}: {error.strerror or error}") from error
            end = stream.tell()

        try:
            yield append
        except BaseException as error:
            if not end:
                raise
            failed = error
            stream.truncate(end)
            stream.seek(end)
        _write_all(stream, b"\n]\n" if end else b"[]\n")
    if failed is not None:
        _LOG.warning("%s: holds what was found until then", path)
        raise failed


def _write_all(stream: RawIOBase, content: bytes) -> None:
    """Write bytes of which a nearly full disk takes a part first, and then raises an error."""
    left = memoryview(content)
    while left:
        left = left[stream.write(left) or 0 :]
