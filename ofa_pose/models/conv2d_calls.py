"""Calls of `torch.conv2d`, whoever makes them, answered by a function of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Conv2dCalls(TorchFunctionMode):
    """Lets a function answer the calls of `torch.conv2d` in the block; others are as they are.

    Args:
        answer: takes what `torch.conv2d` takes; what it calls itself is not answered by it.
    """

    def __init__(self, answer: Callable[..., Tensor]) -> None:
        super().__init__()
        self._answer = answer

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Is told of every call of a torch function."""
        return (self._answer if func is torch.conv2d else func)(*args, **(kwargs or {}))
