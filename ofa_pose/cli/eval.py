"""`ofa-pose eval`: a tier's AP on a data set, mosaics of it, or synthetic scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ofa_pose.cli import _console
from ofa_pose.cli._options import (
    AnnotationsOption,
    CanvasOption,
    DataOption,
    DeviceOption,
    EvalBatchOption,
    ImagesOption,
    JsonOption,
    MosaicOption,
    SeedOption,
    SplitOption,
    SyntheticOption,
)
from ofa_pose.cli._progress import Meter
from ofa_pose.cli._sources import CANVAS, Making, Pictures, scored_scenes
from ofa_pose.cli._weights import check_device

EPILOG = (
    "Example: ofa-pose eval runs/search-litepose-lite0/XS.yaml --data photos\n\n"
    "Example: ofa-pose eval XS.yaml --synthetic 100 --json"
)


def command(
    tier: Annotated[
        Path, typer.Argument(metavar="TIER.yaml", help="What a search or a training wrote.")
    ],
    data: DataOption = None,
    annotations: AnnotationsOption = None,
    images: ImagesOption = None,
    split: SplitOption = "val",
    mosaic: MosaicOption = None,
    synthetic: SyntheticOption = None,
    canvas: CanvasOption = CANVAS,
    most: Annotated[
        int | None, typer.Option("--scenes", min=1, help="Score on at most so many scenes.")
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="Average with the mirrored picture: slower, better.")
    ] = False,
    batch_size: EvalBatchOption = 8,
    device: DeviceOption = "cpu",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Score a network by OKS-AP: COCO's ten numbers, or CrowdPose's nine where the set has them."""
    from ofa_pose.evaluate import evaluate_network
    from ofa_pose.export import load_tier

    found = load_tier(tier)
    check_device(device)
    making = Making(found.skeleton, seed, mosaic, canvas)
    pictures = Pictures(data, annotations, images)
    scenes = scored_scenes(pictures, making, split=split, synthetic=synthetic, most=most)
    with Meter("eval") as meter:
        scores = evaluate_network(
            found.build(device=device),
            scenes,
            resolution=found.resolution,
            space=found.space,
            flip=flip,
            batch_size=batch_size,
            progress=lambda done: meter.show(done, len(scenes)),
        )
    if as_json:
        document = {"tier": found.name, "arch": found.arch.to_dict(), "scenes": len(scenes)}
        _console.emit_json({**document, "scores": scores})
        return
    what = "synthetic scenes" if synthetic is not None else "mosaics" if mosaic else "pictures"
    size = f"{found.resolution} px, {found.costs.macs['exact'] / 1e6:,.1f} M exact MACs"
    _console.line(f"{found.name}: {size}, {len(scenes)} {what}")
    _console.table(("metric", "value"), [(name, _value(v)) for name, v in scores.items()])


def _value(score: float) -> float | None:
    """Return None for pycocotools' -1: the set has no person of that kind."""
    return None if score < 0 else score
