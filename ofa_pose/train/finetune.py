"""Training one network: the fine-tuning of a searched arch, or the pre-training of the largest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ofa_pose.data import SceneSource
from ofa_pose.runs import RunFolder
from ofa_pose.space import Arch, SearchSpace
from ofa_pose.supernet.metadata import weights_metadata
from ofa_pose.train.job import Cadence, Job, Progress, Teach, TrainResult, Validate
from ofa_pose.train.loop import Trainer
from ofa_pose.train.recipe import Recipe, make_recipe
from ofa_pose.train.sampler import FixedSampler
from ofa_pose.train.schedule import TrainBudget


def finetune(
    network: nn.Module,
    source: SceneSource,
    *,
    space: SearchSpace,
    arch: Arch,
    run: RunFolder,
    options: Mapping[str, Any] | None = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    budget: TrainBudget | None = None,
    validate: Validate | None = None,
    cadence: Cadence | None = None,
    workers: int = 1,
    device: str | torch.device = "cpu",
    resume: bool = False,
    progress: Progress | None = None,
    teacher: Teach | None = None,
    origin: Mapping[str, Any] | None = None,
    compiled: bool = False,
) -> TrainResult:
    """Train one network in place, at its arch's resolution; the loop is the supernet's.

    Args:
        network: `(N, 3, R, R)` → outputs; starts from the weights it holds.
        source: the training scenes, of the network's skeleton.
        space: the space of `arch`.
        arch: which network it is; gives the resolution.
        run: where checkpoint, metrics and weights go.
        options: the family's options the network was built with; default the source's skeleton.
        recipe: default the space's own for `finetune`; `make_recipe(space, "pretrain")` learns
            heatmaps only.
        seed: of the order of the scenes and the augmentation.
        budget: length of the run; default the recipe's.
        validate: see `Validate`.
        cadence: how often to log, validate and save.
        workers: processes that prepare batches; 0 prepares them here.
        device: where the network is trained; it is moved there.
        resume: go on from the run folder's checkpoint, if there is one.
        progress: told of every step.
        teacher: a network to learn from besides the truth (`Teacher`); the recipe's
            `distillation` is its weight.
        origin: what else a resumed run must agree with, such as the teacher's hash.
        compiled: run the network through `torch.compile`.

    Raises:
        ArchError: the arch is of another space.
        RecipeError: no length was given.
        WeightsError: the checkpoint is damaged or of another space, skeleton or arch.
        RunFolderError: the checkpoint is of another run.
        TrainingDivergedError: the loss, the gradient or a weight became NaN or infinite.
        DataError: a scene cannot be read; the state is saved first.
        KeyboardInterrupt: on Ctrl-C; the state is saved first.
    """
    recipe = recipe or make_recipe(space, "finetune")
    arch = space.arch(arch)
    job = Job(
        model=network,
        forward=lambda model, images, _arch: model(images),
        sampler=FixedSampler(arch),
        space=space,
        source=source,
        recipe=recipe.lasting(budget) if budget else recipe,
        run=run,
        seed=seed,
        metadata=network_metadata(
            space, arch, options={"skeleton": source.skeleton} if options is None else options
        ),
        device=torch.device(device),
        validate=validate,
        cadence=cadence or Cadence(),
        teacher=teacher,
        origin=origin or {},
        compiled=compiled,
    )
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Trainer(job, resume=resume, progress=progress, workers=workers).train()


def network_metadata(
    space: SearchSpace, arch: Arch, *, options: Mapping[str, Any]
) -> dict[str, str]:
    """What a single network's weights file says of itself; `arch` is JSON."""
    metadata = weights_metadata("network", space, options=options)
    return {**metadata, "arch": json.dumps(arch.to_dict())}
