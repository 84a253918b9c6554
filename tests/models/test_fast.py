"""Which layers a training step computes in this package's way, and what that keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.models import depthwise
from ofa_pose.models.depthwise import available
from ofa_pose.models.fast import fast_layers

compiled = pytest.mark.skipif(not available(), reason="needs numba, of the extra [fast]")

OURS = "_DepthwiseConv2dBackward"


def maker(output: Tensor) -> str:
    """The name of the function that will compute the output's gradient."""
    return output.grad_fn.name() if output.grad_fn else "none"


@compiled
@pytest.mark.parametrize(
    ("layer", "covered"),
    [
        (nn.Conv2d(16, 16, 5, padding=2, groups=16), True),
        (nn.Conv2d(16, 16, (3, 7), 2, (1, 3), groups=16, bias=False), True),
        (nn.Conv2d(16, 16, 5, padding=2, groups=16, padding_mode="reflect"), True),
        (nn.Conv2d(16, 16, 3, padding=1, groups=16), False),
        (nn.Conv2d(16, 32, 5, padding=2, groups=16), False),
        (nn.Conv2d(16, 16, 5, padding=2, groups=4), False),
        (nn.Conv2d(16, 16, 5, padding=2), False),
        (nn.Conv2d(16, 16, 5, padding="same", groups=16), False),
        (nn.Conv2d(16, 16, 5, padding=2, groups=16).double(), False),
        (nn.Conv2d(16, 16, 5, padding=2, groups=16).requires_grad_(False), False),
    ],
)
def test_which_layers_are_covered(layer: nn.Conv2d, covered: bool) -> None:
    input = torch.randn(2, 16, 8, 8, dtype=layer.weight.dtype)
    plain = layer(input)
    with fast_layers():
        output = layer(input)
    assert torch.equal(output, plain)
    assert (maker(output) == OURS) == covered
    assert maker(plain) != OURS


@compiled
def test_one_picture_without_a_batch_is_left_to_torch() -> None:
    layer = nn.Conv2d(8, 8, 5, padding=2, groups=8)
    with fast_layers():
        assert maker(layer(torch.randn(8, 6, 6))) != OURS


@compiled
def test_autocast_is_left_to_torch() -> None:
    layer, input = nn.Conv2d(8, 8, 5, padding=2, groups=8), torch.randn(2, 8, 6, 6)
    with fast_layers(), torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(input)
    assert output.dtype == torch.bfloat16
    assert maker(output) != OURS


@compiled
def test_it_ends_with_its_block_and_when_not_enabled() -> None:
    layer, input = nn.Conv2d(8, 8, 5, padding=2, groups=8), torch.randn(2, 8, 6, 6)
    with fast_layers():
        pass
    assert maker(layer(input)) != OURS
    with fast_layers(enabled=False):
        assert maker(layer(input)) != OURS


@compiled
def test_networks_and_supernets_have_it_for_free(monkeypatch) -> None:
    calls, gradient = [], depthwise.depthwise_weight_gradient
    monkeypatch.setattr(
        depthwise,
        "depthwise_weight_gradient",
        lambda *args, **options: calls.append(args) or gradient(*args, **options),
    )
    space = op.load_space("litepose-lite0")
    supernet, arch = op.Supernet(space, seed=0).train(), space.smallest
    subnet = supernet.extract(arch).train()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for model, run in ((subnet, subnet), (supernet, lambda images: supernet(images, arch))):
        own_outputs, own = step(model, run, images, enabled=False)
        assert calls == []
        outputs, ours = step(model, run, images, enabled=True)
        assert len(calls) == 9  # 2 blocks of stage 2, 3 of stage 4, 4 heads have 5×5 kernels
        calls.clear()
        assert all(map(torch.equal, outputs, own_outputs))
        assert ours.keys() == own.keys()
        for name, grad in own.items():  # batch norm subtracts near equals, which enlarges rounding
            assert float((ours[name] - grad).norm()) <= 1e-2 * float(grad.norm()), name


def step(
    model: nn.Module, run: Callable[[Tensor], list[Tensor]], images: Tensor, *, enabled: bool
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The outputs, and by name the gradients, of a forward and a backward pass."""
    model.zero_grad()
    with fast_layers(enabled):
        outputs = run(images)
    torch.stack([output.square().mean() for output in outputs]).sum().backward()
    return outputs, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_without_numba_everything_is_torchs(monkeypatch) -> None:
    input, weight = torch.randn(2, 8, 6, 6), torch.randn(8, 1, 5, 5)
    own = gradient(input, weight, fast=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    depthwise._compiler.cache_clear()
    try:
        assert not available()
        fast = gradient(input, weight, fast=True)
    finally:
        depthwise._compiler.cache_clear()
    assert torch.equal(fast, own)


def gradient(input: Tensor, weight: Tensor, *, fast: bool) -> Tensor:
    """The weight's gradient of the sum of squares of a depthwise convolution."""
    weight = weight.clone().requires_grad_()
    with fast_layers(fast):
        output = F.conv2d(input, weight, padding=2, groups=8)
    return torch.autograd.grad(output.square().sum(), weight)[0]


@pytest.mark.parametrize(
    ("layer", "covered"),
    [
        (nn.ReLU6(inplace=True), True),
        (nn.Hardtanh(-0.5, 0.25, inplace=True), True),
        (nn.ReLU6(), False),
        (nn.Hardtanh(), False),
        (nn.ReLU(inplace=True), False),
    ],
)
def test_which_activations_are_covered(layer: nn.Module, covered: bool) -> None:
    with fast_layers():
        output = layer(torch.linspace(-8, 8, 33).requires_grad_() * 1)
    assert (maker(output) == "_ClampBackward") == covered


def test_relu6_as_a_function_is_covered() -> None:
    with fast_layers():
        output = F.relu6(torch.linspace(-8, 8, 33).requires_grad_() * 1, inplace=True)
    assert maker(output) == "_ClampBackward"


def test_convolutions_alone_can_be_left_to_torch() -> None:
    conv, relu6 = nn.Conv2d(16, 16, 5, padding=2, groups=16), nn.ReLU6(inplace=True)
    with fast_layers(depthwise=False):
        map_ = conv(torch.randn(2, 16, 8, 8))
        assert maker(map_) != OURS
        assert maker(relu6(map_)) == "_ClampBackward"


def test_a_network_keeps_a_map_less_for_each_relu6() -> None:
    layers = [nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True)]
    network, images = nn.Sequential(*layers, nn.Conv2d(8, 8, 1)), torch.randn(2, 8, 16, 16)

    def maps_kept(*, fast: bool) -> int:
        kept = {}
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: kept.setdefault(tensor.data_ptr(), tensor), lambda tensor: tensor
        )
        with hooks, fast_layers(fast):
            network(images)
        return sum(tensor.shape == images.shape for tensor in kept.values())

    assert maps_kept(fast=False) == 4  # images, inputs of batch norm and ReLU6 and last layer
    assert maps_kept(fast=True) == 3
