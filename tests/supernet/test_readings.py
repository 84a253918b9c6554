"""What is read of a unit's layers beside calling them."""

import pytest
import torch
from torch import Tensor, nn

from ofa_pose.models import UnitSpec, register_unit
from ofa_pose.supernet.readings import read_of_layers

SPEC = UnitSpec("test_readings", ((4, 64, 32),), 4)


class Called(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(input=self.body(x).mean((2, 3)))


class Read(Called):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x * self.linear.weight.mean()
        return self.body(x)[:, : self.body[0].out_channels]


class ReadByHook(Called):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__(spec)
        self.linear.register_forward_pre_hook(
            lambda layer, inputs: print(layer.in_features, end="")
        )


class OfOneSize(Read):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(-1, 4, 64, 32))


class Broken(Called):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("whatever")


def read(unit: type[nn.Module]) -> set[tuple[str, str]]:
    register_unit("test_readings")(unit)
    before = torch.get_rng_state()
    found = set(read_of_layers(SPEC))
    assert torch.equal(torch.get_rng_state(), before)
    return found


def test_a_call_is_no_reading() -> None:
    assert not read(Called)


def test_what_a_hook_asks_for_is() -> None:
    assert read(ReadByHook) == {("linear", "in_features")}


@pytest.mark.parametrize("unit", [Read, OfOneSize])
def test_what_forward_asks_for_is(unit: type[nn.Module]) -> None:
    assert read(unit) == {("linear", "weight"), ("body.0", "out_channels")}


def test_all_there_is_of_a_unit_that_does_not_run() -> None:
    found = read(Broken)
    assert {("body.0", "kernel_size"), ("body.1", "running_mean"), ("linear", "bias")} <= found
    assert {path for path, _ in found} == {"body.0", "body.1", "linear"}
