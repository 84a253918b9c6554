"""Elastic layers: full-size layers that compute with a slice of their own weights.

A slice is leading along channels and centred along a spatial kernel. Which slice is given by the
unit that is running (`active`), never stored on a layer: two threads may run two archs at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa_pose.errors import SpaceError

Region = tuple[slice, ...]


@dataclass(frozen=True)
class LayerCut:
    """How one layer of a subnet is cut from the supernet's layer at the same path.

    Attributes:
        regions: by tensor name the slices of it, None where the whole tensor is used.
        layer: the subnet's own layer on the meta device; its stride, padding, groups and the
            like hold for the cut.
    """

    regions: Mapping[str, Region | None]
    layer: nn.Module

    def take(self, name: str, tensor: Tensor | None) -> Tensor | None:
        """Return the cut's part of `tensor`, a view that shares memory and gradients."""
        region = self.regions.get(name)
        return tensor if region is None or tensor is None else tensor[region]


UnitCut = Mapping[str, LayerCut]
"""The cuts of one unit's layers by their path inside the unit."""

_ACTIVE: ContextVar[UnitCut | None] = ContextVar("active_unit_cut", default=None)


@contextlib.contextmanager
def active(cut: UnitCut) -> Iterator[None]:
    """Let the elastic layers that run inside the block use `cut`."""
    token = _ACTIVE.set(cut)
    try:
        yield
    finally:
        _ACTIVE.reset(token)


class _Elastic(nn.Module):
    """What the elastic layers share: their path in the unit, and so their cut."""

    unit_path: str

    def _cut(self) -> LayerCut:
        cut = _ACTIVE.get()
        if cut is None:
            raise RuntimeError("an elastic layer runs only inside Supernet.forward(images, arch)")
        return cut[self.unit_path]


class ElasticConv2d(_Elastic, nn.Conv2d):
    """Convolution (plain, depthwise or grouped) with a slice of its kernels."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve with the active cut."""
        cut = self._cut()
        layer: Any = cut.layer  # its own settings count: stride, padding and its mode, groups
        return layer._conv_forward(  # noqa: SLF001
            input, cut.take("weight", self.weight), cut.take("bias", self.bias)
        )


class ElasticConvTranspose2d(_Elastic, nn.ConvTranspose2d):
    """Transposed convolution with a slice of its kernels."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve with the active cut; an explicit `output_size` is not supported."""
        if output_size is not None:
            raise SpaceError("an elastic transposed convolution takes no output_size")
        cut = self._cut()
        layer: Any = cut.layer
        return F.conv_transpose2d(
            input,
            cut.take("weight", self.weight),  # pyright: ignore[reportArgumentType]
            cut.take("bias", self.bias),
            layer.stride,
            layer.padding,
            layer.output_padding,
            layer.groups,
            layer.dilation,
        )


class ElasticLinear(_Elastic, nn.Linear):
    """Linear layer with a slice of its matrix."""

    def forward(self, input: Tensor) -> Tensor:
        """Multiply with the active cut."""
        cut = self._cut()
        weight = cut.take("weight", self.weight)
        return F.linear(input, weight, cut.take("bias", self.bias))  # pyright: ignore[reportArgumentType]


class _ElasticBatchNorm(_Elastic, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001
    """Batch norm with a slice of its affine weights and of its running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise; in training the shared statistics are updated inside the slice only."""
        self._check_input_dim(input)
        cut = self._cut()
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        use_batch = self.training or self.running_mean is None
        tracked = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            cut.take("running_mean", self.running_mean) if tracked else None,
            cut.take("running_var", self.running_var) if tracked else None,
            cut.take("weight", self.weight),
            cut.take("bias", self.bias),
            use_batch,
            momentum,
            self.eps,
        )


class ElasticBatchNorm1d(_ElasticBatchNorm, nn.BatchNorm1d):
    """Elastic batch norm over `(N, C)` or `(N, C, L)`."""


class ElasticBatchNorm2d(_ElasticBatchNorm, nn.BatchNorm2d):
    """Elastic batch norm over `(N, C, H, W)`."""


