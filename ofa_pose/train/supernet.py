"""Training a supernet: the archs that the recipe's sampler draws, at one resolution a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch

from ofa_pose.data import SceneSource
from ofa_pose.runs import RunFolder
from ofa_pose.space import Arch, SearchSpace
from ofa_pose.supernet import Supernet, supernet_metadata
from ofa_pose.train.job import Cadence, Job, Progress, TrainResult, Validate
from ofa_pose.train.loop import Trainer
from ofa_pose.train.recipe import Recipe, make_recipe
from ofa_pose.train.sampler import make_sampler
from ofa_pose.train.schedule import TrainBudget

_FEW_ARCHS = 300


def train_supernet(
    supernet: Supernet,
    source: SceneSource,
    *,
    run: RunFolder,
    recipe: Recipe | None = None,
    seed: int = 0,
    budget: TrainBudget | None = None,
    validate: Validate | None = None,
    cadence: Cadence | None = None,
    workers: int = 1,
    device: str | torch.device = "cpu",
    resume: bool = False,
    progress: Progress | None = None,
) -> TrainResult:
    """Train the shared weights in place (LitePose, section 4: one sampled network a step).

    Other samplers, in-place distillation, averaged weights and the like are the recipe's to ask
    for. Where `torchrun` started several processes, all call this with the same arguments.

    With a length in steps or epochs, the same seed on the same machine gives the same weights to
    the bit on a CPU, interrupted or not.

    Args:
        supernet: starts from the weights it holds.
        source: the training scenes, of the supernet's skeleton.
        run: where checkpoint, metrics and weights go.
        recipe: default the space's own for `supernet`.
        seed: of the drawn archs, the order of the scenes and the augmentation.
        budget: length of the run; default the recipe's.
        validate: see `Validate`; `validate_subnets` makes one.
        cadence: how often to log, validate and save.
        workers: processes that prepare batches; 0 prepares them here.
        device: where the supernet is trained; it is moved there.
        resume: go on from the run folder's checkpoint, if there is one.
        progress: told of every step.

    Raises:
        RecipeError: no length was given.
        WeightsError: the checkpoint is damaged or of another space or skeleton.
        RunFolderError: the checkpoint is of another run.
        TrainingDivergedError: the loss, the gradient or a weight became NaN or infinite.
        DataError: a scene cannot be read; the state is saved first.
        KeyboardInterrupt: on Ctrl-C; the state is saved first.
    """
    recipe = recipe or make_recipe(supernet.space, "supernet")
    job = Job(
        model=supernet,
        forward=lambda model, images, arch: model(images, arch),
        sampler=make_sampler(
            recipe.sampler,
            supernet.space,
            seed=seed,
            sandwich_random=recipe.sandwich_random,
            resolutions=recipe.resolutions,
        ),
        skips_layers=_has_elastic_depth(supernet),
        space=supernet.space,
        source=source,
        recipe=recipe.lasting(budget) if budget else recipe,
        run=run,
        seed=seed,
        metadata=supernet_metadata(supernet),
        device=torch.device(device),
        validate=validate,
        cadence=cadence or Cadence(),
    )
    return Trainer(job, resume=resume, progress=progress, workers=workers).train()


def validate_subnets(
    supernet: Supernet, evaluate: Callable[[Arch], Mapping[str, float]]
) -> Validate:
    """Return a validation by a supernet's corners and its middle; see `corner_archs`.

    Args:
        supernet: whose space gives the archs.
        evaluate: scores one arch by its re-calibrated subnet (`evaluate.SubnetEvaluator`).

    Returns:
        A function whose result holds `AP_largest`, `AP_smallest`, `AP_narrow`, `AP_middle` and
        their mean, `AP`.
    """
    archs = corner_archs(supernet.space)

    def validate(step: int) -> dict[str, float]:
        scores = {f"AP_{name}": evaluate(arch)["AP"] for name, arch in archs.items()}
        return {"AP": sum(scores.values()) / len(scores), **scores}

    return validate


def corner_archs(space: SearchSpace) -> dict[str, Arch]:
    """Return the archs that tell how a supernet's training goes.

    Returns:
        `largest`, `smallest`, `narrow` (the smallest widths at the largest resolution) and
        `middle` (every choice's middle value).
    """
    return {
        "largest": space.largest,
        "smallest": space.smallest,
        "narrow": space.arch({**space.smallest, "resolution": space.largest.resolution}),
        "middle": space.arch({c.name: c.values[len(c.values) // 2] for c in space.choices}),
    }


def _has_elastic_depth(supernet: Supernet) -> bool:
    """Whether some arch lacks units of the largest.

    Looks at every arch of a small space; of others at each single change of the largest and of the
    smallest arch, and at some hundred archs drawn by a seed, the same in every process.
    """
    most = {unit.name for unit in supernet.plan(supernet.space.largest).units}
    return any(
        {unit.name for unit in supernet.plan(arch).units} != most
        for arch in _telling_archs(supernet.space)
    )


def _telling_archs(space: SearchSpace) -> Iterator[Arch]:
    if len(space) <= _FEW_ARCHS:
        yield from space
        return
    for corner in (space.largest, space.smallest):
        for choice in space.choices:
            for value in choice.values:
                yield space.arch({**corner, choice.name: value})
    rng = np.random.default_rng(0)
    for _ in range(_FEW_ARCHS):
        yield space.sample(rng)
