"""`ofa-pose eval`: a tier's AP on a data set, mosaics of it, or synthetic scenes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_pose.cli import _console
from ofa_pose.cli._commands import refuse_idle
from ofa_pose.cli._options import (
    AnnotationsOption,
    CanvasOption,
    DataOption,
    DataSkeletonOption,
    DeviceOption,
    EvalBatchOption,
    FlipOption,
    ImagesOption,
    JsonOption,
    MosaicOption,
    PrecisionOption,
    ScalesOption,
    SeedOption,
    SplitOption,
    SyntheticOption,
)
from ofa_pose.cli._progress import Meter
from ofa_pose.cli._scales import parse_scales
from ofa_pose.cli._sources import CANVAS, Making, Pictures, scored_scenes, uses_of_pictures
from ofa_pose.errors import UsageError
from ofa_pose.files import atomic_write
from ofa_pose.outputs import output_file

if TYPE_CHECKING:
    from ofa_pose.evaluate import Scored, TagDiagnostics
    from ofa_pose.export import Tier

EPILOG = (
    "Example: ofa-pose eval runs/search-litepose-lite0/XS.yaml --data photos\n\n"
    "Example: ofa-pose eval XS.yaml --data coco --data-skeleton coco --results results.json\n\n"
    "Example: ofa-pose eval XS.yaml --data photos --flip --scales 0.5,1,2\n\n"
    "Example: ofa-pose eval XS.yaml --synthetic 100 --json"
)
_CUTS = "0.2,0.8"
_RESULT_KEYS = ("image_id", "category_id", "keypoints", "score", "bbox")


def command(
    context: typer.Context,
    tier: Annotated[
        Path,
        typer.Argument(
            metavar="TIER",
            help="YAML that a search or a training wrote, or the ONNX file that export made of it.",
        ),
    ],
    data: DataOption = None,
    annotations: AnnotationsOption = None,
    images: ImagesOption = None,
    data_skeleton: DataSkeletonOption = None,
    split: SplitOption = "val",
    mosaic: MosaicOption = None,
    synthetic: SyntheticOption = None,
    canvas: CanvasOption = CANVAS,
    most: Annotated[
        int | None, typer.Option("--scenes", min=1, help="Score on at most so many scenes.")
    ] = None,
    flip: FlipOption = False,
    scales: ScalesOption = "1",
    evaluator: Annotated[
        str,
        typer.Option(
            "--evaluator",
            metavar="auto|pycocotools|hotcoco",
            help="What counts AP; both give the same numbers. hotcoco (extra 'fast') is quicker, "
            "and auto takes it where it is installed.",
        ),
    ] = "auto",
    crowd_cuts: Annotated[
        str,
        typer.Option(
            "--crowd-cuts",
            metavar="EASY,MEDIUM",
            help="Where CrowdPose's easy and medium end, by crowdIndex; its paper says 0.1,0.8, "
            "its code 0.2,0.8.",
        ),
    ] = _CUTS,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            metavar="FILE",
            help="Write who was found in the pictures of --data, as COCO's servers take it; they "
            "may be unlabelled.",
        ),
    ] = None,
    tags: Annotated[
        bool,
        typer.Option("--tags", help="Also tell how well tags part people, and the AP they lose."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the results file.")] = False,
    batch_size: EvalBatchOption = 8,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Score a network by OKS-AP: COCO's ten numbers, or CrowdPose's nine where the set has them."""
    from ofa_pose.data import map_scenes
    from ofa_pose.evaluate import score_network, tag_diagnostics
    from ofa_pose.export import OnnxTier, load_runnable
    from ofa_pose.models import check_precision, fold_batch_norms
    from ofa_pose.pose import evaluator_name
    from ofa_pose.skeleton import load_skeleton

    cuts, sizes = _parse_cuts(crowd_cuts), parse_scales(scales)
    evaluator_name(evaluator)
    if results is not None and (mosaic is not None or synthetic is not None):
        raise UsageError(
            "--results is for a data set's own pictures, as nobody else knows the ids of "
            "mosaics and painted scenes; leave out --mosaic and --synthetic"
        )
    found = load_runnable(tier, device=device)
    joints = found.require_skeleton()
    if isinstance(found, OnnxTier) and precision != "float32":
        raise UsageError("an ONNX file has a precision of its own; leave out --precision")
    network = found.build(device=device)  # which refuses a device that is not here
    check_precision(precision, device)
    fold_batch_norms(network)
    Pictures(data, annotations, images, data_skeleton)  # refuses options that do not go together
    making = Making(load_skeleton(data_skeleton or joints), seed, mosaic, canvas)
    pictures = Pictures(data, annotations, images)
    refuse_idle(context, uses_of_pictures(pictures, split=split, mosaic=mosaic))
    target = None
    if results is not None:
        reads = [tier, found.weights, data_skeleton, *pictures.paths(split)]
        target = output_file(results, force=force, reads=reads)
    scenes = scored_scenes(
        pictures,
        making,
        split=split,
        synthetic=synthetic,
        most=most,
        unlabelled=results is not None,
    )
    running: dict[str, Any] = {
        "resolution": found.resolution,
        "space": found.space,
        "flip": flip,
        "scales": sizes,
        "batch_size": batch_size,
        "precision": precision,
    }
    with Meter("eval") as meter:
        scored = score_network(
            network,
            scenes,
            skeleton=joints,
            crowd_cuts=cuts,
            evaluator=evaluator,
            unlabelled=results is not None,
            progress=lambda done: meter.show(done, len(scenes)),
            **running,
        )
    if target is not None:
        atomic_write(target, json.dumps(_uploadable(scored.results)))
    diagnostics = None
    if tags:
        with Meter("tags") as meter:
            diagnostics = tag_diagnostics(
                network,
                map_scenes(scenes, joints),
                progress=lambda done: meter.show(done, len(scenes)),
                **running,
            )
    if as_json:
        document = _document(found, scored, scenes=len(scenes), results=results)
        document |= {"flip": flip, "scales": sizes, "precision": precision}
        if diagnostics is not None:
            document["tags"] = _tag_figures(diagnostics)
        _console.emit_json(document)
        return
    what = "synthetic scenes" if synthetic is not None else "mosaics" if mosaic else "pictures"
    _tell(found, scored, what=f"{len(scenes)} {what}")
    if diagnostics is not None:
        _tell_tags(diagnostics)
    if results is not None:
        _console.line(f"results: {len(scored.results):,} people in {results}")


