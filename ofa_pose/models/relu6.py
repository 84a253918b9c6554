"""ReLU6 in place that keeps nothing for its gradient but its output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class ReLU6(nn.ReLU6):
    """torch's, to the bit; in place and in training mode, it keeps a map less for the gradient.

    torch finds the gradient from the input, which it copies before it is overwritten. The output
    tells as much, and the next layer mostly keeps it anyway. So there the output may not be
    changed in place again, as by an addition, which the backward pass refuses; and the gradient
    cannot be differentiated again. In bfloat16 on a CPU, where torch takes longer in
    place on large maps, the input stays what it was.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Clamp a tensor of any shape to 0..6."""
        learns = self.training and input.requires_grad and torch.is_grad_enabled()
        if self.inplace and learns and not torch.compiler.is_compiling():
            return _ReLU6.apply(input)  # pyright: ignore[reportReturnType]
        if self.inplace and type(input) is Tensor and _slow_in_place(input):
            return nn.functional.relu6(input)
        return super().forward(input)


def _slow_in_place(input: Tensor) -> bool:
    """Whether torch clamps a large map faster to a new tensor: on a CPU in bfloat16."""
    return input.dtype == torch.bfloat16 and input.device.type == "cpu"


class _ReLU6(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        if _slow_in_place(input):
            output = input.clamp(0, 6)
        else:
            output = input.clamp_(0, 6)
            ctx.mark_dirty(output)
        ctx.save_for_backward(output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (output,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(grad_output, output, 0, 6)
