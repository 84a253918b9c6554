"""The compiled weight gradient against autograd in float64, and who gets it."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

import ofa_pose as op
from ofa_pose.errors import UsageError
from ofa_pose.models import _threads, depthwise
from ofa_pose.models.depthwise import (
    available,
    depthwise_conv2d,
    depthwise_weight_gradient,
    fast_depthwise,
)

compiled = pytest.mark.skipif(not available(), reason="needs numba, of the extra [fast]")

# A sum of n float32 products is wrong by at most about n · 2⁻²⁴ of the sum of their magnitudes.
# The longest here has 48 additions one after another: 12 columns, then 36 rows.
RELATIVE = 48 * 2.0**-24


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def by_autograd(input: Tensor, grad: Tensor, kernel: tuple[int, ...], **geometry) -> Tensor:
    """The weight gradient in float64."""
    channels = input.shape[1]
    weight = torch.zeros(channels, 1, *kernel, dtype=torch.float64, requires_grad=True)
    output = F.conv2d(input.double(), weight, groups=channels, **geometry)
    return torch.autograd.grad(output, weight, grad.double())[0]


def pair(*shape: int, kernel: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """An input and an output's gradient of the same shape (stride 1, padding to keep it)."""
    generator = torch.Generator().manual_seed(seed)
    input, grad = (
        torch.randn(shape, generator=generator).contiguous(memory_format=torch.channels_last)
        for _ in range(2)
    )
    return input, grad


