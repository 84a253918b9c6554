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
        torch.default_generator.manual_seed(seed)  # the CPU's alone
        return spec.build()


@torch.no_grad()
def made_at_random(spec: UnitSpec) -> nn.Module:
    """Make a unit on the CPU whose weights and statistics are such that an output tells of each."""
    unit = made(spec, seed=0)
    generator = torch.Generator().manual_seed(0)
    for layer in unit.modules():
        norm = isinstance(layer, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001
        for parameter in layer.parameters(recurse=False):
            noise = torch.rand(parameter.shape, generator=generator, device="cpu")
            parameter.copy_(noise + 0.5 if norm else parameter.nan_to_num() + 0.2 * (noise - 0.5))
        if norm and layer.running_mean is not None and layer.running_var is not None:
            layer.running_mean.uniform_(-1, 1, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    return unit


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
