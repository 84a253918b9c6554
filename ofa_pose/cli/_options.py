"""Options that several verbs share, declared once so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        max=2**32 - 1,
        help="Where all randomness comes from; same seed, same run.",
    ),
]
SkeletonOption = Annotated[
    str | None,
    typer.Option(
        "--skeleton",
        metavar="NAME|FILE",
        help="Joints to predict: crowdpose, coco, mpii, aic or a YAML file; default: the space's.",
    ),
]


def joints(skeleton: str | None) -> dict[str, Any]:
    """Return what `--skeleton` names as a family's option; none where it was not given."""
    from ofa_pose.skeleton import load_skeleton

    return {} if skeleton is None else {"skeleton": load_skeleton(skeleton)}


SupernetOption = Annotated[
    Path | None,
    typer.Option(
        "--supernet",
        metavar="FILE|FOLDER|NAME",
        help="Weights that ofa-pose train made, or some in the box by name, such as "
        "litepose-lite0-painted; default: litepose-lite0-starter.",
    ),
]
SupernetSpaceOption = Annotated[
    str | None,
    typer.Option(
        "--space",
        metavar="NAME|FILE",
        help="The supernet's space, to insist on it; the weights know theirs.",
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="Where to compute: cpu, cuda, cuda:1, ...")
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="float32|bfloat16|float16",
        help="What networks compute in. 16 bits are for GPUs, where they are faster; AP then "
        "differs in the third decimal.",
    ),
]
FlipOption = Annotated[
    bool, typer.Option("--flip", help="Average with the mirrored picture: slower, better.")
]
ScalesOption = Annotated[
    str,
    typer.Option(
        "--scales",
        metavar="S,...",
        help="Average over sizes of the input, such as 0.5,1,2; 1 gives the tags.",
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers", min=0, help="Processes that prepare batches, beside each that trains; 0: none."
    ),
]

# Where a run's results go.

OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Folder of the run; default: runs/<verb>-<name>."),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with the run in the folder, to the result it would have had."
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Delete the run in the folder and start anew."),
]
CheckpointMinutesOption = Annotated[
    float,
    typer.Option(
        "--checkpoint-minutes",
        min=0,
        help="Save what --resume goes on from whenever so much time has passed; 0: every step.",
    ),
]

TensorboardOption = Annotated[
    bool,
    typer.Option(
        "--tensorboard",
        help="Write the rows of metrics.csv for TensorBoard, too (extra 'tensorboard').",
    ),
]

# Where people come from.

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER|FILE",
        help="A data set in COCO's or CrowdPose's layout, or its annotations JSON.",
    ),
]
AnnotationsOption = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        metavar="FILE",
        help="Annotations JSON, where it does not lie in the data set's folder.",
    ),
]
ImagesOption = Annotated[
    Path | None,
    typer.Option(
        "--images",
        metavar="FOLDER",
        help="Folder of the images, where it is not the data set's own.",
    ),
]
DataSkeletonOption = Annotated[
    str | None,
    typer.Option(
        "--data-skeleton",
        metavar="NAME|FILE",
        help="Joints that the photographs are annotated with, where the network's are others.",
    ),
]
SplitOption = Annotated[
    str,
    typer.Option("--split", help="Which part of --data: train, val, ..."),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        metavar="FOLDER|FILE",
        help="Training pictures for batch norms (split train); default: those of --data.",
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FOLDER|FILE",
        help="Pictures that winners are reported on (split val); default: a part of --data.",
    ),
]
MosaicOption = Annotated[
    int | None,
    typer.Option(
        "--mosaic",
        min=1,
        metavar="N",
        help="Compose 1 to N pictures on a canvas, for sets with one person a picture.",
    ),
]
CanvasOption = Annotated[
    int,
    typer.Option(
        "--canvas",
        min=64,
        max=4096,
        metavar="PIXELS",
        help="Side of a mosaic's or a synthetic scene's picture.",
    ),
]
SyntheticOption = Annotated[
    int | None,
    typer.Option(
        "--synthetic",
        min=1,
        max=10**9,
        metavar="N",
        help="N scenes of painted people with exact joints; no photographs needed.",
    ),
]
SyntheticShareOption = Annotated[
    float,
    typer.Option(
        "--synthetic-share",
        help="Share of painted scenes where --data and --synthetic are both given, between 0 and "
        "1.",
    ),
]
PasteOption = Annotated[
    float | None,
    typer.Option(
        "--paste",
        metavar="SHARE",
        help="Paint people in front of this share of the photographs, above 0 to 1.",
    ),
]

# How a training differs from the recipe.

StepsOption = Annotated[
    int | None,
    typer.Option(
        "--steps",
        min=1,
        help="Length of the run in steps; give one of --steps, --epochs and --minutes; default: "
        "the recipe's.",
    ),
]
EpochsOption = Annotated[
    float | None,
    typer.Option("--epochs", help="Length of the run in passes over the data."),
]
MinutesOption = Annotated[
    float | None,
    typer.Option(
        "--minutes", help="Length of the run in minutes of training, validation left out."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change the recipe: lr=1e-3 (or train.lr=1e-3), augmentation.rotation=25, ema=null; "
        "may be repeated.",
    ),
]
TrainBatchOption = Annotated[
    int | None,
    typer.Option(
        "--batch-size", min=1, help="Images a step, over all processes; default: the recipe's."
    ),
]
CompileOption = Annotated[
    bool,
    typer.Option(
        "--compile", help="Run one network through torch.compile; needs a C++ compiler on a CPU."
    ),
]
EvalBatchOption = Annotated[
    int, typer.Option("--batch-size", min=1, help="Images computed at once.")
]

# What a training is validated on.

ValOption = Annotated[
    Path | None,
    typer.Option(
        "--val",
        metavar="FOLDER|FILE",
        help="Data set to validate on (split val); default: the split val of --data, if it has "
        "one; painted scenes, where only such are learnt from.",
    ),
]
ValImagesOption = Annotated[
    Path | None,
    typer.Option(
        "--val-images",
        metavar="FOLDER",
        help="Folder of the images of --val, where it is not the data set's own.",
    ),
]
ValScenesOption = Annotated[
    int,
    typer.Option("--val-scenes", min=1, help="Validate on at most so many scenes."),
]
ValidationsOption = Annotated[
    int,
    typer.Option("--validations", min=1, help="How often to validate, spread over the run."),
]
InterpolateOption = Annotated[
    bool,
    typer.Option(
        "--interpolate",
        help="Estimate units that a latency table misses, and say how many.",
    ),
]
