"""A tier of a family that predicts no joints: a classifier, made of plain layers."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.cli.main import run
from ofa_pose.errors import UsageError
from ofa_pose.export import Tier, load_tier, make_tier, save_tier
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit, takes_option


@register_unit("test_tier_classifier")
class Classifier(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(spec.in_channels[0], spec.hidden, 3, spec.stride)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.linear = nn.Linear(spec.hidden, spec.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.flat(self.pool(self.conv(x))))


@op.register_family("test_tier_classifier")
def classifier(space: op.SearchSpace, arch: op.Arch, *, classes: int = 10) -> NetworkPlan:
    side = arch.resolution
    spec = UnitSpec(
        "test_tier_classifier", ((3, side, side),), classes, stride=2, hidden=arch["width"]
    )
    return NetworkPlan((Unit("only", spec, ("input",)),), ("only",))


SPACE = op.SearchSpace(
    name="classes",
    family="test_tier_classifier",
    choices=(op.Choice("resolution", (16, 8)), op.Choice("width", (6, 4))),
)


@pytest.fixture
def tier(tmp_path: Path) -> Tier:
    made = make_tier("S", SPACE, SPACE.smallest, options={"classes": 3}, budget="3k")
    network = op.Supernet(SPACE, classes=3).eval().extract(SPACE.smallest)
    return save_tier(tmp_path, made, network)


def test_a_classifiers_tier_comes_back(tier: Tier) -> None:
    assert tier.path is not None
    loaded = load_tier(tier.path)
    assert loaded == tier
    assert loaded.skeleton is None
    # 3x3 kernels over 3 channels on 3x3 cells of 4 channels, then 4 -> 3; and their biases.
    assert loaded.costs.macs["exact"] == 9 * 4 * 27 + 4 * 3
    assert loaded.costs.params == 4 * 27 + 4 + 4 * 3 + 3
    (logits,) = loaded.build()(torch.zeros(2, 3, 8, 8))
    assert logits.shape == (2, 3)


def test_its_file_says_nothing_of_joints(tier: Tier) -> None:
    assert tier.path is not None
    assert "skeleton" not in yaml.safe_load(tier.path.read_text())


def test_whether_a_family_takes_an_option() -> None:
    assert takes_option(op.load_space("toy"), "skeleton")
    assert not takes_option(SPACE, "skeleton")
    assert takes_option(SPACE, "classes")


def test_a_skeleton_for_a_classifier_is_refused() -> None:
    with pytest.raises(UsageError, match="no option 'skeleton'; it takes: classes"):
        make_tier("S", SPACE, SPACE.smallest, skeleton="coco")


def test_a_predictor_of_poses_refuses_it(tier: Tier) -> None:
    assert tier.path is not None
    with pytest.raises(UsageError, match="'test_tier_classifier', which predicts no joints"):
        op.PosePredictor(tier.path)


@pytest.mark.parametrize("verb", ["eval", "finetune"])
def test_so_do_the_verbs(tier: Tier, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, str(tier.path), "--synthetic", "2"]) == 2
    error = capsys.readouterr().err
    assert "predicts no joints" in error
    assert error.count("\n") == 1
