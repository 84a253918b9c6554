"""Depthwise convolution whose weight gradient is compiled, for training on a CPU.

torch's own gradient of a depthwise weight wider than 3 costs several times the convolution; the
compiled one costs one to two convolutions. The convolution and the gradient of its input stay
torch's work, and so does every case that the compiled loop does not cover.

Under autocast to bfloat16 torch's gradients are several times slower still, by the input at a
stride of 2 for every width, and take what 16 bits save elsewhere. So there these gradients are
computed in float32, but for those by the input that are convolutions; that takes no compiler.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ofa_pose.errors import UsageError
from ofa_pose.models.conv2d_calls import Conv2dCalls

Pair = int | Sequence[int]
"""One number for both directions, or those along height and width."""

TAPS = (5, 7, 9)
"""Kernel widths that are compiled; at 3, torch is as fast (benchmarks/depthwise_gradient.py)."""


def available() -> bool:
    """Whether weight gradients can be compiled here; it takes numba, of the extra `[fast]`."""
    return _compiler() is not None


def fast_depthwise(enabled: bool = True) -> AbstractContextManager[Any]:
    """Let every depthwise convolution called in the block compute its weight gradient compiled.

    It sees the calls of `torch.nn.functional.conv2d`, so it holds for plain `nn.Conv2d` layers of
    any family as for layers that cut their weights first, and changes neither a module nor an
    output. Only the forward pass need be in the block; the backward pass may come later. It
    holds for the current thread, and costs a microsecond or two per call of a torch function.

    Args:
        enabled: if False, the block runs as without it. So does one that begins outside autocast
            where `available()` is False.
    """
    helps = available() or torch.is_autocast_enabled("cpu")
    return Conv2dCalls(_conv2d) if enabled and helps else nullcontext()


def depthwise_conv2d(
    input: Tensor,
    weight: Tensor,
    *,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Convolve each channel with a kernel of its own: `conv2d` with as many groups as channels.

    The output is torch's to the bit. The gradient by the weight is that of
    `depthwise_weight_gradient`; where it is compiled, it cannot be differentiated again, and the
    gradient by the input is at stride 1 torch's convolution with the kernel turned around, which
    is faster than torch's gradient and differs in rounding. Under autocast to bfloat16 that holds
    for every kernel wider than 3 and every stride above 1, compiled or not, and the gradient by a
    float32 weight is not rounded to 16 bits. Neither case knows `torch.func`'s transforms.

    Args:
        input: `(N, C, H, W)`.
        weight: `(C, 1, kh, kw)`.
        bias: `(C,)`.
        stride: step of the kernel in cells.
        padding: zeros on each side in cells.
        dilation: distance between the kernel's taps in cells.

    Returns:
        `(N, C, H', W')`.
    """
    geometry = _pair(stride), _pair(padding), _pair(dilation)
    if weight.requires_grad and torch.is_grad_enabled():
        if torch.is_autocast_enabled("cpu"):
            if _rounds(input, weight, bias) and (weight.shape[-1] > 3 or max(geometry[0]) > 1):
                input = input.to(torch.bfloat16)
                return _DepthwiseConv2d.apply(input, weight, bias, *geometry)  # pyright: ignore[reportReturnType]
        elif _compiles(input, weight.shape[-1]):
            return _DepthwiseConv2d.apply(input, weight, bias, *geometry)  # pyright: ignore[reportReturnType]
    return torch.conv2d(input, weight, bias, *geometry, groups=len(weight))


def depthwise_weight_gradient(
    input: Tensor,
    grad_output: Tensor,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair = 1,
) -> Tensor:
    """Return the gradient of a loss by the weight of a depthwise convolution.

    It is compiled where `available()`, for float32 on the CPU, at least 8 channels and a kernel
    5, 7 or 9 wide; otherwise it is torch's own. Each width is compiled at its first use, which
    takes part of a second. The compiled sums have a fixed order: they are the same to the bit for
    every number of threads. Tensors not in channels_last are copied into it.

    Args:
        input: what was convolved, `(N, C, H, W)`.
        grad_output: gradient of the loss by the convolution's output, `(N, C, H', W')`.
        kernel_size: height and width of the kernel in cells.
        stride: step of the kernel in cells.
        padding: zeros on each side in cells.
        dilation: distance between the kernel's taps in cells.

    Returns:
        `(C, 1, kh, kw)`.

    Raises:
        UsageError: `grad_output` has not the shape of the convolution's output.
    """
    kernel, *geometry = map(_pair, (kernel_size, stride, padding, dilation))
    expected = (*input.shape[:2], *map(_output_side, input.shape[2:], kernel, *geometry))
    if grad_output.shape != expected:
        raise UsageError(
            f"the output's gradient has shape {tuple(grad_output.shape)}; convolving "
            f"{tuple(input.shape)} with a {kernel[0]}×{kernel[1]} kernel gives {expected}"
        )
    compiler = _compiler()
    if compiler and _compiles(input, kernel[1]) and grad_output.dtype == input.dtype:
        return compiler.weight_gradient(input, grad_output, kernel_size=kernel, geometry=geometry)
    weight = input.new_empty(input.shape[1], 1, *kernel)
    return _torch_gradients(grad_output, input, weight, geometry, (False, True, False))[1]


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Any = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    depthwise = input.ndim == 4 and groups == input.shape[1] == len(weight)
    # torch.compile cannot look into the compiled loop, and would break its graph at each layer.
    if depthwise and not isinstance(padding, str) and not torch.compiler.is_compiling():
        return depthwise_conv2d(
            input, weight, bias=bias, stride=stride, padding=padding, dilation=dilation
        )
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)  # pyright: ignore[reportArgumentType]


