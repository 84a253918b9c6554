"""A family from outside: plain layers, no pose, joined by registering one function."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.errors import SpaceError
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit
from ofa_pose.supernet import order_channels


@register_unit("test_conv")
class Conv(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(spec.in_channels[0], spec.out_channels, spec.kernel, spec.stride)
        self.norm = nn.BatchNorm2d(spec.out_channels)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


@register_unit("test_classifier")
class Classifier(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.hidden = nn.Linear(spec.in_channels[0], spec.hidden)
        self.norm = nn.BatchNorm1d(spec.hidden)
        self.linear = nn.Linear(spec.hidden, spec.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(self.hidden(self.flat(self.pool(x)))))


@op.register_family("test_classifier")
def classifier(space: op.SearchSpace, arch: op.Arch, *, num_classes: int = 10) -> NetworkPlan:
    side = arch.resolution
    conv = UnitSpec("test_conv", ((3, side, side),), arch["width"], kernel=3, stride=2)
    side = (side - 3) // 2 + 1
    head = UnitSpec(
        "test_classifier", ((arch["width"], side, side),), num_classes, hidden=arch["hidden"]
    )
    return NetworkPlan((Unit("conv", conv, ("input",)), Unit("head", head, ("conv",))), ("head",))


@pytest.fixture(scope="module")
def space() -> op.SearchSpace:
    return op.SearchSpace(
        name="digits",
        family="test_classifier",
        choices=(
            op.Choice("resolution", (32, 16)),
            op.Choice("width", (12, 8, 5)),
            op.Choice("hidden", (20, 7)),
        ),
    )


def test_every_subnet_equals_its_extraction(space: op.SearchSpace) -> None:
    supernet = op.Supernet(space, num_classes=4).eval()
    for arch in space:
        images = torch.rand(3, 3, arch.resolution, arch.resolution)
        (logits,) = supernet(images, arch)
        assert logits.shape == (3, 4)
        assert torch.equal(logits, supernet.extract(arch)(images)[0])


def test_costs_by_hand(space: op.SearchSpace) -> None:
    cost = op.count(space, space.largest, num_classes=4)
    # 3x3x3 kernels on 15x15 cells of 12 channels, then 12 -> 20 -> 4.
    assert cost.macs["exact"] == 15 * 15 * 12 * 27 + 12 * 20 + 20 * 4
    assert cost.params == 12 * 27 + 12 + 2 * 12 + 12 * 20 + 20 + 2 * 20 + 20 * 4 + 4
    table = op.CostTable(space, num_classes=4)
    assert table["macs_exact"].tolist() == [
        op.count(space, arch, num_classes=4).macs["exact"] for arch in space
    ]


@register_unit("test_reflecting")
class Reflecting(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            spec.in_channels[0], spec.out_channels, 3, padding=1, padding_mode="reflect"
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


@op.register_family("test_reflecting")
def reflecting(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
    spec = UnitSpec("test_reflecting", ((3, arch.resolution, arch.resolution),), arch["width"])
    return NetworkPlan((Unit("only", spec, ("input",)),), ("only",))


def test_a_layer_pads_in_the_supernet_as_it_does_alone() -> None:
    space = op.SearchSpace(
        name="reflecting",
        family="test_reflecting",
        choices=(op.Choice("resolution", (16,)), op.Choice("width", (8, 4))),
    )
    supernet = op.Supernet(space)
    images = torch.rand(2, 3, 16, 16)
    for arch in space:
        (maps,) = supernet(images, arch)
        assert torch.equal(maps, supernet.extract(arch)(images)[0])


class NormOfOnesOwn(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x) * self.weight.view(-1, 1, 1)


@register_unit("test_own_norm")
class Normed(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(spec.in_channels[0], spec.out_channels, 1)
        self.norm = NormOfOnesOwn(spec.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


@op.register_family("test_rigid")
def rigid(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
    spec = UnitSpec("test_own_norm", ((3, arch.resolution, arch.resolution),), arch["width"])
    return NetworkPlan((Unit("only", spec, ("input",)),), ("only",))


def test_a_layer_that_cannot_be_sliced_is_named() -> None:
    space = op.SearchSpace(
        name="rigid",
        family="test_rigid",
        choices=(op.Choice("resolution", (16,)), op.Choice("width", (8, 4))),
    )
    supernet = op.Supernet(space)
    with pytest.raises(SpaceError, match="NormOfOnesOwn, which cannot be sliced"):
        supernet(torch.rand(1, 3, 16, 16), space.smallest)


@register_unit("test_other_norms")
class OtherNorms(nn.Module):
    """Groups of 4 channels, each map by itself, slopes; then channels last, as in a ConvNeXt."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        width = spec.out_channels
        self.conv = nn.Conv2d(spec.in_channels[0], width, 1)
        self.groups = nn.GroupNorm(width // 4, width, eps=1e-3)
        self.maps = nn.InstanceNorm2d(width, affine=True, track_running_stats=True)
        self.slopes = nn.PReLU(width)
        self.slope = nn.PReLU()
        self.last = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.slope(self.slopes(self.maps(self.groups(self.conv(x)))))
        return self.last(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@op.register_family("test_other_norms")
def normed(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
    side, width = arch.resolution, arch["width"]
    first = UnitSpec("test_other_norms", ((3, side, side),), width)
    second = UnitSpec("test_other_norms", ((width, side, side),), width)
    return NetworkPlan((Unit("a", first, ("input",)), Unit("b", second, ("a",))), ("b",))


def test_other_norms_and_slopes_are_cut() -> None:
    space = op.SearchSpace(
        name="norms",
        family="test_other_norms",
        choices=(op.Choice("resolution", (8,)), op.Choice("width", (16, 12, 4))),
    )
    supernet = op.Supernet(space)
    with torch.no_grad():
        for weight in supernet.parameters():
            weight.normal_(generator=torch.Generator().manual_seed(weight.numel()))
    images = torch.rand(2, 3, 8, 8)
    for arch in space:
        alone = supernet.extract(arch)
        (maps,), (expected,) = supernet(images, arch), alone(images)
        assert torch.equal(maps, expected)
        supernet.zero_grad()
        maps.square().sum().backward()
        expected.square().sum().backward()
        width = arch["width"]
        for name in (
            *("a.groups.weight", "a.groups.bias", "a.maps.weight", "a.maps.bias"),
            *("a.slopes.weight", "b.last.weight", "b.last.bias"),
        ):
            whole = supernet.network.get_parameter(name).grad
            own = alone.get_parameter(name).grad
            assert whole is not None
            assert own is not None
            torch.testing.assert_close(whole[:width], own)
            assert not whole[width:].any()
    supernet.eval()  # by the statistics that the passes above have gathered
    for arch in space:
        assert torch.equal(supernet(images, arch)[0], supernet.extract(arch).eval()(images)[0])


def test_channels_that_meet_such_norms_keep_their_order() -> None:
    space = op.SearchSpace(
        name="norms",
        family="test_other_norms",
        choices=(op.Choice("resolution", (8,)), op.Choice("width", (16, 4))),
    )
    supernet = op.Supernet(space).eval()
    images = torch.rand(2, 3, 8, 8)
    (before,) = supernet(images, space.largest)
    order_channels(supernet)
    assert torch.equal(supernet(images, space.largest)[0], before)


@register_unit("test_layer_scale")
class Scaled(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(spec.in_channels[0], spec.out_channels, 1)
        self.gamma = nn.Parameter(torch.ones(spec.out_channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.gamma


@op.register_family("test_scaled")
def scaled(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
    spec = UnitSpec("test_layer_scale", ((3, arch.resolution, arch.resolution),), arch["width"])
    return NetworkPlan((Unit("only", spec, ("input",)),), ("only",))


def test_a_units_own_tensor_that_cannot_be_sliced_is_named() -> None:
    space = op.SearchSpace(
        name="scaled",
        family="test_scaled",
        choices=(op.Choice("resolution", (16,)), op.Choice("width", (8, 4))),
    )
    told = "unit test_layer_scale:3x0x0:4:.*: its own gamma, outside any layer, cannot be sliced"
    with pytest.raises(SpaceError, match=told):
        op.Supernet(space).extract("smallest")


class Excited(nn.Module):
    """What has no field of a spec, the width inside, is read from the kind."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        inner = int(spec.kind.removeprefix("test_excited"))
        self.conv = nn.Conv2d(spec.in_channels[0], spec.out_channels, 1)
        self.squeeze = nn.Conv2d(spec.out_channels, inner, 1)
        self.excite = nn.Conv2d(inner, spec.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y * self.excite(self.squeeze(y.mean((2, 3), keepdim=True)).relu()).sigmoid()


for _inner in (4, 2):
    register_unit(f"test_excited{_inner}")(Excited)


@op.register_family("test_excited")
def excited(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
    shapes = ((3, arch.resolution, arch.resolution),)
    spec = UnitSpec(f"test_excited{arch['inner']}", shapes, arch["width"])
    return NetworkPlan((Unit("only", spec, ("input",)),), ("only",))


def test_a_unit_of_several_kinds_shares_its_weights() -> None:
    space = op.SearchSpace(
        name="excited",
        family="test_excited",
        choices=(
            op.Choice("resolution", (16,)),
            op.Choice("width", (8, 4)),
            op.Choice("inner", (4, 2)),
        ),
    )
    supernet = op.Supernet(space).eval()
    images = torch.rand(2, 3, 16, 16)
    for arch in space:
        assert torch.equal(supernet(images, arch)[0], supernet.extract(arch)(images)[0])
        width, inner = arch["width"], arch["inner"]
        macs = op.count(space, arch).macs["exact"]
        assert macs == 16 * 16 * 3 * width + 2 * width * inner
