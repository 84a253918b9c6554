"""A network of torch's layers alone, in an interpreter that does not have this package."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import ofa_pose as op
from ofa_pose.errors import UsageError
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit, to_plain

ELSEWHERE = """
import sys
sys.modules["ofa_pose"] = None
import torch
module, images, expected = torch.load(sys.argv[1], weights_only=False)
for form in (module, torch.jit.script(module)):
    found = form(images)
    assert [map_.shape for map_ in found] == [map_.shape for map_ in expected]
    assert all(torch.equal(*pair) for pair in zip(found, expected))
"""


@pytest.mark.parametrize(("name", "arch"), [("litepose-xs", "smallest"), ("toy", "largest")])
def test_it_runs_where_this_package_is_not(name, arch, tmp_path):
    space = op.load_space(name)
    network = op.build(space, arch, skeleton="coco").eval()
    images = torch.rand(2, 3, 64, 128)
    plain = to_plain(network)
    assert all(type(layer).__module__.startswith("torch.") for layer in plain.modules())
    path = tmp_path / "plain.pt"
    torch.save((plain, images, network(images)), path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ELSEWHERE, path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_what_is_no_network_is_refused():
    with pytest.raises(UsageError, match="a Network is expected"):
        to_plain(nn.Conv2d(3, 3, 1).eval())  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match="a Network is expected"):
        to_plain(op.Supernet(op.load_space("toy")).eval())  # pyright: ignore[reportArgumentType]


def test_a_network_that_learns_is_refused():
    with pytest.raises(UsageError, match="eval mode"):
        to_plain(op.build(op.load_space("toy"), "smallest").train())


@register_unit("test_moody")
class _Moody(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, spec.out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) if x.mean() > 0 else -self.conv(x)


def test_a_network_that_decides_on_its_way_is_refused():
    @op.register_family("test_moody")
    def moody(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        spec = UnitSpec("test_moody", ((3, arch.resolution, arch.resolution),), 4)
        return NetworkPlan((Unit("a", spec, ("input",)),), ("a",))

    space = op.SearchSpace(
        name="moody", family="test_moody", choices=(op.Choice("resolution", (16, 8)),)
    )
    with pytest.raises(UsageError, match="no mere list of layers"):
        to_plain(op.build(space, "largest").eval())