@compiled
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_equals_autograd_in_float64(data: st.DataObject) -> None:
    def draw(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    images, channels, sides = draw(1, 3), draw(1, 40), (draw(1, 12), draw(1, 12))
    kernel = draw(1, 9), data.draw(st.sampled_from((5, 7, 9)))
    geometry = {
        "stride": (draw(1, 2), draw(1, 2)),
        "padding": (draw(0, 5), draw(0, 5)),
        "dilation": (draw(1, 2), draw(1, 2)),
    }
    rows, columns = (
        (sides[i] + 2 * geometry["padding"][i] - geometry["dilation"][i] * (kernel[i] - 1) - 1)
        // geometry["stride"][i]
        + 1
        for i in range(2)
    )
    assume(0 < rows <= 12 and 0 < columns <= 12)
    generator = torch.Generator().manual_seed(draw(0, 9))
    input = torch.randn(images, channels, *sides, generator=generator)
    grad = torch.randn(images, channels, rows, columns, generator=generator)
    if data.draw(st.booleans()):
        input = input.contiguous(memory_format=torch.channels_last)
    if data.draw(st.booleans()):
        grad = grad.contiguous(memory_format=torch.channels_last)
    ours = depthwise_weight_gradient(input, grad, kernel_size=kernel, **geometry)
    error = (ours - by_autograd(input, grad, kernel, **geometry)).abs()
    magnitude = by_autograd(input.abs(), grad.abs(), kernel, **geometry)
    assert ours.dtype == torch.float32
    assert bool((error <= RELATIVE * magnitude).all())


@compiled
@pytest.mark.parametrize("side", [1, 2, 3, 7])
@pytest.mark.parametrize("kernel", [3, 5, 7, 9])
@pytest.mark.parametrize("stride", [1, 2])
def test_every_kernel_of_the_spaces(kernel: int, stride: int, side: int) -> None:
    geometry = {"stride": stride, "padding": kernel // 2}
    input = torch.randn(2, 24, side, side, generator=torch.Generator().manual_seed(0))
    grad = torch.ones(2, 24, -(-side // stride), -(-side // stride))
    ours = depthwise_weight_gradient(input, grad, kernel_size=kernel, **geometry)
    expected = by_autograd(input, grad, (kernel, kernel), **geometry)
    assert torch.allclose(ours.double(), expected, rtol=0, atol=1e-5)


@compiled
def test_a_case_by_hand() -> None:
    # One cell of 2 and its gradient of 3: only the middle tap meets it.
    input, grad = torch.full((1, 8, 1, 1), 2.0), torch.full((1, 8, 1, 1), 3.0)
    gradient = depthwise_weight_gradient(input, grad, kernel_size=5, stride=1, padding=2)
    expected = torch.zeros(8, 1, 5, 5)
    expected[:, :, 2, 2] = 6.0
    assert torch.equal(gradient, expected)


@compiled
@pytest.mark.parametrize("shape", [(16, 480, 6, 6), (4, 96, 24, 24), (3, 20, 9, 5), (1, 8, 40, 40)])
def test_equal_to_the_bit_for_every_number_of_threads(shape, threads) -> None:
    input, grad = pair(*shape, kernel=7)

    def gradient() -> Tensor:
        return depthwise_weight_gradient(input, grad, kernel_size=7, stride=1, padding=3)

    threads(1)
    alone = gradient()
    for number in (2, 2, 3, 5):
        threads(number)
        assert torch.equal(gradient(), alone)


@compiled
def test_without_openmp_one_thread_does_it_all(monkeypatch, threads) -> None:
    input, grad = pair(2, 96, 8, 8, kernel=5)
    threads(2)
    expected = depthwise_weight_gradient(input, grad, kernel_size=5, stride=1, padding=2)
    monkeypatch.setattr(_threads, "_openmp_parallel", lambda: None)
    alone = depthwise_weight_gradient(input, grad, kernel_size=5, stride=1, padding=2)
    assert torch.equal(alone, expected)


@compiled
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_nan_reaches_the_taps_that_meet_it_and_no_other(bad: float) -> None:
    input, grad = pair(2, 24, 7, 7, kernel=5)
    spoilt = input.clone()
    spoilt[1, 3, 0, 0] = bad  # the corner is under taps 0, 1 and 2 of an output inside the map
    gradient = depthwise_weight_gradient(spoilt, grad, kernel_size=5, stride=1, padding=2)
    expected = torch.zeros(24, 1, 5, 5, dtype=torch.bool)
    expected[3, :, :3, :3] = True
    assert torch.equal(~gradient.isfinite(), expected)

    grad[0, 20, 0, 0] = bad  # the output at the corner sees the map under taps 2, 3 and 4
    gradient = depthwise_weight_gradient(input, grad, kernel_size=5, stride=1, padding=2)
    expected = torch.zeros(24, 1, 5, 5, dtype=torch.bool)
    expected[20, :, 2:, 2:] = True
    assert torch.equal(~gradient.isfinite(), expected)


@compiled
def test_views_are_read_as_what_they_show() -> None:
    input, grad = pair(3, 48, 8, 8, kernel=5)
    views = input[1:, 4:30, :, 1:7], grad[1:, 4:30, :, :6]
    ours = depthwise_weight_gradient(*views, kernel_size=5, stride=1, padding=2)
    assert torch.allclose(ours.double(), by_autograd(*views, (5, 5), padding=2), atol=1e-5)


def test_a_gradient_of_another_shape_is_refused() -> None:
    input, grad = torch.ones(1, 8, 6, 6), torch.ones(1, 8, 6, 5)
    with pytest.raises(UsageError, match=r"\(1, 8, 6, 5\).*gives \(1, 8, 6, 6\)"):
        depthwise_weight_gradient(input, grad, kernel_size=5, stride=1, padding=2)


def gradients(conv: Callable[..., Tensor], *leaves: Tensor) -> list[Tensor]:
    """Output and gradients of `conv` at fresh copies of the leaves."""
    copies = [leaf.clone().requires_grad_() for leaf in leaves]
    output = conv(*copies)
    wave = torch.linspace(-1, 1, output.numel(), dtype=output.dtype)
    output.backward(wave.reshape(output.shape))
    return [output.detach(), *(copy.grad for copy in copies if copy.grad is not None)]


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padding", [0, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_convolution_against_torchs(stride: int, padding: int, dilation: int) -> None:
    leaves = torch.randn(2, 24, 14, 15), torch.randn(24, 1, 3, 7), torch.randn(24)
    geometry = {"stride": stride, "padding": padding, "dilation": dilation}
    ours = gradients(lambda x, w, b: depthwise_conv2d(x, w, bias=b, **geometry), *leaves)
    own = gradients(lambda x, w, b: F.conv2d(x, w, b, **geometry, groups=24), *leaves)
    doubles = [leaf.double() for leaf in leaves]
    exact = gradients(lambda x, w, b: F.conv2d(x, w, b, **geometry, groups=24), *doubles)
    assert torch.equal(ours[0], own[0])
    assert torch.equal(ours[3], own[3])  # the bias's
    for gradient, expected in zip(ours[1:3], exact[1:3], strict=True):
        assert torch.allclose(gradient.double(), expected, rtol=1e-5, atol=1e-5)
    if stride == 2:
        assert torch.equal(ours[1], own[1])  # the input's


def count_calls(monkeypatch, module: ModuleType, name: str) -> list[tuple[Any, ...]]:
    """Let a function of the module note the positional arguments of its calls in a list."""
    calls, function = [], getattr(module, name)

    def noting(*args: Any, **options: Any) -> Any:
        calls.append(args)
        return function(*args, **options)

    monkeypatch.setattr(module, name, noting)
    return calls


@compiled
def test_only_what_is_needed_is_computed(monkeypatch) -> None:
    by_weight = count_calls(monkeypatch, depthwise, "depthwise_weight_gradient")
    by_input = count_calls(monkeypatch, depthwise, "_turned_convolution")
    input, weight = torch.randn(1, 8, 5, 5), torch.randn(8, 1, 5, 5, requires_grad=True)
    depthwise_conv2d(input, weight, padding=2).sum().backward()
    assert (len(by_weight), len(by_input)) == (1, 0)
    depthwise_conv2d(input.requires_grad_(), weight, padding=2).sum().backward()
    assert (len(by_weight), len(by_input)) == (2, 1)
    depthwise_conv2d(input, weight.detach(), padding=2).sum().backward()  # frozen: all torch's
    assert (len(by_weight), len(by_input)) == (2, 1)


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
    with fast_depthwise():
        output = layer(input)
    assert torch.equal(output, plain)
    assert (maker(output) == OURS) == covered
    assert maker(plain) != OURS


@compiled
def test_one_picture_without_a_batch_is_left_to_torch() -> None:
    layer = nn.Conv2d(8, 8, 5, padding=2, groups=8)
    with fast_depthwise():
        assert maker(layer(torch.randn(8, 6, 6))) != OURS


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("taps", "stride"), [(3, 2), (5, 1), (5, 2), (7, 2)])
def test_gradients_in_16_bits_against_torchs_in_64(taps: int, stride: int, bias: bool) -> None:
    torch.manual_seed(taps + stride)
    padding = taps // 2
    layer = nn.Conv2d(16, 16, taps, stride, padding, groups=16, bias=bias)
    input = torch.randn(4, 16, 12, 12, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain = layer(input)
        with fast_depthwise():
            output = layer(input)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, plain)
    assert maker(output) == OURS
    grad = torch.randn_like(output)
    output.backward(grad)
    exact = [
        tensor.detach().bfloat16().double().requires_grad_() for tensor in (input, layer.weight)
    ]
    wide = F.conv2d(exact[0], exact[1], None, stride, padding, groups=16)
    by_input, by_weight = torch.autograd.grad(wide, exact, grad.double())
    # What 16 bits round is the input's gradient alone, once; weights add theirs up in 32.
    torch.testing.assert_close(input.grad, by_input.float(), rtol=2**-8, atol=1e-5)
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, by_weight.float(), rtol=1e-5, atol=1e-4)
    if layer.bias is not None:
        assert layer.bias.grad is not None
        by_bias = grad.double().sum((0, 2, 3)).float()
        torch.testing.assert_close(layer.bias.grad, by_bias, rtol=1e-5, atol=1e-4)


@compiled
@pytest.mark.parametrize("recomputed_so", [True, False])
def test_16_bits_may_be_recomputed(recomputed_so: bool) -> None:
    layer, input = nn.Conv2d(8, 8, 5, 2, 2, groups=8), torch.randn(2, 8, 6, 6)
    gradients = []
    for recomputed in (False, True):
        layer.zero_grad()
        with fast_depthwise(), torch.autocast("cpu", dtype=torch.bfloat16):
            output = checkpoint(layer, input, use_reentrant=False) if recomputed else layer(input)
        with fast_depthwise(recomputed_so):
            output.sum().backward()
        gradients.append(layer.weight.grad)
    assert torch.equal(*gradients)


@compiled
def test_16_bits_may_go_backward_inside_autocast() -> None:
    layer, input = nn.Conv2d(8, 8, 5, padding=2, groups=8), torch.randn(2, 8, 6, 6)
    gradients = []
    for inside in (False, True):
        layer.zero_grad()
        with fast_depthwise(), torch.autocast("cpu", dtype=torch.bfloat16):
            total = layer(input.requires_grad_()).sum()
            if inside:
                total.backward()
        if not inside:
            total.backward()
        gradients.append(layer.weight.grad)
    assert torch.equal(*gradients)


@compiled
@pytest.mark.parametrize(
    ("dtype", "input_dtype", "weight_dtype"),
    [
        (torch.float16, torch.float32, torch.float32),
        (torch.bfloat16, torch.float64, torch.float64),
        (torch.bfloat16, torch.float32, torch.bfloat16),
    ],
)
def test_other_precisions_are_left_to_torch(
    dtype: torch.dtype, input_dtype: torch.dtype, weight_dtype: torch.dtype
) -> None:
    layer = nn.Conv2d(8, 8, 5, padding=2, groups=8).to(weight_dtype)
    input = torch.randn(2, 8, 6, 6, dtype=input_dtype)
    with torch.autocast("cpu", dtype=dtype):
        plain = layer(input)
        with fast_depthwise():
            output = layer(input)
    assert torch.equal(output, plain)
    assert maker(output) != OURS


def test_small_steps_in_16_bits_are_left_to_torch() -> None:
    layer, input = nn.Conv2d(8, 8, 3, padding=1, groups=8), torch.randn(2, 8, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16), fast_depthwise():
        assert maker(layer(input)) != OURS


def test_a_bias_of_64_bits_in_16_is_refused_as_by_torch() -> None:
    layer = nn.Conv2d(8, 8, 5, padding=2, groups=8)
    assert layer.bias is not None
    layer.bias.data = layer.bias.data.double()
    refused = pytest.raises(RuntimeError, match="type")
    with torch.autocast("cpu", dtype=torch.bfloat16), fast_depthwise(), refused:
        layer(torch.randn(2, 8, 6, 6))


def test_16_bits_need_no_compiler(monkeypatch) -> None:
    layer, input = nn.Conv2d(8, 8, 5, 2, 2, groups=8), torch.randn(2, 8, 6, 6)
    gradients = []
    for without in (False, True):
        if without:
            monkeypatch.setattr(depthwise, "_compiler", lambda: None)
        layer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16), fast_depthwise():
            output = layer(input)
        assert maker(output) == OURS
        output.sum().backward()
        assert layer.weight.grad is not None
        gradients.append(layer.weight.grad)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


@compiled
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_weights_are_refused_as_by_torch(dtype: torch.dtype) -> None:
    layer = nn.Conv2d(8, 8, 5, padding=2, groups=8).to(dtype)
    with fast_depthwise(), pytest.raises(RuntimeError, match="should be the same"):
        layer(torch.randn(2, 8, 6, 6))


def test_other_types_have_torchs_own_gradient() -> None:
    input, grad = torch.randn(2, 8, 6, 6).double(), torch.randn(2, 8, 6, 6).double()
    gradient = depthwise_weight_gradient(input, grad, kernel_size=5, stride=1, padding=2)
    assert torch.equal(gradient, by_autograd(input, grad, (5, 5), padding=2))


@compiled
def test_it_ends_with_its_block_and_when_not_enabled() -> None:
    layer, input = nn.Conv2d(8, 8, 5, padding=2, groups=8), torch.randn(2, 8, 6, 6)
    with fast_depthwise():
        pass
    assert maker(layer(input)) != OURS
    with fast_depthwise(enabled=False):
        assert maker(layer(input)) != OURS


@compiled
def test_networks_and_supernets_have_it_for_free(monkeypatch) -> None:
    calls = count_calls(monkeypatch, depthwise, "depthwise_weight_gradient")
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
    with fast_depthwise(enabled):
        outputs = run(images)
    torch.stack([output.square().mean() for output in outputs]).sum().backward()
    return outputs, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_without_numba_everything_is_torchs(monkeypatch) -> None:
    input, weight = torch.randn(2, 8, 6, 6), torch.randn(8, 1, 5, 5)
    layer = lambda x, w: F.conv2d(x, w, padding=2, groups=8)  # noqa: E731
    own = gradients(layer, input, weight)
    monkeypatch.setitem(sys.modules, "numba", None)
    depthwise._compiler.cache_clear()
    try:
        assert not available()
        with fast_depthwise():
            fast = gradients(layer, input, weight)
    finally:
        depthwise._compiler.cache_clear()
    assert all(map(torch.equal, fast, own))


class Gradients(Dataset[Tensor]):
    """A data set that computes a weight gradient for each of its items."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        input, grad = pair(2, 24, 6, 6, kernel=5, seed=index)
        return depthwise_weight_gradient(input, grad, kernel_size=5, stride=1, padding=2)


@compiled
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_workers_forked_after_it_ran_on_several_threads_can_run_it(threads) -> None:
    threads(2)
    expected = [Gradients()[index] for index in range(4)]
    loader = DataLoader(
        Gradients(), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60
    )
    assert all(map(torch.equal, loader, expected))
    assert torch.equal(Gradients()[0], expected[0])
