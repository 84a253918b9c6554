"""A family from outside, of elastic depth: some archs leave whole layers out."""

import torch.nn.functional as F
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose import load_skeleton
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit
from ofa_pose.skeleton import Skeleton


@register_unit("test_deep_conv")
class Conv(nn.Module):
    """A 3×3 convolution, batch norm and ReLU; added to its input if the spec says so."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(spec.in_channels[0], spec.out_channels, 3, spec.stride, 1)
        self.norm = nn.BatchNorm2d(spec.out_channels)
        self.residual = spec.residual

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.conv(x)))
        return x + y if self.residual else y


@register_unit("test_deep_head")
class Head(nn.Module):
    """A 1×1 convolution to the maps."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(spec.in_channels[0], spec.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


@op.register_family("test_deep")
def deep(
    space: op.SearchSpace, arch: op.Arch, *, skeleton: str | Skeleton = "crowdpose"
) -> NetworkPlan:
    """A stem at 1/2, a step down to 1/4 and up to three blocks there."""
    joints = load_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
    side, width = arch.resolution, arch["width"]
    half, quarter = (width, side // 2, side // 2), (width, side // 4, side // 4)
    block = UnitSpec("test_deep_conv", (quarter,), width, kernel=3, residual=True)
    units = [
        Unit("stem", UnitSpec("test_deep_conv", ((3, side, side),), width, stride=2), ("input",)),
        Unit("down", UnitSpec("test_deep_conv", (half,), width, stride=2), ("stem",)),
    ]
    for number in range(arch["depth"]):
        units.append(Unit(f"block{number}", block, (units[-1].name,)))
    low = UnitSpec("test_deep_head", (quarter,), 2 * joints.num_joints)
    high = UnitSpec("test_deep_head", (half,), joints.num_joints)
    units += [Unit("low", low, (units[-1].name,)), Unit("high", high, ("stem",))]
    return NetworkPlan(tuple(units), ("low", "high"))


def deep_space() -> op.SearchSpace:
    """Return a space of six archs, of one to three blocks."""
    return op.SearchSpace(
        name="deep",
        family="test_deep",
        skeleton="crowdpose",
        choices=(
            op.Choice("resolution", (32,)),
            op.Choice("width", (8, 4)),
            op.Choice("depth", (3, 2, 1)),
        ),
    )
