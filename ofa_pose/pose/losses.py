"""How wrong a prediction is: masked squared error of heatmaps, and the tags' pull and push."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ofa_pose.errors import UsageError

TAG_WEIGHT = 1e-3
"""Weight of pull and of push beside the heatmap loss (HigherHRNet's constant)."""


@dataclass(frozen=True)
class PoseLoss:
    """Scalar losses as they are weighted: `total = heatmap + pull + push`."""

    total: Tensor
    heatmap: Tensor
    pull: Tensor
    push: Tensor


def pose_loss(
    outputs: Sequence[Tensor],
    heatmaps: Sequence[Tensor],
    masks: Sequence[Tensor],
    tags: Tensor,
    *,
    with_tags: bool = True,
    heatmap_weight: float = 1.0,
) -> PoseLoss:
    """Return the loss of a batch: every output's heatmap error and the first output's tag loss.

    Computed in float32 whatever the outputs' type. Source: Newell et al., "Associative
    Embedding" (2017), in the form and with the weights of HigherHRNet's code.

    Args:
        outputs: the network's; the first is `(N, 2K, h, w)`, K heatmaps then K tag maps, the
            others hold K heatmaps.
        heatmaps: for each output the target `(N, K, h, w)`.
        masks: for each output `(N, h, w)`, 1 where the error counts; or `(N, K, h, w)`, where it
            counts for some joints only.
        tags: `(N, P, K, 2)` int64 positions in the first output's tag maps and visibility, as in
            `Targets.tags`.
        with_tags: False leaves pull and push out (pre-training with heatmaps only).
        heatmap_weight: of the heatmap error beside the tag loss.

    Raises:
        UsageError: numbers or shapes of outputs and targets differ.
    """
    _check(outputs, heatmaps, masks)
    joints = heatmaps[0].shape[1]
    heatmap = torch.stack(
        [
            heatmap_loss(output[:, :joints], target, mask)
            for output, target, mask in zip(outputs, heatmaps, masks, strict=True)
        ]
    ).sum()
    heatmap = heatmap_weight * heatmap
    if with_tags:
        pull, push = tag_loss(outputs[0][:, joints:], tags)
    else:
        pull = push = heatmap.new_zeros(())
    pull, push = TAG_WEIGHT * pull, TAG_WEIGHT * push
    return PoseLoss(total=heatmap + pull + push, heatmap=heatmap, pull=pull, push=push)


def heatmap_loss(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the squared error of `(N, K, h, w)` heatmaps, zeroed where the mask is 0.

    The mask is `(N, h, w)`, or `(N, K, h, w)` where joints differ. The mean is over all cells,
    masked ones included, so a masked scene weighs less.
    """
    if mask.ndim == 3:
        mask = mask.unsqueeze(1)
    return ((predicted.float() - target.float()).square() * mask.float()).mean()


def tag_loss(tag_maps: Tensor, tags: Tensor) -> tuple[Tensor, Tensor]:
    """Return (pull, push), unweighted: means over the N scenes.

    A scene's pull is the mean over its people of the mean squared distance of a person's tags
    to their mean t; its push is `0.5 / (P (P - 1)) * sum over i != j of exp(-(t_i - t_j)^2)`.
    Without people both are 0, with one person push is 0.

    Args:
        tag_maps: `(N, K, h, w)`.
        tags: `(N, P, K, 2)` int64 flat positions in `(K, h, w)` and visibility (1 or 0).
    """
    visible = tags[..., 1].float()
    flat = tag_maps.float().flatten(1)
    read = flat.gather(1, tags[..., 0].flatten(1)).view_as(visible)
    labelled = visible.sum(dim=-1)
    present = (labelled > 0).float()
    people = present.sum(dim=1)

    labelled = labelled.clamp(min=1)
    mean = (read * visible).sum(dim=-1) / labelled
    spread = ((read - mean.unsqueeze(-1)).square() * visible).sum(dim=-1) / labelled
    pull = (spread * present).sum(dim=1) / people.clamp(min=1)

    closeness = torch.exp(-(mean.unsqueeze(1) - mean.unsqueeze(2)).square())
    pairs = present.unsqueeze(1) * present.unsqueeze(2)
    pairs = pairs - torch.diag_embed(present)
    push = 0.5 * (closeness * pairs).sum(dim=(1, 2)) / (people * (people - 1)).clamp(min=1)
    return pull.mean(), push.mean()


def _check(outputs: Sequence[Tensor], heatmaps: Sequence[Tensor], masks: Sequence[Tensor]) -> None:
    if not len(outputs) == len(heatmaps) == len(masks):
        raise UsageError(
            f"{len(outputs)} outputs, {len(heatmaps)} heatmap targets and {len(masks)} masks: "
            "one of each is needed for each output"
        )
    joints = heatmaps[0].shape[1]
    for index, (output, target, mask) in enumerate(zip(outputs, heatmaps, masks, strict=True)):
        channels = 2 * joints if index == 0 else joints
        scenes, _, height, width = target.shape
        if output.shape != (scenes, channels, height, width):
            raise UsageError(
                f"output {index} is {tuple(output.shape)}, its targets need "
                f"{(scenes, channels, height, width)}: made at another resolution or skeleton?"
            )
        if mask.shape not in ((scenes, height, width), (scenes, joints, height, width)):
            raise UsageError(
                f"mask {index} is {tuple(mask.shape)}, expected {(scenes, height, width)}"
            )
