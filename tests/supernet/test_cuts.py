"""What units of a place may differ in between archs, and what a supernet refuses."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.errors import SpaceError
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit


def space_of(unit: type[nn.Module], *, resolutions: tuple[int, ...] = (16,)) -> op.SearchSpace:
    """A convolution of stride 2 to `first` channels, and `unit` from there to `second`.

    The unit has the kernel `k` and a residual where both numbers of channels are the same.
    """
    register_unit("test_cuts_first")(First)
    register_unit("test_cuts")(unit)

    @op.register_family("test_cuts")
    def family(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        side, first, second = arch.resolution, arch["first"], arch["second"]
        spec = UnitSpec("test_cuts_first", ((3, side, side),), first, kernel=3, stride=2)
        shape = (first, side // 2, side // 2)
        last = UnitSpec("test_cuts", (shape,), second, kernel=arch["k"], residual=first == second)
        return NetworkPlan((Unit("a", spec, ("input",)), Unit("b", last, ("a",))), ("b",))

    return op.SearchSpace(
        name="cuts",
        family="test_cuts",
        choices=(
            op.Choice("resolution", resolutions),
            op.Choice("first", (8, 4)),
            op.Choice("second", (12, 8, 4)),
            op.Choice("k", (5, 3)),
        ),
    )


class First(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        (channels,) = spec.in_channels
        self.conv = nn.Conv2d(channels, spec.out_channels, spec.kernel, spec.stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Plain(nn.Module):
    """A 1×1 convolution; what follows adds to it."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        (self.channels,) = spec.in_channels
        self.spec = spec  # known, and used for nothing that is not in the tensors
        self.conv = nn.Conv2d(self.channels, spec.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Kernel(Plain):
    """An odd kernel, whose padding the layer itself knows."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__(spec)
        (channels,) = spec.in_channels
        self.conv = nn.Conv2d(channels, spec.out_channels, spec.kernel, padding=spec.kernel // 2)


class Residual(Plain):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__(spec)
        self.residual = spec.residual

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class ResidualOfSpec(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.spec.residual else self.conv(x)


class Pooled(Plain):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__(spec)
        self.pool = nn.MaxPool2d(spec.kernel, 1, spec.kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.conv(x))


class Halved(Plain):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__(spec)
        self.middle = spec.out_channels // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return torch.cat([y[:, self.middle :], y[:, : self.middle]], dim=1)


class HalvedByShape(Plain):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        half = y.shape[1] // 2
        return torch.cat([y[:, half:], y[:, :half]], dim=1)


class Regrouped(Plain):
    """Regroups what an arch of other channels has by the largest's number of them."""

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.reshape(len(x), self.channels, -1, x.shape[3]))


class DroppedOut(Plain):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__(spec)
        self.drop = nn.Dropout(0.1 * spec.kernel)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.conv(x))


class Shortcut(Plain):
    """A layer only where the numbers of channels differ."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__(spec)
        (channels,) = spec.in_channels
        self.down = None if spec.residual else nn.Conv2d(channels, spec.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + (x if self.down is None else self.down(x))


class Resized(Plain):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__(spec)
        ((_, height, width),) = spec.in_shapes
        self.up = nn.Upsample(size=(2 * height, 2 * width))

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.conv(x))


class Flat(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        ((channels, height, width),) = spec.in_shapes
        self.linear = nn.Linear(channels * height * width, spec.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


class PaddedByLayer(Plain):
    """TensorFlow's way of padding, by what the layer says of itself."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__(spec)
        self.conv = nn.Conv2d(spec.in_channels[0], spec.out_channels, spec.kernel)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (self.conv.kernel_size[0] // 2,) * 4))


class ResidualByLayer(Plain):
    def forward(self, x: Tensor) -> Tensor:
        same = self.conv.in_channels == self.conv.out_channels
        return x + self.conv(x) if same else self.conv(x)


class MeanOfWeight(Plain):
    """A number of the whole weight, of which another arch has a part."""

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.conv.weight.abs().mean()


class InPrecisionOfLayer(Plain):
    """Reads what is the same in every arch, and calls what the layer would."""

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.to(self.conv.weight.dtype))