class ElasticGroupNorm(_Elastic, nn.GroupNorm):
    """Group norm with a slice of its affine weights, over the groups that the cut has."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise with the active cut."""
        cut = self._cut()
        layer: Any = cut.layer
        weight, bias = cut.take("weight", self.weight), cut.take("bias", self.bias)
        return F.group_norm(input, layer.num_groups, weight, bias, layer.eps)


class ElasticLayerNorm(_Elastic, nn.LayerNorm):
    """Layer norm with a slice of its affine weights."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise with the active cut."""
        cut = self._cut()
        layer: Any = cut.layer
        weight, bias = cut.take("weight", self.weight), cut.take("bias", self.bias)
        return F.layer_norm(input, layer.normalized_shape, weight, bias, layer.eps)


class ElasticInstanceNorm2d(_Elastic, nn.InstanceNorm2d):
    """Instance norm with a slice of its affine weights and of its running statistics, if any."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each map by itself; shared statistics are updated inside the slice only."""
        self._check_input_dim(input)
        cut = self._cut()
        return F.instance_norm(
            input,
            cut.take("running_mean", self.running_mean),
            cut.take("running_var", self.running_var),
            cut.take("weight", self.weight),
            cut.take("bias", self.bias),
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )


class ElasticPReLU(_Elastic, nn.PReLU):
    """ReLU with learnt slopes, one or a slice of those by channel."""

    def forward(self, input: Tensor) -> Tensor:
        """Activate with the active cut."""
        weight = self._cut().take("weight", self.weight)
        return F.prelu(input, weight)  # pyright: ignore[reportArgumentType]


ELASTIC: dict[type[nn.Module], type[_Elastic]] = {
    nn.Conv2d: ElasticConv2d,
    nn.ConvTranspose2d: ElasticConvTranspose2d,
    nn.Linear: ElasticLinear,
    nn.BatchNorm1d: ElasticBatchNorm1d,
    nn.BatchNorm2d: ElasticBatchNorm2d,
    nn.GroupNorm: ElasticGroupNorm,
    nn.LayerNorm: ElasticLayerNorm,
    nn.InstanceNorm2d: ElasticInstanceNorm2d,
    nn.PReLU: ElasticPReLU,
}


def make_elastic(unit: nn.Module) -> None:
    """Turn every plain layer of a unit's module into its elastic class, in place.

    The layer keeps its parameters, names and hooks; only its `forward` changes, so a state
    dict of the supernet is a state dict of the largest network.
    """
    for path, layer in unit.named_modules():
        elastic = ELASTIC.get(type(layer))
        if elastic is not None:
            layer.__class__ = elastic
            layer.unit_path = path  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]


def own_tensors(layer: nn.Module) -> dict[str, Tensor]:
    """Return a layer's parameters and buffers by name, but not those of the layers in it."""
    parameters, buffers = layer.named_parameters(recurse=False), layer.named_buffers(recurse=False)
    return {**dict(parameters), **dict(buffers)}


def copy_cut(unit: nn.Module, target: nn.Module, cut: UnitCut) -> None:
    """Copy the cut part of a unit's tensors into the subnet's module, which takes their precision.

    Raises:
        SpaceError: their shapes differ, as the unit was registered again after `unit` was made.
    """
    with torch.no_grad():
        sources = dict(unit.named_modules())
        for path, layer in target.named_modules():
            source = sources[path]
            for name, tensor in own_tensors(layer).items():
                part: Tensor = cut[path].take(name, getattr(source, name))  # pyright: ignore[reportAssignmentType]
                if part.shape != tensor.shape:  # which `copy_` would broadcast
                    raise SpaceError(
                        f"{type(target).__name__}'s {path}.{name} is {tuple(tensor.shape)}, the "
                        f"supernet's {tuple(part.shape)}: the unit was registered again after "
                        "the supernet was made; make it again"
                    )
                tensor.data = tensor.data.to(part.dtype)  # `copy_` alone would keep its own
                tensor.copy_(part)
