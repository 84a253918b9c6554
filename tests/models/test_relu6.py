"""ReLU6 against torch's own: the same numbers, less kept."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.models.relu6 import ReLU6

VALUES = st.lists(
    st.one_of(st.floats(-9, 9, width=32), st.sampled_from([-1.0, -0.0, 0.0, 6.0, float("nan")])),
    min_size=1,
    max_size=20,
)


def output_and_gradient(
    layer: nn.Module, values: list[float], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    leaf = torch.tensor(values, dtype=dtype, requires_grad=True)
    output = layer(leaf * 1)
    output.backward(torch.arange(1, len(values) + 1).to(dtype))
    assert leaf.grad is not None
    return output.detach(), leaf.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("inplace", [True, False])
@settings(deadline=None)
@given(values=VALUES)
def test_equals_torchs_to_the_bit(inplace: bool, dtype: torch.dtype, values: list[float]) -> None:
    own = output_and_gradient(nn.ReLU6(inplace=inplace), values, dtype)
    ours = output_and_gradient(ReLU6(inplace=inplace), values, dtype)
    for mine, torchs in zip(ours, own, strict=True):
        assert torch.equal(mine.nan_to_num(99), torchs.nan_to_num(99))


def test_a_case_by_hand() -> None:
    values = [-1.0, 0.0, 3.0, 6.0, 7.0]
    output, gradient = output_and_gradient(ReLU6(inplace=True), values, torch.float32)
    assert output.tolist() == [0, 0, 3, 6, 6]
    assert gradient.tolist() == [0, 0, 3, 0, 0]


def test_it_overwrites_its_input() -> None:
    for learns in (False, True):
        map_ = torch.tensor([-1.0, 7.0], requires_grad=learns) * 1
        assert ReLU6(inplace=True)(map_) is map_
        assert map_.tolist() == [0, 6]


def test_what_another_gradient_needs_is_refused_as_by_torch() -> None:
    map_ = torch.ones(2, requires_grad=True) * 1
    squared = map_.square()
    ReLU6(inplace=True)(map_)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        squared.sum().backward()
    with pytest.raises(RuntimeError, match="leaf"):
        ReLU6(inplace=True)(torch.ones(2, requires_grad=True))


def test_it_can_be_traced() -> None:
    traced = torch.fx.symbolic_trace(nn.Sequential(ReLU6(inplace=True)).eval())
    for dtype in (torch.float32, torch.bfloat16):
        assert traced(torch.tensor([-1.0, 7.0], dtype=dtype)).tolist() == [0, 6]


def maps_kept(activation: type[nn.Module]) -> int:
    """How many maps a convolution, batch norm, activation and convolution keep between them."""
    network = nn.Sequential(
        *(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), activation(inplace=True), nn.Conv2d(8, 8, 1))
    )
    images, kept = torch.randn(2, 8, 16, 16), {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.setdefault(tensor.data_ptr(), tensor), lambda tensor: tensor
    ):
        _output = network(images)
    return sum(tensor.shape == images.shape for tensor in kept.values())


def test_a_map_less_is_kept() -> None:
    assert maps_kept(nn.ReLU6) == 4  # inputs of both convolutions, batch norm and ReLU6
    assert maps_kept(ReLU6) == 3


def test_litepose_has_it_everywhere() -> None:
    space = op.load_space("litepose-lite0")
    network = op.build(space, space.smallest)
    kinds = {type(module) for module in network.modules() if isinstance(module, nn.ReLU6)}
    assert kinds == {ReLU6}
