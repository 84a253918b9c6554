"""Modules of shapes without numbers, on torch's meta device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SUMS = (torch.add, Tensor.add, Tensor.__add__)
_FILLS = (Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_)


class ShapesOnly(TorchFunctionMode):
    """Makes new tensors on the meta device, and skips what gives them values.

    torch has its own rules for sums and for the initialisation of meta tensors, but they load
    its compiler first, which takes a second.
    """

    def __enter__(self) -> ShapesOnly:
        self._device = torch.device("meta")
        self._device.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._device.__exit__(*error)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer fills and plain sums by shape; leave everything else to torch."""
        if func in _FILLS:
            return args[0]
        if func in _SUMS and not kwargs and all(isinstance(arg, Tensor) for arg in args):
            one, other = (tuple(arg.shape) for arg in args)
            return torch.empty(one if one == other else torch.broadcast_shapes(one, other))
        return func(*args, **(kwargs or {}))
