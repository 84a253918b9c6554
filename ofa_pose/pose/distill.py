"""How far a student is from its teacher: heatmaps cell by cell, tags by their distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ofa_pose.errors import UsageError
from ofa_pose.pose.losses import TAG_WEIGHT, heatmap_loss


@dataclass(frozen=True)
class DistillationLoss:
    """Scalar losses as they are weighted: `total = heatmap + tags`."""

    total: Tensor
    heatmap: Tensor
    tags: Tensor


def distillation_loss(
    outputs: Sequence[Tensor],
    teacher: Sequence[Tensor],
    masks: Sequence[Tensor],
    tags: Tensor,
    *,
    with_tags: bool = True,
    heatmap_weight: float = 1.0,
) -> DistillationLoss:
    """Return how far a batch's outputs are from the teacher's; gradients reach the student only.

    Heatmaps: the squared error of `pose_loss`, against the teacher's maps in place of the truth's,
    under the truth's masks. In a region that nobody labelled the teacher has an opinion, but it
    learnt under such masks itself, so nothing ever held it to the truth there, and no score asks
    for it. Masks of ones let it speak everywhere.

    Teacher's maps of another size are brought to the student's bilinearly (`align_corners=False`,
    no antialiasing). A Gaussian is two cells wide at every size, so it comes out wider from a
    smaller map and narrower from a larger one than the student's own targets. Its height mostly
    survives: a cell of the student's lies within one cell of the teacher's peak unless the maps
    are shrunk to less than a half, which leaves 0.78 of it or more (0.89 when they are halved).
    An average over the cells that vanish would leave less, which is why there is none.

    Tags: see `tag_distance_loss`, weighted as pull and push are. Computed in float32 whatever the
    outputs' type. Source: the LitePose paper (Wang et al., CVPR 2022) distils heatmaps; the tags
    are ours.

    Args:
        outputs: the student's; the first is `(N, 2K, h, w)`, K heatmaps then K tag maps, the
            others hold K heatmaps.
        teacher: likewise, of any height and width.
        masks: for each of the student's outputs `(N, h, w)`, 1 where the error counts; or
            `(N, K, h, w)`, where it counts for some joints only.
        tags: `(N, P, K, 2)` int64 positions in the student's first output's tag maps and
            visibility, as in `Targets.tags`.
        with_tags: False leaves the tags out.
        heatmap_weight: of the heatmap error beside the tags.

    Raises:
        UsageError: numbers or shapes of outputs, teacher's outputs and masks do not fit.
    """
    joints = tags.shape[2]
    _check(outputs, teacher, masks, joints)
    teacher = [output.detach().float() for output in teacher]
    errors = [
        heatmap_loss(output[:, :joints], _resize(goal[:, :joints], like=output), mask)
        for output, goal, mask in zip(outputs, teacher, masks, strict=True)
    ]
    heatmap = heatmap_weight * torch.stack(errors).sum()
    if with_tags:
        distance = tag_distance_loss(outputs[0][:, joints:], teacher[0][:, joints:], tags)
    else:
        distance = heatmap.new_zeros(())
    distance = TAG_WEIGHT * distance
    return DistillationLoss(total=heatmap + distance, heatmap=heatmap, tags=distance)


def tag_distance_loss(tag_maps: Tensor, teacher_maps: Tensor, tags: Tensor) -> Tensor:
    """Return how far the distances among a student's tags are from those among the teacher's.

    Unweighted, the mean over the N scenes of two terms: the mean over pairs of people of the error
    of the distance between their mean tags, and the mean over people of the mean error of their
    joints' distances from that mean. Neither changes when all of a scene's tags are shifted by a
    constant or change sign, which is all that grouping is blind to as well. Distances between all
    pairs of joints would say little more at two hundred times the cost: 30 people of 17 joints
    have 260,000 of them, and these two terms 1,400.

    An error is smooth L1: squared up to 1, the distance at which grouping tells people apart,
    linear beyond, so that people whom the teacher holds far apart do not drown the others.

    Args:
        tag_maps: `(N, K, h, w)`, the student's.
        teacher_maps: `(N, K, h', w')`, no gradient reaches them. Where their size is another, a
            joint's tag is read at the cell that holds the centre of the student's cell: an
            average of two people's tags would be a third person's.
        tags: `(N, P, K, 2)` int64 flat positions in `(K, h, w)` and visibility (1 or 0).
    """
    places, visible = tags[..., 0], tags[..., 1].float()
    apart, spread = _distances(_read(tag_maps, places), visible)
    places = _places_in(teacher_maps, places, tag_maps)
    goal_apart, goal_spread = _distances(_read(teacher_maps.detach(), places), visible)

    labelled = visible.sum(dim=-1)
    present = (labelled > 0).float()
    people = present.sum(dim=1)
    inner = F.smooth_l1_loss(spread, goal_spread, reduction="none") * visible
    inner = inner.sum(dim=-1) / labelled.clamp(min=1)
    inner = inner.sum(dim=1) / people.clamp(min=1)

    pairs = present.unsqueeze(1) * present.unsqueeze(2)
    outer = F.smooth_l1_loss(apart, goal_apart, reduction="none") * pairs
    outer = outer.sum(dim=(1, 2)) / (people * (people - 1)).clamp(min=1)
    return (inner + outer).mean()


def _distances(read: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return `(N, P, P)` between people's mean tags, `(N, P, K)` of joints from their mean.

    Args:
        read: `(N, P, K)` tags; those of joints that are not visible may be anything finite.
        visible: `(N, P, K)` 1 or 0.
    """
    mean = (read * visible).sum(dim=-1) / visible.sum(dim=-1).clamp(min=1)
    return (mean.unsqueeze(1) - mean.unsqueeze(2)).abs(), (read - mean.unsqueeze(-1)).abs()