class Constant(Plain):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__(spec)
        self.register_buffer("scale", torch.tensor(float(spec.kernel)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.scale


def check_equal(space: op.SearchSpace) -> None:
    """Every arch's network, cut out, computes what the supernet does."""
    supernet = op.Supernet(space).eval()
    for arch in space:
        images = torch.rand(2, 3, arch.resolution, arch.resolution)
        torch.testing.assert_close(
            supernet(images, arch), supernet.extract(arch)(images), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("unit", [Plain, Kernel, HalvedByShape, InPrecisionOfLayer])
def test_what_a_unit_merely_knows_may_differ(unit: type[nn.Module]) -> None:
    check_equal(space_of(unit, resolutions=(16, 8)))


@pytest.mark.parametrize(
    ("unit", "arch", "message"),
    [
        (Residual, (8, 8, 5), r"residual is True \(there False\)"),
        (
            ResidualOfSpec,
            (8, 8, 5),
            r"spec is test_cuts:8x8x8:8:k5:s1:r \(there test_cuts:8x8x8:12:k5:s1\)",
        ),
        (Pooled, (8, 12, 3), r"pool.kernel_size is 3 \(there 5\)"),
        (Halved, (8, 4, 5), r"middle is 2 \(there 6\)"),
        (Regrouped, (4, 12, 5), r"channels is 4 \(there 8\)"),
        (DroppedOut, (8, 12, 3), r"drop.p is 0.3.* \(there 0.5\)"),
        (PaddedByLayer, (8, 12, 3), r"conv.kernel_size is \(3, 3\) \(there \(5, 5\)\)"),
        (ResidualByLayer, (8, 8, 5), r"conv.out_channels is 8 \(there 12\)"),
        (MeanOfWeight, (8, 4, 5), r"conv.weight.shape is \(4, 8, 1, 1\) \(there \(12, 8, 1, 1\)\)"),
        (Constant, (8, 12, 3), "the buffer scale holds other values"),
    ],
)
def test_what_makes_a_unit_compute_otherwise_is_named(
    unit: type[nn.Module], arch: tuple[int, int, int], message: str
) -> None:
    space = space_of(unit)
    supernet = op.Supernet(space)
    images = torch.rand(2, 3, 16, 16)
    supernet(images, space.largest)
    first, second, k = arch
    other = space.arch({"resolution": 16, "first": first, "second": second, "k": k})
    for use in (lambda: supernet(images, other), lambda: supernet.extract(other)):
        with pytest.raises(SpaceError, match=f"^unit test_cuts:.*{message}"):
            use()


def test_layers_that_only_one_of_both_has() -> None:
    space = space_of(Shortcut)
    supernet = op.Supernet(space)
    arch = space.arch({"resolution": 16, "first": 8, "second": 8, "k": 5})
    with pytest.raises(SpaceError, match="unit test_cuts:8x8x8:12:k5:s1 has a layer 'down' that"):
        supernet.extract(arch)


class Reparametrised(Plain):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__(spec)
        self.conv = nn.utils.parametrizations.weight_norm(self.conv)


def test_layers_of_a_class_of_their_own() -> None:
    space = space_of(Reparametrised)
    told = "layer 'conv' is a ParametrizedConv2d, in test_cuts:.* of another class"
    with pytest.raises(SpaceError, match=told):
        op.Supernet(space).extract(space.smallest)


def test_a_size_that_a_unit_makes_is_the_arch_s_own() -> None:
    check_equal(space_of(Resized))
    space = space_of(Resized, resolutions=(32, 16))
    with pytest.raises(SpaceError, match=re.escape("up.size is (16, 16) (there (32, 32))")):
        op.Supernet(space)(torch.rand(1, 3, 16, 16), space.smallest)


def test_a_linear_layer_over_a_whole_map() -> None:
    """Its leading columns are the leading channels', if the map is of one size."""
    space = space_of(Flat)
    supernet = op.Supernet(space)
    whole = supernet.network.get_parameter("b.linear.weight")
    assert whole.shape == (12, 8 * 8 * 8)
    part = supernet.extract(space.smallest).get_parameter("b.linear.weight")
    assert torch.equal(part, whole[:4, : 4 * 8 * 8])
    check_equal(space)


def test_a_linear_layer_over_maps_of_several_sizes() -> None:
    space = space_of(Flat, resolutions=(16, 8))
    with pytest.raises(SpaceError, match="follow from its maps' height and width.*Adaptive"):
        op.Supernet(space).extract(space.smallest)
