"""`ofa-pose finetune`: train a searched network on, from the weights it inherited."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_pose import __version__
from ofa_pose.cli._commands import refuse_idle
from ofa_pose.cli._learning import Learning, LearningOptions
from ofa_pose.cli._options import (
    AnnotationsOption,
    CanvasOption,
    CheckpointMinutesOption,
    CompileOption,
    DataOption,
    DataSkeletonOption,
    DeviceOption,
    EpochsOption,
    ForceOption,
    ImagesOption,
    JsonOption,
    MinutesOption,
    MosaicOption,
    OutOption,
    PasteOption,
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
from ofa_pose.cli._outcome import INHERITED, save_trained, tell_outcome
from ofa_pose.cli._sources import ANY_DATA, CANVAS
from ofa_pose.cli._training import together, train_network

if TYPE_CHECKING:
    from ofa_pose.export import Tier
    from ofa_pose.train import Teach

EPILOG = (
    "Example: ofa-pose finetune runs/search-litepose-lite0/XS.yaml --data photos --minutes 10\n\n"
    "Example: ofa-pose finetune XS.yaml --teacher S.yaml --data photos --epochs 20\n\n"
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
    teacher: Annotated[
        Path | None,
        typer.Option(
            "--teacher",
            metavar="TIER.yaml",
            help="A tier to learn from besides the truth; --set distillation=0.5 weighs it.",
        ),
    ] = None,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch", help="Start from random weights, as the control of a search."
        ),
    ] = False,
    set_: SetOption = None,
    batch_size: TrainBatchOption = None,
    steps: StepsOption = None,
    epochs: EpochsOption = None,
    minutes: MinutesOption = None,
    data: DataOption = None,
    annotations: AnnotationsOption = None,
    images: ImagesOption = None,
    data_skeleton: DataSkeletonOption = None,
    mosaic: MosaicOption = None,
    synthetic: SyntheticOption = None,
    synthetic_share: SyntheticShareOption = 0.3,
    paste: PasteOption = None,
    canvas: CanvasOption = CANVAS,
    val: ValOption = None,
    val_images: ValImagesOption = None,
    val_scenes: ValScenesOption = 200,
    validations: ValidationsOption = 10,
    device: DeviceOption = "cpu",
    compiled: CompileOption = False,
    workers: WorkersOption = 1,
    seed: SeedOption = 0,
    out: OutOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    checkpoint_minutes: CheckpointMinutesOption = 5.0,
    tensorboard: TensorboardOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a tier's network; writes a tier of the same name with the new weights."""
    from ofa_pose.export import load_tier

    found = load_tier(tier, check_weights=False)
    taught_by = None if teacher is None else load_tier(teacher)
    with together(device) as own:
        options = LearningOptions.of(context, device=own)
        refuse_idle(context, options.uses)
        learning = Learning.resolve(
            options,
            found.space,
            stage="finetune",
            skeleton=found.require_skeleton(),
            teacher=taught_by is not None,
        )
        _finetune(
            learning,
            found,
            teacher=taught_by,
            from_scratch=from_scratch,
            compiled=compiled,
            as_json=as_json,
        )


def _finetune(
    learning: Learning,
    tier: Tier,
    *,
    teacher: Tier | None,
    from_scratch: bool,
    compiled: bool,
    as_json: bool,
) -> None:
    from ofa_pose.models import build
    from ofa_pose.train import World

    seed = learning.options.seed
    default = f"{'scratch' if from_scratch else 'finetune'}-{tier.file_stem}"
    identity: dict[str, Any] = {"verb": "finetune", "tier": tier.name, "tier_sha256": tier.sha256}
    inputs = [tier.path, tier.weights]
    if from_scratch:
        identity["from_scratch"] = True
    if from_scratch or learning.goes_on(default):
        network = build(tier.space, tier.arch, seed=seed, **tier.family_options)
    else:
        network = tier.build()
    identity["compiled"] = compiled
    origin = {}
    if teacher is not None:
        origin = {"teacher_sha256": teacher.sha256}
        identity |= origin
        inputs += [teacher.path, teacher.weights]
    teach = None if teacher is None else _teacher(teacher, learning, student=tier)
    run = learning.open_run(default, identity, inputs=inputs)
    with run:
        result = train_network(
            learning,
            network,
            arch=tier.arch,
            run=run,
            teacher=teach,
            origin=origin,
            compiled=compiled,
        )
        if not World.current().leads:
            return
        tuned = replace(
            tier,
            seed=seed,
            created_by="ofa-pose finetune",
            package_version=__version__,
            scores={} if from_scratch else _inherited(tier.scores),
        )
        occasion = "trained" if from_scratch else "finetuned"
        tuned = save_trained(run, tuned, network, result=result, occasion=occasion)
    scored = learning.options.held_out or ANY_DATA
    hint = shlex.join(["ofa-pose", "eval", str(tuned.path), *scored])
    tell_outcome(run, result, tier=tuned, as_json=as_json, hint=hint)


def _inherited(scores: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    """Return what a tier's weights reached before they are trained on, so called."""
    for occasion in ("finetuned", "trained", "report", "search", INHERITED):
        if scores.get(occasion):
            return {INHERITED: scores[occasion]}
    return {}


def _teacher(tier: Tier, learning: Learning, *, student: Tier) -> Teach:
    """Return the network of a tier as a teacher of another's."""
    from ofa_pose.train import Teacher

    return Teacher(
        tier.build(),
        resolution=tier.arch.resolution,
        space=tier.space,
        skeleton=tier.require_skeleton(),
        student_space=student.space,
        student_skeleton=student.require_skeleton(),
        device=learning.options.device,
    )