class _DepthwiseConv2d(torch.autograd.Function):
    # `forward` and `setup_context` are one: apart, torch inspects the signature at every call,
    # which takes longer than a small convolution.
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        *geometry: Sequence[int],
    ) -> Tensor:
        if input.dtype == torch.bfloat16:  # save what autocast saves: a checkpoint may recompute it
            weight, bias = weight.bfloat16(), None if bias is None else bias.bfloat16()
        ctx.save_for_backward(input, weight)
        ctx.geometry = geometry
        return torch.conv2d(input, weight, bias, *geometry, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        input, weight = ctx.saved_tensors
        geometry = stride, padding, dilation = ctx.geometry
        dtype = input.dtype
        by_input, by_weight, by_bias = ctx.needs_input_grad[:3]
        grad_input = grad_weight = grad_bias = None
        if by_input:
            grad_input = _turned_convolution(grad_output, weight, geometry)
        grad_output, input, weight = grad_output.float(), input.float(), weight.float()
        if by_input and grad_input is None:
            needed = (True, False, False)
            grad_input = _torch_gradients(grad_output, input, weight, geometry, needed)[0].to(dtype)
        if by_weight:
            grad_weight = depthwise_weight_gradient(
                input,
                grad_output,
                kernel_size=weight.shape[2:],
                stride=stride,
                padding=padding,
                dilation=dilation,
            )
        if by_bias:
            needed = (False, False, True)
            grad_bias = _torch_gradients(grad_output, input, weight, geometry, needed)[2]
        return grad_input, grad_weight, grad_bias, None, None, None


def _turned_convolution(
    grad_output: Tensor, weight: Tensor, geometry: Sequence[Sequence[int]]
) -> Tensor | None:
    """Return the gradient by the input as a convolution with the kernel turned around.

    torch does it faster than its own gradient. None where the gradient is no such convolution.
    """
    stride, padding, dilation = geometry
    shape = zip(weight.shape[2:], padding, dilation, strict=True)
    reach = [space * (taps - 1) - pad for taps, pad, space in shape]
    if max(stride) > 1 or min(reach) < 0:
        return None
    turned = weight.flip(2, 3)
    with torch.autocast("cpu", enabled=False):  # a backward pass may run in a block of it
        return torch.conv2d(grad_output, turned, None, 1, reach, dilation, groups=len(weight))


def _torch_gradients(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    geometry: Sequence[Sequence[int]],
    needed: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return torch's gradients by input, weight and bias; None where it is not needed."""
    channels = len(weight)
    return torch.ops.aten.convolution_backward(
        grad_output, input, weight, [channels], *geometry, False, [0, 0], channels, needed
    )


def _rounds(input: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether autocast on the CPU, which is on, would convolve these in bfloat16."""
    return (
        torch.get_autocast_dtype("cpu") == torch.bfloat16
        and type(input) in (Tensor, nn.Parameter)
        and input.device.type == "cpu"
        and input.dtype in (torch.float32, torch.bfloat16)
        and input.numel() > 0
        and weight.dtype == torch.float32
        and (bias is None or bias.dtype != torch.float64)  # which autocast leaves as it is
    )


def _compiles(input: Tensor, taps: int) -> bool:
    """Whether the weight gradient for this input and this width of the kernel is compiled."""
    compiler = _compiler()
    return (
        compiler is not None
        and taps in TAPS
        and type(input) in (Tensor, nn.Parameter)
        and input.device.type == "cpu"
        and input.dtype == torch.float32
        and input.numel() > 0
        and input.shape[1] >= compiler.LANES
    )


def _pair(value: Pair) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * 2 if len(values) == 1 else values


def _output_side(side: int, taps: int, stride: int, padding: int, dilation: int) -> int:
    return (side + 2 * padding - dilation * (taps - 1) - 1) // stride + 1


@lru_cache(maxsize=1)
def _compiler() -> ModuleType | None:
    try:
        from numba import config

        from ofa_pose.models import _depthwise_kernel
    except ImportError:
        return None
    return None if config.DISABLE_JIT else _depthwise_kernel  # pyright: ignore[reportAttributeAccessIssue]
