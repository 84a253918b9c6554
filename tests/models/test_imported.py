"""Weights from elsewhere, against what they compute there."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import ofa_pose as op
from ofa_pose.errors import MissingExtraError, WeightsError
from ofa_pose.models import imported


@pytest.fixture(scope="module")
def lite0_file() -> Path:
    try:
        return imported.efficientnet_lite0_path()
    except MissingExtraError:
        pytest.skip("the extra 'pretrained' is not installed")


def source_backbone(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """EfficientNet-Lite0 up to its 112-channel stage, from its own tensors, padded alike."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-3)

    def block(x: torch.Tensor, index: int, stride: int, residual: bool) -> torch.Tensor:
        name, y = f"_blocks.{index}.", x
        if index:
            y = F.relu6(norm(F.conv2d(y, state[f"{name}_expand_conv.weight"]), f"{name}_bn0"))
        weight = state[f"{name}_depthwise_conv.weight"]
        pad = weight.shape[-1] // 2
        y = F.conv2d(y, weight, stride=stride, padding=pad, groups=len(weight))
        y = F.relu6(norm(y, f"{name}_bn1"))
        y = norm(F.conv2d(y, state[f"{name}_project_conv.weight"]), f"{name}_bn2")
        return x + y if residual else y

    x = F.relu6(norm(F.conv2d(x, state["_conv_stem.weight"], stride=2, padding=1), "_bn0"))
    x = block(x, 0, 1, False)
    starts = {1: 2, 3: 2, 5: 2, 8: 1}  # first block of each stage: its stride
    for index in range(1, 11):
        x = block(x, index, starts.get(index, 1), index not in starts)
    return x


def test_backbone_computes_what_the_imagenet_network_computes(lite0_file: Path) -> None:
    space = op.load_space("litepose-lite0")
    network = op.build(space, space.largest).eval()
    imported.load_efficientnet_lite0(network)
    state = torch.load(lite0_file, weights_only=True)
    images = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x = images
        for unit in network.plan.units:
            if unit.name.startswith(("stem", "stage")):
                x = network.get_submodule(unit.name)(x)
        expected = source_backbone(state, images)
    torch.testing.assert_close(x, expected, rtol=1e-5, atol=1e-4)


def test_imagenet_weights_of_another_shape_are_refused(lite0_file: Path) -> None:
    space = op.load_space("litepose-lite0")
    with pytest.raises(WeightsError, match="other shapes"):
        imported.load_efficientnet_lite0(op.build(space, space.smallest))


# A few keys of the published files, written out by hand.
PUBLISHED_KEYS = {
    "stem.conv.0.weight": "first.0.0.weight",
    "stem.depthwise.1.running_mean": "first.1.1.running_mean",
    "stem.project.0.weight": "first.2.weight",
    "stem.project.1.bias": "first.3.bias",
    "stage1.0.expand.0.weight": "stage.0.0.inv.0.weight",
    "stage4.0.depthwise.1.weight": "stage.3.0.depth_conv.1.weight",
    "stage2.0.project.1.running_var": "stage.1.0.point_conv.1.running_var",
    "deconv1.refined.weight": "deconv_refined.0.weight",
    "deconv3.raw.weight": "deconv_raw.2.weight",
    "deconv2.bn.bias": "deconv_bnrelu.1.0.bias",
    "head1.refined.0.weight": "final_refined.0.conv.0.weight",
    "head2.raw.3.weight": "final_raw.1.conv.3.weight",
}


def published_checkpoint(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {imported._published_name(k): v for k, v in network.state_dict().items()}


def test_published_names() -> None:
    assert {ours: imported._published_name(ours) for ours in PUBLISHED_KEYS} == PUBLISHED_KEYS


@pytest.mark.parametrize("prefix", ["", "module.", "1."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_published_checkpoints_load(tmp_path: Path, prefix: str, wrapped: bool) -> None:
    space = op.load_space("toy")
    source, target = (op.build(space, space.largest, seed=seed) for seed in (1, 2))
    state = OrderedDict((prefix + k, v) for k, v in published_checkpoint(source).items())
    state[prefix + "stage.0.0.depth_conv.0.Linear5x5"] = torch.zeros(25, 25)
    file = tmp_path / "model.pth.tar"
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, file)
    imported.load_published(target, file)
    expected = source.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in target.state_dict().items())


def test_missing_and_unexpected_keys_are_listed(tmp_path: Path) -> None:
    space = op.load_space("toy")
    network = op.build(space, space.largest)
    state = published_checkpoint(network)
    del state["first.2.weight"]
    state["classifier.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match=r"first\.2\.weight.*classifier\.weight"):
        imported.load_published(network, tmp_path / "model.pth")


def test_a_nan_is_refused(tmp_path: Path) -> None:
    space = op.load_space("toy")
    network = op.build(space, space.largest)
    state = published_checkpoint(network)
    state["first.2.weight"] = torch.full_like(state["first.2.weight"], torch.nan)
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="NaN"):
        imported.load_published(network, tmp_path / "model.pth")


@pytest.mark.parametrize(
    "junk", [b"", b"junk", b"h\x05.", b"\x80\x02h\x00.", b"PK\x03\x04", b"j" * 99, b"\x00" * 999]
)
def test_junk_is_refused_in_one_line(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "junk.pth").write_bytes(junk)
    with pytest.raises(WeightsError) as caught:
        imported.read_torch_file(tmp_path / "junk.pth")
    assert "\n" not in str(caught.value)


def test_damaged_and_dangerous_files_are_refused(tmp_path: Path) -> None:
    space = op.load_space("toy")
    network = op.build(space, space.largest)
    whole, cut = tmp_path / "whole.pth", tmp_path / "cut.pth"
    torch.save(published_checkpoint(network), whole)
    cut.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(WeightsError, match="damaged"):
        imported.load_published(network, cut)
    torch.save({"state_dict": Path("x")}, tmp_path / "object.pth")
    with pytest.raises(WeightsError, match="more than plain weights"):
        imported.load_published(network, tmp_path / "object.pth")
    with pytest.raises(WeightsError, match="no weights at"):
        imported.load_published(network, tmp_path / "absent.pth")
