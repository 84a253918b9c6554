"""A clamp in place that keeps nothing for its gradient but its output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def clamp_(input: Tensor, low: float, high: float) -> Tensor:
    """Clamp in place: `torch.nn.functional.hardtanh(inplace=True)`, with its gradient to the bit.

    torch finds the gradient from the input, which it copies before it is overwritten. The output
    tells as much, and the next layer mostly keeps it anyway. The gradient cannot be
    differentiated again.

    Args:
        input: of any shape; overwritten.
        low: less than `high`.
        high: like `low`, a value that the output may have.

    Returns:
        `input`.
    """
    if input.requires_grad and torch.is_grad_enabled():
        return _Clamp.apply(input, low, high)  # pyright: ignore[reportReturnType]
    return input.clamp_(low, high)


class _Clamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, low: float, high: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        output = input.clamp_(low, high)
        ctx.mark_dirty(output)
        ctx.save_for_backward(output)
        ctx.limits = low, high
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (output,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(grad_output, output, *ctx.limits), None, None
