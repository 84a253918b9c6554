"""The training recipe: what a space's YAML and the user's overrides say, checked as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
import torch
from pydantic import BeforeValidator, ConfigDict, Field

from ofa_pose.errors import RecipeError, suggest
from ofa_pose.models import Precision, autocast, check_precision
from ofa_pose.space import SearchSpace
from ofa_pose.space.faults import explain_all
from ofa_pose.train.sampler import SamplerName, check_resolutions
from ofa_pose.train.schedule import TrainBudget

STAGES = ("pretrain", "supernet", "finetune")
_BUDGET_KEYS = ("steps", "epochs", "minutes")


def _no_truth(value: Any) -> Any:
    """Refuse true and false, which Python and pydantic take for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"a number is expected, not {value}")
    return value


_Number = BeforeValidator(_no_truth)
Fraction = Annotated[float, _Number, Field(ge=0, le=1)]
Positive = Annotated[float, _Number, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, _Number, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, _Number, Field(gt=0)]
CountFromZero = Annotated[int, _Number, Field(ge=0)]


class _Record(pydantic.BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AugmentationRecipe(_Record):
    """How far a training picture is moved (LitePose, section 5.2, and HigherHRNet's constants).

    Attributes:
        rotation: largest angle, degrees, either way.
        scale: range of the zoom, of the short side.
        translation: largest shift, pixels at the 200-px reference scale.
        flip: probability of mirroring.
    """

    rotation: NonNegative = 30.0
    scale: tuple[Positive, Positive] = (0.75, 1.5)
    translation: NonNegative = 40.0
    flip: Fraction = 0.5

    @pydantic.field_validator("scale")
    @classmethod
    def _ordered(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError(f"smallest first: got {scale[0]:g} then {scale[1]:g}")
        return scale


class Recipe(_Record):
    """How one training runs. Defaults are LitePose's for the supernets L, M and S (section 5.2).

    Attributes:
        optimizer: `adam`, or `adamw` (weight decay apart from the gradient).
        lr: learning rate after the warm-up.
        weight_decay: of convolution weights; biases and batch norms are never decayed.
        batch_size: images a step, over all processes.
        accumulate: parts that each process's share of a batch is run in, one after the other;
            gradients are averaged, batch norm sees a part.
        warmup_steps: steps over which the rate rises linearly to `lr`.
        schedule: `constant`, `cosine` to 0, or `step`.
        milestones: for `step`, pairs of when the rate changes and the factor it changes by;
            "when" is counted in the unit of the recipe's length and rises.
        augmentation: see `AugmentationRecipe`.
        grad_clip: largest norm of the whole gradient, or None.
        ema: decay of the moving average of the weights, which is then what is validated and
            saved; None keeps none.
        precision: `float32`; or `bfloat16` or, on a GPU only, `float16`, where autocast finds it
            safe. On a CPU `bfloat16` is faster only where the processor multiplies in it (AMX).
        sampler: which archs a step of a supernet trains: `uniform`, one (the paper's);
            `sandwich`, the largest, the smallest and some random; `fair`, each value of each
            choice.
        sandwich_random: random archs in a step of `sandwich`.
        resolutions: input sides that a supernet's steps draw from, pixels; None: all that its
            space has. Few and small ones first make a long training cheaper; one that stands
            twice is drawn twice as often.
        distillation: weight of the loss to a teacher beside the loss to the truth, where there
            is one: the largest arch of a `sandwich` step for the others, or the network given
            to a fine-tuning.
        reference_resolution: input side at which the heatmap loss has the published weight
            beside the tag loss; None: at every side. A joint's target covers the same number of
            cells at any input size, so the mean over a map of side R holds it 1 / R² as dear:
            without this, small inputs drown large ones in a supernet and the tags at any small
            input. The heatmap loss is multiplied by (R / reference_resolution)².
        tags: learn the grouping tags too; False in pre-training (heatmap loss only).
        steps: length of the run in steps; at most one of the three lengths is given.
        epochs: length in passes over the data.
        minutes: length in minutes of training, validation not counted.

    Raises:
        RecipeError: an unknown key or an impossible value; every fault is listed.
    """

    optimizer: Literal["adam", "adamw"] = "adam"
    lr: Positive = 1e-3
    weight_decay: NonNegative = 0.0
    batch_size: Count = 32
    accumulate: Count = 1
    warmup_steps: CountFromZero = 0
    schedule: Literal["constant", "cosine", "step"] = "constant"
    milestones: tuple[tuple[NonNegative, Positive], ...] = ()
    augmentation: AugmentationRecipe = AugmentationRecipe()
    grad_clip: Positive | None = None
    ema: Annotated[float, _Number, Field(gt=0, lt=1)] | None = None
    precision: Precision = "float32"
    sampler: SamplerName = "uniform"
    sandwich_random: CountFromZero = 2
    resolutions: Annotated[tuple[Annotated[int, _Number], ...], Field(min_length=1)] | None = None
    distillation: NonNegative = 1.0
    reference_resolution: Count | None = None
    tags: bool = True
    steps: Count | None = None
    epochs: Positive | None = None
    minutes: Positive | None = None

    if not TYPE_CHECKING:  # type checkers know the keys from the fields

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except pydantic.ValidationError as error:
                raise RecipeError("; ".join(explain_all(error, Recipe))) from error

    @pydantic.field_validator("milestones")
    @classmethod
    def _rising(
        cls, milestones: tuple[tuple[float, float], ...]
    ) -> tuple[tuple[float, float], ...]:
        times = [time for time, _ in milestones]
        if times != sorted(set(times)):
            raise ValueError(f"must rise: got {', '.join(f'{time:g}' for time in times)}")
        return milestones

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Recipe:
        given = [key for key in _BUDGET_KEYS if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of {', '.join(given)}, not {len(given)}")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"a batch of {self.batch_size} does not divide into {self.accumulate} parts"
            )
        if self.schedule == "step" and not self.milestones:
            raise ValueError("schedule 'step' needs milestones, e.g. [[50, 0.1], [180, 0.1]]")
        if self.schedule != "step" and self.milestones:
            raise ValueError(f"schedule {self.schedule!r} takes no milestones; use 'step'")
        if self.milestones and not given:
            raise ValueError(
                "milestones need the length they are part of: steps, epochs or minutes"
            )
        return self

    def heatmap_weight(self, resolution: int) -> float:
        """Return the factor of the heatmap loss at an input side; see `reference_resolution`."""
        if self.reference_resolution is None:
            return 1.0
        return (resolution / self.reference_resolution) ** 2

    def check_device(self, device: str) -> None:
        """Refuse a precision that a device is not made for.

        Args:
            device: such as `cpu` or `cuda:1`.

        Raises:
            UsageError: `float16` on the CPU.
        """
        check_precision(self.precision, device)

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the block in which a network on `device` runs in the recipe's precision."""
        return autocast(device, self.precision)

    @property
    def budget(self) -> TrainBudget | None:
        """The length the recipe gives, or None if it leaves that to the caller."""
        given = {key: getattr(self, key) for key in _BUDGET_KEYS if getattr(self, key) is not None}
        return TrainBudget(**given) if given else None

    def lasting(self, budget: TrainBudget) -> Recipe:
        """Return the recipe at another length; milestones keep their place in the run."""
        values = self.model_dump()
        if self.budget is not None:
            factor = budget.length / self.budget.length
            values["milestones"] = [(time * factor, drop) for time, drop in self.milestones]
        return Recipe.model_validate({**values, **dict.fromkeys(_BUDGET_KEYS), **budget.to_dict()})

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values that YAML and a checkpoint can hold."""
        return self.model_dump(mode="json")


def make_recipe(
    space: SearchSpace, stage: str, *, overrides: Mapping[str, Any] | None = None
) -> Recipe:
    """Return the recipe that `space` declares for `stage`, changed by `overrides`.

    A length among the overrides (`steps`, `epochs`, `minutes`) replaces the space's, whatever its
    unit, and the space's milestones move with it, while milestones among the overrides are counted
    in it; overriding keys of `augmentation` leaves the others; None turns off what a recipe can do
    without (`ema`, `grad_clip`).

    Raises:
        RecipeError: an unknown stage or key, or an impossible value; every fault is listed.
    """
    if stage not in STAGES:
        raise RecipeError(f"unknown training stage {stage!r}{suggest(stage, STAGES)}")
    faults = [
        f"unknown training stage {name!r}{suggest(name, STAGES)}"
        for name in space.recipe
        if name not in STAGES
    ]
    declared = space.recipe.get(stage) or {}
    if not isinstance(declared, Mapping):
        faults.append(f"{stage}: expected keys and values, got {declared!r}")
        declared = {}
    given = dict(overrides or {})
    length = {key: given.pop(key) for key in _BUDGET_KEYS if given.get(key) is not None}
    if length and "milestones" in given:
        given |= {**dict.fromkeys(_BUDGET_KEYS), **length}
    try:
        budget = Recipe.model_validate(length).budget
        recipe = Recipe.model_validate(_merge(declared, given))
    except RecipeError as error:
        faults.append(str(error))
    else:
        if not faults:
            check_resolutions(space, recipe.resolutions)
            return recipe.lasting(budget) if budget else recipe
    raise RecipeError(f"recipe {stage!r} of space {space.name!r}: {'; '.join(faults)}")


def _merge(declared: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(declared)
    if given.get("schedule", "step") != "step":
        values.pop("milestones", None)
    for key, value in given.items():
        known = values.get(key)
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            values[key] = {**known, **value}
        else:
            values[key] = value
    return values
