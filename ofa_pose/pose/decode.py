"""From maps to people: candidates, grouping by tags, refinement (associative embedding)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ofa_pose.errors import UsageError, WeightsError
from ofa_pose.pose.candidates import find_candidates
from ofa_pose.pose.fuse import fuse_outputs
from ofa_pose.pose.grouping import best_groups, group
from ofa_pose.pose.refine import add_missing, positions
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


@dataclass(frozen=True)
class DecodeSettings:
    """Constants of decoding; the defaults are those of HigherHRNet, which LitePose follows.

    Attributes:
        window: odd side in cells of the square in which only one candidate may stand
            (`NMS_KERNEL`).
        max_people: candidates a joint, people that joints are matched with
            (`MAX_NUM_PEOPLE`), and people returned, the best; as published there is no such
            end, and a poor network's many false people take most of the time (AP counts 20).
        threshold: heatmap value that a candidate must exceed (`DETECTION_THRESHOLD`).
        tag_distance: joints this far from a person's mean tag are not theirs (`TAG_THRESHOLD`).
        refine: look for the joints that grouping missed.
        tie_break: weight of the tag distance before rounding in the cost, so that among
            assignments of equal rounded cost the nearest tags win. Ours: the published cost
            leaves it to the solver.
        reference: decode as published: no tie-break, a joint moves a quarter of a cell within
            its cell instead of to the top of a parabola, and everybody is returned.
        project: resize the maps to the network's input before decoding, as published. Decoding
            them as they are is about five times faster and, with parabolas, as exact.

    Raises:
        UsageError: a value that cannot work.
    """

    window: int = 5
    max_people: int = 30
    threshold: float = 0.1
    tag_distance: float = 1.0
    refine: bool = True
    tie_break: float = 1e-3
    reference: bool = False
    project: bool = False

    def __post_init__(self) -> None:
        if self.window < 1 or self.window % 2 == 0:
            raise UsageError(f"decoding window must be odd and positive, got {self.window}")
        if self.max_people < 1:
            raise UsageError(f"max_people must be at least 1, got {self.max_people}")
        if self.threshold < 0:
            raise UsageError(f"threshold must not be negative, got {self.threshold}")


_DEFAULT = DecodeSettings()


def decode(
    heatmaps: np.ndarray | Tensor,
    tags: np.ndarray | Tensor,
    skeleton: Skeleton,
    settings: DecodeSettings = _DEFAULT,
) -> list[Person]:
    """Return the people in one picture's maps, in the maps' coordinates; an empty list for none.

    Source: Newell et al., "Associative Embedding" (2017), with HigherHRNet's refinement.

    Args:
        heatmaps: `(K, H, W)`.
        tags: `(K, H, W)`, or `(K, H, W, T)` with T tags a joint (flip test).
        skeleton: its `matching_order` is the order of grouping.
        settings: constants; `project` plays no part here.

    Raises:
        UsageError: shapes do not fit each other or the skeleton.
        WeightsError: a map holds NaN or infinite values.
    """
    heatmaps, tags = _checked_maps(heatmaps, tags, skeleton)
    candidates = find_candidates(
        heatmaps,
        tags,
        window=settings.window,
        count=settings.max_people,
        threshold=settings.threshold,
    )
    groups = group(
        candidates,
        skeleton.matching_order,
        max_people=settings.max_people,
        tag_distance=settings.tag_distance,
        tie_break=0.0 if settings.reference else settings.tie_break,
    )
    if not settings.reference:
        groups = best_groups(groups, settings.max_people)
    cells, scores = groups.cells, groups.scores
    if settings.refine:
        cells, scores = add_missing(heatmaps, tags, groups)
    keypoints = np.zeros((*scores.shape, 3))
    people, joints = np.nonzero(scores > 0)
    keypoints[people, joints, :2] = positions(
        heatmaps, joints, cells[people, joints], reference=settings.reference
    )
    keypoints[..., 2] = scores
    return [
        Person(keypoints=keypoints[person], score=float(score))
        for person, score in enumerate(groups.scores.mean(axis=1))
    ]


def decode_outputs(
    outputs: Sequence[Tensor],
    skeleton: Skeleton,
    *,
    size: tuple[int, int],
    flipped_outputs: Sequence[Tensor] | None = None,
    settings: DecodeSettings = _DEFAULT,
) -> list[list[Person]]:
    """Return the people of each picture of a batch, in pixels of the network's input.

    Args:
        outputs: the network's: `(N, 2K, h', w')` heatmaps then tags, `(N, K, h, w)` heatmaps.
        skeleton: K joints.
        size: (H, W) of the network's input.
        flipped_outputs: what the network gave for the mirrored batch, for the flip test.
        settings: constants of decoding.

    Raises:
        UsageError: shapes do not fit each other or the skeleton.
        WeightsError: a map holds NaN or infinite values.
    """
    heatmaps, tags = fuse_outputs(
        outputs,
        size=size,
        flipped_outputs=flipped_outputs,
        skeleton=skeleton,
        project=settings.project,
    )
    scale = np.array([size[1] / heatmaps.shape[3], size[0] / heatmaps.shape[2], 1.0])
    return [
        [
            Person(keypoints=person.keypoints * scale, score=person.score)
            for person in decode(picture, picture_tags, skeleton, settings)
        ]
        for picture, picture_tags in zip(heatmaps.cpu(), tags.cpu(), strict=True)
    ]


def _checked_maps(
    heatmaps: np.ndarray | Tensor, tags: np.ndarray | Tensor, skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray]:
    """Return both as contiguous float32 arrays, tags as `(T, K, H, W)`."""
    heatmaps, tags = _array(heatmaps), _array(tags)
    if tags.ndim == 3:
        tags = tags[..., None]
    if heatmaps.ndim != 3 or tags.ndim != 4 or tags.shape[:3] != heatmaps.shape:
        raise UsageError(
            f"expected heatmaps (K, H, W) and tags (K, H, W) or (K, H, W, T), "
            f"got {heatmaps.shape} and {tags.shape}"
        )
    if heatmaps.shape[0] != skeleton.num_joints:
        raise UsageError(
            f"the maps have {heatmaps.shape[0]} joints, "
            f"skeleton {skeleton.name!r} has {skeleton.num_joints}"
        )
    for name, maps in (("heatmaps", heatmaps), ("tags", tags)):
        # A sum is one fast pass, and not finite as soon as one term is not.
        if not np.isfinite(maps.sum(dtype=np.float64)):
            raise WeightsError(
                f"the network's {name} hold NaN or infinite values: its weights are damaged, "
                "or its input was"
            )
    return np.ascontiguousarray(heatmaps), np.ascontiguousarray(np.moveaxis(tags, -1, 0))


def _array(maps: np.ndarray | Tensor) -> np.ndarray:
    if isinstance(maps, Tensor):
        maps = maps.detach().cpu().float().numpy()
    return np.asarray(maps, dtype=np.float32)
