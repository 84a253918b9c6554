"""What a supernet's training writes, validates and reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.errors import OfaPoseError, RecipeError
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit
from ofa_pose.runs import RunFolder
from ofa_pose.supernet import load_supernet, load_weights
from ofa_pose.train import Cadence, Recipe, TrainBudget, validate_subnets
from ofa_pose.train.supernet import _has_elastic_depth

OpenRun = Callable[..., RunFolder]


def test_run_folder(short: Any):
    folder = short.folder
    assert {path.name for path in folder.iterdir()} == {
        ".lock",
        "config.yaml",
        "log.txt",
        "metrics.csv",
        "checkpoint.pt",
        "checkpoint.previous.pt",
        "last.safetensors",
        "best.safetensors",
    }
    lines = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    assert lines[0] == ["step", "epoch", "lr", "loss", "heatmap", "pull", "push", "AP"]
    # Logged every 5 steps, validated every 4, the end always.
    assert [(line[0], line[-1]) for line in lines[1:]] == [
        ("4", "0.25"),
        ("5", ""),
        ("8", "0.75"),
        ("10", ""),
        ("12", "0.5"),
    ]
    assert [line[1] for line in lines[1:]] == ["1.2", "1.5", "2.4", "3.0", "3.6"]
    _, metadata = load_weights(folder / "best.safetensors")
    assert (metadata["kind"], metadata["space"]) == ("supernet", "toy")
    assert (metadata["step"], metadata["AP"]) == ("8", "0.75")
    short.assert_same(load_supernet(folder / "last.safetensors").state_dict(), short.state)


def test_weights_move_and_the_seed_counts(short: Any, scenes: Any, open_run: OpenRun):
    start = short.fresh().state_dict()
    other = short.fresh()
    short.train(other, scenes, open_run(), seed=2, validate=None)
    for name, _ in other.named_parameters():
        assert not torch.equal(short.state[name], start[name]), name
    assert any(not torch.equal(short.state[n], p) for n, p in other.named_parameters())


def test_workers_do_not_matter(short: Any, scenes: Any, open_run: OpenRun, tmp_path: Path):
    supernet = short.fresh()
    short.train(supernet, scenes, open_run(), workers=1)
    short.assert_equals_whole(supernet, tmp_path / "run")


def test_minutes(short: Any, scenes: Any, open_run: OpenRun):
    """Time already spent counts after a resume, and the total is unknown."""
    totals = []
    result = short.train(
        short.fresh(),
        scenes,
        open_run(),
        budget=TrainBudget(minutes=0.02),
        validate=lambda step: {"AP": 0.1},
        progress=lambda step, total, figures: totals.append(total),
    )
    assert result.seconds >= 1.2
    assert set(totals) == {None}
    again = short.train(
        short.fresh(),
        scenes,
        open_run(resume=True),
        budget=TrainBudget(minutes=0.02),
        validate=lambda step: {"AP": 0.1},
        resume=True,
    )
    assert (again.steps, again.seconds) == (result.steps, result.seconds)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (None, "not None"),
        ({"AR": 0.5}, "AP among them"),
        ({"AP": 0.5, "loss": 9.0}, "'loss', which the run's own rows use"),
        ({"AP": 0.5, "step": 70}, "'step', which the run's own rows use"),
        ({"AP": "high"}, "AP = 'high', not a number"),
    ],
)
def test_what_a_validation_may_not_give(
    short: Any, scenes: Any, open_run: OpenRun, scores: Any, message: str
):
    with pytest.raises(OfaPoseError, match=message):
        short.train(short.fresh(), scenes, open_run(), validate=lambda step: scores)


def test_validations_are_spread_over_the_run(short: Any, scenes: Any, open_run: OpenRun):
    steps = []

    def validate(step: int) -> dict[str, float]:
        steps.append(step)
        return {"AP": 0.0}

    short.train(
        short.fresh(), scenes, open_run(), validate=validate, cadence=Cadence(validations=5)
    )
    assert steps == [3, 5, 8, 10, 12]  # the first step at or past each fifth of 12


def test_without_validation_there_is_no_best(
    short: Any, scenes: Any, open_run: OpenRun, tmp_path: Path
):
    result = short.train(
        short.fresh(), scenes, open_run(), validate=None, budget=TrainBudget(steps=1)
    )
    assert (result.best, result.best_weights) == (None, None)
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_no_length(short: Any, scenes: Any, open_run: OpenRun):
    with pytest.raises(RecipeError, match="one of --steps, --epochs and --minutes"):
        short.train(short.fresh(), scenes, open_run(), budget=None)


@pytest.mark.parametrize("name", ["log_every", "validations", "checkpoint_steps"])
def test_bad_cadence(name: str):
    with pytest.raises(RecipeError, match="must be at least 1, got 0"):
        Cadence(**{name: 0})


def test_validate_subnets(short: Any):
    supernet = short.fresh()
    largest = {"resolution": 48, "stem": 4, "stage1": 8, "stage2": 12, "stage3": 16}
    largest |= {"stage4": 16, "deconv1": 8, "deconv2": 4, "deconv3": 4}
    smallest = {"resolution": 32, "stem": 2, "stage1": 4, "stage2": 8, "stage3": 16}
    smallest |= {"stage4": 8, "deconv1": 8, "deconv2": 4, "deconv3": 2}
    scores = {
        supernet.space.arch(largest): {"AP": 0.6},
        supernet.space.arch(smallest): {"AP": 0.2},  # of two values, the middle one is the second
        supernet.space.arch({**smallest, "resolution": 48}): {"AP": 0.3},
    }
    assert validate_subnets(supernet, lambda arch: scores[arch])(5) == pytest.approx(
        {
            "AP": 0.325,
            "AP_largest": 0.6,
            "AP_smallest": 0.2,
            "AP_narrow": 0.3,
            "AP_middle": 0.2,
        }
    )


class Add(nn.Module):
    """The sum of two maps."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


