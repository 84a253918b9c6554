"""From maps to people: candidates, grouping by tags, refinement (associative embedding)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa_pose.errors import UsageError, WeightsError
from ofa_pose.pose.candidates import Candidates, find_candidates
from ofa_pose.pose.fuse import fuse_scales, zoomed_maps
from ofa_pose.pose.grouping import best_groups, group, limbs_between
from ofa_pose.pose.maps import Maps, Pass, as_array
from ofa_pose.pose.refine import add_missing, positions
from ofa_pose.pose.settings import DecodeSettings
from ofa_pose.pose.zoom import Zoomed
from ofa_pose.skeleton import Skeleton


@dataclass(frozen=True)
class Person:
    """One decoded person.

    Attributes:
        keypoints: `(K, 3)` float64 x, y, score; a joint that was not found is all 0. The centre
            of the first pixel is (0.5, 0.5).
        score: mean over all K joints of the scores found by grouping.
    """

    keypoints: np.ndarray
    score: float


_DEFAULT = DecodeSettings()


def decode(
    heatmaps: Maps,
    tags: Maps,
    skeleton: Skeleton,
    settings: DecodeSettings = _DEFAULT,
) -> list[Person]:
    """Return the people in one picture's maps, in the maps' coordinates; an empty list for none.

    Source: Newell et al., "Associative Embedding" (2017), with HigherHRNet's refinement.

    Args:
        heatmaps: `(K, H, W)`.
        tags: `(K, H, W)`, or `(K, H, W, T)` with T tags a joint (flip test).
        skeleton: its `matching_order` is the order of grouping.
        settings: mode and constants.

    Raises:
        UsageError: shapes do not fit each other or the skeleton.
        WeightsError: a map holds NaN or infinite values.
    """
    heatmaps, tags = as_array(heatmaps), as_array(tags)
    if tags.ndim == 3:
        tags = tags[..., None]
    if heatmaps.ndim != 3 or tags.ndim != 4 or tags.shape[:3] != heatmaps.shape:
        raise UsageError(
            f"expected heatmaps (K, H, W) and tags (K, H, W) or (K, H, W, T), "
            f"got {heatmaps.shape} and {tags.shape}"
        )
    _check_joints(len(heatmaps), skeleton)
    _check_finite("heatmaps", heatmaps)
    _check_finite("tags", tags)
    if settings.mode == "reference":
        return _reference(heatmaps, tags, skeleton, settings)
    stacks = [Zoomed(np.ascontiguousarray(maps), 0) for maps in np.moveaxis(tags, -1, 0)]
    return _fast(Zoomed(np.ascontiguousarray(heatmaps), 0), stacks, skeleton, settings)


def decode_outputs(
    outputs: Sequence[Maps],
    skeleton: Skeleton,
    *,
    size: tuple[int, int],
    flipped_outputs: Sequence[Maps] | None = None,
    other_scales: Sequence[Pass] = (),
    settings: DecodeSettings = _DEFAULT,
) -> list[list[Person]]:
    """Return the people of each picture of a batch, in pixels of the network's input.

    Args:
        outputs: the network's: `(N, 2K, h', w')` heatmaps then tags, `(N, K, h, w)` heatmaps.
        skeleton: K joints.
        size: (H, W) of the network's input.
        flipped_outputs: what the network gave for the mirrored batch, for the flip test.
        other_scales: the same of the batch at other sizes, for testing at several scales: their
            heatmaps are averaged with these, their tags are left out.
        settings: mode and constants of decoding.

    Raises:
        UsageError: shapes do not fit each other or the skeleton.
        WeightsError: a map holds NaN or infinite values.
    """
    given: list[Pass] = [(outputs, flipped_outputs), *other_scales]
    # Maps come from a GPU once.
    passes = [(_here(own), None if other is None else _here(other)) for own, other in given]
    for own, mirrored in passes:
        _check_joints(own[0].shape[1] // 2, skeleton)
        for output in [*own, *(mirrored or ())]:
            _check_finite("outputs", output)
    if settings.mode == "fast":
        return [
            _fast(heatmaps, tags, skeleton, settings)
            for heatmaps, tags in zoomed_maps(passes, skeleton, size=size)
        ]
    heatmaps, tags = fuse_scales(passes, skeleton, size=size)
    return [
        decode(picture, picture_tags, skeleton, settings)
        for picture, picture_tags in zip(heatmaps, tags, strict=True)
    ]


def _fast(
    heatmaps: Zoomed, tags: Sequence[Zoomed], skeleton: Skeleton, settings: DecodeSettings
) -> list[Person]:
    candidates = find_candidates(heatmaps, tags, settings)
    return people_of(candidates, heatmaps, tags, skeleton, settings)


def people_of(
    candidates: Sequence[Candidates],
    heatmaps: Zoomed,
    tags: Sequence[Zoomed],
    skeleton: Skeleton,
    settings: DecodeSettings,
) -> list[Person]:
    """Return the people that candidates make: grouped by their tags, what is missed looked for.

    Args:
        candidates: one of each joint.
        heatmaps: K maps that they were found in.
        tags: T stacks of K maps.
        skeleton: K joints.
        settings: constants of decoding.
    """
    groups = group(
        candidates,
        skeleton.matching_order,
        limbs_between(skeleton),
        max_people=settings.max_people,
        tag_distance=settings.tag_distance,
    )
    if settings.best is not None:
        groups = best_groups(groups, settings.best)
    cells, scores = groups.cells, groups.scores
    if settings.refine:
        cells, scores = add_missing(heatmaps, tags, groups)
    keypoints = np.zeros((*scores.shape, 3))
    people, joints = np.nonzero(scores > 0)
    keypoints[people, joints, :2] = positions(heatmaps, joints, cells[people, joints])
    keypoints[..., 2] = scores
    return [
        Person(keypoints=keypoints[person], score=float(score))
        for person, score in enumerate(groups.scores.mean(axis=1))
    ]


def _reference(
    heatmaps: np.ndarray, tags: np.ndarray, skeleton: Skeleton, settings: DecodeSettings
) -> list[Person]:
    from ofa_pose.pose.reference import decode_reference

    found = decode_reference(heatmaps, tags, skeleton.matching_order, settings=settings)
    people = [Person(keypoints=keypoints, score=score) for keypoints, score in found]
    if settings.best is None:
        return people
    kept = sorted(range(len(people)), key=lambda index: -people[index].score)[: settings.best]
    return [people[index] for index in sorted(kept)]


def _here(outputs: Sequence[Maps]) -> list[np.ndarray]:
    return [as_array(output) for output in outputs]


def _check_joints(joints: int, skeleton: Skeleton) -> None:
    if joints != skeleton.num_joints:
        raise UsageError(
            f"the maps have {joints} joints, skeleton {skeleton.name!r} has {skeleton.num_joints}"
        )


def _check_finite(name: str, maps: np.ndarray) -> None:
    # A sum is one fast pass, and not finite as soon as one term is not.
    if not np.isfinite(maps.sum(dtype=np.float64)):
        raise WeightsError(
            f"the network's {name} hold NaN or infinite values: its weights are damaged, "
            "or its input was"
        )
