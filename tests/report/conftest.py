"""A family from outside: a convolution and a classifier, drawn like any other."""

from collections.abc import Callable

import pytest
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit


@register_unit("drawn_conv")
class Conv(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(spec.in_channels[0], spec.out_channels, spec.kernel, spec.stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


@register_unit("drawn_classifier")
class Classifier(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.linear = nn.Linear(spec.in_channels[0], spec.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.flat(self.pool(x)))


@op.register_family("drawn_family")
def drawn(space: op.SearchSpace, arch: op.Arch, *, num_classes: int = 10) -> NetworkPlan:
    side = arch.resolution
    conv = UnitSpec("drawn_conv", ((3, side, side),), arch["width"], kernel=3, stride=2)
    side = (side - 3) // 2 + 1
    head = UnitSpec("drawn_classifier", ((arch["width"], side, side),), num_classes)
    return NetworkPlan((Unit("conv", conv, ("input",)), Unit("head", head, ("conv",))), ("head",))


@pytest.fixture
def make_classifier() -> Callable[[], op.SearchSpace]:
    def make() -> op.SearchSpace:
        choices = (op.Choice("resolution", (32, 16)), op.Choice("width", (12, 8, 5)))
        return op.SearchSpace(name="digits", family="drawn_family", choices=choices)

    return make