def shortcut(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
    """Two layers; a third one brings the first to the width of the second where they differ."""
    side, one, other = arch.resolution, arch["one"], arch["other"]
    wide = UnitSpec("stem", ((one, side, side),), other, hidden=4)
    units = [
        Unit("first", UnitSpec("stem", ((3, side, side),), one, hidden=4), ("input",)),
        Unit("second", wide, ("first",)),
    ]
    if one != other:
        units.append(Unit("short", wide, ("first",)))
    both = UnitSpec("test_add", ((other, side, side),) * 2, other)
    return NetworkPlan((*units, Unit("sum", both, ("second", units[-1].name))), ("sum",))


@pytest.mark.parametrize("more", [0, 1000], ids=["every arch", "drawn archs"])
def test_a_layer_that_only_a_combination_leaves_out(more: int):
    """32-24, 16-24 and 32-16 have the shortcut; 16-16, two steps from the largest, has none."""
    register_unit("test_add")(Add)
    op.register_family("test_shortcut")(shortcut)
    space = op.SearchSpace(
        name="shortcut",
        family="test_shortcut",
        choices=(
            op.Choice("resolution", tuple(range(32 + more, 31, -1))),
            op.Choice("one", (32, 16)),
            op.Choice("other", (24, 16)),
            op.Choice("unused", (3, 2, 1)),
        ),
    )
    assert (len(space) > 300) == bool(more)
    supernet = op.Supernet(space)
    assert len(supernet.plan(space.largest).units) == 4
    assert _has_elastic_depth(supernet)
    deep = {**space.largest, "one": 16, "other": 16}
    assert len(supernet.plan(space.arch(deep)).units) == 3


@pytest.mark.parametrize("name", ["toy", "litepose-lite0"])
def test_litepose_leaves_no_layer_out(name: str):
    assert not _has_elastic_depth(op.Supernet(op.load_space(name), skeleton="crowdpose"))


@pytest.mark.parametrize(("warmup", "told"), [(12, False), (13, True)])
def test_a_warm_up_longer_than_the_run_is_told(
    short: Any,
    scenes: Any,
    open_run: OpenRun,
    caplog: pytest.LogCaptureFixture,
    warmup: int,
    told: bool,
):
    recipe = Recipe(batch_size=1, warmup_steps=warmup)
    short.train(short.fresh(), scenes, open_run(), recipe=recipe, validate=None)
    found = [message for message in caplog.messages if "warm-up" in message]
    assert len(found) == told
    assert not told or found[0].startswith("the warm-up of 13 steps is longer than the run of 12:")


def test_a_negative_seed_is_refused_before_it_trains(short: Any, scenes: Any, open_run: OpenRun):
    with pytest.raises(RecipeError, match="a seed is a whole number of at least 0, not -1"):
        short.train(short.fresh(), scenes, open_run(), seed=-1)
