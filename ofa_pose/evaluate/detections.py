"""Who was found in which picture, by one rank or by several together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ofa_pose.data import SceneSource
from ofa_pose.evaluate.shard import Shard


@dataclass(frozen=True)
class Detections:
    """The people found in one picture.

    Attributes:
        place: the picture's position in its source.
        image_id: the id of the picture that was read there.
        people: their COCO results, in pixels of the picture.
    """

    place: int
    image_id: int
    people: tuple[dict[str, Any], ...]


def detect_together(
    source: SceneSource, shard: Shard, detect: Callable[[], list[Detections]]
) -> list[dict[str, Any]]:
    """Return the COCO results of all ranks in the source's order, on every rank.

    Afterwards the source knows of every damaged picture, whichever rank came across it.

    Args:
        source: where the pictures come from.
        shard: of them, this rank's.
        detect: finds the people in this rank's pictures.

    Raises:
        DataError: too many of the source's pictures are damaged.
        OfaPoseError: another rank failed or does not answer.
    """
    detections = [picture for part in shard.gather(detect) for picture in part]
    if shard.size > 1:
        _read_doubtful(source, detections)
    return results_of(detections)


def results_of(detections: Iterable[Detections]) -> list[dict[str, Any]]:
    """Return the COCO results in the source's order.

    A picture that was read at two places, once as the stand-in of a damaged one, counts once.
    """
    pictures: dict[int, Detections] = {}
    for picture in sorted(detections, key=lambda picture: picture.place):
        pictures.setdefault(picture.image_id, picture)
    return [result for picture in pictures.values() for result in picture.people]


def _read_doubtful(source: SceneSource, detections: Sequence[Detections]) -> None:
    """Read again what may be damaged, so that this rank's source notices, too.

    A source notices a damaged picture by reading it, maybe on another rank, and what it leaves
    out of its ground truth must be the same on all. Where a picture is damaged another stands in:
    its id came twice, or, if one rank read it twice, one place is missing. So few pictures are
    read, and nothing is asked of a source that it does not do anyway.
    """
    times = Counter(picture.image_id for picture in detections)
    sound = {picture.place for picture in detections if times[picture.image_id] == 1}
    for place in range(len(source)):
        if place not in sound:
            source[place]
