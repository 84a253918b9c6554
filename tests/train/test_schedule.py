"""Lengths of a run and learning rates, against values worked out by hand."""

import pytest

from ofa_pose.errors import RecipeError
from ofa_pose.train import Recipe, TrainBudget, learning_rate


def test_constant_with_warmup():
    recipe = Recipe(lr=0.4, warmup_steps=4)
    rates = [learning_rate(recipe, step=step, fraction=step / 10) for step in range(6)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])


def test_cosine():
    recipe = Recipe(lr=0.8, schedule="cosine")
    # 0.5 (1 + cos(pi f)): cos(pi / 3) = 1/2, cos(2 pi / 3) = -1/2
    rates = [learning_rate(recipe, step=9, fraction=f) for f in (0, 1 / 3, 1 / 2, 2 / 3, 1)]
    assert rates == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0])


def test_step_as_in_the_paper():
    """LitePose's fine-tuning: 1e-3, 1e-4 from epoch 50, 1e-5 from epoch 180 of 200."""
    recipe = Recipe(
        lr=1e-3, schedule="step", milestones=((50, 0.1), (180, 0.1)), epochs=200, batch_size=10
    )
    assert recipe.budget is not None
    total = recipe.budget.total_steps(images=1000, batch_size=10)
    assert total == 20_000
    rates = [
        learning_rate(recipe, step=step, fraction=step / total)
        for step in (0, 4_999, 5_000, 17_999, 18_000, 19_999)
    ]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


def test_milestones_keep_their_place_at_another_length():
    recipe = Recipe(schedule="step", milestones=((50, 0.1), (180, 0.5)), epochs=200)
    shorter = recipe.lasting(TrainBudget(minutes=10))
    assert shorter.milestones == ((2.5, 0.1), (9.0, 0.5))
    assert (shorter.epochs, shorter.minutes) == (None, 10)


@pytest.mark.parametrize(
    ("budget", "total"),
    [
        (TrainBudget(steps=7), 7),
        (TrainBudget(epochs=2), 7),  # 20 images in threes: 6 and two thirds, rounded up
        (TrainBudget(epochs=0.01), 1),
        (TrainBudget(minutes=1), None),
    ],
)
def test_total_steps(budget: TrainBudget, total: int | None):
    assert budget.total_steps(images=10, batch_size=3) == total


def test_fraction():
    assert TrainBudget(steps=8).fraction(step=2, seconds=1e9, total=8) == 0.25
    assert TrainBudget(minutes=2).fraction(step=99, seconds=30, total=None) == 0.25
    assert TrainBudget(minutes=2).fraction(step=99, seconds=130, total=None) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "got none"),
        ({"steps": 1, "minutes": 2}, "got steps, minutes"),
        ({"steps": 0}, "--steps must be a finite number above 0, got 0"),
        ({"minutes": float("nan")}, "--minutes must be a finite number above 0, got nan"),
        ({"steps": 2.5}, "--steps must be a whole number, got 2.5"),
        ({"steps": True}, "--steps must be a finite number above 0, got True"),
        ({"epochs": "3"}, "--epochs must be a finite number above 0, got '3'"),
    ],
)
def test_bad_lengths(given: dict[str, float], message: str):
    with pytest.raises(RecipeError, match=message):
        TrainBudget(**given)  # pyright: ignore[reportArgumentType]
