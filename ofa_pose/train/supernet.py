"""Training a supernet: one uniformly drawn arch, at its own resolution, a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from ofa_pose.data import SceneSource
from ofa_pose.runs import RunFolder
from ofa_pose.space import Arch
from ofa_pose.supernet import Supernet, supernet_metadata
from ofa_pose.train.job import Cadence, Job, Progress, TrainResult, Validate
from ofa_pose.train.loop import Trainer
from ofa_pose.train.recipe import Recipe, make_recipe
from ofa_pose.train.sampler import UniformSampler
from ofa_pose.train.schedule import TrainBudget


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

    With a length in steps or epochs, the same seed on the same machine gives the same weights to
    the bit on a CPU, interrupted or not.

    Args:
        supernet: starts from the weights it holds.
        source: the training scenes, of the supernet's skeleton.
        run: where checkpoint, metrics and weights go.
        recipe: default the space's own for `supernet`.
        seed: of the drawn archs, the order of the scenes and the augmentation.
        budget: length of the run; default the recipe's.
        validate: see `Validate`; `validate_extremes` makes one.
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
        forward=supernet,
        sampler=UniformSampler(supernet.space, seed),
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


def validate_extremes(
    supernet: Supernet, evaluate: Callable[[Arch], Mapping[str, float]]
) -> Validate:
    """Return a validation by the largest and the smallest subnet.

    Args:
        supernet: whose space gives the two archs.
        evaluate: scores one arch by its re-calibrated subnet (`evaluate.SubnetEvaluator`).

    Returns:
        A function whose result holds `AP_largest`, `AP_smallest` and their mean, `AP`.
    """

    def validate(step: int) -> dict[str, float]:
        largest = evaluate(supernet.space.largest)["AP"]
        smallest = evaluate(supernet.space.smallest)["AP"]
        return {
            "AP": (largest + smallest) / 2,
            "AP_largest": largest,
            "AP_smallest": smallest,
        }

    return validate
