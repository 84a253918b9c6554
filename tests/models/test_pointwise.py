"""1×1 convolutions by oneDNN against float64, and which of them go there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from ofa_pose.models import pointwise
from ofa_pose.models.pointwise import fast_pointwise

here = pytest.mark.skipif(not pointwise._available(), reason="needs oneDNN on x86-64")

ONEDNN, PRODUCT = "aten::mkldnn_convolution", "aten::_slow_conv2d_forward"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def maps(*shape: int, layout: torch.memory_format = torch.channels_last) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).contiguous(memory_format=layout)


def assert_close(tensor: Tensor | None, exact: Tensor | None) -> None:
    assert tensor is not None
    assert exact is not None
    torch.testing.assert_close(tensor.double(), exact, rtol=1e-5, atol=1e-4)


def done_by(layer: nn.Module, input: Tensor) -> set[str]:
    """Which of torch's ways to convolve on a CPU a call takes, as its profiler tells."""
    with profile(activities=[ProfilerActivity.CPU]) as record, torch.no_grad():
        layer(input)
    return {event.key for event in record.key_averages()} & {ONEDNN, PRODUCT}


@here
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(8, 24, 13, 9), (1, 96, 32, 32), (15, 3, 1, 1)])
def test_outputs_and_gradients_are_those_of_float64(shape: tuple[int, ...], bias: bool) -> None:
    layer = nn.Conv2d(shape[1], 40, 1, bias=bias)
    images = maps(*shape).requires_grad_()
    slope = maps(shape[0], 40, *shape[2:])
    with fast_pointwise():
        output = layer(images)
    output.backward(slope)

    exact = images.detach().double().requires_grad_()
    weight = layer.weight.detach().double().requires_grad_()
    expected = torch.einsum("nchw,oc->nohw", exact, weight[:, :, 0, 0])
    if layer.bias is not None:
        expected = expected + layer.bias.detach().double()[:, None, None]
        assert_close(layer.bias.grad, slope.double().sum((0, 2, 3)))
    expected.backward(slope.double())

    assert_close(output, expected)
    assert_close(images.grad, exact.grad)
    assert_close(layer.weight.grad, weight.grad)


@here
def test_few_pictures_on_one_thread_go_to_onednn_in_the_block_only() -> None:
    layer = nn.Conv2d(24, 40, 1)
    with fast_pointwise():
        assert done_by(layer, maps(8, 24, 32, 32)) == {ONEDNN}
    with fast_pointwise(enabled=False):
        assert done_by(layer, maps(8, 24, 32, 32)) == {PRODUCT}
    assert done_by(layer, maps(8, 24, 32, 32)) == {PRODUCT}


@here
def test_the_gradient_goes_to_onednn_too_after_the_block() -> None:
    layer = nn.Conv2d(24, 40, 1)
    with fast_pointwise():
        output = layer(maps(8, 24, 32, 32).requires_grad_())
    with profile(activities=[ProfilerActivity.CPU]) as record:
        output.sum().backward()
    assert "aten::_slow_conv2d_backward" not in {event.key for event in record.key_averages()}


@here
@pytest.mark.parametrize(
    ("layer", "input"),
    [
        (nn.Conv2d(24, 40, 1), maps(8, 24, 32, 32, layout=torch.contiguous_format)),
        (nn.Conv2d(24, 40, 1).double(), maps(8, 24, 32, 32).double()),
        (nn.Conv2d(24, 40, 1, groups=4), maps(8, 24, 32, 32)),
        (nn.Conv2d(24, 40, 1, padding="same"), maps(8, 24, 32, 32)),
        (nn.Conv2d(24, 40, 1, stride=2, padding=1), maps(8, 24, 32, 32)),
        (nn.Conv2d(24, 40, 3, padding=1, dilation=3), maps(8, 24, 32, 32)),
        (nn.Conv2d(24, 40, 1), maps(24, 32, 32, layout=torch.preserve_format)),
        (nn.Conv2d(24, 40, 1), maps(16, 24, 32, 32)),
    ],
    ids=["NCHW", "float64", "groups", "same", "stride", "3x3", "no batch", "16 pictures"],
)
@torch.no_grad()
def test_other_convolutions_stay_what_they_are(layer: nn.Conv2d, input: Tensor) -> None:
    expected = layer(input)
    with fast_pointwise():
        torch.testing.assert_close(layer(input), expected)


@here
def test_modes_of_depthwise_and_pointwise_convolutions_go_together() -> None:
    from ofa_pose.models.depthwise import fast_depthwise

    layers = nn.Sequential(nn.Conv2d(24, 24, 5, padding=2, groups=24), nn.Conv2d(24, 8, 1))
    with fast_pointwise(), fast_depthwise():
        assert PRODUCT not in done_by(layers, maps(8, 24, 16, 16))
        output = layers(maps(8, 24, 16, 16))
    torch.testing.assert_close(output, layers(maps(8, 24, 16, 16)))
    with fast_depthwise(), fast_pointwise():
        assert PRODUCT not in done_by(layers, maps(8, 24, 16, 16))
