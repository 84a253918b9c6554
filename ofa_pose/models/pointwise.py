"""1×1 convolutions on one CPU thread, done by oneDNN as they are on several."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ofa_pose.models.conv2d_calls import Conv2dCalls

_TORCH_DECIDES = 16
"""Pictures from which on torch asks oneDNN by itself, whatever the number of threads."""


def fast_pointwise(enabled: bool = True) -> AbstractContextManager[Any]:
    """Let every 1×1 convolution called in the block, and its gradients, be done by oneDNN.

    On one thread and for fewer than 16 pictures torch takes a matrix product instead (`use_mkldnn`
    in its Convolution.cpp), which here took twice as long (benchmarks/pointwise.py). Of what oneDNN
    does it asks first whether the kernel is dilated, and one of a single tap is the same at any
    dilation: these convolutions are called with a dilation of 2. Outputs differ from torch's own
    in rounding only.

    It sees the calls of `torch.conv2d`, so it holds for plain `nn.Conv2d` layers of any family.
    Only the forward pass need be in the block; the backward pass may come later. It holds for the
    current thread, and costs a microsecond or two per call of a torch function. It concerns float32
    maps in channels_last on x86-64 processors; others were not measured.

    Args:
        enabled: if False, the block runs as without it.
    """
    return Conv2dCalls(_conv2d) if enabled and _available() else nullcontext()


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    if weight.shape[2:] == (1, 1) and groups == 1 and _is_slow(input):
        dilation = 2
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)


def _is_slow(input: Tensor) -> bool:
    """Whether torch would convolve `input` with a 1×1 kernel in the slower way."""
    return (
        input.ndim == 4
        and input.shape[0] < _TORCH_DECIDES
        and input.dtype == torch.float32
        and input.device.type == "cpu"
        and input.is_contiguous(memory_format=torch.channels_last)
        and torch.get_num_threads() == 1
        and not torch.compiler.is_compiling()
    )


def _available() -> bool:
    return torch.backends.mkldnn.is_available() and platform.machine() in ("x86_64", "AMD64")
