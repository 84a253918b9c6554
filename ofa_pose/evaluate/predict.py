"""Running a network over a source of scenes: pictures in, COCO results and scores out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ofa_pose.data import SceneSource, normalize
from ofa_pose.data.inputs import as_images
from ofa_pose.errors import DataError, UsageError
from ofa_pose.evaluate.detections import Detections, detect_together
from ofa_pose.evaluate.people import Mapper, find_people
from ofa_pose.evaluate.pictures import PictureBatch, picture_batches
from ofa_pose.evaluate.shard import Shard
from ofa_pose.models import Precision, autocast
from ofa_pose.models.eval_mode import in_eval_mode
from ofa_pose.pose import (
    SCORED,
    DecodeSettings,
    evaluate_predictions,
    person_to_result,
)
from ofa_pose.pose.maps import as_array
from ofa_pose.skeleton import Skeleton
from ofa_pose.space import SearchSpace

Progress = Callable[[int], None]
"""Called after every batch with the number of pictures done so far (by this rank)."""

_DEFAULT = DecodeSettings()
_ALL = Shard()

_PIXELS_AT_ONCE = 2 * 256 * 256
"""On a CPU: maps of more pixels leave its cache on the way, which takes up to 1.4 times as long."""


def predict_scenes(
    network: nn.Module,
    source: SceneSource,
    *,
    resolution: int,
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    batch_size: int = 8,
    precision: Precision = "float32",
    settings: DecodeSettings = _DEFAULT,
    progress: Progress | None = None,
    shard: Shard = _ALL,
) -> list[dict[str, Any]]:
    """Find the people of every scene.

    The network runs in eval mode on its own device, in channels_last, and is left in the mode it
    was found in. Same network, scenes and arguments, same results. Several ranks find what one
    does, but for the last bits where a processor computes a picture otherwise in other company.

    Args:
        network: `(N, 3, H, W)` -> `(N, 2K, H/4, W/4)` heatmaps then tags, `(N, K, H/2, W/2)`
            heatmaps.
        source: the scenes; K joints.
        resolution: pixels, usually the arch's.
        pixel_mean: RGB, in 0..255 units.
        pixel_std: RGB, in 0..255 units.
        flip: run each picture mirrored as well and average (the flip test).
        scales: of the input, 1 among them; heatmaps are averaged over all (multi-scale test),
            tags are those of scale 1. Source: HigherHRNet, section 4.1, and its code.
        batch_size: most pictures a batch; those of one padded size share a batch.
        precision: that the network computes in, where autocast finds 16 bits safe; what is made of
            its maps is float32. On a GPU 16 bits are faster, and AP differs in the third decimal.
        settings: constants of decoding.
        progress: called after every batch.
        shard: which scenes are this rank's; every rank gets everybody's results. All ranks must
            call with the same scenes and weights.

    Returns:
        COCO keypoint results in pixels of the pictures, in the source's order.

    Raises:
        DataError: pictures that cannot be used.
        SkeletonError: the network predicts another number of joints.
        WeightsError: the network gives NaN or infinite values.
        OfaPoseError: another rank failed or does not answer.
    """

    def detect() -> list[Detections]:
        batches = picture_batches(
            source,
            resolution=resolution,
            batch_size=batch_size,
            indices=shard.places(len(source)),
            scales=scales,
        )
        return predict_batches(
            network,
            batches,
            skeleton=source.skeleton,
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
            flip=flip,
            precision=precision,
            settings=settings,
            progress=progress,
        )

    return detect_together(source, shard, detect)


def predict_batches(
    network: nn.Module,
    batches: Iterable[PictureBatch],
    *,
    skeleton: Skeleton,
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
    flip: bool = False,
    precision: Precision = "float32",
    settings: DecodeSettings = _DEFAULT,
    progress: Progress | None = None,
) -> list[Detections]:
    """Find the people in pictures that are batched already, in that order; as `predict_scenes`."""
    detections: list[Detections] = []
    mapper = mapper_of(network, pixel_mean=pixel_mean, pixel_std=pixel_std, precision=precision)
    with in_eval_mode(network):
        for batch in batches:
            found = find_people(mapper, batch, skeleton=skeleton, flip=flip, settings=settings)
            for place, image_id, persons in zip(batch.places, batch.image_ids, found, strict=True):
                people = tuple(person_to_result(person, image_id) for person in persons)
                detections.append(Detections(place, image_id, people))
            if progress is not None:
                progress(len(detections))
    return detections


def mapper_of(
    network: nn.Module,
    *,
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
    precision: Precision = "float32",
) -> Mapper:
    """Return a network as what maps pixels, on its own device.

    Args:
        network: as in `predict_scenes`, in eval mode.
        pixel_mean: as in `predict_scenes`.
        pixel_std: as in `predict_scenes`.
        precision: as in `predict_scenes`.

    Raises:
        UsageError: once it is called, the network is in training mode, in which pictures would
            change its statistics.
    """

    @torch.inference_mode()
    def run(pixels: np.ndarray) -> list[np.ndarray]:
        if network.training:
            raise UsageError("the network is in training mode; call network.eval() before")
        images = normalize(as_images(pixels).to(device_of(network)), pixel_mean, pixel_std)
        images = images.contiguous(memory_format=torch.channels_last)
        with autocast(images.device, precision):
            outputs = _run_in_parts(network, images)
        return [as_array(output) for output in outputs]

    return run


def _run_in_parts(network: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Return what a network gives for pictures, on a CPU a few of them at a time."""
    rows = max(1, _PIXELS_AT_ONCE // (images.shape[2] * images.shape[3]))
    if images.device.type != "cpu" or rows >= len(images):
        return network(images)
    parts = [network(part) for part in images.split(rows)]
    return [torch.cat(maps) for maps in zip(*parts, strict=True)]


def evaluate_network(
    network: nn.Module,
    source: SceneSource,
    *,
    resolution: int,
    space: SearchSpace,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    batch_size: int = 8,
    precision: Precision = "float32",
    settings: DecodeSettings = SCORED,
    progress: Progress | None = None,
    shard: Shard = _ALL,
) -> dict[str, float]:
    """Return the OKS-AP of a network over a source and what goes with it, as fractions.

    Args:
        network: as in `predict_scenes`.
        source: labelled scenes.
        resolution: pixels, usually the arch's.
        space: its pixel mean and deviation are used.
        flip: as in `predict_scenes`.
        scales: as in `predict_scenes`.
        batch_size: as in `predict_scenes`.
        precision: as in `predict_scenes`.
        settings: constants of decoding; by default all are those of `SCORED`.
        progress: as in `predict_scenes`.
        shard: as in `predict_scenes`; every rank returns the scores of all scenes.

    Returns:
        The keys of `pose.evaluate_predictions`: AP, AP50, AP75, …; -1 where nothing is labelled.

    Raises:
        DataError: nobody is labelled in the source, or pictures that cannot be used.
        SkeletonError: the network predicts another number of joints.
        WeightsError: the network gives NaN or infinite values.
        OfaPoseError: another rank failed or does not answer.
    """
    results = predict_scenes(
        network,
        source,
        resolution=resolution,
        pixel_mean=space.pixel_mean,
        pixel_std=space.pixel_std,
        flip=flip,
        scales=scales,
        batch_size=batch_size,
        precision=precision,
        settings=settings,
        progress=progress,
        shard=shard,
    )
    # Asked for last: by now the source knows which of its pictures are damaged.
    return evaluate_predictions(labelled(source), results, source.skeleton)


def labelled(source: SceneSource) -> dict[str, Any]:
    """Return a source's ground truth.

    Raises:
        DataError: nobody in it has labelled joints, so that no AP is defined.
    """
    document = source.ground_truth()
    if not has_labels(document):
        raise DataError(
            f"none of the {len(source)} scenes has a person with labelled joints; an AP needs some"
        )
    return document


def has_labels(truth: Mapping[str, Any]) -> bool:
    """Say whether anybody in a source's ground truth has labelled joints."""
    return any(annotation.get("num_keypoints", 1) for annotation in truth["annotations"])


def device_of(network: nn.Module) -> torch.device:
    """Return where a network's weights lie."""
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
