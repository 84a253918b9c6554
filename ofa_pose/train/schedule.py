"""How long a training runs and what its learning rate is at each step."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ofa_pose.errors import RecipeError

if TYPE_CHECKING:
    from ofa_pose.train.recipe import Recipe


@dataclass(frozen=True)
class TrainBudget:
    """The length of a training: exactly one of steps, epochs (passes over the data) or minutes.

    Minutes count time spent training; validation is left out. A run bounded in minutes takes
    another number of steps each time, so only steps and epochs reproduce to the bit.

    Raises:
        RecipeError: none or several lengths are given, or one is no number above 0; steps that are
            no whole number.
    """

    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        given = {key: value for key, value in vars(self).items() if value is not None}
        if len(given) != 1:
            found = f"got {', '.join(given)}" if given else "got none"
            raise RecipeError(f"give one of --steps, --epochs and --minutes; {found}")
        for key, value in given.items():
            is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not (is_number and math.isfinite(value) and float(value) > 0):
                found = f"{value:g}" if is_number else repr(value)
                raise RecipeError(f"--{key} must be a finite number above 0, got {found}")
        if self.steps is not None and not isinstance(self.steps, numbers.Integral):
            raise RecipeError(f"--steps must be a whole number, got {self.steps:g}")

    def total_steps(self, *, images: int, batch_size: int) -> int | None:
        """Return the number of steps, or None for a length in minutes."""
        if self.steps is not None:
            return self.steps
        if self.epochs is not None:
            return max(1, math.ceil(self.epochs * images / batch_size))
        return None

    def fraction(self, *, step: int, seconds: float, total: int | None) -> float:
        """Return how much of the run is done, 0 to 1, after `step` steps and `seconds`."""
        if total is not None:
            return min(step / total, 1.0)
        if self.minutes is None:
            raise RecipeError("a length in steps or epochs needs the total number of steps")
        return min(seconds / (self.minutes * 60), 1.0)

    @property
    def length(self) -> float:
        """The given number, whatever its unit."""
        return next(iter(self.to_dict().values()))

    def to_dict(self) -> dict[str, float]:
        """Return the given length, e.g. `{"steps": 100}`."""
        return {key: value for key, value in vars(self).items() if value is not None}


def learning_rate(recipe: Recipe, *, step: int, fraction: float) -> float:
    """Return the rate of the step that follows `step` finished ones.

    Args:
        recipe: the rate, its schedule and its warm-up.
        step: finished steps, from 0.
        fraction: how much of the run is done, 0 to 1.
    """
    rate = recipe.lr
    if recipe.schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * fraction))
    elif recipe.schedule == "step":
        length = recipe.budget.length if recipe.budget else 1.0
        for time, factor in recipe.milestones:
            rate *= factor if fraction >= time / length else 1.0
    if step < recipe.warmup_steps:
        rate *= (step + 1) / recipe.warmup_steps
    return rate
