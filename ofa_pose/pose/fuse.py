"""One stack of maps from a network's outputs: scales averaged, the mirrored pass folded in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ofa_pose.errors import UsageError
from ofa_pose.skeleton import Skeleton


def fuse_outputs(
    outputs: Sequence[Tensor],
    *,
    size: tuple[int, int],
    flipped_outputs: Sequence[Tensor] | None = None,
    skeleton: Skeleton | None = None,
    project: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return heatmaps `(N, K, h, w)` and tags `(N, K, h, w, T)` of a batch, as float32.

    Lower maps are upsampled to the last output's size (bilinear, `align_corners=False`) and the
    heatmaps averaged. The outputs of a mirrored pass are mirrored back, their channels
    exchanged by `skeleton.flip`, their heatmaps averaged with the others and their tags put
    beside them (T = 2, else 1). Source: HigherHRNet, section 3.4, and its code.

    Args:
        outputs: `(N, 2K, h', w')` heatmaps then tags, then `(N, K, h, w)` heatmaps.
        size: (H, W) of the network's input.
        flipped_outputs: what the network gave for the batch mirrored left to right.
        skeleton: needed with `flipped_outputs`.
        project: resize the maps to `size`, as the published pipeline does; otherwise h, w are
            the last output's.

    Raises:
        UsageError: flipped outputs without a skeleton, or channels that do not fit.
    """
    heatmaps, plain_tags = _fuse_scales(outputs)
    tags = [plain_tags]
    if flipped_outputs is not None:
        if skeleton is None:
            raise UsageError("fuse_outputs needs the skeleton to fold in flipped outputs")
        if skeleton.num_joints != heatmaps.shape[1]:
            raise UsageError(
                f"the outputs have {heatmaps.shape[1]} joints, "
                f"skeleton {skeleton.name!r} has {skeleton.num_joints}"
            )
        flip = list(skeleton.flip)
        mirrored = [maps.flip(-1)[:, flip] for maps in _fuse_scales(flipped_outputs)]
        heatmaps = (heatmaps + mirrored[0]) / 2
        tags.append(mirrored[1])
    if project:
        heatmaps = _resize(heatmaps, size)
        tags = [_resize(part, size) for part in tags]
    # In memory each tag is a map of its own, which decoding reads fast.
    stacked = tags[0].unsqueeze(1) if len(tags) == 1 else torch.stack(tags, dim=1)
    return heatmaps, stacked.movedim(1, -1)


def _fuse_scales(outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return heatmaps and tags, both `(N, K, h, w)` at the last output's size."""
    joints = outputs[-1].shape[1] if len(outputs) > 1 else outputs[0].shape[1] // 2
    expected = [2 * joints] + [joints] * (len(outputs) - 1)
    channels = [output.shape[1] for output in outputs]
    if channels != expected:
        raise UsageError(f"outputs have {channels} channels, expected {expected}")
    size = (outputs[-1].shape[2], outputs[-1].shape[3])
    # A channels_last network's maps are laid out map by map first, while they are small.
    plain = [output.detach().float().contiguous() for output in outputs]
    resized = [_resize(output, size) for output in plain]
    heatmaps = resized[0][:, :joints]
    for output in resized[1:]:
        heatmaps = heatmaps + output
    return heatmaps / len(resized), resized[0][:, joints:]


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(maps.shape[2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
