"""Units made for real: the values that their constructors give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ofa_pose.models.unit import UnitSpec, unit_cache

_MEMORY = (torch.empty, torch.empty_like, Tensor.new_empty)


class _NoValues(TorchFunctionMode):
    """Lets memory that has no values yet hold NaN, or 0 if it is of whole numbers."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the function; fill what it made."""
        result = func(*args, **(kwargs or {}))
        if func in _MEMORY:
            result.fill_(torch.nan if result.is_floating_point() else 0)
        return result


def made(spec: UnitSpec, *, seed: int) -> nn.Module:
    """Make a unit on the CPU, with the values that its constructor gives it.

    Args:
        spec: which unit.
        seed: of what the constructor draws from torch's global generator, which is left as it was.

    Returns:
        The module; floating tensors that the constructor gives no values hold NaN.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), _NoValues():
        torch.manual_seed(seed)
        return spec.build()


def constants_in(unit: nn.Module) -> Iterator[str]:
    """Yield the paths of a unit's buffers that no state dict holds."""
    for path, layer in unit.named_modules():
        for name in layer._non_persistent_buffers_set:  # noqa: SLF001
            if layer._buffers.get(name) is not None:  # noqa: SLF001
                yield f"{path}.{name}" if path else name


@unit_cache(maxsize=4096)
def constants(spec: UnitSpec) -> Mapping[str, Tensor]:
    """A unit's buffers that no state dict holds, by their path; the same at every making."""
    unit = made(spec, seed=0)
    return {path: unit.get_buffer(path) for path in constants_in(unit)}
