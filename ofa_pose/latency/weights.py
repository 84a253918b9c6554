"""Weights for networks that are only timed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_PATTERN = (1.0, -0.9, 0.5, -0.6)


def patterned(module: nn.Module) -> nn.Module:
    """Give every tensor of a module a small repeated pattern, in place.

    It takes as long as learnt weights: activations stay finite, nothing is zero or one number
    throughout, which an exporter would fold away. And it can be compressed a thousandfold.
    """
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if not tensor.is_floating_point():
                continue
            values = _repeated(tensor)
            if tensor.dim() > 1:
                values /= max(1, tensor[0].numel()) ** 0.5
            elif name.endswith(("weight", "running_var")):
                values = 1 + 0.1 * values
            else:
                values *= 0.1
            tensor.copy_(values)
    return module


def _repeated(tensor: Tensor) -> Tensor:
    count = tensor.numel()
    return torch.tensor(_PATTERN).repeat(-(-count // len(_PATTERN)))[:count].reshape(tensor.shape)
