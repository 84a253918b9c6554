"""Recipes: what a space declares, overrides, and every fault in one message."""

import copy

import pydantic
import pytest

from ofa_pose import SearchSpace, load_space
from ofa_pose.catalog import space_names
from ofa_pose.errors import RecipeError
from ofa_pose.space.frozen import freeze
from ofa_pose.train import Recipe, TrainBudget, make_recipe


def space_with(recipe: object) -> SearchSpace:
    space = copy.copy(load_space("toy"))
    object.__setattr__(space, "recipe", freeze(recipe))
    return space


def test_catalogue_is_not_empty():
    assert len(space_names()) >= 4


@pytest.mark.parametrize("stage", ["pretrain", "supernet", "finetune"])
@pytest.mark.parametrize("name", sorted(space_names()))
def test_shipped_recipes(name: str, stage: str):
    recipe = make_recipe(load_space(name), stage)
    assert recipe.budget is not None
    assert recipe.tags == (stage != "pretrain")
    assert Recipe.model_validate(recipe.to_dict()) == recipe


def test_paper_values():
    recipe = make_recipe(load_space("litepose-xs"), "supernet")
    assert (recipe.lr, recipe.batch_size, recipe.epochs) == (4e-3, 128, 2400)
    assert recipe.augmentation.rotation == 30
    assert recipe.augmentation.scale == (0.75, 1.5)
    assert recipe.augmentation.translation == 40
    assert recipe.augmentation.flip == 0.5


def test_overrides():
    space = space_with(
        {"finetune": {"lr": 0.1, "epochs": 9, "augmentation": {"rotation": 10, "flip": 0.2}}}
    )
    recipe = make_recipe(
        space,
        "finetune",
        overrides={"minutes": 5, "batch_size": 4, "augmentation": {"rotation": 0}},
    )
    assert (recipe.lr, recipe.batch_size) == (0.1, 4)
    assert recipe.budget == TrainBudget(minutes=5)
    assert (recipe.augmentation.rotation, recipe.augmentation.flip) == (0, 0.2)


def test_milestones_are_moved_or_counted_anew():
    space = load_space("litepose")  # 200 epochs, milestones at 50 and 180
    moved = make_recipe(space, "finetune", overrides={"steps": 20})
    assert moved.milestones == ((5, 0.1), (18, 0.1))
    own = {"steps": 20, "milestones": [[2, 0.5]]}
    assert make_recipe(space, "finetune", overrides=own).milestones == ((2, 0.5),)
    lengthless = space_with({"finetune": {"lr": 0.1}})
    recipe = make_recipe(lengthless, "finetune", overrides={**own, "schedule": "step"})
    assert (recipe.milestones, recipe.steps) == (((2, 0.5),), 20)


def test_none_turns_off():
    assert load_space("toy").recipe["supernet"]["reference_resolution"] == 512
    off = make_recipe(load_space("toy"), "supernet", overrides={"reference_resolution": None})
    assert off.reference_resolution is None
    with pytest.raises(RecipeError, match="lr: a number is expected, not None"):
        make_recipe(load_space("toy"), "supernet", overrides={"lr": None})


def test_another_schedule_needs_no_milestones():
    space = load_space("litepose")
    assert make_recipe(space, "finetune").milestones == ((50, 0.1), (180, 0.1))
    assert make_recipe(space, "finetune", overrides={"schedule": "cosine"}).milestones == ()


def test_number_that_yaml_reads_as_text():
    """YAML 1.1 takes 1e-3 (no point) for a string."""
    assert make_recipe(space_with({"supernet": {"lr": "1e-3"}}), "supernet").lr == 1e-3


def test_every_fault_is_listed():
    space = space_with(
        {
            "supernet": {
                "learning_rate": 1,
                "batchsize": 8,
                "lr": -1,
                "augmentation": {"rotatoin": 3},
            },
            "fintune": {},
        }
    )
    with pytest.raises(RecipeError) as caught:
        make_recipe(space, "supernet")
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "recipe 'supernet' of space 'toy'",
        "unknown training stage 'fintune'; did you mean 'finetune'?",
        "learning_rate: unknown key",
        "batchsize: unknown key; did you mean 'batch_size'?",
        "augmentation.rotatoin: unknown key; did you mean 'rotation'?",
        "lr: it should be greater than 0, not -1",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"schedule": "step", "epochs": 3}, "schedule 'step' needs milestones"),
        ({"milestones": [[1, 0.1]]}, "schedule 'cosine' takes no milestones"),
        ({"schedule": "step", "milestones": [[2, 0.1], [1, 0.1]]}, "must rise: got 2, 1"),
        ({"augmentation": {"scale": [1.5, 0.5]}}, "smallest first: got 1.5 then 0.5"),
        ({"steps": 3, "epochs": 2}, "give one of steps, epochs, not 2"),
        ({"steps": 1.5}, "'toy': steps: it should be a valid integer, .*, not 1.5"),
        ({"epochs": "two"}, "'toy': epochs: it should be a valid number, .*, not 'two'"),
        ({"minutes": float("inf")}, "'toy': minutes: a finite number is expected, not inf"),
        ({"optimizer": "sgd"}, "optimizer: it should be 'adam' or 'adamw', not 'sgd'"),
        ({"lr": "fast"}, "lr: .* not 'fast'"),
        ({"lr": True}, "'toy': lr: a number is expected, not True$"),
        ({"grad_clip": True}, "'toy': grad_clip: a number is expected, not True$"),
        ({"warmup_steps": False}, "'toy': warmup_steps: a number is expected, not False$"),
        ({"ema": True}, "'toy': ema: a number is expected, not True$"),
        ({"steps": True}, "'toy': steps: a number is expected, not True$"),
        ({"resolutions": [48, True]}, r"resolutions\[1\]: a number is expected, not True$"),
        ({"augmentation": {"flip": True}}, "augmentation.flip: a number is expected, not True$"),
        ({"tags": 3}, "tags: it should be a valid boolean"),
    ],
)
def test_bad_overrides(overrides: dict[str, object], message: str):
    with pytest.raises(RecipeError, match=message):
        make_recipe(load_space("toy"), "supernet", overrides=overrides)


def test_unknown_stage():
    with pytest.raises(RecipeError, match="unknown training stage 'supernett'; did you mean"):
        make_recipe(load_space("toy"), "supernett")


def test_stage_that_is_no_mapping():
    with pytest.raises(RecipeError, match="supernet: expected keys and values, got 3"):
        make_recipe(space_with({"supernet": 3}), "supernet")


def test_milestones_need_a_length():
    with pytest.raises(RecipeError, match="^milestones need the length they are part of"):
        Recipe(schedule="step", milestones=((1, 0.1),))


def test_a_recipe_of_ones_own_lists_its_faults_too():
    with pytest.raises(RecipeError, match=r"^lr: .* not -1; smapler: .* did you mean 'sampler'\?$"):
        Recipe(lr=-1, smapler="fair")  # pyright: ignore[reportCallIssue]


def test_frozen():
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Recipe().lr = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_heatmap_weight_by_hand():
    # A map of half the side holds a joint's target four times as dear in its mean.
    assert Recipe().heatmap_weight(128) == 1
    recipe = Recipe(reference_resolution=512)
    assert recipe.heatmap_weight(512) == 1
    assert recipe.heatmap_weight(256) == 0.25
    assert recipe.heatmap_weight(128) == 0.0625
