"""What one training is: everything that does not change while it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ofa_pose.data import SceneSource
from ofa_pose.errors import RecipeError
from ofa_pose.runs import RunFolder
from ofa_pose.space import Arch, SearchSpace
from ofa_pose.supernet import save_weights
from ofa_pose.supernet.metadata import SKELETON, SPACE
from ofa_pose.train.plain import plain
from ofa_pose.train.recipe import Recipe
from ofa_pose.train.sampler import ArchSampler, check_seed
from ofa_pose.train.schedule import TrainBudget

Validate = Callable[[int], Mapping[str, float]]
"""Called with the finished steps; returns scores, numbers of any kind, of which `AP` decides what
is best. It must leave weights and batch-norm statistics alone."""

Teach = Callable[[Tensor], Sequence[Tensor]]
"""A teacher: the student's normalised images → outputs, without gradients."""

Progress = Callable[[int, int | None, Mapping[str, float]], None]
"""Called after every step with the finished steps, the total (None for minutes) and the step's
figures: `fraction` of the run done, `loss`, `lr` and, once known, the best `AP`."""


@dataclass(frozen=True)
class Cadence:
    """How often a training logs, validates and saves.

    Attributes:
        log_every: steps between two rows of the metrics.
        validate_every: steps between two validations; None spreads `validations` over the run.
        validations: number of validations when `validate_every` is None.
        checkpoint_steps: steps between two checkpoints, or None.
        checkpoint_seconds: seconds after which a checkpoint is due in any case.

    Raises:
        RecipeError: a number below 1.
    """

    log_every: int = 20
    validate_every: int | None = None
    validations: int = 10
    checkpoint_steps: int | None = None
    checkpoint_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name in ("log_every", "validate_every", "validations", "checkpoint_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RecipeError(f"{name.replace('_', '-')} must be at least 1, got {value}")
        if not self.checkpoint_seconds >= 0:
            raise RecipeError(
                f"checkpoint-seconds must not be negative, got {self.checkpoint_seconds}"
            )


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        model: what is trained; its state dict is what is saved.
        forward: the model (possibly wrapped), `(N, 3, R, R)` normalised images and the arch →
            outputs.
        sampler: gives the archs of each step.
        space: gives the pixel statistics.
        source: the training scenes.
        recipe: how, and how long.
        run: where the results go.
        seed: of order and augmentation (the sampler carries its own).
        metadata: whose weights they are; written into every weights file.
        device: where the model is trained.
        validate: see `Validate`.
        cadence: see `Cadence`.
        teacher: gives, for the same images, the outputs to learn from besides the truth.
        origin: what else a checkpoint must agree with, as plain values.
        skips_layers: whether some steps leave layers out (a supernet of elastic depth).
        compiled: run the model through `torch.compile`; the results differ by rounding.

    Raises:
        RecipeError: a negative seed.
    """

    model: nn.Module
    forward: Callable[[Callable[..., Any], Tensor, Arch], Sequence[Tensor]]
    sampler: ArchSampler
    space: SearchSpace
    source: SceneSource
    recipe: Recipe
    run: RunFolder
    seed: int
    metadata: Mapping[str, str]
    device: torch.device
    validate: Validate | None = None
    cadence: Cadence = Cadence()
    teacher: Teach | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    skips_layers: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        check_seed(self.seed)

    @property
    def learns_from_first(self) -> bool:
        """Whether the first arch of a step, the largest, teaches the others."""
        recipe = self.recipe
        return self.teacher is None and recipe.sampler == "sandwich" and recipe.distillation > 0

    @property
    def budget(self) -> TrainBudget:
        """How long the training runs."""
        if self.recipe.budget is None:
            raise RecipeError("how long? give one of --steps, --epochs and --minutes")
        return self.recipe.budget

    def identity(self) -> dict[str, Any]:
        """Return what a checkpoint must agree with, as plain values."""
        meta = {
            key: value
            for key, value in self.metadata.items()
            if key not in ("format", "version", SPACE)  # of the space its hash tells
        }
        for key in ("options", "arch", SKELETON):
            if key in meta:
                meta[key] = json.loads(meta[key])
        identity = {
            **meta,
            **self.origin,
            "seed": self.seed,
            # How a batch is cut up is the machine's matter: a run that ran out of memory goes on.
            "recipe": {k: v for k, v in self.recipe.to_dict().items() if k != "accumulate"},
            "images": len(self.source),
            "scenes": self.source.fingerprint(),
            "log_every": self.cadence.log_every,
        }
        return plain(identity)

    def save(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Write the model's weights with the metadata and `facts` (step, AP) as text."""
        text = {key: str(value) for key, value in facts.items()}
        save_weights(path, self.model.state_dict(), metadata={**self.metadata, **text})


@dataclass(frozen=True)
class TrainResult:
    """What a finished training left.

    Attributes:
        steps: steps taken in all.
        seconds: time spent training; validation left out.
        best: highest validation AP, or None without validation.
        best_step: the step it was reached at.
        last_weights: weights after the last step.
        best_weights: weights of the highest AP, or None without validation.
    """

    steps: int
    seconds: float
    best: float | None
    best_step: int | None
    last_weights: Path
    best_weights: Path | None