def _parse_cuts(text: str) -> tuple[float, float]:
    try:
        easy, medium = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"cannot read --crowd-cuts {text!r}; write two numbers, {_CUTS}") from None
    if not 0 <= easy <= medium <= 1:
        raise UsageError(f"--crowd-cuts must rise from 0 to 1, such as {_CUTS}, got {text}")
    return easy, medium


def _uploadable(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return results with the keys that COCO's evaluation servers know."""
    return [{key: result[key] for key in _RESULT_KEYS} for result in results]


def _document(tier: Tier, scored: Scored, *, scenes: int, results: Path | None) -> dict[str, Any]:
    return {
        "tier": tier.name,
        "arch": tier.arch.to_dict(),
        "scenes": scenes,
        "evaluator": scored.evaluator,
        "crowd_cuts": scored.crowd_cuts,
        "joints_not_scored": scored.missing,
        "people_found": len(scored.results),
        "results": results,
        "scores": dict(scored.scores),
    }


def _tag_figures(diagnostics: TagDiagnostics) -> dict[str, float | int | None]:
    """Return the figures by name; None where there was nothing to measure."""
    figures = {
        **vars(diagnostics),
        "lost_to_peaks": diagnostics.lost_to_peaks,
        "lost_to_tags": diagnostics.lost_to_tags,
    }
    return {name: None if value != value else value for name, value in figures.items()}  # NaN


def _tell_tags(diagnostics: TagDiagnostics) -> None:
    figures = _tag_figures(diagnostics)
    rows = [
        ("within a person", figures["within"], f"{diagnostics.people:,} people"),
        ("between people", figures["between"], f"{diagnostics.pairs:,} pairs"),
        ("to the nearest other", figures["nearest"], ""),
        ("pairs taken for one", figures["confused"], "share of the pairs"),
        ("AP", figures["ap"], ""),
        ("AP without false and double peaks", figures["peaks_ap"], ""),
        ("AP, grouped by the labels", figures["oracle_ap"], ""),
        ("AP that false peaks lose", figures["lost_to_peaks"], ""),
        ("AP that tags lose besides", figures["lost_to_tags"], ""),
    ]
    _console.line()
    _console.table(("tag distance", "value", "of"), rows)


def _tell(tier: Tier, scored: Scored, *, what: str) -> None:
    from ofa_pose.evaluate import markdown_table, summary_block

    macs = f"{tier.costs.macs['exact'] / 1e6:,.1f} M"
    _console.line(
        f"{tier.name}: {tier.resolution} px, {macs} exact MACs, {what}, by {scored.evaluator}"
    )
    if scored.missing:
        _console.line(f"not scored, as the network has no such joint: {', '.join(scored.missing)}")
    if not scored.scores:
        _console.line("nobody in the set is labelled, so there is no AP")
        return
    for line in summary_block(scored.scores, crowd_cuts=scored.crowd_cuts):
        _console.line(line)
    _console.line()
    facts = {"tier": tier.name, "pixels": str(tier.resolution), "exact MACs": macs}
    facts["params"] = f"{tier.costs.params / 1e6:.3f} M"
    for line in markdown_table(facts, scored.scores):
        _console.line(line)
