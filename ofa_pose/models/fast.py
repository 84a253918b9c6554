"""Lets layers train with gradients that are faster than torch's, or keep less in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ofa_pose.models.clamp import clamp_
from ofa_pose.models.depthwise import Pair, depthwise_conv2d


def fast_layers(enabled: bool = True, *, depthwise: bool = True) -> AbstractContextManager[Any]:
    """Compute what is called in the block by `depthwise_conv2d` and `clamp_` where they apply.

    It sees the calls of `torch.nn.functional`, so it holds for plain layers (`nn.Conv2d`, and
    `nn.ReLU6` and `nn.Hardtanh` in place) of any family as for layers that cut their weights
    first, and changes neither a module nor an output. Only the forward pass need be in the block;
    the backward pass may come later. It holds for the current thread, costs a microsecond or two
    per call of a torch function, and does nothing within `torch.compile`.

    Args:
        enabled: if False, the block runs as without it.
        depthwise: if False, convolutions stay torch's.
    """
    answers = _ANSWERS if depthwise else {**_ANSWERS, torch.conv2d: torch.conv2d}
    return _FastLayers(answers) if enabled else nullcontext()


class _FastLayers(TorchFunctionMode):
    """Is told of every call of a torch function, and answers some of them."""

    def __init__(self, answers: Mapping[Callable[..., Any], Callable[..., Any]]) -> None:
        super().__init__()
        self._answers = answers

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        # torch.compile cannot look into these gradients, and would break its graph at each layer.
        if not torch.compiler.is_compiling():
            func = self._answers.get(func, func)
        return func(*args, **(kwargs or {}))


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
    if depthwise and not isinstance(padding, str):
        return depthwise_conv2d(
            input, weight, bias=bias, stride=stride, padding=padding, dilation=dilation
        )
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)  # pyright: ignore[reportArgumentType]


def _hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    if inplace and min_val < max_val:
        return clamp_(input, min_val, max_val)
    return F.hardtanh(input, min_val, max_val, inplace)


def _relu6(input: Tensor, inplace: bool = False) -> Tensor:
    return _hardtanh(input, 0.0, 6.0, inplace)


_ANSWERS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.conv2d: _conv2d,
    F.hardtanh: _hardtanh,
    F.relu6: _relu6,
}
