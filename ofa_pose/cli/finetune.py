"""`ofa-pose finetune`: train a searched network on, from the weights it inherited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ofa_pose.cli._options import (
    AnnotationsOption,
    CanvasOption,
    DataOption,
    DeviceOption,
    EpochsOption,
    ForceOption,
    ImagesOption,
    JsonOption,
    MinutesOption,
    MosaicOption,
    OutOption,
    ResumeOption,
    SeedOption,
    SetOption,
    StepsOption,
    SyntheticOption,
    SyntheticShareOption,
    TensorboardOption,
    TrainBatchOption,
    ValidationsOption,
    ValImagesOption,
    ValOption,
    ValScenesOption,
    WorkersOption,
)
from ofa_pose.cli._sources import CANVAS
from ofa_pose.cli._training import (
    Learning,
    LearningOptions,
    save_trained,
    tell_outcome,
    train_network,
)

EPILOG = (
    "Example: ofa-pose finetune runs/search-litepose-lite0/XS.yaml --data photos --minutes 10\n\n"
    "Example: ofa-pose finetune XS.yaml --synthetic 200 --steps 50"
)


def command(
    context: typer.Context,
    tier: Annotated[
        Path,
        typer.Argument(
            metavar="TIER.yaml",
            help="What a search wrote; to --resume, the YAML is needed and its weights are not.",
        ),
    ],
    set_: SetOption = None,
    batch_size: TrainBatchOption = None,
    steps: StepsOption = None,
    epochs: EpochsOption = None,
    minutes: MinutesOption = None,
    data: DataOption = None,
    annotations: AnnotationsOption = None,
    images: ImagesOption = None,
    mosaic: MosaicOption = None,
    synthetic: SyntheticOption = None,
    synthetic_share: SyntheticShareOption = 0.3,
    canvas: CanvasOption = CANVAS,
    val: ValOption = None,
    val_images: ValImagesOption = None,
    val_scenes: ValScenesOption = 200,
    validations: ValidationsOption = 10,
    device: DeviceOption = "cpu",
    workers: WorkersOption = 1,
    seed: SeedOption = 0,
    out: OutOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    tensorboard: TensorboardOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a tier's network; writes a tier of the same name with the new weights."""
    from ofa_pose.export import load_tier
    from ofa_pose.models import build

    found = load_tier(tier, check_weights=False)
    options = LearningOptions.of(context)
    learning = Learning.resolve(options, found.space, stage="finetune", skeleton=found.skeleton)
    identity = {"verb": "finetune", "tier": found.name, "tier_sha256": found.sha256}
    default = f"finetune-{found.file_stem}"
    if learning.goes_on(default):
        others: Mapping[str, Any] = found.options
        network = build(found.space, found.arch, skeleton=found.skeleton, **others)
    else:
        network = found.build()
    run = learning.open_run(default, identity, inputs=[found.path, found.weights])
    with run:
        result = train_network(learning, network, arch=found.arch, run=run)
        tuned = replace(found, seed=seed, created_by="ofa-pose finetune")
        tuned = save_trained(run, tuned, network, result=result, occasion="finetuned")
    hint = f"ofa-pose eval {tuned.path} --data FOLDER"
    tell_outcome(run, result, tier=tuned, as_json=as_json, hint=hint)
