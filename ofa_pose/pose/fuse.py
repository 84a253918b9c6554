"""One stack of maps from a network's outputs: scales averaged, the mirrored pass folded in."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ofa_pose.errors import UsageError
from ofa_pose.pose.compiled import kernels
from ofa_pose.pose.maps import Maps, Pass, as_array
from ofa_pose.pose.zoom import Zoomed, doubled
from ofa_pose.skeleton import Skeleton


def fuse_outputs(
    outputs: Sequence[Maps],
    *,
    size: tuple[int, int],
    flipped_outputs: Sequence[Maps] | None = None,
    skeleton: Skeleton | None = None,
    project: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
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
        UsageError: flipped outputs without a skeleton or of other shapes than the outputs, or
            channels that do not fit.
    """
    heatmaps, plain_tags = _average_outputs(outputs)
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
        _check_shapes(outputs, flipped_outputs)
        mirrored = [maps[:, flip, :, ::-1] for maps in _average_outputs(flipped_outputs)]
        heatmaps = (heatmaps + mirrored[0]) / 2
        tags.append(mirrored[1])
    if project:
        heatmaps = _resize(heatmaps, size)
        tags = [_resize(part, size) for part in tags]
    # In memory each tag is a map of its own, which decoding reads fast.
    return heatmaps, np.moveaxis(np.stack(tags, axis=1), 1, -1)


def fuse_scales(
    passes: Sequence[Pass], skeleton: Skeleton, *, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return heatmaps `(N, K, H, W)` and tags `(N, K, H, W, T)` of a batch at several scales.

    The heatmaps of all scales are averaged at the input's size, the tags are those of the first.
    Source: HigherHRNet's code, `aggregate_results`.

    Args:
        passes: outputs and mirrored outputs at each scale, scale 1 first; as in `fuse_outputs`.
        skeleton: K joints.
        size: (H, W) of the network's input at scale 1.

    Raises:
        UsageError: channels, or shapes of flipped outputs, that do not fit.
    """
    (heatmaps, tags), *others = (
        fuse_outputs(outputs, size=size, flipped_outputs=mirrored, skeleton=skeleton, project=True)
        for outputs, mirrored in passes
    )
    for more, _ in others:
        heatmaps = heatmaps + more
    return (heatmaps / np.float32(len(passes)) if others else heatmaps), tags


def zoomed_maps(
    passes: Sequence[Pass], skeleton: Skeleton, *, size: tuple[int, int]
) -> list[tuple[Zoomed, list[Zoomed]]]:
    """Return what `fuse_scales` projects, as maps that wait to be looked at.

    The heatmaps are averaged at the last output's size, the tags stay as the network gave them.
    Of several scales all is projected, and so it is where an output is neither of the next one's
    size nor half of it.

    Args:
        passes: as in `fuse_scales`.
        skeleton: K joints.
        size: as in `fuse_scales`.

    Returns:
        The heatmaps and the T stacks of tags of each picture.

    Raises:
        UsageError: channels, or shapes of flipped outputs, that do not fit.
    """
    outputs, flipped_outputs = passes[0]
    _check_channels(outputs)
    last = outputs[-1].shape[2:]
    steps = [_doublings(output.shape[2:], last) for output in outputs]
    final = _doublings(last, size)
    if len(passes) > 1 or final is None or None in steps:
        heatmaps, tags = fuse_scales(passes, skeleton, size=size)
        return [
            (Zoomed(maps, 0), [Zoomed(as_array(part), 0) for part in np.moveaxis(own, -1, 0)])
            for maps, own in zip(heatmaps, tags, strict=True)
        ]
    joints = outputs[0].shape[1] // 2
    flip = list(skeleton.flip)
    plain = [as_array(output) for output in outputs]
    mirrored = None
    if flipped_outputs is not None:
        _check_shapes(outputs, flipped_outputs)
        mirrored = [as_array(output) for output in flipped_outputs]
    factor = np.float32(1 / (len(outputs) * (1 if mirrored is None else 2)))
    pictures = []
    for row in range(len(plain[0])):
        sums = [output[row, :joints] for output in plain]
        if mirrored is not None:
            sums = [
                own + output[row, :joints][flip, :, ::-1]
                for own, output in zip(sums, mirrored, strict=True)
            ]
        heatmaps = Zoomed(_blended(sums, steps, factor), final)
        tags = [np.ascontiguousarray(plain[0][row, joints:])]
        if mirrored is not None:
            tags.append(np.ascontiguousarray(mirrored[0][row, joints:][flip, :, ::-1]))
        pictures.append((heatmaps, [Zoomed(maps, (steps[0] or 0) + final) for maps in tags]))
    return pictures


def _blended(
    sums: Sequence[np.ndarray], steps: Sequence[int | None], factor: np.float32
) -> np.ndarray:
    """Return `factor` times the sum of `(K, h, w)` maps, of which those with a step are doubled."""
    compiled = kernels()
    if compiled is not None and list(steps) == [1, 0]:
        return compiled.blend(sums[0], sums[1], factor)
    total, *others = (
        doubled(maps) if step else maps for maps, step in zip(sums, steps, strict=True)
    )
    for maps in others:
        total = total + maps
    return total * factor


def _doublings(side: Sequence[int], larger: Sequence[int]) -> int | None:
    """Return how often a map is doubled to be `larger`: 0, 1, or None for another factor."""
    for doublings in (0, 1):
        if [length << doublings for length in side] == list(larger):
            return doublings
    return None


def _check_channels(outputs: Sequence[Maps]) -> None:
    shapes = [tuple(maps.shape) for maps in outputs]
    pictures = {shape[0] if len(shape) == 4 else None for shape in shapes}
    if len(pictures) != 1 or None in pictures:
        raise UsageError(f"outputs are maps (N, channels, h, w) of N pictures, not {shapes}")
    joints = outputs[-1].shape[1] if len(outputs) > 1 else outputs[0].shape[1] // 2
    expected = [2 * joints] + [joints] * (len(outputs) - 1)
    channels = [output.shape[1] for output in outputs]
    if channels != expected:
        raise UsageError(f"outputs have {channels} channels, expected {expected}")


def _check_shapes(outputs: Sequence[Maps], flipped_outputs: Sequence[Maps]) -> None:
    own, flipped = ([tuple(maps.shape) for maps in some] for some in (outputs, flipped_outputs))
    if own != flipped:
        raise UsageError(f"flipped outputs have the shapes {flipped}, the outputs {own}")


def _average_outputs(outputs: Sequence[Maps]) -> tuple[np.ndarray, np.ndarray]:
    """Return the outputs' mean heatmaps, and tags, both `(N, K, h, w)` at the last one's size."""
    _check_channels(outputs)
    joints = outputs[0].shape[1] // 2
    size = (outputs[-1].shape[2], outputs[-1].shape[3])
    resized = [_resize(as_array(output), size) for output in outputs]
    heatmaps = resized[0][:, :joints]
    for output in resized[1:]:
        heatmaps = heatmaps + output
    return heatmaps / np.float32(len(resized)), resized[0][:, joints:]


def _resize(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return maps `(N, K, h, w)` at another size, as PyTorch's `interpolate` does it."""
    if maps.shape[2:] == tuple(size):
        return maps
    resized = np.empty((*maps.shape[:2], *size), np.float32)
    for place in np.ndindex(maps.shape[:2]):
        source = np.ascontiguousarray(maps[place])
        cv2.resize(source, size[::-1], dst=resized[place], interpolation=cv2.INTER_LINEAR)
    return resized