def _read(maps: Tensor, places: Tensor) -> Tensor:
    """Return the `(N, P, K)` values of `(N, K, h, w)` maps at flat places, as float32."""
    return maps.float().flatten(1).gather(1, places.flatten(1)).view(places.shape)


def _places_in(maps: Tensor, places: Tensor, own: Tensor) -> Tensor:
    """Return the flat places in `maps` of the centres of the cells at `places` in `own`."""
    (height, width), (new_height, new_width) = own.shape[2:], maps.shape[2:]
    x, y, joint = places % width, places // width % height, places // (width * height)
    x = (2 * x + 1) * new_width // (2 * width)  # in whole numbers, so exact at every size
    y = (2 * y + 1) * new_height // (2 * height)
    return (joint * new_height + y) * new_width + x


def _resize(maps: Tensor, *, like: Tensor) -> Tensor:
    size = (like.shape[2], like.shape[3])
    if tuple(maps.shape[2:]) == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _check(
    outputs: Sequence[Tensor], teacher: Sequence[Tensor], masks: Sequence[Tensor], joints: int
) -> None:
    if not len(outputs) == len(teacher) == len(masks):
        raise UsageError(
            f"{len(outputs)} outputs, {len(teacher)} of the teacher and {len(masks)} masks: "
            "one of each is needed for each output"
        )
    for index, (output, goal, mask) in enumerate(zip(outputs, teacher, masks, strict=True)):
        channels = 2 * joints if index == 0 else joints
        if output.shape[1] != channels:
            raise UsageError(f"output {index} has {output.shape[1]} channels, expected {channels}")
        if goal.shape[:2] != output.shape[:2]:
            raise UsageError(
                f"the teacher's output {index} is {tuple(goal.shape)}, the student's is "
                f"{tuple(output.shape)}: of another batch or skeleton?"
            )
        expected = (output.shape[0], *output.shape[2:])
        if mask.shape not in (expected, (output.shape[0], joints, *output.shape[2:])):
            raise UsageError(f"mask {index} is {tuple(mask.shape)}, expected {expected}")
